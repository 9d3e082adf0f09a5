"""What tests are made of: jobs, connections, a clock that a test moves, and runs of the tap."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Mapping
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from singer_sdk import Tap
from typing_extensions import override

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify.config.connections import Connection
from tap_llamaclassify.errors import TapError
from tap_llamaclassify.http.pacing import Clock
from tap_llamaclassify.singer.tap import TapLlamaClassify

STREAMS = ("classify_jobs", "classify_job_rules", "classify_job_parsing_configs")
"""The tables of v1 jobs: what `sync` and `catalog_with` select unless told otherwise."""
V2_STREAMS = ("classify_v2_jobs", "classify_v2_job_rules", "classify_v2_job_parsing_configs")
DEFAULT_STREAMS = (*STREAMS, *V2_STREAMS)
"""What the tap selects when it has no catalog."""
ALL_STREAMS = (
    *STREAMS,
    "classify_job_results",
    *V2_STREAMS,
    "classify_files",
    "classify_projects",
    "classify_organizations",
    "classify_configurations",
    "classify_job_timings",
    "classify_usage",
)

LISTS = (
    "/api/v1/projects",
    "/api/v2/organizations",
    "/api/v1/beta/configurations",
    "/api/v1/job-data-points",
    "/api/v1/beta/usage-metrics",
)
"""What is listed beside jobs and their files, in this order."""

Message = dict[str, Any]


def job(
    identity: str, *, updated_at: str | None = "2026-11-01T08:00:00.000000Z", **fields: Any
) -> dict[str, Any]:
    """Make a job as the API shows it, with one rule and a parsing configuration."""
    return {
        "id": identity,
        "project_id": "project",
        "user_id": "user",
        "rules": [{"type": "invoice", "description": "has an invoice number and an amount"}],
        "status": "SUCCESS",
        "mode": "FAST",
        "parsing_configuration": {"lang": "en", "max_pages": 5, "target_pages": [0, 1]},
        "created_at": "2026-11-01T07:59:00.000000Z",
        "effective_at": "2026-11-01T07:59:00.000000Z",
        "updated_at": updated_at,
        "error_message": None,
        "job_record_id": None,
    } | fields


def connection(sandbox: Sandbox | None = None, **changes: Any) -> Connection:
    """Make a connection to a sandbox, or to an api_url that is given."""
    defaults: dict[str, Any] = {
        "api_url": sandbox.url if sandbox else "",
        "api_key": sandbox.key if sandbox else "llx-test",
        "scope": {},
        "page_size": 100,
        "timeout": 5,
        "retry_seconds": 600,
        "requests_per_minute": None,
        "user_agent": "test",
        "insecure": False,
    }
    return Connection(**defaults | changes)


class SimulatedClock(Clock):
    """A clock that moves only while somebody waits by it, and takes down for how long.

    Its dice always show the longest wait.
    """

    def __init__(self) -> None:
        self.naps: list[float] = []
        self._now = datetime(2026, 11, 1, 12, tzinfo=UTC)

    @override
    def now(self) -> datetime:
        return self._now

    @override
    def monotonic(self) -> float:
        return self._now.timestamp()

    @override
    def wait(self, seconds: float, end: threading.Event) -> None:
        self.sleep(seconds)

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.naps.append(seconds)
        self._now += timedelta(seconds=seconds)

    @override
    def up_to(self, seconds: float) -> float:
        return seconds


@dataclass(frozen=True)
class Output:
    """What a run of the tap wrote to standard output."""

    messages: list[Message] = field(default_factory=list)

    def records(self, stream: str) -> list[Message]:
        """Return the records of a stream, in order."""
        return [
            message["record"]
            for message in self.messages
            if message["type"] == "RECORD" and message["stream"] == stream
        ]

    def ids(self) -> list[str]:
        """Return the ids of the jobs, in order."""
        return [record["id"] for record in self.records("classify_jobs")]

    def of_type(self, kind: str) -> list[Message]:
        """Return the messages of a type, in order."""
        return [message for message in self.messages if message["type"] == kind]

    @property
    def state(self) -> dict[str, Any]:
        """The last state."""
        value: dict[str, Any] = self.of_type("STATE")[-1]["value"]
        return value

    def bookmarks(self) -> dict[str, str | None]:
        """Return the bookmark of each stream in the last state."""
        return {
            stream: entry.get("replication_key_value")
            for stream, entry in self.state.get("bookmarks", {}).items()
        }


def cases(names: str, table: Mapping[str, Any]) -> pytest.MarkDecorator:
    """Parametrize a test by a table of cases, each of which has its id before it."""
    return pytest.mark.parametrize(names, [*table.values()], ids=[*table])


def parse(text: str) -> Output:
    """Read what the tap wrote, line by line; every line must be JSON."""
    return Output([json.loads(line) for line in text.split("\n") if line])


def sync(
    sandbox: Sandbox,
    *,
    state: Mapping[str, Any] | None = None,
    catalog: Mapping[str, Any] | None = None,
    **config: Any,
) -> Output:
    """Run a sync in this process, of v1 jobs unless a catalog says otherwise."""
    catalog = catalog or catalog_with(sandbox)
    return captured(new_tap(sandbox, state=state, catalog=catalog, **config))


def new_tap(
    sandbox: Sandbox,
    *,
    state: Mapping[str, Any] | None = None,
    catalog: Mapping[str, Any] | None = None,
    **config: Any,
) -> TapLlamaClassify:
    """Make a tap that reads from a sandbox, its default unless a catalog says otherwise.

    None takes a setting away.
    """
    given = {"api_url": sandbox.url, "api_key": sandbox.key, "retry_seconds": 0} | config
    return TapLlamaClassify(
        config={name: value for name, value in given.items() if value is not None},
        state=json.loads(json.dumps(state)) if state is not None else None,
        catalog=catalog,
    )


def captured(tap: Tap) -> Output:
    """Run a tap's sync and read what it writes."""
    text, error = written_by(tap)
    if error:
        raise error
    return parse(text)


def written_by(tap: Tap) -> tuple[str, TapError | None]:
    """Run a tap's sync; return what it wrote, and the error of ours that ended it."""
    buffer = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", newline="\n")
    error = None
    with redirect_stdout(buffer):
        try:
            tap.sync_all()
        except TapError as caught:
            error = caught
    buffer.seek(0)
    return buffer.read(), error


def catalog_with(sandbox: Sandbox, **entries: Mapping[str, Any]) -> dict[str, Any]:
    """Make a catalog in which some streams have `selected`, `deselect` or `replication_method`.

    Those of v1 jobs are selected, and no others, unless an entry says otherwise.
    """
    catalog = new_tap(sandbox).catalog_dict
    for entry in catalog["streams"]:
        wish = entries.get(entry["tap_stream_id"], {})
        method = "INCREMENTAL" if entry.get("replication_key") else "FULL_TABLE"
        entry["replication_method"] = wish.get("replication_method", method)
        for metadata in entry["metadata"]:
            place = metadata["breadcrumb"]
            if not place:
                is_selected = wish.get("selected", entry["tap_stream_id"] in STREAMS)
                metadata["metadata"]["selected"] = is_selected
                metadata["metadata"].pop("forced-replication-method", None)
            elif place[-1] in wish.get("deselect", ()):
                metadata["metadata"]["selected"] = False
    return json.loads(json.dumps(catalog))  # type: ignore[no-any-return] # a copy of a dictionary


def seconds_after(text: str, seconds: float) -> str:
    """Move a timestamp in the fixed form."""
    moment = datetime.fromisoformat(text) + timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
