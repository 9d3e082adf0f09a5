"""Takes down what an API that has changed brings: values that do not fit, and new fields."""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence

from tap_llamaclassify.api.parsing import misfits_of
from tap_llamaclassify.replication.steps import Step
from tap_llamaclassify.tables.rows import Row
from tap_llamaclassify.tables.tables import Table

MOST_NAMES = 50
"""How many new fields are named in a run: should names be data, they would fill the log."""
MOST_COUNTED = 10_000
"""How many of the others are told apart."""
LONGEST_NAME = 64

_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_is_name = re.compile(rf"{_NAME}(?:\.{_NAME})*").fullmatch

_logger = logging.getLogger(__name__)


class SchemaDrift:
    """What one run has met."""

    def __init__(self) -> None:
        self._misfits: Counter[str] = Counter()
        self._named: set[str] = set()
        self._unnamed: set[int] = set()
        self._replaced = 0

    def note_misfits(self, step: Step) -> None:
        """Count the values that did not fit, whichever tables are wanted, and lone surrogates."""
        self._replaced += sum(page.replaced for page in step.pages)
        if any(page.has_misfits for page in step.pages):
            # Each filter is an instant, so the longest of these holds all the others.
            for job in max(step.items.values(), key=len, default=()):
                self._misfits.update(misfits_of(job))

    def note_unknown(self, table: Table, rows: Sequence[Row]) -> None:
        """Log each new field of a table's rows once, less the API's that it knows."""
        stream, known = table.name, table.api_fields
        split = {name.partition(".")[0] for name in known if "." in name}
        for additional_fields in [row["additional_fields"] for row in rows]:
            for name, value in (additional_fields or {}).items():
                if name not in known:
                    self._meet(stream, name)
                elif name in split and isinstance(value, dict):
                    for inner in sorted({f"{name}.{inner}" for inner in value} - known):
                        self._meet(stream, inner)

    def _meet(self, stream: str, name: str) -> None:
        field = f"{stream}.{name}"
        if field in self._named:
            return
        # What does not look like a name may be a value that stands where a name should.
        if len(name) > LONGEST_NAME or not _is_name(name) or len(self._named) == MOST_NAMES:
            if len(self._unnamed) < MOST_COUNTED:
                self._unnamed.add(hash(field))
            return
        self._named.add(field)
        _logger.info("New field in the API, kept in additional_fields: %r", field)

    def warn(self) -> None:
        """Say how many values did not fit, and which new fields were not named."""
        if unnamed := len(self._unnamed):
            _logger.warning(
                "%d%s new fields in the API, kept in additional_fields, are not named here: they "
                "are beyond the first %d, or what they are called may be data",
                unnamed,
                " or more" if unnamed == MOST_COUNTED else "",
                MOST_NAMES,
            )
        if self._misfits:
            _logger.warning(
                "%d values did not fit their columns, which are null, and are in the "
                "additional_fields of their streams: %s",
                self._misfits.total(),
                ", ".join(f"{field} {count}" for field, count in sorted(self._misfits.items())),
            )
        if self._replaced:
            _logger.warning("%d lone surrogates in the API's text became U+FFFD", self._replaced)
