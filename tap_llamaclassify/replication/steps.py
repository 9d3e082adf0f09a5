"""What reading consists of: a piece of the API's items, and what may be kept once it is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from tap_llamaclassify.api.models import Json, Page
from tap_llamaclassify.replication.stream_state import StreamState


@dataclass(frozen=True)
class Step:
    """What came next in reading, and what follows from having written it.

    Attributes:
        items: What rows are to be made of, by the table's name.
        kept: What the state may keep of tables once this step and all before it are written.
        pages: The pages that the items came in.
    """

    items: Mapping[str, Sequence[Json]] = field(default_factory=dict)
    kept: Mapping[str, StreamState] = field(default_factory=dict)
    pages: Sequence[Page] = ()


class Reader(Protocol):
    """Whatever reads some tables of one connection."""

    def steps(self) -> Iterator[Step]:
        """Read, step by step.

        Raises:
            ApiError: The API refuses, cannot be reached, or answers what cannot be read.
        """
