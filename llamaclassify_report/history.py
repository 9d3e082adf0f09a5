"""The last days, one after the other: how many jobs, how well, how long, at what cost."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from datetime import date, timedelta

from llamaclassify_report import charts, scales
from llamaclassify_report.cards import Card, numbers
from llamaclassify_report.charts import Chart
from llamaclassify_report.figures import Figures
from llamaclassify_report.formatting import amount, count, lasting, share, short, weekday
from llamaclassify_report.queries import DAYS, WEEK

ENDED = ("succeeded", "partly_succeeded", "failed")
SPAN = f"last {DAYS} days"

Numbers = dict[date, float]


def jobs_by_day(figures: Figures) -> Card:
    """Draw how many jobs were created each day, and what became of them."""
    title, days = "Jobs per day", figures.days
    found = _by_day(figures)
    statuses = [s for s in charts.STATUSES if any(found[day].get(s) for day in days)]
    if not statuses:
        return Card(title=title, span=SPAN, sentence="No job was created.", width=6)
    totals = {day: sum(found[day].values()) for day in days}
    busiest = max(days, key=lambda day: totals[day])
    scale = scales.of_counts(max(totals.values()))
    colours = {status: charts.COLOURS[status] for status in statuses}
    words = {status: status.replace("_", " ") for status in statuses}
    return Card(
        title=title,
        span=SPAN,
        sentence=f"{count(sum(totals.values()), 'job')} by day of creation, and by what has become "
        f"of them since; most on {short(busiest)}, {count(totals[busiest])}.",
        width=6,
        legend=[(words[status], colours[status]) for status in statuses],
        chart=Chart(
            boxes=charts.stacks([found[day] for day in days], colours, scale),
            spans=charts.spans([_jobs_of(day, found[day], words) for day in days]),
            across=scales.of_days(days),
            upwards=scale.ticks,
        ),
        numbers=numbers(
            ["day", *words.values()],
            [[str(d), *(count(found[d].get(s, 0)) for s in statuses)] for d in days if totals[d]],
        ),
    )


def _jobs_of(day: date, found: dict[str, int], words: dict[str, str]) -> str:
    parts = [f"{count(found[s])} {word}" for s, word in words.items() if found.get(s)]
    jobs = count(sum(found.values()), "job")
    return f"{weekday(day)}: {jobs}" + (f" ({', '.join(parts)})" if parts else "")


def success_rate(figures: Figures) -> Card:
    """Draw which share of the jobs that ended has succeeded: each day, and over seven."""
    title, days = "Success rate", figures.days
    found = _by_day(figures)
    rates = {day: rate for day in days if (rate := _rate(found, day, 1)) is not None}
    means = {day: mean for day in days if (mean := _rate(found, day, WEEK)) is not None}
    overall = _rate(found, days[-1], len(days))
    if overall is None or not rates:
        return Card(title=title, span=SPAN, sentence="No job has ended.")
    scale = scales.of_shares(min([*rates.values(), *means.values()]))
    titles = [
        f"{weekday(day)}: {_of(found, day)}; over 7 days {share(means.get(day))}" for day in days
    ]
    return Card(
        title=title,
        span=SPAN,
        sentence=f"{share(overall)} of the jobs that ended have succeeded, and not only partly; "
        "cancelled ones are not counted.",
        legend=[("mean of 7 days", charts.FIRST), ("each day", charts.FAINT)],
        chart=Chart(
            paths=[
                *charts.dots(days, rates, scale, charts.FAINT, kind="dots"),
                *charts.line(days, means, scale, charts.FIRST),
            ],
            spans=charts.spans(titles),
            across=scales.of_days(days),
            upwards=scale.ticks,
        ),
        numbers=numbers(
            ["day", "succeeded", "of", "rate", "7 days"],
            [
                [
                    str(day),
                    count(found[day].get("succeeded", 0)),
                    count(_ended(found, day)),
                    share(rates[day]),
                    share(means[day]),
                ]
                for day in rates
            ],
        ),
    )


def _of(found: dict[date, dict[str, int]], day: date) -> str:
    ended = _ended(found, day)
    if not ended:
        return "no job ended"
    succeeded = found[day].get("succeeded", 0)
    return f"{count(succeeded)} of {count(ended)} succeeded, {share(succeeded / ended)}"


def _ended(found: dict[date, dict[str, int]], day: date) -> int:
    return sum(found[day].get(status, 0) for status in ENDED)


def _rate(found: dict[date, dict[str, int]], last: date, days: int) -> float | None:
    """Return the share of the jobs of some days, up to the last, that has succeeded."""
    all_days = [last - timedelta(days=number) for number in range(days)]
    ended = sum(_ended(found, day) for day in all_days)
    return sum(found[day].get("succeeded", 0) for day in all_days) / ended if ended else None


def durations(figures: Figures) -> Card:
    """Draw how long jobs took, from created to finished."""
    title, days, rows = "Duration", figures.days, figures.durations
    if not rows:
        return Card(title=title, span=SPAN, sentence="No job is finished.")
    medians, p95s = ({row["day"]: row[name] for row in rows} for name in ("median", "p95"))
    # A logarithmic scale has no place for what took no time.
    values = [value for value in (*medians.values(), *p95s.values()) if value > 0]
    scale = scales.of_durations(min(values, default=1), max(values, default=1))
    newest = rows[-1]
    said = {
        day: f"half took at most {lasting(medians[day])}, 95 of 100 at most {lasting(p95s[day])}"
        for day in medians
    }
    return Card(
        title=title,
        span=SPAN,
        sentence=f"On {short(newest['day'])} {said[newest['day']]}.",
        legend=[("median", charts.FIRST), ("95th percentile", charts.SECOND)],
        chart=Chart(
            paths=[
                *charts.line(days, p95s, scale, charts.SECOND),
                *charts.line(days, medians, scale, charts.FIRST),
            ],
            spans=charts.spans(
                [f"{weekday(day)}: {said.get(day, 'no job finished')}" for day in days]
            ),
            across=scales.of_days(days),
            upwards=scale.ticks,
        ),
        numbers=numbers(
            ["day", "median", "95th percentile"],
            [[str(row["day"]), lasting(row["median"]), lasting(row["p95"])] for row in rows],
        ),
    )


def side_by_side(figures: Figures) -> list[Card]:
    """Draw how well and how long, and where costs are known, at what cost."""
    if figures.cost["jobs"]:
        return [success_rate(figures), durations(figures), credits_by_day(figures)]
    return [replace(card, width=3) for card in (success_rate(figures), durations(figures))]


def credits_by_day(figures: Figures) -> Card:
    """Draw what the jobs of each day have cost, as far as that is known."""
    title, days, cost = "Credits per day", figures.days, figures.cost
    spent = {row["day"]: row["credits"] for row in figures.credits}
    jobs = {row["day"]: row["jobs"] for row in figures.credits}
    scale = scales.of_counts(max(spent.values(), default=1))
    columns = [{"credits": spent.get(day, 0)} for day in days]
    return Card(
        title=title,
        span=SPAN,
        sentence=f"{amount(sum(spent.values()), 'credit')} for {count(sum(jobs.values()), 'job')}, "
        "reading documents included, by day of creation. All that is loaded: "
        f"{amount(cost['credits'], 'credit')} for {count(cost['jobs'], 'job')} with a known cost.",
        is_alone=True,
        chart=Chart(
            boxes=charts.stacks(columns, {"credits": charts.FIRST}, scale),
            spans=charts.spans(
                [
                    f"{weekday(day)}: {amount(spent.get(day, 0), 'credit')} for "
                    f"{count(jobs.get(day, 0), 'job')}"
                    for day in days
                ]
            ),
            across=scales.of_days(days),
            upwards=scale.ticks,
        ),
        numbers=numbers(
            ["day", "credits", "jobs"],
            [[str(day), amount(spent[day]), count(jobs[day])] for day in spent],
        ),
    )


def _by_day(figures: Figures) -> dict[date, dict[str, int]]:
    days: defaultdict[date, dict[str, int]] = defaultdict(dict)
    for row in figures.daily:
        days[row["day"]][row["status"]] = row["jobs"]
    return days
