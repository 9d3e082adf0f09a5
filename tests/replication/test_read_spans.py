"""Spans of creation that were read in any order leave out just what was not read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tap_llamaclassify.replication.read_spans import Spans, common, joined
from tap_llamaclassify.replication.windows import Window, gaps
from tap_llamaclassify.timestamps import LAST

INSTANTS = "0123456789"
SPANS = st.lists(
    st.tuples(st.sampled_from(["", *INSTANTS]), st.sampled_from(INSTANTS)).filter(
        lambda span: span[0] < span[1]
    ),
    max_size=5,
).map(joined)


def within(spans: Spans, instant: str) -> bool:
    return any(begin < instant < end for begin, end in spans)


MOMENTS = [f"{at}5" for at in INSTANTS]
"""One between each two instants; and none that is one."""


@given(SPANS, SPANS)
def test_what_is_joined_is_in_one_and_what_is_common_is_in_both(
    first: Spans, second: Spans
) -> None:
    for at in MOMENTS:
        assert within(joined([*first, *second]), at) == (within(first, at) or within(second, at))
        assert within(common(first, second), at) == (within(first, at) and within(second, at))


@given(SPANS, st.sampled_from([*INSTANTS[1:], None]))
def test_gaps_are_all_that_spans_leave_out_before_an_end(spans: Spans, end: str | None) -> None:
    windows = gaps(spans, end)
    for at in MOMENTS:
        inside = [w for w in windows if (w.begin or "") < at < (w.end or LAST)]
        assert len(inside) == (not within(spans, at) and at < (end or LAST))


@pytest.mark.parametrize(
    ("spans", "windows"),
    [
        ((), [Window(None, "9")]),
        ((("", "3"),), [Window("3", "9")]),
        ((("2", "3"), ("5", "7")), [Window(None, "2"), Window("3", "5"), Window("7", "9")]),
        ((("", "9"),), []),
    ],
    ids=["none", "the beginning", "in between", "all"],
)
def test_gaps_share_their_edges_with_spans(spans: Spans, windows: list[Window]) -> None:
    assert gaps(spans, "9") == windows
