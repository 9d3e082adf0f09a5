"""`make demo`: a made-up LlamaCloud, synced twice by Meltano, a day apart; then what landed."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from sandbox import landed
from sandbox.clock import Clock
from sandbox.history import History
from sandbox.server import Sandbox
from sandbox.world import World

ROOT = Path(__file__).parents[1]
FOLDER = Path("output", "demo")
WAREHOUSE = FOLDER / "warehouse.duckdb"
LOG = FOLDER / "meltano.log"
LAST_LINES = 12
LONGEST_LINE = 240

JOBS = 2500
UNKNOWN_FIELDS = 0.01
DAY = 86_400.0

# What a user has set for the real pipeline must not reach the demo, nor the demo the real API.
USERS_OWN = (
    *("LLAMA_", "MELTANO_", "TAP_LLAMACLASSIFY_", "TARGET_DUCKDB_"),
    *("LOGLEVEL", "SINGER_SDK_"),
)


class MeltanoError(Exception):
    """A `meltano run` failed; the text says where to read why."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one `meltano run` took: records by stream, and requests to the API."""

    records: Counter[str]
    requests: int


def main() -> int:
    """Run the demo. The exit code is 0, or 1 when something failed, which one line then says."""
    os.chdir(ROOT)
    try:
        _start_afresh()
        runs = _synced_twice()
        sys.stdout.write(_report(runs))
    except (MeltanoError, OSError, duckdb.Error) as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _start_afresh() -> None:
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)


def _synced_twice() -> list[Run]:
    world = World(History(jobs=JOBS, unknown_fields=UNKNOWN_FIELDS), clock=Clock())
    with Sandbox(world) as sandbox:
        _say(f"A made-up LlamaCloud project has {len(world.jobs(sandbox.project_id)):,} jobs.")
        _say("meltano run tap-llamaclassify target-duckdb ...")
        first = _sync(sandbox)
        world.advance(DAY)
        _say("A day goes by: jobs finish, others come.")
        _say("meltano run tap-llamaclassify target-duckdb ...")
        return [first, _sync(sandbox)]


def _sync(sandbox: Sandbox) -> Run:
    sandbox.clear_requests()
    ended = subprocess.run(  # noqa: S603 - the command is our own
        _command(),
        env=_environment(sandbox),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    with LOG.open("ab") as log:
        log.write(ended.stdout)
    events = list(_events(ended.stdout.decode(errors="replace")))
    if ended.returncode != 0:
        sys.stderr.writelines(_last_lines(events))
        raise MeltanoError(f"meltano ended with {ended.returncode}; its whole log is {LOG}")
    return Run(_records(events), len(sandbox.requests))


def _command() -> list[str]:
    meltano = str(Path(sys.executable).with_name("meltano"))
    # The project's .env, too, may hold settings for the real pipeline.
    options = ["--env-file", os.devnull, "--log-format", "json"]
    return [meltano, *options, "run", "tap-llamaclassify", "target-duckdb"]


def _environment(sandbox: Sandbox) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(USERS_OWN)}
    return kept | {
        "LLAMA_CLOUD_API_KEY": sandbox.key,
        "LLAMA_CLOUD_BASE_URL": sandbox.url,
        "MELTANO_DATABASE_URI": f"sqlite:///{(FOLDER / 'meltano.db').resolve()}",
        "TARGET_DUCKDB_FILEPATH": str(WAREHOUSE.resolve()),
    }


def _events(log: str) -> Iterator[dict[str, Any]]:
    for line in log.splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            yield {"event": line}


def _last_lines(events: Sequence[dict[str, Any]]) -> list[str]:
    told = [str(event.get("event")) for event in events if "metric_info" not in event]
    return [f"  {line[:LONGEST_LINE]}\n" for line in told[-LAST_LINES:]]


def _records(events: Sequence[dict[str, Any]]) -> Counter[str]:
    """Add up the tap's metric, of which each line counts from the line before."""
    records: Counter[str] = Counter()
    for point in (event["metric_info"] for event in events if "metric_info" in event):
        if point["metric"] == "record_count":
            records[point["tags"]["stream"]] += point["value"]
    if not records:
        raise MeltanoError(f"the tap's log counts no records; Meltano's whole log is {LOG}")
    return records


def _report(runs: Sequence[Run]) -> str:
    with duckdb.connect(str(WAREHOUSE), read_only=True) as warehouse:
        parts = [
            _moved(runs, landed.rows_of_tables(warehouse)),
            landed.jobs_by_day(warehouse),
            landed.rule_types(warehouse),
            f"The tables are in {WAREHOUSE}, schema llamacloud.",
        ]
    return "".join(f"\n{part}\n" for part in parts)


def _moved(runs: Sequence[Run], rows: dict[str, int]) -> str:
    lines: list[landed.Line] = [
        [name, *(run.records[name] for run in runs), rows[name]] for name in rows
    ]
    lines.append(["API requests", *(run.requests for run in runs), None])
    return landed.table(["Records moved", "first run", "second run", "rows now"], lines)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
