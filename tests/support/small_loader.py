"""A loader that upserts into SQLite, says a state once all before it is there, and can die.

It starts at once, so that hundreds of runs take minutes. Rows come as RECORD, or in the Parquet
files of BATCH.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tap_llamaclassify.timestamps import from_datetime

Row = dict[str, Any]
AT_ONCE = 40
"""Rows that it holds before it writes them."""
DEATHS = ("code 1", "code 0", "an exception", "SIGTERM", "SIGABRT", "SIGSEGV", "a closed pipe")
"""How it can die, beside SIGKILL."""
_TABLE = "CREATE TABLE IF NOT EXISTS rows (stream, key, row, PRIMARY KEY (stream, key))"


class Warehouse:
    """A table of rows by stream and key, in a file."""

    def __init__(self, file: str) -> None:
        # Each upsert is a transaction; what was committed outlives the process, not the machine.
        self._base = sqlite3.connect(file)
        self._base.execute("PRAGMA synchronous = OFF")
        self._base.execute(_TABLE)
        self._keys: dict[str, Sequence[str]] = {}
        self._held: list[tuple[str, str, str]] = []

    def take(self, message: Row) -> None:
        """Take a message."""
        match message:
            case {"type": "SCHEMA", "stream": stream, "key_properties": keys}:
                self._keys[stream] = keys
            case {"type": "RECORD", "stream": stream, "record": row}:
                self._hold(stream, row)
            case {"type": "BATCH", "stream": stream, "manifest": files}:
                for file in files:
                    for row in pq.read_table(file.removeprefix("file://")).to_pylist():
                        self._hold(stream, row)
            case {"type": "STATE"}:
                self.flush()
                sys.stdout.write(json.dumps(message["value"]) + "\n")
                sys.stdout.flush()

    def _hold(self, stream: str, row: Row) -> None:
        key = json.dumps([row[name] for name in self._keys[stream]])
        self._held.append((stream, key, json.dumps(row, default=_written)))
        if len(self._held) >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        with self._base:
            self._base.executemany("INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", self._held)
        self._held.clear()


def _written(value: object) -> str:
    assert isinstance(value, datetime)
    return from_datetime(value)


def main(words: Sequence[str]) -> int:
    """Load standard input into a file; die at a message, if told of one and how."""
    file, *death = words
    warehouse = Warehouse(file)
    for number, line in enumerate(sys.stdin.buffer):
        if death and number == int(death[0]):
            return _die(death[1])
        warehouse.take(json.loads(line))
    warehouse.flush()
    return 0


def _die(how: str) -> int:
    match how:
        case "code 1" | "code 0":
            return int(how[-1])
        case "an exception":
            raise RuntimeError(how)
        case "a closed pipe":
            os.close(0)
            return 3
        case _:
            if how != "SIGKILL":
                signal.signal(signal.Signals[how], signal.SIG_DFL)
            os.kill(os.getpid(), signal.Signals[how])
            return 4


def rows_in(file: Path) -> dict[str, dict[tuple[Any, ...], Row]]:
    """Read back what is in a file, by stream and key."""
    tables: dict[str, dict[tuple[Any, ...], Row]] = {}
    with sqlite3.connect(file) as base:
        base.execute(_TABLE)
        for stream, key, text in base.execute("SELECT stream, key, row FROM rows"):
            row = json.loads(text)
            if isinstance(row.get("additional_fields"), str):
                row["additional_fields"] = json.loads(row["additional_fields"])
            tables.setdefault(stream, {})[tuple(json.loads(key))] = row
    base.close()
    return tables


def states_in(file: Path) -> Iterator[Row]:
    """Read the states that a loader has said, to the end of the last whole line."""
    for line in file.read_bytes().split(b"\n")[:-1]:
        yield json.loads(line)
