"""One `meltano run` of the checkout's project over a sandbox, apart from all that the user has."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from demo.progress import Progress
from llamacloud_sandbox.server import Sandbox

FOLDER = Path("output", "demo")
WAREHOUSE = FOLDER / "warehouse.duckdb"
REPORT = FOLDER / "report.html"
LOG = FOLDER / "meltano.log"
LAST_LINES = 12
LONGEST_LINE = 240

# meltano.yml selects jobs, their rules and configurations; here comes all there is.
CHOICE = {
    "TAP_LLAMACLASSIFY__SELECT": '["*.*"]',
    "TAP_LLAMACLASSIFY_FETCH_RESULTS": "true",
}
PIPELINE = ("tap-llamaclassify", "target-duckdb", "dbt:build", "dbt:report")
STEPS = ("extracting and loading", "building the marts with dbt", "writing the report")

# What a user has set for the real pipeline must not reach the demo, nor the demo the real API.
USERS_OWN = (
    *("LLAMA_", "LLAMACLASSIFY_", "MELTANO_", "TAP_LLAMACLASSIFY_", "TARGET_DUCKDB_", "DBT_"),
    *("LOGLEVEL", "SINGER_SDK_"),
)


class MeltanoError(Exception):
    """A `meltano run` failed; the text says where to read why."""


def run(sandbox: Sandbox) -> Counter[str]:
    """Run the pipeline, telling its steps; return how many records of each stream came.

    Raises:
        MeltanoError: It failed. The last lines of its log are on standard error then.
    """
    progress = Progress(STEPS)
    events: list[dict[str, Any]] = []
    with subprocess.Popen(  # noqa: S603 - the command is our own
        _command(),
        env=_environment(sandbox),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            for event in _events(process):
                progress.note(event)
                events.append(event)
        except BaseException:
            process.terminate()
            raise
        finally:
            progress.stop()
    if process.returncode != 0:
        sys.stderr.writelines(_last_lines(events))
        raise MeltanoError(f"meltano ended with {process.returncode}; its whole log is {LOG}")
    return _records(events)


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


def _events(process: subprocess.Popen[bytes]) -> Iterator[dict[str, Any]]:
    """Read the log as it is written, and keep it."""
    with LOG.open("ab") as log:
        for line in process.stdout or ():
            log.write(line)
            text = line.decode(errors="replace").rstrip()
            try:
                yield json.loads(text)
            except ValueError:
                yield {"event": text}


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
