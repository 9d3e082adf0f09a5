"""All that is loaded: what rules offer and documents are, how sure that is, how they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llamaclassify_report import charts
from llamaclassify_report.cards import Card, Cell, Column, Table, bars
from llamaclassify_report.figures import Figures
from llamaclassify_report.formatting import count, plain, share
from llamaclassify_report.marts import Row

SPAN = "all that is loaded"
LONGEST = 60


def types(figures: Figures) -> Card:
    """List which types are offered by rules, and which are found."""
    title, rows = "Document types", [*figures.rule_types]
    if not rows:
        return Card(title=title, span=SPAN, sentence="No rules are loaded.", width=4)
    first, kinds = rows[0], rows[0]["kinds"]
    sentence = (
        f"Offered most: {plain(first['name'], LONGEST)}, by {count(first['jobs_offering'], 'job')}."
    )
    if len(rows) < kinds:
        sentence += f" {count(len(rows))} of {count(kinds)} types are shown."
    if figures.unmatched["documents"]:
        rows.append({"name": "no rule matched", "jobs_offering": None} | figures.unmatched)
    elif not any(row["documents"] for row in rows):
        sentence += (
            " No outcomes are loaded: select classify_v2_jobs, or classify_job_results with "
            "fetch_results."
        )
    offering = bars([row["jobs_offering"] or 0 for row in rows], charts.FIRST)
    found = bars([row["documents"] for row in rows], charts.SECOND)
    cells = [
        [
            Cell(text=plain(row["name"], LONGEST) or "(empty)"),
            Cell() if row["jobs_offering"] is None else of_rules,
            of_documents,
            Cell(text=share(row["mean_confidence"])),
        ]
        for row, of_rules, of_documents in zip(rows, offering, found, strict=True)
    ]
    columns = [
        Column("type", 28, "name"),
        Column("jobs that offer it", 28, "bar"),
        Column("documents found", 28, "bar"),
        Column("mean confidence", 16),
    ]
    return Card(
        title=title,
        span=SPAN,
        sentence=sentence,
        width=4,
        table=Table(columns=columns, rows=cells),
    )


def confidence(figures: Figures) -> Card:
    """List how sure the outcomes are, by tenths."""
    title = "Confidence"
    documents = {row["tenth"]: row["documents"] for row in figures.confidence}
    if not documents:
        return Card(
            title=title,
            span=SPAN,
            sentence="No outcome with a confidence is loaded.",
            is_alone=True,
        )
    tenths = range(9, -1, -1)
    numbers = [documents.get(tenth, 0) for tenth in tenths]
    names = [f"{tenth * 10} to {tenth * 10 + 10} %" for tenth in tenths]
    return Card(
        title=title,
        span=SPAN,
        sentence=f"{share(numbers[0] / sum(numbers))} of the outcomes are at least 90 % sure.",
        is_alone=True,
        table=_slim("how sure", "documents", names, numbers, charts.SECOND),
    )


def languages(figures: Figures) -> Card:
    """List the languages that documents are read in."""
    return _shares("Languages", "language", figures.languages, "the API's default")


def modes(figures: Figures) -> Card:
    """List how documents are read."""
    return _shares("Modes", "mode", figures.modes, "not given")


def _shares(title: str, head: str, rows: Sequence[Row], unknown: str) -> Card:
    names = [plain(row["name"], LONGEST) or unknown for row in rows]
    shown, kinds = len(rows), rows[0]["kinds"]
    more = f" {count(shown)} of {count(kinds)} are shown." if shown < kinds else ""
    return Card(
        title=title,
        span=SPAN,
        sentence=f"Most jobs: {names[0]}, {count(rows[0]['jobs'])}.{more}",
        width=3,
        table=_slim(head, "jobs", names, [row["jobs"] for row in rows], charts.FIRST),
    )


def _slim(head: str, what: str, names: Sequence[str], numbers: Sequence[Any], colour: str) -> Table:
    rows = [
        [Cell(text=name), number] for name, number in zip(names, bars(numbers, colour), strict=True)
    ]
    return Table(columns=[Column(head, 38, "text"), Column(what, 62, "bar")], rows=rows, folds=0)
