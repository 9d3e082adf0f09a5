"""Reads what a task is to read, as Arrow batches or as rows, a page at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from tap_llamaclassify.replication.pieces import items_of
from tap_llamaclassify.spark.conditions import Condition, holding
from tap_llamaclassify.spark.plans import Task, told_by
from tap_llamaclassify.spark.request import Request
from tap_llamaclassify.tables.arrow import Columns
from tap_llamaclassify.tables.rows import Row


def columns_of(request: Request) -> Columns:
    """Return the columns that are wanted."""
    return Columns(request.table.name, request.schema, request.table.keys)


def rows_of(
    request: Request, task: Task, conditions: Sequence[Condition] = (), attempt: int = 0
) -> Iterator[Sequence[Row]]:
    """Read a task's rows, a page at a time; none twice.

    Raises:
        ApiError: Something of it cannot be read; it names the connection.
    """
    client = task.client(request.connections, attempt)
    with told_by(client.connection):
        for items in items_of(client, request.settings, request.table, task.piece):
            yield holding(request.table.rows(items), conditions)
            # Let go of them before the next ones come in.
            del items


def batches_of(
    request: Request,
    task: Task,
    schema: pa.Schema,
    conditions: Sequence[Condition] = (),
    attempt: int = 0,
) -> Iterator[pa.RecordBatch]:
    """Read a task as batches that have exactly this schema; raises as `rows_of` does."""
    columns = columns_of(request)
    for rows in rows_of(request, task, conditions, attempt):
        if rows:
            yield pa.RecordBatch.from_arrays(columns.batch(rows).columns, schema=schema)
        del rows
