"""`make chart`: the picture of docs/performance.md, from the figures of `make bench-peers`.

Text is drawn as paths and the background is the picture's own, so that it looks the same in every
viewer, light or dark. The same figures make the same file.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

FIGURES = Path("benchmarks", "results", "peers.json")
PICTURE = Path("docs", "performance.svg")

OURS, THE_LEAST = "tap-llamaclassify", "plain loop"
COLOURS = {OURS: "#1f6feb", THE_LEAST: "#8c959f"}
OTHERS = "#c3cad2"
INK, FAINT, GRID, PAPER = "#1f2328", "#59636e", "#e4e8ec", "#ffffff"
STYLE = {"svg.fonttype": "path", "svg.hashsalt": OURS, "font.size": 11, "text.color": INK}

UNDATED = {"Date": None, "Creator": None}
SIZE = (10, 4.8)
MARGIN = 0.18
BAR = 0.66
ROOM = 4.5
"""How much further than the fastest the scale goes, for the labels."""


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("figures", type=Path, nargs="?", default=FIGURES)
    parser.add_argument("picture", type=Path, nargs="?", default=PICTURE)
    options = parser.parse_args()
    run = json.loads(options.figures.read_text(encoding="utf-8"))
    options.picture.parent.mkdir(exist_ok=True)
    with mpl.rc_context(STYLE):
        picture_of(run).savefig(options.picture, format="svg", metadata=UNDATED)


def picture_of(run: dict[str, Any]) -> Figure:
    """Draw a run: a bar a way, the fastest on top."""
    figure = Figure(figsize=SIZE, facecolor=PAPER)
    figure.set_layout_engine("constrained", w_pad=MARGIN, h_pad=MARGIN)
    axes = figure.add_subplot()
    ways = sorted(run["ways"], key=lambda way: way["jobs_per_second"])
    draw_scale(axes, [way["jobs_per_second"] for way in ways])
    axes.barh(
        [way["name"] for way in ways],
        [way["jobs_per_second"] for way in ways],
        height=BAR,
        color=[COLOURS.get(way["name"], OTHERS) for way in ways],
    )
    for place, way in enumerate(ways):
        draw_labels(axes, place, way)
    rows = next(sum(way["rows"].values()) for way in ways if way["name"] == OURS)
    title = f"Jobs per second, {run['jobs']:,} jobs with {rows:,} rows in three tables"
    axes.set_title(title, loc="left", pad=12, fontsize=13, fontweight="bold")
    below = f"Log scale; medians of {run['rounds']} whole runs, start included. {run['machine']}"
    axes.set_xlabel(below, loc="left", labelpad=8, fontsize=9.5, color=FAINT)
    return figure


def draw_scale(axes: Axes, speeds: list[float]) -> None:
    """Make the scale logarithmic, with room for the labels."""
    axes.set_xscale("log")
    axes.set_xlim(min(speeds) / 3, max(speeds) * ROOM)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.grid(visible=True, axis="x", color=GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(FAINT)
    axes.tick_params(axis="x", length=0, labelsize=9.5, labelcolor=FAINT)
    axes.tick_params(axis="y", length=0, labelcolor=INK, pad=8)


def draw_labels(axes: Axes, place: int, way: dict[str, Any]) -> None:
    """Write a way's figures behind its bar."""
    weight = "bold" if way["name"] == OURS else "normal"
    axes.get_yticklabels()[place].set_fontweight(weight)
    speed = way["jobs_per_second"]
    beside = {"textcoords": "offset points", "va": "center", "backgroundcolor": PAPER}
    label = axes.annotate(f"{speed:,}", (speed, place), xytext=(6, 0), fontweight=weight, **beside)
    axes.annotate(
        f"{way['peak_mib']:,.0f} MiB, {way['requests']:,} requests",
        (1, 0.5),
        xycoords=label,
        xytext=(10, 0),
        fontsize=9.5,
        color=FAINT,
        **beside,
    )


if __name__ == "__main__":
    main()
