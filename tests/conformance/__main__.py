"""`make conformance OPENAPI=path`: each check in a table, and what is left out of it.

Sandbox: calls that the OpenAPI describes, right and wrong, and each reply held to it. Tap: replies
that the OpenAPI allows, and each value looked for in the rows. The exit code is 1 where either has
found anything, 2 where the file cannot be used.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from tests.conformance import calls, replies
from tests.conformance.contract import NULLABLE, REFUSABLE, REFUSED
from tests.conformance.work import Wanted, Work, begun

CASES = 1_000
REPLIES = 20_000
SHOWN = 3
"""Violations of an operation that are told."""
LONGEST = 4_000
_CALLED = ("operation", "cases", "wrong", "200", "filled", "422", "others", "violations")
_READ = ("operation", "replies", "pages", "items", "values", "lost")


def main(arguments: Sequence[str] | None = None) -> int:
    """Check both, and tell it."""
    options = _parser().parse_args(arguments)
    wanted = Wanted(options.openapi, options.cases, options.replies, options.seed)
    try:
        with begun(wanted) as work:
            _say(f"{wanted.file.name}, seed {wanted.seed}", "")
            _say("The sandbox, called as the OpenAPI describes", _row(_CALLED))
            called = _told(_called(work.called))
            _say("", "The tap, reading what the OpenAPI allows", _row(_READ))
            read = _told(_read(work.read))
            _say("", *_left_out(work), "")
        if options.figures:
            options.figures.write_text(_figures(wanted, work, called, read), encoding="utf-8")
    except (OSError, ValueError) as error:
        sys.stderr.write(f"conformance: {error}\n")
        return 2
    violations, losses = called[-1], read[-1]
    _say(f"{violations:,} violations by the sandbox, {losses:,} operations that the tap lost of")
    return int(violations + losses > 0)


def _figures(wanted: Wanted, work: Work, called: Sequence[int], read: Sequence[int]) -> str:
    figures = {
        "openapi": wanted.file.name,
        "seed": wanted.seed,
        "operations of the sandbox": len(work.called),
        "calls": called[0],
        "calls that are not allowed": called[1],
        "violations": called[-1],
        "operations of the tap": len(work.read),
        "replies": read[0],
        "values": read[3],
        "operations with a loss": read[-1],
    }
    return json.dumps(figures, indent=2) + "\n"


def _called(
    called: Mapping[str, Future[calls.Tally]],
) -> Iterator[tuple[str, list[int], list[str]]]:
    for path, future in called.items():
        tally = future.result()
        ok, refused = tally.statuses[200], tally.statuses[422]
        others = tally.cases - ok - refused
        counted = [tally.cases, tally.wrong, ok, tally.filled, refused, others]
        yield path, [*counted, len(tally.violations)], tally.violations


def _read(read: Mapping[str, Future[replies.Tally]]) -> Iterator[tuple[str, list[int], list[str]]]:
    for path, future in read.items():
        tally = future.result()
        losses = [tally.loss] if tally.loss else []
        counted = [tally.replies, tally.pages, tally.items, tally.values]
        yield path, [*counted, len(losses)], losses


def _told(rows: Iterator[tuple[str, list[int], list[str]]]) -> list[int]:
    """Show the rows of a table as they come, and their sums; return these."""
    columns: list[list[int]] = []
    for path, numbers, found in rows:
        columns.append(numbers)
        _say(_row((f"GET {path}", *numbers)), *(text[:LONGEST] for text in found[:SHOWN]))
    sums: list[int] = [sum(column) for column in zip(*columns, strict=True)]
    _say(_row(("in all", *sums)))
    return sums


def _row(cells: Sequence[str | int]) -> str:
    name, *others = (cell if isinstance(cell, str) else f"{cell:,}" for cell in cells)
    return f"{name:54}" + "".join(f"{cell:>11}" for cell in others)


def _left_out(work: Work) -> Iterator[str]:
    """Say what was not checked, and where more is known than the OpenAPI says."""
    yield from (f"not served by the sandbox: GET {path}" for path in work.not_served)
    yield from (f"not in this OpenAPI: GET {path}" for path in work.not_described)
    yield from (f"{status} is known besides: {why}" for status, why in REFUSED.items())
    for (schema, name), why in NULLABLE.items():
        yield f"{schema}.{name} is known to be null: {why}"
    yield from (f"{name} may be refused with 422: {why}" for name, why in REFUSABLE.items())


def _say(*lines: str) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="conformance", description=(__doc__ or "").split("\n")[0])
    number: dict[str, Any] = {"type": int, "metavar": "N"}
    parser.add_argument("openapi", type=Path, help="the vendor's OpenAPI, as JSON")
    parser.add_argument("--cases", **number, default=CASES, help="of each operation")
    parser.add_argument("--replies", **number, default=REPLIES, help="of all operations")
    parser.add_argument("--figures", type=Path, help="where to write the sums, as JSON")
    parser.add_argument("--seed", **number, default=1, help="the same draws the same")
    return parser


if __name__ == "__main__":
    sys.exit(main())
