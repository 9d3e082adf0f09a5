"""Spans of creation that were read, in whatever order windows were done."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

Span: TypeAlias = tuple[str, str]
"""Two instants in the fixed form; one that begins with an empty text has no beginning."""
Spans: TypeAlias = tuple[Span, ...]
"""Spans that do not touch, the oldest first."""


def joined(spans: Iterable[Span]) -> Spans:
    """Make one of those that touch."""
    made: list[Span] = []
    for begin, end in sorted(span for span in spans if span[0] < span[1]):
        if made and begin <= made[-1][1]:
            made[-1] = (made[-1][0], max(end, made[-1][1]))
        else:
            made.append((begin, end))
    return tuple(made)


def common(first: Sequence[Span], second: Sequence[Span]) -> Spans:
    """Return what is in both."""
    pairs = ((max(a, b), min(c, d)) for a, c in first for b, d in second)
    return joined((begin, end) for begin, end in pairs if begin < end)
