"""The data source as Spark sees it, and its registration with a session."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql import SparkSession
from pyspark.sql.datasource import (
    DataSource,
    DataSourceReader,
    DataSourceStreamReader,
    InputPartition,
)
from pyspark.sql.pandas.types import from_arrow_type
from pyspark.sql.types import StructField, StructType
from typing_extensions import override

from tap_llamaclassify.errors import SettingsError, TapError
from tap_llamaclassify.spark import plans
from tap_llamaclassify.spark.batches import batches_of, columns_of
from tap_llamaclassify.spark.conditions import Condition, condition_of
from tap_llamaclassify.spark.plans import Task
from tap_llamaclassify.spark.request import Request, parse_options
from tap_llamaclassify.spark.stream import Offset, Stream

try:
    from pyspark.sql.streaming.datasource import (
        ReadLimit,
        ReadMaxRows,
        SupportsTriggerAvailableNow,
    )
except ImportError:  # before Spark 4.2 a stream takes all there is
    ReadLimit = ReadMaxRows = None
    SupportsTriggerAvailableNow = object

JOBS_A_PAGE = 100
_PUSHING = "pyspark.sql.worker.data_source_pushdown_filters"
"""The worker that Spark has plan a read where `spark.sql.python.filterPushdown.enabled` is set and
there are filters. A reader that takes filters is an error anywhere else."""


_REDACTED = "spark.sql.redaction.options.regex"
_HIDDEN = "(?i)api_key|(?i)connections"


def register(spark: SparkSession) -> None:
    """Register the source with a session, and let Spark show no option that may hold a key.

    Args:
        spark: Reads `format("llamaclassify")` from then on.
    """
    spark.dataSource.register(LlamaClassify)
    hidden = spark.conf.get(_REDACTED)
    if _HIDDEN not in hidden:
        spark.conf.set(_REDACTED, f"{hidden}|{_HIDDEN}")


class LlamaClassify(DataSource):  # type: ignore[misc] # pyspark is not there where types are checked
    """The tables of the tap; options are `table`, `columns`, and the tap's settings."""

    @classmethod
    @override
    def name(cls) -> str:
        return "llamaclassify"

    @override
    def schema(self) -> StructType:
        return schema_of(_parsed(self.options))

    @override
    def reader(self, schema: StructType) -> DataSourceReader:
        request = _parsed(self.options)
        made = FilteringReader if _takes_filters() else Reader
        return made(request, arrow_schema(request, schema))

    @override
    def streamReader(self, schema: StructType) -> DataSourceStreamReader:
        request = _parsed(self.options)
        return StreamReader(request, arrow_schema(request, schema))


class Part(InputPartition):  # type: ignore[misc] # as LlamaClassify
    """What one task reads."""

    def __init__(self, task: Task) -> None:
        super().__init__(task)


class Reader(DataSourceReader):  # type: ignore[misc] # as LlamaClassify
    """Reads a table as it is now.

    Args:
        request: What is read.
        schema: That of the batches.
    """

    def __init__(self, request: Request, schema: pa.Schema) -> None:
        self._request = request
        self._schema = schema
        self._conditions: list[Condition] = []

    @override
    def partitions(self) -> Sequence[InputPartition]:
        with _OneLine():
            return [Part(task) for task in plans.batch(self._request, self._conditions)] or [
                InputPartition(None)
            ]

    @override
    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        if partition.value is not None:
            yield from _read(self._request, partition.value, self._schema, self._conditions)


class FilteringReader(Reader):
    """The same, of rows that fulfil conditions."""

    def pushFilters(self, filters: list[Any]) -> Iterator[Any]:  # noqa: N802 - Spark's name
        """Take conditions; those that are handed back are Spark's to look after."""
        for each in filters:
            if condition := self._taken(each):
                self._conditions.append(condition)
            else:
                yield each

    def _taken(self, each: Any) -> Condition | None:
        column: Any = getattr(each, "attribute", ())
        if len(column) != 1 or column[0] not in self._request.columns:
            return None
        return condition_of(column[0], type(each).__name__, getattr(each, "value", None))


