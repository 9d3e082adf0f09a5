"""The methods of Databricks' Lakeflow community connectors, over the plans of the Spark source.

What an instance reads ends with what there was when it first looked, so that a pipeline that is
triggered comes to its end. It needs nothing of Databricks', and of pyspark only what a schema is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from tap_llamaclassify.json_text import encoder
from tap_llamaclassify.replication.pieces import Piece
from tap_llamaclassify.spark import plans
from tap_llamaclassify.spark.batches import rows_of
from tap_llamaclassify.spark.plans import Task
from tap_llamaclassify.spark.request import OPTIONS, Request, parse_options, table_of
from tap_llamaclassify.spark.stream import Offset, Stream
from tap_llamaclassify.tables.columns import Kind, kind_of
from tap_llamaclassify.tables.tables import BY_DEFAULT, TABLES, Table

if TYPE_CHECKING:
    from pyspark.sql.types import StructType

Options = Mapping[str, str]
Record = dict[str, Any]


class LakeflowConnector:
    """Every table of the tap, for Lakeflow.

    Args:
        options: Those of the connection: the key, and settings of the tap.
    """

    def __init__(self, options: Options) -> None:
        # By these names the framework and Spark know it; it is pickled with them.
        self.options = options
        self._streams: dict[str, Stream] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what has threads; another process looks for itself."""
        return {**self.__dict__, "_streams": {}}

    def list_tables(self) -> list[str]:
        """Return the names of the tables, those of jobs first."""
        others = [table for table in TABLES if table not in BY_DEFAULT]
        return [table.name for table in (*BY_DEFAULT, *others)]

    def get_table_schema(self, table_name: str, table_options: Options) -> StructType:
        """Return the columns of a table.

        Raises:
            SettingsError: There is no such table, or an option is wrong.
        """
        from tap_llamaclassify.spark.source import schema_of  # noqa: PLC0415 - needs pyspark

        return schema_of(self._request(table_name, table_options))

    def read_table_metadata(
        self,
        table_name: str,
        table_options: Options,  # noqa: ARG002 - Lakeflow's call
    ) -> dict[str, Any]:
        """Return the keys of a table, the column that tells changes, and how it is ingested.

        Raises:
            SettingsError: There is no such table.
        """
        table, _ = table_of({"table": table_name})
        metadata: dict[str, Any] = {"primary_keys": [*table.keys]}
        if not _is_incremental(table):
            return {**metadata, "cursor_field": None, "ingestion_type": "snapshot"}
        return {**metadata, "cursor_field": table.replication_key, "ingestion_type": "cdc"}

    def read_table(
        self, table_name: str, start_offset: Offset | None, table_options: Options
    ) -> tuple[Iterator[Record], Offset | None]:
        """Read the next increment of a table, or all of one that knows no changes.

        Args:
            table_name: Its name.
            start_offset: The offset that came with the increment before; None for the first.
            table_options: Further options, such as `maxPagesPerTrigger`.

        Returns:
            The records, and the offset after them: that which was handed in where nothing is new,
            None for a table that knows no changes.

        Raises:
            TapError: An option or an offset is wrong, or the API refuses.
        """
        request = self._request(table_name, table_options)
        if not _is_incremental(request.table):
            return _records(request, plans.batch(request, [])), None
        stream = self._stream(request)
        start = start_offset or stream.beginning
        end = stream.latest(start, request.max_pages)
        return _records(request, stream.tasks(start, end)), end

    def is_partitioned(self, table_name: str) -> bool:
        """Return whether a table is read by several tasks, increment by increment.

        Raises:
            SettingsError: There is no such table.
        """
        return _is_incremental(table_of({"table": table_name})[0])

    def latest_offset(
        self, table_name: str, table_options: Options, start_offset: Offset | None = None
    ) -> Offset:
        """Return the end of the next increment; the start itself, where nothing is new.

        Raises:
            TapError: As `read_table` does.
        """
        request = self._request(table_name, table_options)
        stream = self._stream(request)
        return stream.latest(start_offset or stream.beginning, request.max_pages)

    def get_partitions(
        self,
        table_name: str,
        table_options: Options,
        start_offset: Offset | None = None,
        end_offset: Offset | None = None,
    ) -> Sequence[Record]:
        """Return what the tasks read of a table, or of an increment of it; JSON without a key.

        Raises:
            TapError: As `read_table` does.
        """
        request = self._request(table_name, table_options)
        if end_offset is None:
            tasks = plans.batch(request, [])
        else:
            stream = self._stream(request)
            tasks = stream.tasks(start_offset or stream.beginning, end_offset)
        return [{**asdict(task), "piece": task.piece.as_json} for task in tasks]

    def read_partition(
        self, table_name: str, partition: Mapping[str, Any], table_options: Options
    ) -> Iterator[Record]:
        """Read what one of the tasks is to read.

        Raises:
            TapError: As `read_table` does.
        """
        task = Task(**{**partition, "piece": Piece.of_json(partition["piece"])})
        yield from _records(self._request(table_name, table_options), [task], _attempt())

    def _request(self, table_name: str, table_options: Options) -> Request:
        # The framework's own options come along.
        given = [*self.options.items(), *table_options.items()]
        own = {name: value for name, value in given if name.lower() in OPTIONS}
        return parse_options({**own, "table": table_name}, os.environ)

    def _stream(self, request: Request) -> Stream:
        name = request.table.name
        if name not in self._streams:
            stream = Stream(request)
            stream.freeze()
            self._streams[name] = stream
        return self._streams[name]


def _is_incremental(table: Table) -> bool:
    """Return whether reading it once more brings less than all of it."""
    return table.replication_key is not None


def _attempt() -> int:
    """Return how often Spark has tried this task before; 0 where it is no task of Spark's."""
    try:
        from pyspark import TaskContext  # noqa: PLC0415 - it may not be there
    except ImportError:
        return 0
    context = TaskContext.get()
    return context.attemptNumber() if context else 0


def _records(request: Request, tasks: Sequence[Task], attempt: int = 0) -> Iterator[Record]:
    """Yield rows as JSON has them; what is an object there is text, for it has no schema."""
    properties = request.schema["properties"]
    texts = [name for name, column in properties.items() if kind_of(column) is Kind.JSON]
    for task in tasks:
        for rows in rows_of(request, task, attempt=attempt):
            for row in rows:
                record = {name: row[name] for name in properties}
                for name in texts:
                    if record[name] is not None:
                        record[name] = encoder.encode(record[name]).decode()
                yield record
