"""`make demo`: a made-up LlamaCloud, v1 and v2, by Meltano into tables, marts and a report."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb

from demo import landed
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.wire.front import Request
from llamacloud_sandbox.world.clock import Clock
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World

ROOT = Path(__file__).parents[1]
FOLDER = Path("output", "demo")
WAREHOUSE = FOLDER / "warehouse.duckdb"
REPORT = FOLDER / "report.html"
LOG = FOLDER / "meltano.log"
LAST_LINES = 12
LONGEST_LINE = 240

JOBS = 1250
V2_JOBS = 1250
UNKNOWN_FIELDS = 0.01
DAY = 86_400.0

# meltano.yml selects the streams of v1 jobs; here come all, and leave it as it is.
CHOICE = {
    "TAP_LLAMACLASSIFY__SELECT": '["*.*"]',
    "TAP_LLAMACLASSIFY_FETCH_RESULTS": "true",
}
PIPELINE = ("tap-llamaclassify", "target-duckdb", "dbt:build", "dbt:report")
JOBS_PATH = "/api/v1/classifier/jobs"
RESULTS_PATH = f"{JOBS_PATH}/{{id}}/results"
MOVED = {
    "jobs": ("classify_jobs", "classify_v2_jobs"),
    "job_rules": ("classify_job_rules", "classify_v2_job_rules"),
    "job_parsing_configs": ("classify_job_parsing_configs", "classify_v2_job_parsing_configs"),
    "job_results": ("classify_job_results", None),
    "projects": ("classify_projects", None),
    "requests: jobs": (JOBS_PATH, "/api/v2/classify"),
    "requests: results": (RESULTS_PATH, None),
    "requests: projects": ("/api/v1/projects", None),
}
"""What moves through v1 and through v2: records by stream, requests by path."""

# What a user has set for the real pipeline must not reach the demo, nor the demo the real API.
USERS_OWN = (
    *("LLAMA_", "LLAMACLASSIFY_", "MELTANO_", "TAP_LLAMACLASSIFY_", "TARGET_DUCKDB_", "DBT_"),
    *("LOGLEVEL", "SINGER_SDK_"),
)


class MeltanoError(Exception):
    """A `meltano run` failed; the text says where to read why."""


Run = Counter[str]
"""What one `meltano run` moved: records by stream, and requests by path."""


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
    world = World(History(jobs=JOBS, v2_jobs=V2_JOBS, unknown_fields=UNKNOWN_FIELDS), clock=Clock())
    with Sandbox(world) as sandbox:
        v1, v2 = (len(jobs.entries(sandbox.project_id)) for jobs in (world.v1, world.v2))
        _say(f"A made-up LlamaCloud project has {v1:,} v1 jobs and {v2:,} v2 jobs.")
        for name, text in CHOICE.items():
            _say(f"export {name}='{text}'")
        _say(f"meltano run {' '.join(PIPELINE)} ...")
        first = _sync(sandbox)
        world.advance(DAY)
        _say("A day goes by: jobs finish, others come.")
        _say(f"meltano run {' '.join(PIPELINE)} ...")
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
    return _records(events) + Counter(_path(request) for request in sandbox.requests)


def _command() -> list[str]:
    meltano = str(Path(sys.executable).with_name("meltano"))
    # The project's .env, too, may hold settings for the real pipeline.
    options = ["--env-file", os.devnull, "--log-format", "json"]
    return [meltano, *options, "run", *PIPELINE]


def _environment(sandbox: Sandbox) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(USERS_OWN)}
    return (
        kept
        | CHOICE
        | {
            "LLAMA_CLOUD_API_KEY": sandbox.key,
            "LLAMA_CLOUD_BASE_URL": sandbox.url,
            "MELTANO_DATABASE_URI": f"sqlite:///{(FOLDER / 'meltano.db').resolve()}",
            "TARGET_DUCKDB_FILEPATH": str(WAREHOUSE.resolve()),
            "DBT_TARGET_PATH": str((FOLDER / "dbt").resolve()),
            "DBT_LOG_PATH": str((FOLDER / "dbt").resolve()),
            "DBT_REPORT": str(REPORT.resolve()),
            "LLAMACLASSIFY_AS_OF": f"{sandbox.world.now():%Y-%m-%d %H:%M:%S}",
        }
    )


def _path(request: Request) -> str:
    return RESULTS_PATH if request.path.endswith("/results") else request.path


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
            landed.marts(warehouse),
            f"Tables (llamacloud) and marts (llamaclassify): {WAREHOUSE}",
            f"Report: {REPORT}",
        ]
    return "".join(f"\n{part}\n" for part in parts)


def _moved(runs: Sequence[Run], rows: dict[str, int]) -> str:
    names = [f"run {number}" for number, _ in enumerate(runs, start=1)]
    lines: list[landed.Line] = [
        [kind, *_counts(v1, runs, rows), *_counts(v2, runs, rows)]
        for kind, (v1, v2) in MOVED.items()
    ]
    columns = [f"{api} {name}" for api in ("v1", "v2") for name in (*names, "rows")]
    return landed.table(["Moved", *columns], lines)


def _counts(name: str | None, runs: Sequence[Run], rows: dict[str, int]) -> list[int | None]:
    if name is None:
        return [None] * (len(runs) + 1)
    return [*(run[name] for run in runs), rows.get(name)]


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