class StreamReader(DataSourceStreamReader, SupportsTriggerAvailableNow):  # type: ignore[misc] # as LlamaClassify
    """Reads what is new of a table, increment by increment.

    Args:
        request: What is read.
        schema: That of the batches.
    """

    def __init__(self, request: Request, schema: pa.Schema) -> None:
        self._request = request
        self._schema = schema
        # It is pickled before it is used.
        self._stream: Stream | None = None
        self._last: Offset | None = None

    @property
    def _opened(self) -> Stream:
        if self._stream is None:
            self._stream = Stream(self._request)
        return self._stream

    @override
    def initialOffset(self) -> Offset:
        return self._opened.beginning

    @override
    def getDefaultReadLimit(self) -> ReadLimit:
        return ReadMaxRows(self._request.max_pages * JOBS_A_PAGE)

    @override
    def latestOffset(self, start: Offset | None = None, limit: ReadLimit | None = None) -> Offset:
        # Before Spark 4.2 nobody tells the start; without it all is read again.
        start = start or self._last or self._opened.beginning
        jobs = getattr(limit, "max_rows", None)
        pages = float("inf") if jobs is None else jobs / JOBS_A_PAGE
        with _OneLine():
            self._last = self._opened.latest(start, pages)
        return self._last

    def prepareForTriggerAvailableNow(self) -> None:  # noqa: N802 - Spark's name
        """Let the stream end with what there is now."""
        with _OneLine():
            self._opened.freeze()

    @override
    def partitions(self, start: Offset, end: Offset) -> Sequence[InputPartition]:
        self._last = end
        with _OneLine():
            return [Part(task) for task in self._opened.tasks(start, end)]

    @override
    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        yield from _read(self._request, partition.value, self._schema, ())

    @override
    def stop(self) -> None:
        if self._stream:
            self._stream.end()


def schema_of(request: Request) -> StructType:
    """Return what Spark calls the columns that are wanted; comments are their descriptions."""
    return StructType(
        [
            StructField(
                field.name,
                from_arrow_type(field.type),
                field.nullable,
                {"comment": field.metadata[b"description"].decode()},
            )
            for field in columns_of(request).schema
        ]
    )


def arrow_schema(request: Request, schema: StructType) -> pa.Schema:
    """Return the schema of batches: the columns' types, and what Spark thinks may be null.

    Raises:
        SettingsError: Somebody has asked for another type, or for columns in another order.
    """
    own = columns_of(request).schema
    for field, asked in zip(own, schema, strict=False):
        if (field.name, from_arrow_type(field.type)) != (asked.name, asked.dataType):
            break
    else:
        if len(own) == len(schema):
            return pa.schema(
                [
                    pa.field(f.name, f.type, nullable=a.nullable)
                    for f, a in zip(own, schema, strict=True)
                ]
            )
    raise SettingsError(
        "the schema that was asked for is not the table's: choose columns by option columns"
    )


def _parsed(options: Any) -> Request:
    with _OneLine():
        return parse_options(options, os.environ)


def _read(
    request: Request, task: Task, schema: pa.Schema, conditions: Sequence[Condition]
) -> Iterator[pa.RecordBatch]:
    context = TaskContext.get()
    attempt = context.attemptNumber() if context else 0
    with _OneLine():
        yield from batches_of(request, task, schema, conditions, attempt)


def _takes_filters() -> bool:
    main = getattr(sys.modules["__main__"], "__spec__", None)
    return _PUSHING in sys.modules or (main is not None and main.name == _PUSHING)


class _OneLine:
    """Raises errors of ours without the frames below, for Spark shows them all."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, TapError):
            raise error.with_traceback(None) from None
