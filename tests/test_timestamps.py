"""Every instant has one text, texts sort as instants do, and what is no instant is None."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_llamaclassify.timestamps import from_datetime, to_datetime, to_fixed

IS_FIXED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII).fullmatch

# A day from either end of the calendar, so that any offset stays inside it.
ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=ZONES)  # noqa: DTZ001 - the zone is drawn


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("2026-11-23T14:33:08.123456Z", "2026-11-23T14:33:08.123456Z"),
        ("2026-11-23T14:33:08Z", "2026-11-23T14:33:08.000000Z"),
        ("2026-11-23T14:33:08.1Z", "2026-11-23T14:33:08.100000Z"),
        ("2019-12-27T18:11:19.117Z", "2019-12-27T18:11:19.117000Z"),
        ("2026-11-23T14:33:08.1234567Z", "2026-11-23T14:33:08.123456Z"),
        ("2026-11-23T14:33:08.999999999Z", "2026-11-23T14:33:08.999999Z"),
        ("2026-11-23T14:33:08.123456+00:00", "2026-11-23T14:33:08.123456Z"),
        ("2026-11-23T00:33:08+05:30", "2026-11-22T19:03:08.000000Z"),
        ("2026-12-31T23:33:08-0800", "2027-01-01T07:33:08.000000Z"),
        ("2026-11-23T14:33:08+02", "2026-11-23T12:33:08.000000Z"),
        ("2026-11-23T14:33:08.123456", "2026-11-23T14:33:08.123456Z"),
        ("2026-11-23T14:33", "2026-11-23T14:33:00.000000Z"),
        ("2026-11-23", "2026-11-23T00:00:00.000000Z"),
        ("20261123T143308Z", "2026-11-23T14:33:08.000000Z"),
        ("2026-11-23 14:33:08+00:00", "2026-11-23T14:33:08.000000Z"),
        ("2026-11-23t14:33:08z", "2026-11-23T14:33:08.000000Z"),
        ("2026-11-23t14:33:08.123456z", "2026-11-23T14:33:08.123456Z"),
        ("2026-11-23T14:33:08,5Z", "2026-11-23T14:33:08.500000Z"),
        ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
    ids=[
        "fixed already",
        "no fraction",
        "one fraction digit",
        "three fraction digits",
        "seven fraction digits",
        "nine fraction digits are cut, not rounded",
        "offset of zero",
        "offset east, over midnight",
        "offset west without a colon, over new year",
        "offset of hours",
        "no zone",
        "no seconds",
        "date alone",
        "basic format",
        "a space between",
        "lower case",
        "lower case in the fixed shape",
        "comma",
        "leap day",
        "first instant",
        "last instant",
    ],
)
def test_to_fixed_reads_iso_8601(text: str, fixed: str) -> None:
    assert to_fixed(text) == fixed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "yesterday",
        "1795444388",
        "2026-02-29T00:00:00.000000Z",
        "2026-02-30T14:33:08.123456Z",
        "2026-13-01T00:00:00.000000Z",
        "2026-11-39T00:00:00.000000Z",
        "2026-11-23T25:00:00.000000Z",
        "2026-11-23T14:60:00.000000Z",
        "2026-11-23T14:33:08.123456Z\n",
        "\u0662\u0660\u0662\u0666-11-23T14:33:08.123456Z",
        "0001-01-01T00:00:00+01:00",
        "9999-12-31T23:59:59-01:00",
        "10000-01-01T00:00:00Z",
        "2026-11-23T14:33:08+24:00",
        "2026-11-23T14:33:08\ufffdZ",
        "\ud800",
        "2026-11-23T14:33:08Z and more",
    ],
    ids=[
        "nothing",
        "a word",
        "seconds since 1970",
        "no leap year",
        "no such day",
        "no such month",
        "no such day of any month",
        "no such hour",
        "no such minute",
        "line feed after the fixed shape",
        "digits that are not ASCII",
        "before the year 1 in UTC",
        "after the year 9999 in UTC",
        "year of five digits",
        "offset of a day",
        "replacement character",
        "lone surrogate",
        "text after it",
    ],
)
def test_to_fixed_answers_none_for_what_is_no_instant(text: str) -> None:
    assert to_fixed(text) is None


@given(MOMENTS)
def test_to_fixed_keeps_the_instant(moment: datetime) -> None:
    fixed = to_fixed(moment.isoformat())

    assert fixed is not None
    assert to_datetime(fixed) == moment
    assert to_datetime(fixed).utcoffset() == timedelta(0)
    assert to_fixed(fixed) == fixed == from_datetime(moment)


@given(MOMENTS, MOMENTS)
def test_fixed_texts_sort_as_their_instants(one: datetime, other: datetime) -> None:
    texts, moments = (from_datetime(one), from_datetime(other)), (one, other)

    assert (texts[0] < texts[1], texts[0] == texts[1]) == (
        moments[0] < moments[1],
        moments[0] == moments[1],
    )


@given(st.text() | st.from_regex(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9:.,]{0,20}[Zz+-]?[0-9:]*"))
def test_to_fixed_answers_the_fixed_form_or_none_for_any_text(text: str) -> None:
    fixed = to_fixed(text)

    assert fixed is None or IS_FIXED(fixed)


@pytest.fixture
def _far_from_greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "XXX-14")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("_far_from_greenwich")
def test_from_datetime_takes_utc_where_there_is_no_zone() -> None:
    moment = datetime(2026, 11, 23, 14, 33, 8, 5)  # noqa: DTZ001 - one without a zone is the point

    assert from_datetime(moment) == "2026-11-23T14:33:08.000005Z"


@pytest.mark.parametrize(
    "moment",
    [
        datetime.min.replace(tzinfo=timezone(timedelta(hours=1))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-1))),
    ],
    ids=["before the year 1", "after the year 9999"],
)
def test_from_datetime_refuses_what_utc_has_no_year_for(moment: datetime) -> None:
    with pytest.raises(OverflowError):
        from_datetime(moment)


def test_to_datetime_reads_the_fixed_form() -> None:
    expected = datetime(2026, 11, 23, 14, 33, 8, 123456, tzinfo=UTC)

    assert to_datetime("2026-11-23T14:33:08.123456Z") == expected
