"""The shapes of charts, in percent of their width and height; the template draws and escapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from llamaclassify_report.scales import Scale, Tick

STATUSES = ("succeeded", "partly_succeeded", "failed", "cancelled", "other", "running", "pending")
COLOURS = {status: f"var(--{status.replace('_', '-')})" for status in STATUSES}
FIRST, SECOND, FAINT = "var(--first)", "var(--second)", "var(--faint)"
SERIES = (FIRST, SECOND, COLOURS["succeeded"], COLOURS["other"], FAINT)
"""Colours of what is told apart by its place; the last is that of all others."""
FULL = 0.8
"""Which share of its slot a column fills."""
FEW = 14
"""A line over more days than this has no dots."""


@dataclass(frozen=True, kw_only=True)
class Box:
    """A part of a column: where its upper left corner is, from the upper left of the chart."""

    left: float
    top: float
    width: float
    height: float
    colour: str


@dataclass(frozen=True, kw_only=True)
class Path:
    """A line, or dots, in one colour; `d` is SVG's."""

    d: str
    colour: str
    kind: str


@dataclass(frozen=True, kw_only=True)
class Span:
    """A slot of the chart, of all its height, and what is said where the pointer rests on it."""

    left: float
    width: float
    title: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """What is drawn between two axes, over slots from left to right."""

    boxes: Sequence[Box] = ()
    paths: Sequence[Path] = ()
    spans: Sequence[Span] = ()
    across: Sequence[Tick] = ()
    upwards: Sequence[Tick] = ()


def stacks(
    columns: Sequence[Mapping[str, float]], colours: Mapping[str, str], scale: Scale
) -> list[Box]:
    """Stack each slot's numbers, the first of the colours at the bottom."""
    slot = 100 / max(1, len(columns))
    boxes = []
    for index, column in enumerate(columns):
        below = 0.0
        for name, colour in colours.items():
            if column.get(name):
                above = below + column[name]
                boxes.append(
                    Box(
                        left=slot * (index + (1 - FULL) / 2),
                        top=100 - scale.at(above),
                        width=slot * FULL,
                        height=scale.at(above) - scale.at(below),
                        colour=colour,
                    )
                )
                below = above
    return boxes


def line(
    days: Sequence[date], values: Mapping[date, float], scale: Scale, colour: str
) -> list[Path]:
    """Draw a line through the middle of each day's slot; days without a value are passed over."""
    points = _points(days, values, scale)
    if not points:
        return []
    found = [Path(d="M" + "L".join(points), colour=colour, kind="line")]
    if len(points) > FEW:
        return found
    return [*found, *dots(days, values, scale, colour, kind="dots")]


def dots(
    days: Sequence[date],
    values: Mapping[date, float],
    scale: Scale,
    colour: str,
    *,
    kind: str,
) -> list[Path]:
    """Draw a dot in the middle of each day's slot."""
    # Round, though the chart is stretched: a line without length has the ends of its stroke only.
    d = "".join(f"M{point}h0" for point in _points(days, values, scale))
    return [Path(d=d, colour=colour, kind=kind)]


def spans(titles: Sequence[str]) -> list[Span]:
    """Give each slot what is said of it."""
    slot = 100 / max(1, len(titles))
    return [Span(left=slot * index, width=slot, title=title) for index, title in enumerate(titles)]


def _points(days: Iterable[date], values: Mapping[date, float], scale: Scale) -> list[str]:
    every = [*days]
    return [
        f"{100 * (index + 0.5) / len(every):.2f} {100 - scale.at(values[day]):.2f}"
        for index, day in enumerate(every)
        if day in values
    ]
