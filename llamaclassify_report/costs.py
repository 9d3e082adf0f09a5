"""What jobs cost: by week and project, by saved configuration, and a document of each type."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import date

from llamaclassify_report import charts, scales
from llamaclassify_report.cards import Card, Cell, Column, Section, Table, bars, project_of, texts
from llamaclassify_report.charts import Chart
from llamaclassify_report.figures import Figures
from llamaclassify_report.formatting import amount, count, plain, price, short
from llamaclassify_report.marts import Row
from llamaclassify_report.queries import COST_WEEKS, MOST_SERIES

SPAN = "all that is loaded"
LONGEST = 60


def costs(figures: Figures) -> Section:
    """Make all cards, or say what is missing."""
    name, title = "cost", "Cost"
    if not figures.cost["jobs"]:
        calm = (
            "No cost is known: select the stream classify_usage, or for v2 jobs the setting "
            "fetch_usage."
        )
        return Section(name=name, title=title, calm=calm)
    cards = [_by_week(figures), _configurations(figures), _types(figures)]
    return Section(name=name, title=title, cards=cards)


def _by_week(figures: Figures) -> Card:
    title, span = "Credits by week and project", f"last {COST_WEEKS} weeks"
    names: dict[str, str] = {}
    found: defaultdict[date, dict[str, float]] = defaultdict(dict)
    for row in sorted(figures.spending, key=lambda row: int(row["place"])):
        place = str(row["place"])
        names[place] = "other projects" if row["place"] > MOST_SERIES else project_of(row)
        found[row["week"]][place] = row["credits"]
    if not names:
        sentence = "Of no job of these weeks the cost is known."
        return Card(title=title, span=span, sentence=sentence, width=6)
    colours = {place: charts.SERIES[int(place) - 1] for place in names}
    weeks = figures.weeks_of_costs
    totals = {week: sum(found[week].values()) for week in weeks}
    dearest = max(weeks, key=lambda week: totals[week])
    scale = scales.of_counts(max(totals.values()))
    return Card(
        title=title,
        span=span,
        sentence=f"{amount(sum(totals.values()), 'credit')} for the jobs created since "
        f"{short(weeks[0])}; most in the week of {short(dearest)}, {amount(totals[dearest])}.",
        width=6,
        legend=[(names[place], colour) for place, colour in colours.items()],
        chart=Chart(
            boxes=charts.stacks([found[week] for week in weeks], colours, scale),
            spans=charts.spans([_said(week, found[week], names) for week in weeks]),
            across=scales.of_weeks(weeks),
            upwards=scale.ticks,
        ),
        numbers=_numbers(found, names),
    )


def _said(week: date, found: Mapping[str, float], names: Mapping[str, str]) -> str:
    parts = [f"{names[place]} {amount(credits_)}" for place, credits_ in found.items()]
    total = amount(sum(found.values()), "credit")
    return f"week of {short(week)}: {total}" + (f" ({', '.join(parts)})" if parts else "")


def _numbers(found: Mapping[date, Mapping[str, float]], names: Mapping[str, str]) -> Table:
    columns = [Column("week of", 20, "plain"), Column("project", 55, "text"), Column("credits", 25)]
    rows = [
        (str(week), names[place], amount(credits_))
        for week, of_week in sorted(found.items())
        for place, credits_ in of_week.items()
    ]
    return Table(columns=columns, rows=texts(rows), folds=400)


def _configurations(figures: Figures) -> Card:
    rows = figures.configurations
    saved = [row for row in rows if row["configuration_id"] is not None]
    sentence = f"{amount(figures.cost['credits'], 'credit')} in all; each is a document's share."
    if len(rows) < rows[0]["kinds"]:
        sentence += f" {count(len(rows))} of {count(rows[0]['kinds'])} are shown."
    if saved and not any(row["configuration_name"] for row in saved):
        sentence += " Their names take the stream classify_configurations."
    columns = [
        Column("configuration", 34, "name"),
        Column("documents", 21),
        Column("pages", 14),
        Column("credits", 17),
        Column("each", 14),
    ]
    cells = [_configuration(row) for row in rows]
    if all(row["pages"] is None for row in rows):
        sentence += " Pages take the stream classify_usage."
        del columns[2]
        cells = [[*row[:2], *row[3:]] for row in cells]
    return Card(
        title="Dearest configurations",
        span=SPAN,
        sentence=sentence,
        width=3,
        table=Table(columns=columns, rows=cells),
    )


def _configuration(row: Row) -> list[Cell]:
    name, id_ = row["configuration_name"], row["configuration_id"]
    text = plain(name or id_, LONGEST) or "(empty)"
    pages = row["pages"]
    return [
        Cell(text="none saved") if id_ is None else Cell(text=text, is_id=not name),
        Cell(text=count(row["documents"])),
        Cell(text="-" if pages is None else count(pages)),
        Cell(text=amount(row["credits"])),
        Cell(text=price(row["each"])),
    ]


def _types(figures: Figures) -> Card:
    rows = figures.type_costs
    known = [row["each"] for row in rows if row["each"] is not None]
    sentence = "The cost of a job with several documents is split evenly over them."
    if len(rows) < rows[0]["kinds"]:
        sentence += f" {count(len(rows))} of {count(rows[0]['kinds'])} types are shown."
    prices = bars(known, charts.SECOND, price) + [Cell(text="-")] * (len(rows) - len(known))
    return Card(
        title="Cost of a document",
        span=SPAN,
        sentence=sentence,
        width=3,
        table=Table(
            columns=[
                Column("type", 32, "name"),
                Column("documents", 18),
                Column("credits each", 50, "bar"),
            ],
            rows=[
                [Cell(text=_type(row)), Cell(text=count(row["billed_documents"])), each]
                for row, each in zip(rows, prices, strict=True)
            ],
        ),
    )


def _type(row: Row) -> str:
    if row["name"] is None:
        return "no type found"
    return plain(row["name"], LONGEST) or "(empty)"
