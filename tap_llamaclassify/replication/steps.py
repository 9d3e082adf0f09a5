"""What reading consists of: a piece of the API's items, and what may be kept once it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tap_llamaclassify.api.models import Json
from tap_llamaclassify.api.pagination import Page
from tap_llamaclassify.replication.stream_state import Kept


@dataclass(frozen=True)
class Step:
    """What came next in reading, and what follows from having written it.

    Attributes:
        items: What rows are to be made of, by the table's name.
        kept: What the state may keep of tables once this step and all before it are written.
        replaced: How many of the items' characters could not be read.
        has_misfits: Whether any of the items' values did not fit.
        listed: How many items the listing at hand has shown so far.
        total_size: How many the API says this listing has in all, if it does; an estimate.
    """

    items: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    kept: Mapping[str, Kept] = field(default_factory=dict)
    replaced: int = 0
    has_misfits: bool = False
    listed: int = 0
    total_size: int | None = None


class Reader(Protocol):
    """Whatever reads some tables of one connection."""

    def steps(self) -> Iterator[Step]:
        """Read, step by step.

        Raises:
            ApiError: The API refuses, cannot be reached, or answers what cannot be read.
        """


def step_of(page: Page, items: Mapping[str, Sequence[Json]]) -> Step:
    """Make a step of a page, and of those of its items that are due."""
    return Step(
        items,
        replaced=page.replaced,
        has_misfits=page.has_misfits,
        listed=page.listed,
        total_size=page.total_size,
    )
