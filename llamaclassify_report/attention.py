"""What someone should look at first: failures, jobs that do not end, uncertain outcomes."""

from __future__ import annotations

from llamaclassify_report.cards import Card, Cell, Column, Section, Table, job_cell, project_cell
from llamaclassify_report.figures import Figures
from llamaclassify_report.formatting import count, lasting, minute, plain, share
from llamaclassify_report.links import JobPages
from llamaclassify_report.marts import Row

FOLDS = 860


def attention(figures: Figures, pages: JobPages) -> Section:
    """Make a card for each reason that there is."""
    cards = []
    if figures.failures:
        cards.append(_failures(figures, pages))
    unfinished = figures.reasons.get("pending_too_long", 0)
    uncertain = figures.reasons.get("low_confidence", 0)
    width = 3 if unfinished and uncertain else 6
    if unfinished:
        cards.append(_pending(figures, pages, width))
    if uncertain:
        cards.append(_uncertain(figures, pages, width))
    return Section(
        name="needs-attention",
        title="Needs attention",
        cards=cards,
        calm="Nothing needs attention." if figures.jobs else "",
    )


def _failures(figures: Figures, pages: JobPages) -> Card:
    days = figures.build["attention_days"]
    of_week, kinds = figures.failed["jobs_in_7_days"], figures.failed["kinds"]
    kept = len(figures.failures)
    more = f", of which {count(kept)} are shown" if kept < kinds else ""
    return Card(
        title="Failed jobs by project and error",
        span=_last(days),
        sentence=f"{count(of_week, 'job')} failed in the last 7 days, "
        f"{count(figures.failed['jobs'])} in {count(days)}: {count(kinds, 'kind')} of failure"
        f"{more}.",
        width=6,
        table=Table(
            columns=[
                Column("project", 23, "name"),
                Column("error", 34, "text"),
                Column("7 days", 7),
                Column(f"{days} days", 8),
                Column("newest", 28, "id"),
            ],
            rows=[_failure(row, pages) for row in figures.failures],
            folds=FOLDS,
        ),
    )


def _failure(row: Row, pages: JobPages) -> list[Cell]:
    job = row["last_job_id"]
    return [
        project_cell(row, row["api_version"]),
        Cell(text=plain(row["error_message"], 200) or "no error text"),
        Cell(text=count(row["jobs_in_7_days"])),
        Cell(text=count(row["jobs"])),
        Cell(
            text=plain(job, 80),
            is_id=True,
            note=minute(row["last_failed_at"]),
            href=pages.address_of(job, row["project_id"]),
        ),
    ]


def _pending(figures: Figures, pages: JobPages, width: int) -> Card:
    return Card(
        title="Unfinished for unusually long",
        span="all that is loaded",
        sentence=_how_many(figures, "pending_too_long", len(figures.pending))
        + " 99 of 100 jobs of their project took less than its limit.",
        width=width,
        table=Table(
            columns=[
                Column("job", 52, "id"),
                Column("status", 16, "plain"),
                Column("for", 16),
                Column("limit", 16),
            ],
            rows=[
                [
                    job_cell(row, pages),
                    Cell(text=row["status"]),
                    Cell(text=lasting(row["age_seconds"])),
                    Cell(text=lasting(row["limit_seconds"])),
                ]
                for row in figures.pending
            ],
        ),
    )


def _uncertain(figures: Figures, pages: JobPages, width: int) -> Card:
    low = share(figures.build["low_confidence"])
    return Card(
        title=f"Less than {low} sure",
        span=_last(figures.build["attention_days"]),
        sentence=_how_many(figures, "low_confidence", len(figures.uncertain))
        + " The least certain document of each counts.",
        width=width,
        table=Table(
            columns=[
                Column("job", 52, "id"),
                Column("type", 36, "text"),
                Column("sure", 12),
            ],
            rows=[
                [
                    job_cell(row, pages),
                    Cell(
                        text=plain(row["document_type"], 60) or "no rule matched",
                        note=minute(row["since"]),
                    ),
                    Cell(text=share(row["confidence"])),
                ]
                for row in figures.uncertain
            ],
        ),
    )


def _last(days: int) -> str:
    return f"last {count(days, 'day')}"


def _how_many(figures: Figures, reason: str, shown: int) -> str:
    jobs = figures.reasons.get(reason, 0)
    more = f", of which {count(shown)} are shown" if shown < jobs else ""
    return f"{count(jobs, 'job')}{more}."
