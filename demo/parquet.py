"""`make demo-parquet`: a made-up LlamaCloud into Parquet files, and DuckDB's queries over them."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb

from demo.__main__ import ROOT, UNKNOWN_FIELDS
from demo.landed import table
from demo.pipeline import FOLDER as DEMO
from demo.pipeline import USERS_OWN
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World

FOLDER = DEMO / "parquet"
CONFIG = {
    "page_size": 500,
    "batch_config": {
        "encoding": {"format": "parquet"},
        "storage": {"root": str(FOLDER)},
        "batch_size": 5000,
    },
}
HISTORY = History(v2_jobs=6_000, jobs=6_000, unknown_fields=UNKNOWN_FIELDS)

FILES = """
SELECT parse_filename(file_name) AS "Files", num_rows AS rows, size AS bytes
FROM parquet_file_metadata($files) JOIN read_blob($files) ON filename = file_name
ORDER BY NOT contains("Files", '_v2_'), "Files"
"""
STATUSES = """
SELECT status AS "v2 jobs", count(DISTINCT id) AS jobs,
  strftime(max(updated_at AT TIME ZONE 'UTC'), '%Y-%m-%d %H:%M:%S') AS "last update, UTC"
FROM 'output/demo/parquet/classify_v2_jobs-*.parquet' GROUP BY ALL ORDER BY jobs DESC
"""
RULE_TYPES = """
SELECT type AS "Rules of v2 jobs", count(DISTINCT (job_id, rule_index)) AS rules
FROM 'output/demo/parquet/classify_v2_job_rules-*.parquet' GROUP BY ALL ORDER BY rules DESC LIMIT 5
"""


def main() -> int:
    """Run the demo. The exit code is 0, or 1 when something failed, which one line then says."""
    os.chdir(ROOT)
    try:
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        _sync()
        _show()
    except subprocess.CalledProcessError as error:
        sys.stderr.write(
            f"demo: the tap ended with {error.returncode}; its log is {DEMO / 'parquet.log'}\n"
        )
        return 1
    except (OSError, duckdb.Error) as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _sync() -> None:
    path = DEMO / "parquet.json"
    path.write_text(json.dumps(CONFIG, indent=2) + "\n", encoding="utf-8")
    command = ["tap-llamaclassify", "--config", str(path)]
    kept = {name: text for name, text in os.environ.items() if not name.startswith(USERS_OWN)}
    with (
        Sandbox(World(HISTORY)) as sandbox,
        (DEMO / "parquet.jsonl").open("wb") as messages,
        (DEMO / "parquet.log").open("wb") as log,
    ):
        world, project = sandbox.world, sandbox.project_id
        v2, v1 = len(world.v2_jobs(project)), len(world.jobs(project))
        sys.stdout.write(f"A made-up LlamaCloud project has {v2:,} v2 jobs and {v1:,} v1 jobs.\n")
        sys.stdout.write(f"{' '.join(command)}\n")
        sys.stdout.flush()
        subprocess.run(  # noqa: S603 - the command is our own
            [Path(sys.executable).with_name(command[0]), *command[1:]],
            check=True,
            env=kept | {"LLAMA_CLOUD_API_KEY": sandbox.key, "LLAMA_CLOUD_BASE_URL": sandbox.url},
            stdin=subprocess.DEVNULL,
            stdout=messages,
            stderr=log,
        )


def _show() -> None:
    with duckdb.connect() as connection:
        files = connection.sql(FILES, params={"files": f"{FOLDER}/*.parquet"})
        sys.stdout.write(f"\n{table(files.columns, files.fetchall())}\n")
        for query in (STATUSES, RULE_TYPES):
            found = connection.sql(query)
            sys.stdout.write(f"{query}\n{table(found.columns, found.fetchall())}\n")


if __name__ == "__main__":
    sys.exit(main())
