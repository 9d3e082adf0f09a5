"""What the page's cards are made of: texts, tables, charts; it knows no figures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from llamaclassify_report.charts import Chart
from llamaclassify_report.formatting import count, plain
from llamaclassify_report.links import JobPages
from llamaclassify_report.marts import Row


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A bar in a cell: its length, as a share of the longest, and its colour."""

    share: float
    colour: str


@dataclass(frozen=True, kw_only=True)
class Cell:
    """A text, with a smaller one below it; where it leads to; a bar or a small chart.

    `label` says in words what a chart shows.
    """

    text: str = ""
    is_id: bool = False
    note: str = ""
    href: str = ""
    bar: Bar | None = None
    chart: Chart | None = None
    label: str = ""


@dataclass(frozen=True)
class Column:
    """A column's head, its share of the table's width, and what it holds.

    The kinds are `name` (what a row is about), `text`, `id`, `number`, `bar`, `spark` and `plain`.
    """

    head: str
    width: int = 10
    kind: str = "number"


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows of cells. `folds` is the width in pixels below which a row becomes a block, 0 never."""

    columns: Sequence[Column]
    rows: Sequence[Sequence[Cell]]
    folds: int = 520


@dataclass(frozen=True, kw_only=True)
class Card:
    """A chart or a table with the span that it shows, a sentence, and the numbers behind a chart.

    `width` is how many of the six columns of a wide page it takes; `is_alone` widens a card on a
    page of two columns that would have no neighbour there. The legend names the series, each with
    its colour.
    """

    title: str
    sentence: str
    span: str = ""
    width: int = 2
    is_alone: bool = False
    legend: Sequence[tuple[str, str]] = ()
    chart: Chart | None = None
    table: Table | None = None
    numbers: Table | None = None


@dataclass(frozen=True, kw_only=True)
class Section:
    """Cards below one heading; or where there is none, why."""

    name: str
    title: str
    cards: Sequence[Card] = field(default_factory=tuple)
    calm: str = ""


def texts(rows: Iterable[Sequence[str]]) -> list[list[Cell]]:
    """Make rows of plain cells."""
    return [[Cell(text=text) for text in row] for row in rows]


def numbers(head: Sequence[str], rows: Iterable[Sequence[str]]) -> Table:
    """Make the table of what a chart shows; its first column says when."""
    first, *others = head
    columns = [Column(first, 14, "plain"), *(Column(name) for name in others)]
    return Table(columns=columns, rows=texts(rows), folds=400)


def bars(
    amounts: Sequence[float], colour: str, written: Callable[[float], str] = count
) -> list[Cell]:
    """Make a column of numbers with bars, of which the longest is that of the greatest."""
    greatest = max(amounts, default=0) or 1
    return [
        Cell(text=written(amount), bar=Bar(share=amount / greatest, colour=colour))
        for amount in amounts
    ]


def job_cell(row: Row, pages: JobPages) -> Cell:
    """Name a job, with its project and the version of the API below."""
    return Cell(
        text=plain(row["job_id"], 80),
        is_id=True,
        note=f"{project_of(row)}, {row['api_version']}",
        href=pages.address_of(row["job_id"], row["project_id"]),
    )


def project_cell(row: Row, note: str = "") -> Cell:
    """Name a project, with a note below."""
    return Cell(text=project_of(row), is_id=not row["project_name"], note=note)


def project_of(row: Row) -> str:
    """Name a project: what it is called where that is loaded, else its id."""
    return plain(row["project_name"] or row["project_id"], 60) or "unknown project"
