"""Selection, stream maps and flattening give what singer-sdk's own path gives for the same rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import msgspec
import pytest
from singer_sdk import Stream, Tap
from singer_sdk.helpers.types import Context
from typing_extensions import override

from builders import STREAMS, Output, captured, catalog_with, job, sync
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.api.parsing import read_jobs
from tap_llamaclassify.tables.rows import Row
from tap_llamaclassify.tables.schemas import schema_of
from tap_llamaclassify.tables.tables import TABLES, Source, Table


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
            if table.source is Source.V1
        ]


@pytest.fixture(scope="module")
def api() -> Iterator[Sandbox]:
    """Run an API with unknown fields, misfits, texts of all kinds and jobs without this or that."""
    with Sandbox(World(History(jobs=60, unknown_fields=0.2))) as sandbox:
        project = sandbox.project_id
        for odd in (
            job("nulls", **dict.fromkeys(["rules", "parsing_configuration", "status"])),
            job("misfits", created_at="soon", mode=5, rules=["text", {"type": 1}]),
            job("config", parsing_configuration={"target_pages": [], "ocr": {"deep": [1, {}]}}),
            job("texts", error_message='quote " \\ 日本 🦙 \x00\n', extra={"": [None, 1.5, True]}),
        ):
            sandbox.world.put(odd | {"project_id": project})
        yield sandbox


def stock(sandbox: Sandbox, catalog: dict[str, Any], config: dict[str, Any]) -> Output:
    """Run the same rows through singer-sdk's own path."""
    page = msgspec.json.encode({"items": sandbox.world.jobs(sandbox.project_id)})

    class OfTheseJobs(StockTap):
        jobs = tuple(read_jobs(page).items)

    return captured(OfTheseJobs(config=config, catalog=catalog))


CASES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "deselected columns": {"deselect": ["user_id", "description", "lang", "additional_fields"]},
    "a renamed stream": {"stream_maps": {"classify_jobs": {"__alias__": "jobs"}}},
    "a removed stream": {"stream_maps": {"classify_job_rules": None}},
    "only one stream": {"stream_maps": {"classify_jobs": {}, "__else__": None}},
    "removed and added columns": {
        "stream_maps": {
            "classify_jobs": {"user_id": None, "hash": "md5(id)", "day": "str(updated_at)[:10]"},
        }
    },
    "only some columns": {
        "stream_maps": {
            "classify_job_rules": {
                "__else__": None,
                "job_id": "job_id",
                "rule_index": "rule_index",
                "type": "type",
            }
        }
    },
    "other keys": {"stream_maps": {"classify_jobs": {"key": "id", "__key_properties__": ["key"]}}},
    "filters": {
        "stream_maps": {
            "classify_jobs": {"__filter__": "status == 'SUCCESS'"},
            "classify_job_rules": {"__filter__": "rule_index > 1"},
        }
    },
    "two streams of one": {
        "stream_maps": {"copies": {"__source__": "classify_jobs", "n": "rule_count + 1"}}
    },
    "all streams by a pattern": {"stream_maps": {"*": {"updated_at": "updated_at"}}},
    "flattening": {"flattening_enabled": True, "flattening_max_depth": 3},
    "flattening of depth 0": {"flattening_enabled": True, "flattening_max_depth": 0},
    "flattening with short names": {
        "flattening_enabled": True,
        "flattening_max_depth": 1,
        "flattening_max_key_length": 8,
    },
    "flattening of selected columns": {
        "flattening_enabled": True,
        "flattening_max_depth": 1,
        "deselect": ["target_pages", "mode"],
    },
    "flattening and maps": {
        "flattening_enabled": True,
        "flattening_max_depth": 1,
        "stream_maps": {"classify_jobs": {"copy": "additional_fields"}},
    },
}


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

    assert schemas(ours) == schemas(theirs)
    aliases = {message["stream"] for message in theirs.of_type("SCHEMA")}
    assert aliases
    for alias in aliases:
        assert in_order(ours, alias) == in_order(theirs, alias), alias


def schemas(output: Output) -> dict[str, Any]:
    return {message["stream"]: message for message in output.of_type("SCHEMA")}


def in_order(output: Output, alias: str) -> list[str]:
    """Write out records so that the order of columns counts, and that of jobs does not."""
    return sorted(str(list(record.items())) for record in output.records(alias))
