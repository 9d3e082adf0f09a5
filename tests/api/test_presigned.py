"""Addresses that let whoever has them read a file are taken out, wherever they stand."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from tap_llamaclassify.api.endpoints import FILES
from tap_llamaclassify.api.presigned import without_presigned
from tests.support.builders import cases

PLAIN = "https://files.example.com/a/b%20c.pdf"
SIGNATURES = {
    "S3": "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=A%2F1&X-Amz-Signature=51ab",
    "S3, older": "AWSAccessKeyId=A&Expires=1793520000&Signature=51ab%3D",
    "Google": "X-Goog-Algorithm=GOOG4&X-Goog-Signature=51ab",
    "Azure": "sv=2024-05-04&se=2026-11-23&sr=b&sp=r&sig=51ab%3D",
    "CloudFront": "Expires=1793520000&Signature=51ab&Key-Pair-Id=K",
    "lower case": "x-amz-signature=51ab",
    "a token": "version=2&token=51ab",
}


def cleaned(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item without what it should not hold."""
    item = copy.deepcopy(item)
    without_presigned(item)
    return item


@cases("signature", SIGNATURES)
def test_address_loses_what_makes_it_open(signature: str) -> None:
    address = f"{PLAIN}?{signature}"
    texts = {"name": address, "note": f"see <{address}>, or '{address}'.", "at": f"{address}#p=1"}
    assert cleaned({"id": "a"} | texts) == {
        "id": "a",
        "name": PLAIN,
        "note": f"see <{PLAIN}>, or '{PLAIN}'.",
        "at": PLAIN,
    }


def test_address_is_found_however_deep_it_lies_and_in_names_too() -> None:
    address = f"{PLAIN}?{SIGNATURES['S3']}"
    item = {"id": "a", "more": [{"of": [address, {address: None}]}, 1, None, True]}
    assert cleaned(item) == {"id": "a", "more": [{"of": [PLAIN, {PLAIN: None}]}, 1, None, True]}


def test_object_that_is_a_presigned_address_is_taken_out_whole() -> None:
    form = {"url": PLAIN, "form_fields": {"policy": "51ab"}, "expires_at": "2026-11-23"}
    item = {"id": "a", "download_url": form, "upload": form, "all": [{"of": form}]}
    assert cleaned(item) == {"id": "a", "upload": None, "all": [{"of": None}]}


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        f"{PLAIN}?page=3&lang=de",
        "invoice?signature=none.pdf",
        "Übersicht März? (final).pdf",
        "https://",
        "",
    ],
)
def test_other_texts_stay_as_they_are(text: str) -> None:
    assert cleaned({"id": "a", "name": text}) == {"id": "a", "name": text}


def test_page_of_files_has_none_when_it_is_parsed() -> None:
    address = f"{PLAIN}?{SIGNATURES['Azure']}"
    body = f'{{"items": [{{"id": "a", "name": "{address}", "size": ["{address}"]}}]}}'
    (item,) = FILES.parse(body.encode()).items
    assert item == {"id": "a", "name": PLAIN, "size": [PLAIN]}
