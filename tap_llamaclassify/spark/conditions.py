"""Conditions on rows that Spark hands over: what of them the API can be asked, and the rest."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tap_llamaclassify.config.connections import Connection
from tap_llamaclassify.replication.cuts import Narrowed
from tap_llamaclassify.replication.unfinished import BEGUN, FINISHED
from tap_llamaclassify.tables.rows import Row
from tap_llamaclassify.timestamps import A_TICK, from_datetime, moved

TIMES = frozenset({"created_at", "updated_at"})
TEXTS = frozenset({"status", "project_id"})
_ONE_OF = {"EqualTo", "EqualNullSafe", "In"}
_COMPARISONS: Mapping[str, Callable[[str, str], bool]] = {
    "GreaterThan": operator.gt,
    "GreaterThanOrEqual": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqual": operator.le,
}


@dataclass(frozen=True)
class Condition:
    """One condition on a column; a null fulfils none.

    Attributes:
        kind: What Spark calls it, such as `LessThan`.
        values: What the column is compared with, if with anything: texts, of which those of times
            are in the fixed form.
    """

    column: str
    kind: str
    values: Sequence[str]

    def holds(self, row: Row) -> bool:
        """Return whether a row fulfils it."""
        found = row[self.column]
        if found is None:
            return False
        if self.kind in _COMPARISONS:
            return bool(_COMPARISONS[self.kind](found, self.values[0]))
        return self.kind == "IsNotNull" or found in self.values

    @property
    def span(self) -> tuple[str | None, str | None]:
        """The first instant that may fulfil it, and the first after all that may."""
        if not self.values:
            return None, None
        least, most = min(self.values), max(self.values)
        match self.kind:
            case "GreaterThan":
                return moved(least, A_TICK), None
            case "GreaterThanOrEqual":
                return least, None
            case "LessThan":
                return None, most
            case "LessThanOrEqual":
                return None, moved(most, A_TICK)
            case _:
                return least, moved(most, A_TICK)


def condition_of(column: str, kind: str, value: Any) -> Condition | None:
    """Make a condition of what Spark hands over; None for one that is left to Spark.

    Args:
        column: Its name.
        kind: What Spark calls it.
        value: What the column is compared with; several for `In`.
    """
    is_text = column in TEXTS
    if column not in TIMES | TEXTS:
        return None
    if kind == "IsNotNull":
        return Condition(column, kind, ())
    if kind not in _ONE_OF and not (column in TIMES and kind in _COMPARISONS):
        return None
    values = [_text(each, is_text=is_text) for each in (value if kind == "In" else [value])]
    known = [each for each in values if each is not None]
    return Condition(column, kind, known) if values and len(known) == len(values) else None


def _text(value: Any, *, is_text: bool) -> str | None:
    if is_text:
        return value if isinstance(value, str) else None
    return from_datetime(value) if isinstance(value, datetime) and value.tzinfo else None


def holding(rows: Sequence[Row], conditions: Sequence[Condition]) -> Sequence[Row]:
    """Leave out the rows that do not fulfil all conditions."""
    if not conditions:
        return rows
    return [row for row in rows if all(each.holds(row) for each in conditions)]


def narrowed(conditions: Iterable[Condition]) -> Narrowed:
    """Return what the API can be asked for in place of all v2 jobs."""
    by_column: dict[str, list[Condition]] = {}
    for each in conditions:
        by_column.setdefault(each.column, []).append(each)
    spans = [each.span for each in by_column.get("created_at", ())]
    statuses = [{*each.values} for each in by_column.get("status", ()) if each.values]
    status = set.intersection(*statuses) if statuses else set()
    # What the API does not know it may refuse.
    is_known = len(status) == 1 and status <= {*BEGUN, *FINISHED}
    return Narrowed(
        max((begin for begin, _ in spans if begin), default=None),
        min((end for _, end in spans if end), default=None),
        status.pop() if is_known else None,
    )


def may_have(connection: Connection, conditions: Iterable[Condition]) -> bool:
    """Return whether a connection may have such rows, by the project that it is of."""
    project = connection.scope.get("project_id")
    asked = [each.values for each in conditions if each.column == "project_id" and each.values]
    # The API may write an id in another case than the setting.
    return project is None or all(
        project.lower() in {value.lower() for value in values} for values in asked
    )
