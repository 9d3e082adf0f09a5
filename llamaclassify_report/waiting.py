"""How long jobs waited, and how long they then ran: by day, and by project."""

from __future__ import annotations

from llamaclassify_report import charts, scales
from llamaclassify_report.cards import Card, Cell, Column, Section, Table, numbers, project_cell
from llamaclassify_report.charts import Chart
from llamaclassify_report.figures import Figures
from llamaclassify_report.formatting import count, lasting, short, weekday
from llamaclassify_report.marts import Row
from llamaclassify_report.queries import DAYS

SPAN = f"last {DAYS} days"
NAMES = ("waiting", "p95_waiting", "running", "p95_running")


def waiting(figures: Figures) -> Section:
    """Make both cards, or say what is missing."""
    name, title = "waiting", "Waiting and running"
    if not figures.waits:
        calm = (
            f"Of no job of the last {DAYS} days it is known how long it waited and ran: select "
            "the stream classify_job_timings."
        )
        return Section(name=name, title=title, calm=calm)
    return Section(name=name, title=title, cards=[_by_day(figures), _by_project(figures)])


def _by_day(figures: Figures) -> Card:
    days, rows = figures.days, figures.waits
    waits, runs = (
        {row["day"]: row[name] for row in rows if row[name] is not None}
        for name in ("waiting", "running")
    )
    # A logarithmic scale has no place for what took no time.
    values = [value for value in (*waits.values(), *runs.values()) if value > 0]
    scale = scales.of_durations(min(values, default=1), max(values, default=1))
    said = {row["day"]: _said(row) for row in rows}
    newest = rows[-1]["day"]
    return Card(
        title="Median wait and run",
        span=SPAN,
        sentence=f"On {short(newest)} {said[newest]}.",
        is_alone=True,
        legend=[("waiting", charts.FIRST), ("running", charts.SECOND)],
        chart=Chart(
            paths=[
                *charts.line(days, runs, scale, charts.SECOND),
                *charts.line(days, waits, scale, charts.FIRST),
            ],
            spans=charts.spans([f"{weekday(d)}: {said.get(d, 'not known')}" for d in days]),
            across=scales.of_days(days),
            upwards=scale.ticks,
        ),
        numbers=numbers(
            ["day", "wait", "95 of 100", "run", "95 of 100"],
            [[str(row["day"]), *(lasting(row[name]) for name in NAMES)] for row in rows],
        ),
    )


def _said(row: Row) -> str:
    waited, ran = lasting(row["waiting"]), lasting(row["running"])
    parts = [
        *[f"waited at most {waited}"] * (row["waiting"] is not None),
        *[f"ran at most {ran}"] * (row["running"] is not None),
    ]
    return f"half of the jobs {' and '.join(parts)}"


def _by_project(figures: Figures) -> Card:
    rows = figures.project_waits
    shown, kinds = len(rows), rows[0]["kinds"]
    more = f" {count(shown)} of {count(kinds)} are shown." if shown < kinds else ""
    return Card(
        title="Wait and run by project",
        span=SPAN,
        sentence="Half of the jobs waited and ran at most the median, 95 of 100 at most what "
        f"stands beside it; the longest wait of 95 of 100 comes first.{more}",
        width=4,
        table=Table(
            columns=[
                Column("project", 36, "name"),
                Column("median wait", 16),
                Column("95 of 100", 16),
                Column("median run", 16),
                Column("95 of 100", 16),
            ],
            rows=[
                [
                    project_cell(row, count(row["jobs"], "job")),
                    *(Cell(text=lasting(row[name])) for name in NAMES),
                ]
                for row in rows
            ],
        ),
    )
