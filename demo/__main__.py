"""`make demo`: a made-up LlamaCloud, v2 and v1, by Meltano into tables, marts and a report."""

import os
import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import duckdb
import yaml

from demo import landed, pipeline
from demo.pipeline import CHOICE, FOLDER, PIPELINE, REPORT, WAREHOUSE, MeltanoError
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.wire.front import Request
from llamacloud_sandbox.world.clock import Clock
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World

ROOT = Path(__file__).parents[1]
V2_JOBS = 1250
JOBS = 1250
UNKNOWN_FIELDS = 0.01
DAY = 86_400.0

JOBS_PATH = "/api/v1/classifier/jobs"
RESULTS_PATH = f"{JOBS_PATH}/{{id}}/results"
MOVED = {
    "jobs": ("classify_v2_jobs", "classify_jobs"),
    "job_rules": ("classify_v2_job_rules", "classify_job_rules"),
    "job_parsing_configs": ("classify_v2_job_parsing_configs", "classify_job_parsing_configs"),
    "job_results": (None, "classify_job_results"),
    "job_timings": ("classify_job_timings", None),
    "usage": ("classify_usage", None),
    "configurations": ("classify_configurations", None),
    "files": ("classify_files", None),
    "projects": (None, "classify_projects"),
    "organizations": ("classify_organizations", None),
    "requests: jobs": ("/api/v2/classify", JOBS_PATH),
    "requests: results": (None, RESULTS_PATH),
    "requests: timings": ("/api/v1/job-data-points", None),
    "requests: usage": ("/api/v1/beta/usage-metrics", None),
    "requests: files": ("/api/v1/beta/files", None),
    "requests: projects": (None, "/api/v1/projects"),
}
"""What moves through v2 and through v1: records by stream, requests by path.

What is of both, or of neither, stands with v2.
"""

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
        v2, v1 = (len(jobs.entries(sandbox.project_id)) for jobs in (world.v2, world.v1))
        _say(f"A made-up LlamaCloud project has {v2:,} v2 jobs and {v1:,} v1 jobs.")
        for name, text in CHOICE.items():
            _say(f"export {name}='{text}'")
        first = _sync(sandbox)
        world.advance(DAY)
        _say("A day goes by: jobs finish, others come.")
        return [first, _sync(sandbox)]


def _sync(sandbox: Sandbox) -> Run:
    sandbox.clear_requests()
    _say(f"meltano run {' '.join(PIPELINE)}")
    return pipeline.run(sandbox) + Counter(_path(request) for request in sandbox.requests)


def _path(request: Request) -> str:
    return RESULTS_PATH if request.path.endswith("/results") else request.path


def _report(runs: Sequence[Run]) -> str:
    with duckdb.connect(str(WAREHOUSE), read_only=True) as warehouse:
        parts = [
            _moved(runs, landed.rows_of_tables(warehouse)),
            landed.jobs_by_day(warehouse),
            landed.marts(warehouse),
        ]
    parts.append(
        "In a project of your own give target-duckdb the pip_url that it has here,\n"
        f"{_pip_url()}: else it loses the first record of every batch."
    )
    parts.append(
        f"Tables (llamacloud) and marts (llamaclassify): {WAREHOUSE}\n"
        f"Report: {REPORT.resolve().as_uri()}"
    )
    return "".join(f"\n{part}\n" for part in parts)


def _pip_url() -> str:
    project = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    loaders = {loader["name"]: loader for loader in project["plugins"]["loaders"]}
    return str(loaders["target-duckdb"]["pip_url"])


def _moved(runs: Sequence[Run], rows: dict[str, int]) -> str:
    names = [f"run {number}" for number, _ in enumerate(runs, start=1)]
    lines: list[landed.Line] = [
        [kind, *_counts(v2, runs, rows), *_counts(v1, runs, rows)]
        for kind, (v2, v1) in MOVED.items()
    ]
    columns = [f"{api} {name}" for api in ("v2", "v1") for name in (*names, "rows")]
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
