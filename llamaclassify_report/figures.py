"""What the page shows, as numbers: all of it, bounded, whatever the history's length."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, timedelta

from llamaclassify_report import queries
from llamaclassify_report.marts import Marts, Row
from llamaclassify_report.queries import COST_WEEKS, DAYS, WEEK


@dataclass(frozen=True, kw_only=True)
class Figures:
    """All that the page shows, and where it was read."""

    place: str
    freshness: list[Row]
    oldest: datetime | None
    weeks: dict[int, Row]
    oldest_unfinished: Row | None
    failures: list[Row]
    failed: Row
    pending: list[Row]
    uncertain: list[Row]
    reasons: dict[str, int]
    daily: list[Row]
    durations: list[Row]
    credits: list[Row]
    apis: list[Row]
    projects: list[Row]
    weekly: list[Row]
    rule_types: list[Row]
    unmatched: Row
    languages: list[Row]
    modes: list[Row]
    confidence: list[Row]
    cost: Row
    spending: list[Row]
    configurations: list[Row]
    type_costs: list[Row]
    waits: list[Row]
    project_waits: list[Row]

    @property
    def as_of(self) -> datetime:
        """The instant that the marts were built for, UTC."""
        instant: datetime = max(row["as_of"] for row in self.freshness)
        return instant

    @property
    def jobs(self) -> int:
        """How many jobs are loaded, of both versions of the API."""
        return sum(row["jobs"] for row in self.freshness)

    @property
    def build(self) -> Row:
        """The variables that the marts were built with."""
        return self.freshness[0]

    @property
    def weeks_of_costs(self) -> list[date]:
        """The Mondays of the weeks that costs are shown of, from the oldest job's at most."""
        last = _monday(self.as_of.date())
        first = last - timedelta(weeks=COST_WEEKS - 1)
        if self.oldest:
            first = max(first, min(_monday(self.oldest.date()), last))
        return [
            first + timedelta(weeks=number) for number in range((last - first).days // WEEK + 1)
        ]

    @property
    def days(self) -> list[date]:
        """The days that charts show: up to the marts' instant, from the oldest job at most."""
        last = self.as_of.date()
        first = last - timedelta(days=DAYS - 1)
        if self.oldest:
            first = max(first, min(self.oldest.date(), last))
        return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def figures_of(marts: Marts) -> Figures:
    """Read all figures.

    Raises:
        MartsError: The marts are not there, or cannot be read.
    """
    rows = marts.rows
    return Figures(
        place=marts.place,
        freshness=rows(queries.FRESHNESS),
        oldest=rows(queries.OLDEST)[0]["created_at"],
        weeks={row["weeks_ago"]: row for row in rows(queries.WEEKS)},
        oldest_unfinished=next(iter(rows(queries.UNFINISHED)), None),
        failures=rows(queries.FAILURES),
        failed=rows(queries.FAILED)[0],
        pending=rows(queries.PENDING),
        uncertain=rows(queries.UNCERTAIN),
        reasons={row["reason"]: row["jobs"] for row in rows(queries.REASONS)},
        daily=rows(queries.DAILY),
        durations=rows(queries.DURATIONS),
        credits=rows(queries.CREDITS),
        apis=rows(queries.APIS),
        projects=rows(queries.PROJECTS),
        weekly=rows(queries.WEEKLY),
        rule_types=rows(queries.RULE_TYPES),
        unmatched=rows(queries.UNMATCHED)[0],
        languages=rows(queries.LANGUAGES),
        modes=rows(queries.MODES),
        confidence=rows(queries.CONFIDENCE),
        cost=rows(queries.COST)[0],
        spending=rows(queries.SPENDING),
        configurations=rows(queries.CONFIGURATIONS),
        type_costs=rows(queries.TYPE_COSTS),
        waits=rows(queries.WAITS),
        project_waits=rows(queries.PROJECT_WAITS),
    )


def _monday(day: date) -> date:
    return day - timedelta(days=day.weekday())
