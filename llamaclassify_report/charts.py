"""Draws charts as SVG whose colours are the page's own; the one place that knows Altair."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt
import vl_convert

from llamaclassify_report.marts import Row

WIDTH = 300
HEIGHT = 170
BAR = 17
STATUSES = ("succeeded", "partly_succeeded", "failed", "cancelled", "other", "running", "pending")
COLOURS = {status: f"var(--{status.replace('_', '-')})" for status in STATUSES}

INK, LINE, FIRST, SECOND = "var(--muted)", "var(--line)", "var(--first)", "var(--second)"
SERIES = (FIRST, SECOND)
"""The colours of a chart's series, in their order. Its legend is the page's, which can wrap."""

SPREAD = 20
CHARACTER = 7.0
"""Pixels that a character of an axis' labels takes at most, in a browser's widest usual font."""
TICKS = (0.1, 1, 10, 60, 600, 3_600, 36_000, 86_400, 864_000, 8_640_000)
"""Where durations are marked on a logarithmic axis, in seconds."""


def stacked_days(rows: Sequence[Row]) -> str:
    """Bars of jobs by day, in the colours of their statuses; rows of day, status and jobs."""
    present = [status for status in STATUSES if any(row["status"] == status for row in rows)]
    values = [
        row | {"day": f"{row['day']}", "order": STATUSES.index(row["status"])} for row in rows
    ]
    chart = alt.Chart(alt.InlineData(values=values)).mark_bar()
    return _drawn(
        chart.encode(
            x=_days(rows),
            y=alt.Y("jobs:Q", title=None, axis=alt.Axis(tickCount=5, format="~s")),
            color=alt.Color(
                "status:N",
                scale=alt.Scale(domain=present, range=[COLOURS[status] for status in present]),
                legend=None,
            ),
            order=alt.Order("order:Q"),
        )
    )


def lines(rows: Sequence[Row], names: Sequence[str], *, percent: bool = False) -> str:
    """A line for each of the columns named, over days; durations in seconds, or shares of 1."""
    values = [
        {"day": f"{row['day']}", "name": name, "value": row[name]}
        for row in rows
        for name in names
        if row[name] is not None and (percent or row[name] > 0)
    ]
    highest = max((value["value"] for value in values), default=1)
    lowest = min((value["value"] for value in values), default=1)
    if percent:
        scale = alt.Scale(domain=[min(0.9, math.floor(lowest * 10) / 10), 1])
        axis = alt.Axis(tickCount=5, format=".0%")
    elif highest > SPREAD * lowest:
        scale = alt.Scale(type="log")
        axis = alt.Axis(values=[tick for tick in TICKS if lowest <= tick <= highest])
    else:
        scale, axis = alt.Scale(zero=True), alt.Axis(tickCount=4)
    if not percent:
        axis.labelExpr = LASTING
    chart = alt.Chart(alt.InlineData(values=values)).mark_line(
        point={"size": 14, "filled": True}, strokeWidth=1.5
    )
    return _drawn(
        chart.encode(
            x=_days(rows),
            y=alt.Y("value:Q", title=None, scale=scale, axis=axis),
            color=_series(names),
        )
    )


LASTING = (
    "datum.value >= 86400 ? format(datum.value / 86400, '.3~r') + ' d'"
    " : datum.value >= 3600 ? format(datum.value / 3600, '.3~r') + ' h'"
    " : datum.value >= 60 ? format(datum.value / 60, '.3~r') + ' min'"
    " : format(datum.value, '.3~r') + ' s'"
)


def bars(labels: Sequence[str], series: dict[str, Sequence[float]]) -> str:
    """Bars to the right, one for each label and series."""
    values = [
        {"label": label, "name": name, "value": numbers[index]}
        for index, label in enumerate(labels)
        for name, numbers in series.items()
    ]
    names = [*series]
    beside = CHARACTER * max(map(len, labels))
    height = BAR * len(labels) * (1.4 if len(names) > 1 else 1)
    encoding: dict[str, Any] = {
        "y": alt.Y("label:N", title=None, sort=[*labels], axis=alt.Axis(minExtent=beside)),
        "x": alt.X("value:Q", title=None, axis=alt.Axis(tickCount=4, format="~s")),
        "color": _series(names),
    }
    if len(names) > 1:
        encoding["yOffset"] = alt.YOffset("name:N", sort=names)
    chart = alt.Chart(alt.InlineData(values=values)).mark_bar()
    return _drawn(chart.encode(**encoding), width=WIDTH + 30 - beside, height=height)


def histogram(labels: Sequence[str], numbers: Sequence[float]) -> str:
    """Columns side by side, one for each label."""
    values = [
        {"label": label, "value": number} for label, number in zip(labels, numbers, strict=True)
    ]
    chart = alt.Chart(alt.InlineData(values=values)).mark_bar(color=FIRST)
    return _drawn(
        chart.encode(
            x=alt.X("label:N", title=None, sort=None, axis=alt.Axis(labelAngle=0, labelFontSize=9)),
            y=alt.Y("value:Q", title=None, axis=alt.Axis(tickCount=5, format="~s")),
        )
    )


def _days(rows: Sequence[Row]) -> alt.X:
    days = sorted(row["day"] for row in rows)
    span = (days[-1] - days[0]).days if days else 0
    axis = alt.Axis(format="%-d %b", tickCount=min(5, span + 1), grid=False)
    # Days stand on whole hours of the same zone, wherever the page is made.
    return alt.X("utcyearmonthdate(day):T", title=None, axis=axis, scale=alt.Scale(type="utc"))


def _series(names: Sequence[str]) -> alt.Color:
    colours = alt.Scale(domain=[*names], range=[*SERIES])
    return alt.Color("name:N", scale=colours, legend=None)


def _drawn(chart: alt.Chart, *, width: float = WIDTH, height: float = HEIGHT) -> str:
    styled = (
        chart.properties(width=width, height=height, padding=2)
        .configure(background="transparent", font="system-ui, sans-serif", aria=False)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK, gridColor=LINE, domainColor=LINE, tickColor=LINE, labelFontSize=11
        )
    )
    svg: str = vl_convert.vegalite_to_svg(styled.to_dict())
    return svg
