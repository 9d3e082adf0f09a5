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
    texts = {"name": address, "note": f"see <{address}>.", "at": f"{address}#p=1"}
    assert cleaned({"id": "a"} | texts) == {
        "id": "a",
        "name": PLAIN,
        "note": f"see <{PLAIN}",
        "at": PLAIN,
    }


@pytest.mark.parametrize(
    "text",
    [
        "https%3A%2F%2Fs3.example.com%2Fa.pdf%3FX-Amz-Signature%3D51ab",
        "https%253A%252F%252Fs3.example.com%252Fa.pdf%253FX-Amz-Signature%253D51ab",
        r'{"url": "https:\/\/s3.example.com\/a.pdf", "X-Amz-Signature=51ab": 1}',
        "https://s3.example.com/a.pdf#sig=51ab",
        "https://user:51ab@s3.example.com/a.pdf",
        "X-Amz-Signature=51ab",
    ],
)
def test_text_that_opens_a_file_without_a_question_is_left_out_whole(text: str) -> None:
    assert cleaned({"id": "a", "name": text}) == {"id": "a", "name": None}


@pytest.mark.parametrize(
    "address",
    [
        "https://s3.example.com/O'Brien (1).pdf?X-Amz-Signature=51ab",
        "//s3.example.com/a.pdf?X-Amz-%53ignature=51ab",
        "s3.example.com/a.pdf?x=1&X-Goog-Signature=51ab",
        "https://s3.example.com/a.pdf?note=a b&access_token=51ab",
    ],
)
def test_address_of_any_form_loses_what_follows_the_question(address: str) -> None:
    assert cleaned({"id": "a", "name": address})["name"] == address.partition("?")[0]


def test_address_is_found_however_deep_it_lies_and_in_names_too() -> None:
    address = f"{PLAIN}?{SIGNATURES['S3']}"
    item = {"id": "a", "more": [{"of": [address, {address: None}]}, 1, None, True]}
    assert cleaned(item) == {"id": "a", "more": [{"of": [PLAIN, {PLAIN: None}]}, 1, None, True]}


@pytest.mark.parametrize("beside", ["fields", "expires_at"])
def test_object_that_is_a_presigned_address_is_taken_out_whole(beside: str) -> None:
    form = {"url": PLAIN, beside: {"policy": "51ab"}}
    item = {"id": "a", "upload": form, "all": [{"of": form}, form]}
    assert cleaned(item) == {"id": "a", "upload": None, "all": [{"of": None}, None]}


@pytest.mark.parametrize(
    "name", ["download_url", "Download_URL", "form_fields", "X-Amz-Signature", "CloudFront-Policy"]
)
def test_field_whose_name_says_what_it_is_is_left_out_at_any_depth(name: str) -> None:
    item = {"id": "a", name: "51ab", "more": [{name: "51ab", "size": 1}]}
    assert cleaned(item) == {"id": "a", "more": [{"size": 1}]}


def test_long_text_takes_no_time_that_grows_faster_than_it() -> None:
    text = "a://" * 250_000
    assert cleaned({"id": "a", "name": text + "?sig=1"})["name"] == text


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        f"{PLAIN}?page=3&lang=de",
        "invoice?signature=none.pdf",
        "Übersicht März? (final) = 100 %.pdf",
        "a@example.com",
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
