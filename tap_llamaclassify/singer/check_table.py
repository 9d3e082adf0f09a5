"""What came of trying each key and each API, as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

from tap_llamaclassify.replication.check import Checked, Finding

HEADER = ("connection", "host", "key", "API", "readable", "first job seen", "total")


def table_of(checked: Sequence[Checked]) -> str:
    """Lay out what came of it, a line for each API of each connection, without empty columns."""
    lines = [HEADER, *(_line(each, finding) for each in checked for finding in each.findings)]
    columns = [column for column in zip(*lines, strict=True) if any(column[1:])]
    widths = [max(map(len, column)) for column in columns]
    return "".join(
        "  ".join(map(str.ljust, line, widths)).rstrip() + "\n"
        for line in zip(*columns, strict=True)
    )


def _line(checked: Checked, finding: Finding) -> tuple[str, ...]:
    return (
        checked.connection.name or "",
        urlsplit(checked.connection.api_url).netloc,
        checked.key,
        finding.endpoint.api,
        f"no: {finding.answer or 'no answer'}" if finding.error else "yes",
        finding.first or "",
        finding.total,
    )
