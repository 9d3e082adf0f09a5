"""Takes down what an API that has changed brings: values that do not fit, and new fields."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence

from tap_llamaclassify.door import misfits_of
from tap_llamaclassify.models import Json
from tap_llamaclassify.rows import Row

MOST_NAMES = 50
"""How many new fields are named in a run: should names be data, they would fill the log."""
LONGEST_NAME = 64

_logger = logging.getLogger(__name__)


class Census:
    """What one run has met."""

    def __init__(self) -> None:
        self._misfits: Counter[str] = Counter()
        self._unknown: set[str] = set()

    def note_misfits(self, jobs: Sequence[Json]) -> None:
        """Count the values that did not fit, whichever streams are selected."""
        for job in jobs:
            self._misfits.update(misfits_of(job))

    def note_unknown(self, stream: str, known: frozenset[str], rows: Sequence[Row]) -> None:
        """Log each new field of a stream's rows once, less the API's that it knows."""
        split = {name.partition(".")[0] for name in known if "." in name}
        for additional_fields in [row["additional_fields"] for row in rows]:
            for name, value in (additional_fields or {}).items():
                if name not in known:
                    self._meet(f"{stream}.{name[:LONGEST_NAME]}")
                elif name in split and isinstance(value, dict):
                    for inner in sorted({f"{name}.{inner}" for inner in value} - known):
                        self._meet(f"{stream}.{inner[:LONGEST_NAME]}")

    def _meet(self, field: str) -> None:
        if field in self._unknown or len(self._unknown) > MOST_NAMES:
            return
        self._unknown.add(field)
        if len(self._unknown) > MOST_NAMES:
            _logger.warning("More than %d new fields: the others are not named", MOST_NAMES)
        else:
            _logger.info("New field in the API, kept in additional_fields: %r", field)

    def warn(self) -> None:
        """Say how many values did not fit."""
        if self._misfits:
            _logger.warning(
                "%d values did not fit their columns, which are null, and are in the "
                "additional_fields of their streams: %s",
                self._misfits.total(),
                ", ".join(f"{field} {count}" for field, count in sorted(self._misfits.items())),
            )
