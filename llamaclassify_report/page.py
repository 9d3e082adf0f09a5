"""Puts figures, charts and words together into one HTML page; the templates escape all text."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from jinja2 import Environment, PackageLoader, StrictUndefined

from llamaclassify_report import documents, history, projects
from llamaclassify_report.attention import attention
from llamaclassify_report.cards import Section, project_of
from llamaclassify_report.costs import costs
from llamaclassify_report.figures import Figures
from llamaclassify_report.formatting import count, instant, lasting, plain, share
from llamaclassify_report.links import JobPages
from llamaclassify_report.queries import DAYS
from llamaclassify_report.waiting import waiting


@dataclass(frozen=True, kw_only=True)
class Headline:
    """One of the figures that matter: what it is called, itself, and what to compare it with."""

    name: str
    figure: str
    note: str
    job: str = ""
    href: str = ""


def page_of(figures: Figures, pages: JobPages) -> str:
    """Make the page; it says so where there is nothing to show."""
    environment = Environment(
        loader=PackageLoader("llamaclassify_report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"instant": instant, "count": count, "place": _place}
    return environment.get_template("page.html.j2").render(
        as_of=figures.as_of,
        source=plain(figures.place, 200),
        freshness=figures.freshness,
        headlines=_headlines(figures, pages),
        notes=_notes(figures),
        sections=_sections(figures, pages),
    )


def _place(number: float) -> str:
    """Write a percentage as short as it may be: `12.5`, `0`."""
    return f"{number:.2f}".rstrip("0").rstrip(".")


def _sections(figures: Figures, pages: JobPages) -> list[Section]:
    if not figures.jobs:
        return []
    history_cards = [
        history.jobs_by_day(figures),
        *history.side_by_side(figures),
        projects.by_project(figures),
    ]
    document_cards = [
        documents.types(figures),
        documents.confidence(figures),
        documents.languages(figures),
        documents.modes(figures),
    ]
    return [
        attention(figures, pages),
        Section(name="history", title=f"Jobs of the last {DAYS} days", cards=history_cards),
        waiting(figures),
        costs(figures),
        Section(name="documents", title="All that is loaded", cards=document_cards),
    ]


def _headlines(figures: Figures, pages: JobPages) -> list[Headline]:
    this, last = (figures.weeks.get(weeks_ago) for weeks_ago in (0, 1))
    jobs, before = (week["jobs"] if week else 0 for week in (this, last))
    rate, rate_before = (
        week["succeeded"] / week["ended"] if week and week["ended"] else None
        for week in (this, last)
    )
    return [
        Headline(
            name="Jobs in the last 7 days",
            figure=count(jobs),
            note=f"{count(before)} in the 7 days before",
        ),
        Headline(
            name="Success rate of these",
            figure=share(rate),
            note=_before(rate, rate_before),
        ),
        _oldest(figures, pages),
    ]


def _before(rate: float | None, rate_before: float | None) -> str:
    if rate is None:
        return "none has ended"
    before = "none ended" if rate_before is None else share(rate_before)
    return f"{before} in the 7 days before"


def _oldest(figures: Figures, pages: JobPages) -> Headline:
    name, job = "Oldest unfinished job", figures.oldest_unfinished
    if job is None:
        return Headline(name=name, figure="none", note="no job is pending or running")
    return Headline(
        name=name,
        figure=lasting(job["age_seconds"]),
        note=f"{job['status']}, {project_of(job)}, {job['api_version']}",
        job=plain(job["job_id"], 60),
        href=pages.address_of(job["job_id"], job["project_id"]),
    )


def _notes(figures: Figures) -> list[str]:
    """What a reader has to know about the data before all else."""
    if not figures.jobs:
        return ["No jobs are loaded yet: this page is empty until a sync has found some."]
    loaded = {row["api_version"]: row["jobs"] for row in figures.freshness}
    notes = [
        f"Only {has} jobs are loaded; there are none of {lacks}."
        for has, lacks in (("v1", "v2"), ("v2", "v1"))
        if loaded[has] and not loaded[lacks]
    ]
    changes = [row["newest_updated_at"] for row in figures.freshness if row["newest_updated_at"]]
    newest = max(changes, default=figures.as_of)
    if figures.as_of - newest > timedelta(hours=figures.build["stale_after_hours"]):
        age = lasting((figures.as_of - newest).total_seconds())
        notes.append(f"No job has changed for {age}: does the sync still run?")
    return notes
