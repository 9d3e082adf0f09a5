"""`make demo-dlt`: a made-up LlamaCloud by dlt into DuckDB, twice, and what moved in each run."""

import ast
import os
import shutil
import subprocess
import sys
import textwrap
from collections import Counter

import duckdb

from demo.__main__ import DAY, JOBS, ROOT, UNKNOWN_FIELDS, V2_JOBS
from demo.landed import table
from demo.pipeline import FOLDER as DEMO
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World

FOLDER = DEMO / "dlt"
LOG = FOLDER / "sync.log"
WAREHOUSE = FOLDER / "llamaclassify.duckdb"
HISTORY = History(v2_jobs=V2_JOBS, jobs=JOBS, unknown_fields=UNKNOWN_FIELDS)

PROGRAM = """
import dlt
from tap_llamaclassify.dlt_source import llamaclassify

pipeline = dlt.pipeline(
    "llamaclassify", destination="duckdb", dataset_name="llamacloud"
)
pipeline.run(llamaclassify())
print(pipeline.last_trace.last_normalize_info.row_counts)
"""

TABLES = """
SELECT table_name FROM information_schema.tables
WHERE table_schema = 'llamacloud' AND table_name LIKE 'classify%'
ORDER BY table_name NOT LIKE '%_v2_%', table_name NOT LIKE '%_jobs', table_name
"""
STATUSES = """
SELECT status AS "v2 jobs", count(*) AS jobs,
  strftime(max(updated_at AT TIME ZONE 'UTC'), '%Y-%m-%d %H:%M:%S')
    AS "last update, UTC"
FROM llamacloud.classify_v2_jobs GROUP BY ALL ORDER BY jobs DESC
"""
RULE_TYPES = """
SELECT type AS "Rules of v2 jobs", count(*) AS rules
FROM llamacloud.classify_v2_job_rules GROUP BY ALL ORDER BY rules DESC LIMIT 5
"""

Run = Counter[str]
"""What one run moved: rows by table, and requests by path."""


def main() -> int:
    """Run the demo. The exit code is 0, or 1 when something failed, which one line then says."""
    os.chdir(ROOT)
    try:
        shutil.rmtree(FOLDER, ignore_errors=True)
        FOLDER.mkdir(parents=True)
        _show(_synced_twice())
    except subprocess.CalledProcessError as error:
        sys.stderr.write(f"demo: the program ended with {error.returncode}; its log is {LOG}\n")
        return 1
    except (OSError, duckdb.Error) as error:
        sys.stderr.write(f"demo: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _synced_twice() -> tuple[Run, Run]:
    (FOLDER / "sync.py").write_text(PROGRAM.lstrip(), encoding="utf-8")
    with Sandbox(World(HISTORY)) as sandbox:
        world, project = sandbox.world, sandbox.project_id
        v2, v1 = len(world.v2_jobs(project)), len(world.jobs(project))
        _say(f"A made-up LlamaCloud project has {v2:,} v2 jobs and {v1:,} v1 jobs.")
        _say(f"cat sync.py\n{textwrap.indent(PROGRAM, '  ')}")
        first = _sync(sandbox)
        world.advance(DAY)
        _say("A day goes by: jobs finish, others come.")
        return first, _sync(sandbox)


def _sync(sandbox: Sandbox) -> Run:
    sandbox.clear_requests()
    _say("python sync.py")
    with LOG.open("ab") as log:
        ended = subprocess.run(
            [sys.executable, "sync.py"],
            check=True,
            cwd=FOLDER,
            env=_environment(sandbox),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    requests = Run(f"GET {request.path}" for request in sandbox.requests)
    return Run(ast.literal_eval(ended.stdout.decode())) + requests


def _environment(sandbox: Sandbox) -> dict[str, str]:
    """Return all the variables of the program: of the user's, dlt would take any for its own."""
    # In dlt's own section they come before what a user may have in a secrets.toml.
    source = {"API_KEY": sandbox.key, "API_URL": sandbox.url}
    return {
        **{f"SOURCES__LLAMACLASSIFY__{name}": text for name, text in source.items()},
        **dict.fromkeys(("DLT_DATA_DIR", "HOME", "TMPDIR"), str(FOLDER.resolve())),
        "RUNTIME__DLTHUB_TELEMETRY": "false",
    }


def _show(runs: tuple[Run, Run]) -> None:
    paths = sorted({name for run in runs for name in run if name.startswith("GET ")}, reverse=True)
    with duckdb.connect(str(WAREHOUSE), read_only=True) as warehouse:
        names = [name for (name,) in warehouse.execute(TABLES).fetchall()]
        rows = {name: len(warehouse.table(f"llamacloud.{name}")) for name in names}
        lines = [[name, *(run[name] for run in runs), rows.get(name)] for name in (*names, *paths)]
        _say(f"\n{table(['Moved', 'run 1', 'run 2', 'rows'], lines)}")
        for query in (STATUSES, RULE_TYPES):
            found = warehouse.sql(query)
            _say(f"{query}\n{table(found.columns, found.fetchall())}")
    _say(f"\nTables (llamacloud): {WAREHOUSE}")


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
