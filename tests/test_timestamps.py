"""Every instant has one text, texts sort as instants do, and what is no instant is None."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_llamaclassify.timestamps import from_datetime, to_datetime, to_day, to_fixed
from tests.support.builders import cases

IS_FIXED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII).fullmatch

# A day from either end of the calendar, so that any offset stays inside it.
ZONES = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=ZONES)  # noqa: DTZ001 - the zone is drawn


@cases(
    "text, fixed",
    {
        "fixed already": ("2026-11-23T14:33:08.123456Z", "2026-11-23T14:33:08.123456Z"),
        "no fraction": ("2026-11-23T14:33:08Z", "2026-11-23T14:33:08.000000Z"),
        "one fraction digit": ("2026-11-23T14:33:08.1Z", "2026-11-23T14:33:08.100000Z"),
        "three fraction digits": ("2019-12-27T18:11:19.117Z", "2019-12-27T18:11:19.117000Z"),
        "seven fraction digits": ("2026-11-23T14:33:08.1234567Z", "2026-11-23T14:33:08.123456Z"),
        "nine fraction digits are cut, not rounded": (
            "2026-11-23T14:33:08.999999999Z",
            "2026-11-23T14:33:08.999999Z",
        ),
        "offset of zero": ("2026-11-23T14:33:08.123456+00:00", "2026-11-23T14:33:08.123456Z"),
        "offset east, over midnight": ("2026-11-23T00:33:08+05:30", "2026-11-22T19:03:08.000000Z"),
        "offset west without a colon, over new year": (
            "2026-12-31T23:33:08-0800",
            "2027-01-01T07:33:08.000000Z",
        ),
        "offset of hours": ("2026-11-23T14:33:08+02", "2026-11-23T12:33:08.000000Z"),
        "no zone": ("2026-11-23T14:33:08.123456", "2026-11-23T14:33:08.123456Z"),
        "no seconds": ("2026-11-23T14:33", "2026-11-23T14:33:00.000000Z"),
        "date alone": ("2026-11-23", "2026-11-23T00:00:00.000000Z"),
        "basic format": ("20261123T143308Z", "2026-11-23T14:33:08.000000Z"),
        "a space between": ("2026-11-23 14:33:08+00:00", "2026-11-23T14:33:08.000000Z"),
        "lower case": ("2026-11-23t14:33:08z", "2026-11-23T14:33:08.000000Z"),
        "lower case in the fixed shape": (
            "2026-11-23t14:33:08.123456z",
            "2026-11-23T14:33:08.123456Z",
        ),
        "comma": ("2026-11-23T14:33:08,5Z", "2026-11-23T14:33:08.500000Z"),
        "leap day": ("2024-02-29T00:00:00Z", "2024-02-29T00:00:00.000000Z"),
        "first instant": ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000000Z"),
        "last instant": ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    },
)
def test_to_fixed_reads_iso_8601(text: str, fixed: str) -> None:
    assert to_fixed(text) == fixed


@cases(
    "text",
    {
        "nothing": "",
        "a word": "yesterday",
        "seconds since 1970": "1795444388",
        "no leap year": "2026-02-29T00:00:00.000000Z",
        "no such day": "2026-02-30T14:33:08.123456Z",
        "no such month": "2026-13-01T00:00:00.000000Z",
        "no such day of any month": "2026-11-39T00:00:00.000000Z",
        "no such hour": "2026-11-23T25:00:00.000000Z",
        "no such minute": "2026-11-23T14:60:00.000000Z",
        "line feed after the fixed shape": "2026-11-23T14:33:08.123456Z\n",
        "digits that are not ASCII": "\u0662\u0660\u0662\u0666-11-23T14:33:08.123456Z",
        "before the year 1 in UTC": "0001-01-01T00:00:00+01:00",
        "after the year 9999 in UTC": "9999-12-31T23:59:59-01:00",
        "year of five digits": "10000-01-01T00:00:00Z",
        "offset of a day": "2026-11-23T14:33:08+24:00",
        "replacement character": "2026-11-23T14:33:08\ufffdZ",
        "lone surrogate": "\ud800",
        "text after it": "2026-11-23T14:33:08Z and more",
    },
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


@cases(
    "text, day",
    {
        "a day": ("2026-11-23", "2026-11-23"),
        "written without signs": ("20261123", "2026-11-23"),
        "an instant": ("2026-11-23T23:30:00Z", "2026-11-23"),
        "an instant of another day in UTC": ("2026-11-23T23:30:00-05:00", "2026-11-24"),
        "no day": ("2026-11-31", None),
        "nothing": ("", None),
    },
)
def test_day_is_that_of_the_instant_in_utc(text: str, day: str | None) -> None:
    assert to_day(text) == day
