"""Puts figures, charts and words together into one HTML page; the template escapes all text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from llamaclassify_report import cards
from llamaclassify_report.cards import Card
from llamaclassify_report.figures import DAYS, Figures
from llamaclassify_report.formatting import count, instant, lasting, plain, share

STALE = timedelta(hours=48)


@dataclass(frozen=True, kw_only=True)
class Headline:
    """One of the figures that matter: what it is called, itself, and what to compare it with."""

    name: str
    figure: str
    note: str


def page_of(figures: Figures) -> str:
    """Make the page; it says so where there is nothing to show."""
    environment = Environment(
        loader=PackageLoader("llamaclassify_report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"instant": instant, "count": count, "plain": plain}
    environment.globals["svg"] = _labelled
    return environment.get_template("page.html.j2").render(
        as_of=figures.as_of,
        days=DAYS,
        freshness=figures.freshness,
        headlines=_headlines(figures),
        notes=_notes(figures),
        cards=_cards(figures),
        attention=cards.attention(figures),
        calm="Nothing needs attention." if figures.jobs else "",
    )


def _labelled(card: Card) -> Markup:
    """Give a chart its text alternative; what it draws was escaped when it was drawn."""
    label = f'<svg role="img" aria-label="{escape(card.title)}. {escape(card.sentence)}" '
    return Markup(card.svg.replace("<svg ", label, 1))  # noqa: S704 - Vega escapes what it draws


def _headlines(figures: Figures) -> list[Headline]:
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
            note="none has ended" if rate is None else f"{share(rate_before)} in the 7 days before",
        ),
        _oldest(figures),
    ]


def _oldest(figures: Figures) -> Headline:
    name, job = "Oldest pending job", figures.oldest_unfinished
    if job is None:
        return Headline(name=name, figure="none", note="no job is pending or running")
    where = plain(job["project_name"] or job["project_id"], 40)
    note = f"{plain(job['job_id'], 60)}, {job['status']}, project {where}"
    return Headline(name=name, figure=lasting(job["age_seconds"]), note=note)


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
    if figures.as_of - newest > STALE:
        age = lasting((figures.as_of - newest).total_seconds())
        notes.append(f"No job has changed for {age}: does the sync still run?")
    return notes


def _cards(figures: Figures) -> Sequence[Card]:
    makers: Sequence[Callable[[Figures], Card]] = (
        cards.jobs_by_day,
        cards.success_rate,
        cards.durations,
        cards.rule_types,
        cards.outcomes,
        cards.confidence,
        cards.languages,
        cards.modes,
    )
    return [make(figures) for make in makers] if figures.jobs else []
