"""Selection, stream maps and flattening give what singer-sdk's own path gives for the same rows."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import msgspec
import pytest
from singer_sdk import Stream, Tap
from singer_sdk.helpers.types import Context
from typing_extensions import override

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify.api.endpoints import V1_JOBS
from tap_llamaclassify.tables.rows import Row
from tap_llamaclassify.tables.schemas import schema_of
from tap_llamaclassify.tables.tables import TABLES, Table
from tests.support.builders import STREAMS, Output, captured, catalog_with, sync
from tests.support.runs import reached
from tests.support.shapes import CASES, schemas


class StockStream(Stream):
    """A stream that is singer-sdk's own in all but where its rows come from."""

    replication_key = "updated_at"

    def __init__(self, tap: Tap, table: Table, rows: list[Row]) -> None:
        self._rows = rows
        super().__init__(tap, name=table.name, schema=schema_of(table.name))
        self.primary_keys = table.keys

    @override
    def get_records(self, context: Context | None) -> Iterable[dict[str, Any]]:
        yield from ({**row} for row in self._rows)


class StockTap(Tap):
    """A tap with such streams."""

    name = "tap-llamaclassify"
    config_jsonschema: ClassVar[dict[str, Any]] = {"properties": {}}
    jobs: tuple[Any, ...] = ()

    @override
    def discover_streams(self) -> list[Stream]:
        return [
            StockStream(self, table, table.rows_of(self.jobs))
            for table in TABLES
            if table.endpoint is V1_JOBS
        ]


def stock(sandbox: Sandbox, catalog: dict[str, Any], config: dict[str, Any]) -> Output:
    """Run the same rows through singer-sdk's own path."""
    page = msgspec.json.encode({"items": sandbox.world.jobs(sandbox.project_id)})

    class OfTheseJobs(StockTap):
        jobs = tuple(V1_JOBS.parse(page).items)

    return captured(OfTheseJobs(config=config, catalog=catalog))


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_output_is_what_singer_sdk_gives(api: Sandbox, case: dict[str, Any]) -> None:
    config = {name: value for name, value in case.items() if name != "deselect"}
    wish = {"deselect": case.get("deselect", [])}
    api.settings.order = "oldest"
    ours = sync(api, catalog=catalog_with(api, **dict.fromkeys(STREAMS, wish)), **config)
    catalog = catalog_with(api, **dict.fromkeys(STREAMS, wish))
    # To singer-sdk a deselected stream has no columns, and a map for all streams fails on it.
    catalog["streams"] = [each for each in catalog["streams"] if each["tap_stream_id"] in STREAMS]
    theirs = stock(api, catalog, config)

    assert reached(ours.state).keys() == {*STREAMS}
    assert schemas(ours) == schemas(theirs)
    aliases = {message["stream"] for message in theirs.of_type("SCHEMA")}
    assert aliases
    for alias in aliases:
        assert in_order(ours, alias) == in_order(theirs, alias), alias


def in_order(output: Output, alias: str) -> list[str]:
    """Write out records so that the order of columns counts, and that of jobs does not."""
    return sorted(str(list(record.items())) for record in output.records(alias))
