"""Projects and versions of the API beside each other: how many jobs, how well, how long."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from llamaclassify_report import charts, scales
from llamaclassify_report.cards import Card, Cell, Column, Table, project_cell, project_of
from llamaclassify_report.charts import Chart
from llamaclassify_report.figures import Figures
from llamaclassify_report.formatting import amount, count, lasting, share
from llamaclassify_report.marts import Row
from llamaclassify_report.queries import DAYS, WEEK

WEEKS = -(-DAYS // WEEK)
FOLDS = 860
COLOURS = {"others": charts.FIRST, "failed": charts.COLOURS["failed"]}
COLUMNS = (
    Column("project", 23, "name"),
    Column("API", 5, "plain"),
    Column("jobs per week", 15, "spark"),
    Column("jobs", 8),
    Column("in 7 days", 8),
    Column("success", 8),
    Column("in 7 days", 8),
    Column("median", 9),
    Column("95 of 100", 9),
)

Week = Mapping[str, float]


def by_project(figures: Figures) -> Card:
    """List the busiest projects, a row for each version of the API that they use."""
    title, span = "By project and API", f"last {DAYS} days"
    if not figures.projects:
        return Card(title=title, span=span, sentence="No job was created.", width=6)
    weeks = _weeks(figures)
    kinds = figures.projects[0]["kinds"]
    rows = [_row(row, weeks[row["api_version"], row["project_id"]]) for row in figures.projects]
    if kinds > len(figures.apis):
        rows = [*map(_whole, figures.apis), *rows]
    columns, unknown = [*COLUMNS, Column("credits", 9)], ""
    if not figures.cost["jobs"]:
        columns, rows = columns[:-1], [row[:-1] for row in rows]
        unknown = " No cost is known."
    shown = len(figures.projects)
    more = f" The busiest {count(shown)} of {count(kinds)} are shown." if shown < kinds else ""
    return Card(
        title=title,
        span=span,
        sentence="A row for each version of the API that a project uses; half of its jobs took at "
        f"most the median, 95 of 100 at most what stands beside it.{more}{unknown}",
        width=6,
        legend=[("jobs per week", COLOURS["others"]), ("failed", COLOURS["failed"])],
        table=Table(columns=columns, rows=rows, folds=FOLDS),
    )


def _weeks(figures: Figures) -> dict[tuple[str, str | None], list[Week]]:
    """Return each row's weeks, the oldest first: how many jobs failed, and how many others."""
    found: dict[tuple[str, str | None], list[Week]] = {
        (row["api_version"], row["project_id"]): [{}] * WEEKS for row in figures.projects
    }
    for row in figures.weekly:
        place = WEEKS - 1 - row["weeks_ago"]
        found[row["api_version"], row["project_id"]][place] = {
            "others": row["jobs"] - row["failed"],
            "failed": row["failed"],
        }
    return found


def _row(row: Row, weeks: Sequence[Week]) -> list[Cell]:
    scale = scales.of_counts(max(sum(week.values()) for week in weeks))
    titles = [_said(weeks_ago, week) for weeks_ago, week in enumerate(reversed(weeks))]
    spark = Chart(boxes=charts.stacks(weeks, COLOURS, scale), spans=charts.spans(titles[::-1]))
    label = f"Jobs per week of {project_of(row)}, {row['api_version']}"
    return [
        project_cell(row),
        Cell(text=row["api_version"]),
        Cell(chart=spark, label=label),
        *_measures(row),
    ]


def _said(weeks_ago: int, week: Week) -> str:
    days = WEEK * weeks_ago
    when = f"{days + 1} to {days + WEEK} days ago" if weeks_ago else "last 7 days"
    failed = week.get("failed", 0)
    return f"{when}: {count(sum(week.values()), 'job')}, {count(failed)} failed"


def _whole(row: Row) -> list[Cell]:
    return [
        Cell(text="all projects"),
        Cell(text=row["api_version"]),
        Cell(text=count(row["projects"], "project")),
        *_measures(row),
    ]


def _measures(row: Row) -> list[Cell]:
    return [
        Cell(text=text)
        for text in (
            count(row["jobs"]),
            count(row["jobs_in_7_days"]),
            _rate(row["succeeded"], row["ended"]),
            _rate(row["succeeded_in_7_days"], row["ended_in_7_days"]),
            lasting(row["median"]),
            lasting(row["p95"]),
            amount(row["credits"]),
        )
    ]


def _rate(succeeded: int, ended: int) -> str:
    return share(succeeded / ended if ended else None)
