"""The page's charts and lists, each with a sentence and with its numbers as a table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from llamaclassify_report import charts
from llamaclassify_report.figures import DAYS, Figures
from llamaclassify_report.formatting import count, instant, labels, lasting, plain, share
from llamaclassify_report.marts import Row

ENDED = ("succeeded", "partly_succeeded", "failed")
PERCENTILES = ("median", "95th percentile")
OFFERED_AND_FOUND = ("jobs that offer it", "documents found")
REASONS = {
    "pending_too_long": "Unfinished for unusually long",
    "repeated_error": "The same error again and again",
    "low_confidence": "Uncertain outcomes",
}


@dataclass(frozen=True, kw_only=True)
class Card:
    """A chart, or where there is nothing to draw a sentence only; and the numbers behind it.

    The legend names the series, each with its colour.
    """

    title: str
    sentence: str
    svg: str = ""
    legend: Sequence[tuple[str, str]] = ()
    header: Sequence[str] = ()
    rows: Sequence[Sequence[str]] = ()


def jobs_by_day(figures: Figures) -> Card:
    """Draw how many jobs were created each day, and what became of them."""
    title = "Jobs per day"
    if not figures.daily:
        return Card(title=title, sentence=f"No job was created in the last {DAYS} days.")
    days = _by_day(figures.daily)
    busiest = max(days, key=lambda day: sum(days[day].values()))
    jobs = sum(sum(day.values()) for day in days.values())
    statuses = [s for s in charts.STATUSES if any(s in found for found in days.values())]
    return Card(
        title=title,
        sentence=f"{count(jobs, 'job')} by day of creation and status; most on {busiest}, "
        f"{count(sum(days[busiest].values()))}.",
        svg=charts.stacked_days(figures.daily),
        legend=[(status.replace("_", " "), charts.COLOURS[status]) for status in statuses],
        header=("day", *(status.replace("_", " ") for status in statuses)),
        rows=[(str(day), *(count(days[day].get(s, 0)) for s in statuses)) for day in days],
    )


def success_rate(figures: Figures) -> Card:
    """Draw which share of the jobs that ended each day has succeeded."""
    rates: list[Row] = []
    for day, found in _by_day(figures.daily).items():
        ended = sum(found.get(status, 0) for status in ENDED)
        if ended:
            succeeded = found.get("succeeded", 0)
            rates.append(
                {"day": day, "succeeded": succeeded, "ended": ended, "rate": succeeded / ended}
            )
    title = "Success rate"
    if not rates:
        return Card(title=title, sentence=f"No job of the last {DAYS} days has ended.")
    overall = sum(row["succeeded"] for row in rates) / sum(row["ended"] for row in rates)
    return Card(
        title=title,
        sentence=f"{share(overall)} of the jobs that ended have succeeded, and not only partly; "
        "cancelled ones are not counted.",
        svg=charts.lines(rates, ["rate"], percent=True),
        header=("day", "succeeded", "of", "rate"),
        rows=[
            (str(row["day"]), count(row["succeeded"]), count(row["ended"]), share(row["rate"]))
            for row in rates
        ],
    )


def durations(figures: Figures) -> Card:
    """Draw how long jobs took, from created to finished."""
    title, rows = "Duration", figures.durations
    if not rows:
        return Card(title=title, sentence=f"No job of the last {DAYS} days is finished.")
    newest = rows[-1]
    median, p95 = PERCENTILES
    named = [{"day": row["day"], median: row["median"], p95: row["p95"]} for row in rows]
    return Card(
        title=title,
        sentence=f"On {newest['day']} half of the jobs took at most {lasting(newest['median'])}, "
        f"95 of 100 at most {lasting(newest['p95'])}.",
        svg=charts.lines(named, PERCENTILES),
        legend=[*zip(PERCENTILES, charts.SERIES, strict=True)],
        header=("day", *PERCENTILES),
        rows=[(str(row["day"]), lasting(row["median"]), lasting(row["p95"])) for row in rows],
    )


def rule_types(figures: Figures) -> Card:
    """Draw which types are offered by rules, and which are found."""
    title, rows = "Rule types", figures.rule_types
    if not rows:
        return Card(title=title, sentence="No rules are loaded.")
    names = labels(row["name"] for row in rows)
    offering = [row["jobs_offering"] for row in rows]
    documents = [row["documents"] for row in rows]
    return Card(
        title=title,
        sentence=f"Offered most: {names[0]}, by {count(offering[0], 'job')}, and found for "
        f"{count(documents[0], 'document')}.",
        svg=charts.bars(names, dict(zip(OFFERED_AND_FOUND, (offering, documents), strict=True))),
        legend=[*zip(OFFERED_AND_FOUND, charts.SERIES, strict=True)],
        header=("type", *OFFERED_AND_FOUND, "mean confidence"),
        rows=[
            (
                plain(row["name"]),
                count(row["jobs_offering"]),
                count(row["documents"]),
                share(row["mean_confidence"]),
            )
            for row in rows
        ],
    )


def outcomes(figures: Figures) -> Card:
    """Draw what documents were found to be, and at what cost."""
    title, rows = "Documents by type", figures.outcomes
    if not rows:
        return Card(
            title=title,
            sentence="No outcomes are loaded: select classify_v2_jobs, or classify_job_results "
            "with fetch_results.",
        )
    names = labels("no rule matched" if row["name"] is None else row["name"] for row in rows)
    sentence = f"Most are {names[0]}: {count(rows[0]['documents'], 'document')}."
    if figures.credits["documents"]:
        sentence += (
            f" {count(figures.credits['documents'], 'document')} with a known cost took "
            f"{count(figures.credits['credits'], 'credit')}, reading included."
        )
    return Card(
        title=title,
        sentence=sentence,
        svg=charts.bars(names, {"documents": [row["documents"] for row in rows]}),
        header=("type", "documents", "mean confidence"),
        rows=[
            (
                plain(row["name"] or "no rule matched"),
                count(row["documents"]),
                share(row["confidence"]),
            )
            for row in rows
        ],
    )


def confidence(figures: Figures) -> Card:
    """Draw how sure the outcomes are."""
    title = "Confidence"
    documents = {row["tenth"]: row["documents"] for row in figures.confidence}
    if not documents:
        return Card(title=title, sentence="No outcome with a confidence is loaded.")
    numbers = [documents.get(tenth, 0) for tenth in range(10)]
    sure = sum(numbers[9:]) / sum(numbers)
    names = [f"{tenth * 10}-{tenth * 10 + 10} %" for tenth in range(10)]
    return Card(
        title=title,
        sentence=f"{share(sure)} of the outcomes are at least 90 % sure.",
        svg=charts.histogram([str(tenth * 10) for tenth in range(10)], numbers),
        header=("confidence", "documents"),
        rows=[(name, count(number)) for name, number in zip(names, numbers, strict=True)],
    )


def languages(figures: Figures) -> Card:
    """Draw the languages that documents are read in."""
    return _shares("Languages", figures.languages, "the API's default")


def modes(figures: Figures) -> Card:
    """Draw how documents are read."""
    return _shares("Modes", figures.modes, "not given")


def _shares(title: str, rows: Sequence[Row], unknown: str) -> Card:
    names = labels(row["name"] or unknown for row in rows)
    return Card(
        title=title,
        sentence=f"Most jobs: {names[0]}, {count(rows[0]['jobs'])}.",
        svg=charts.bars(names, {"jobs": [row["jobs"] for row in rows]}),
        header=(title.lower().removesuffix("s"), "jobs"),
        rows=[(plain(row["name"]) or unknown, count(row["jobs"])) for row in rows],
    )


def _by_day(daily: Sequence[Row]) -> dict[date, dict[str, int]]:
    days: defaultdict[date, dict[str, int]] = defaultdict(dict)
    for row in daily:
        days[row["day"]][row["status"]] = row["jobs"]
    return days


def attention(figures: Figures) -> list[Card]:
    """List what someone should look at, a table for each reason that there is."""
    return [
        card
        for reason, card in (
            ("pending_too_long", _pending(figures)),
            ("repeated_error", _errors(figures)),
            ("low_confidence", _uncertain(figures)),
        )
        if figures.reasons.get(reason)
    ]


def _pending(figures: Figures) -> Card:
    return Card(
        title=REASONS["pending_too_long"],
        sentence=_how_many(figures, "pending_too_long", len(figures.pending))
        + " 99 of 100 jobs of their project took less than its limit.",
        header=("job", "project", "status", "for", "limit"),
        rows=[
            (*_job(row), row["status"], lasting(row["age_seconds"]), lasting(row["limit_seconds"]))
            for row in figures.pending
        ],
    )


def _errors(figures: Figures) -> Card:
    shown = sum(row["jobs"] for row in figures.errors)
    return Card(
        title=REASONS["repeated_error"],
        sentence=_how_many(figures, "repeated_error", shown),
        header=("error", "project", "jobs", "last"),
        rows=[
            (
                plain(row["error_message"]),
                plain(row["project_name"] or row["project_id"], 60),
                count(row["jobs"]),
                instant(row["since"]),
            )
            for row in figures.errors
        ],
    )


def _uncertain(figures: Figures) -> Card:
    return Card(
        title=REASONS["low_confidence"],
        sentence=_how_many(figures, "low_confidence", len(figures.uncertain))
        + " The least certain document of each counts.",
        header=("job", "project", "type", "confidence", "classified"),
        rows=[
            (
                *_job(row),
                plain(row["document_type"], 60) or "no rule matched",
                share(row["confidence"]),
                instant(row["since"]),
            )
            for row in figures.uncertain
        ],
    )


def _how_many(figures: Figures, reason: str, shown: int) -> str:
    jobs = figures.reasons.get(reason, 0)
    more = f", of which {count(shown)} are shown" if shown < jobs else ""
    return f"{count(jobs, 'job')}{more}."


def _job(row: Row) -> tuple[str, str]:
    return plain(row["job_id"], 80), plain(row["project_name"] or row["project_id"], 60)
