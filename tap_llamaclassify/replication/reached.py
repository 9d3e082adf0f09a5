"""How far a table of one connection is read in increments: all that is kept of it, as JSON.

An increment is planned before it is read, and what comes after it must not hang on what was read.
So this tells which jobs were unfinished when it was planned: those are asked for again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from tap_llamaclassify.errors import StateError
from tap_llamaclassify.replication.pieces import Piece
from tap_llamaclassify.timestamps import to_fixed


@dataclass(frozen=True, kw_only=True)
class Reached:
    """Up to where increments have come, and what the last of them reads.

    Instants are in the fixed form.

    Attributes:
        number: Counts the looks at the API; two that are alike are one.
        until: The server's clock at the last look: later jobs are of the next one; None where
            nobody knows.
        unfinished: Ids of jobs that were not finished then, and the version of each.
        recent: Ids of the jobs created in the lookback before it, where they were few; else None.
        reconciled: When finished jobs were last looked at again.
        start_date: What the setting was when it was read; None where it was not set.
        is_whole: Whether v2 jobs are not read in windows, for the API does not keep to any.
        pieces: What the last increment reads, without their connection.
        left: What is to be read before the next look.
    """

    number: int = 0
    until: str | None = None
    unfinished: Mapping[str, str] = field(default_factory=dict)
    recent: Sequence[str] | None = None
    reconciled: str | None = None
    start_date: str | None = None
    is_whole: bool = False
    pieces: Sequence[Piece] = ()
    left: Sequence[Piece] = ()

    @property
    def as_json(self) -> dict[str, Any]:
        """What `of_json` takes."""
        fields = asdict(self)
        for name in ("pieces", "left"):
            fields[name] = [_brief(piece) for piece in getattr(self, name)]
        return fields | {"recent": None if self.recent is None else [*self.recent]}

    @classmethod
    def of_json(cls, given: object) -> Self:
        """Read what `as_json` was.

        Raises:
            StateError: It is not that.
        """
        try:
            return cls(**_checked(dict(given)))  # type: ignore[call-overload] # else it raises
        except (KeyError, TypeError, ValueError):
            raise StateError(
                "the offset of a stream is not understood; start it with another checkpoint"
            ) from None


def _brief(piece: Piece) -> dict[str, Any]:
    """Leave out what has its default, and whose piece it is."""
    usual = Piece().as_json
    fields = piece.as_json.items()
    return {n: value for n, value in fields if value != usual[n] and n != "connection"}


def _checked(fields: dict[str, Any]) -> dict[str, Any]:
    for name in ("until", "reconciled", "start_date"):
        instant = fields[name]
        if instant is not None and not (isinstance(instant, str) and to_fixed(instant) == instant):
            raise ValueError
    for name in ("pieces", "left"):
        fields[name] = tuple(Piece.of_json(each) for each in fields[name])
    if not isinstance(fields["unfinished"], dict):
        raise TypeError
    return fields
