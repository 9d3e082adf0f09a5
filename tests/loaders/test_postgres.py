"""meltanolabs-target-postgres behind the tap's command line, on a PostgreSQL of the test's own."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path

import pytest
from typing_extensions import override

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.api_rows import (
    ALL_KEYS,
    KEYS,
    TIMES,
    Row,
    Tables,
    api_shows,
    expected,
)
from tests.support.builders import DEFAULT_STREAMS
from tests.support.commands import Command
from tests.support.loaders import (
    AWKWARD,
    AWKWARD_V2,
    EVERYTHING,
    NUMBERS,
    ODD,
    PYARROW,
    Pipeline,
    check_two_runs,
    installed,
    loader,
    plugin,
    put_awkward,
    select_all,
)
from tests.support.postgres import HOST, USER, Server, running_server, tables_of
from tests.support.runs import select

pytestmark = pytest.mark.heavy

DAY = 86_400.0
WHOLE = {"rule_index", "rule_count", "max_pages", "value"}


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server() as running:
        yield running


@pytest.fixture(scope="module")
def target() -> Path:
    return loader("target-postgres")


@pytest.fixture(scope="module")
def target_with_pyarrow() -> Path:
    its = plugin("target-postgres")
    folder = installed("target-postgres-pyarrow", f"{its['pip_url']} {PYARROW}")
    return folder / "bin" / str(its["executable"])


@pytest.fixture(scope="module")
def target_of_next_sdk() -> Path:
    """Install the loader with the singer-sdk that is to come, whose code reads Arrow files."""
    its = plugin("target-postgres")
    wanted = f"{its['pip_url']} nanoarrow==0.9.0 --override tests/loaders/singer-sdk-0.55.txt"
    return installed("target-postgres-next-sdk", wanted) / "bin" / str(its["executable"])


@pytest.fixture
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Run an API that has v1 jobs, and so many v2 jobs as a test says."""
    history = History(jobs=400, v2_jobs=getattr(request, "param", 0), days=30, unknown_fields=0.2)
    with Sandbox(World(history)) as running:
        running.settings.data_points_reach = "bounds"
        yield running


class IntoPostgres(Pipeline):
    """The tap piped into the loader, with a database of its own."""

    def __init__(
        self, command: Command, config: Row, target: Path, *, server: Server, folder: Path
    ) -> None:
        super().__init__(command, config, target, folder)
        self._server = server
        self.database = f"of_{folder.name.strip('_')}".lower()
        server.query(f'CREATE DATABASE "{self.database}"')

    @override
    def settings(self) -> Row:
        address = {"host": HOST, "port": self._server.port, "user": USER, "password": "none"}
        return {**plugin("target-postgres")["config"], **address, "database": self.database}

    def begin_again(self) -> None:
        """Forget the state and all tables."""
        self.state = {}
        self._server.query("DROP SCHEMA llamacloud CASCADE", self.database)

    def live_in(self, zone: str) -> None:
        """Let the database give its clients another time zone than UTC."""
        self._server.query(f"ALTER DATABASE \"{self.database}\" SET timezone = '{zone}'")

    def tables(self, where: str = "true", keys: Mapping[str, Sequence[str]] = KEYS) -> Tables:
        """Read back what is in the database, less the loader's own columns."""
        return tables_of(self._server, self.database, keys, where)

    def types(self) -> dict[str, str]:
        """Return the type of every column, less the loader's own."""
        sql = (
            "SELECT json_object_agg(table_name || '.' || column_name, udt_name) "
            "FROM information_schema.columns WHERE table_schema = 'llamacloud' "
            "AND column_name NOT LIKE '\\_sdc\\_%'"
        )
        types: dict[str, str] = json.loads(self._server.query(sql, self.database))
        return types


@pytest.fixture
def pipeline(
    command: Command, config: Row, target: Path, server: Server, tmp_path: Path
) -> IntoPostgres:
    return IntoPostgres(command, config, target, server=server, folder=tmp_path)


def shown(sandbox: Sandbox) -> Tables:
    """Make the tables from what the API shows."""
    return expected(sandbox.world.jobs(sandbox.project_id))


def kinds_of(messages: list[Row]) -> Counter[str]:
    """Count messages by their types."""
    return Counter(message["type"] for message in messages)


@pytest.mark.parametrize("sandbox", [400], ids=["v2, too"], indirect=True)
def test_all_streams_equal_the_api_cell_by_cell_after_each_of_two_runs(
    sandbox: Sandbox, pipeline: IntoPostgres
) -> None:
    put_awkward(sandbox, AWKWARD, ODD, v2=AWKWARD_V2)
    run = partial(pipeline.run, "--catalog", select_all(sandbox), **EVERYTHING)
    landed, shows = partial(pipeline.tables, keys=ALL_KEYS), partial(api_shows, sandbox)
    check_two_runs(sandbox, run, landed, shows, said="—\\N")

    of_type = defaultdict(set)
    for name, kind in pipeline.types().items():
        of_type[kind].add(name)
    names = {name for its in of_type.values() for name in its}
    assert of_type.pop("text") > {"classify_v2_job_parsing_configs.target_pages"}
    assert of_type == {
        "_int8": {"classify_job_parsing_configs.target_pages"},
        "bool": {"classify_projects.is_default"},
        "_text": {"classify_usage.usage_tags"},
        "date": {"classify_usage.day"},
        "int8": {
            n for n in names if n.endswith(("rule_index", "rule_count", "max_pages", "value"))
        },
        "jsonb": {n for n in names if n.endswith(("additional_fields", "properties"))},
        "numeric": NUMBERS,
        "timestamp": {n for n in names if n.partition(".")[2] in TIMES},
    }


@pytest.mark.parametrize(
    ("hard_delete", "still_there"),
    [(True, "true"), (False, "_sdc_deleted_at IS NULL")],
    ids=["rows go", "rows are marked"],
)
def test_full_table_removes_what_was_deleted_at_the_source(
    sandbox: Sandbox,
    pipeline: IntoPostgres,
    hard_delete: bool,  # noqa: FBT001 - a column of the table above
    still_there: str,
) -> None:
    pipeline.run()
    before = shown(sandbox)
    for job_id in [key for (key,) in before["classify_job_parsing_configs"]][:7]:
        sandbox.world.delete(job_id)
    sandbox.world.advance(DAY)
    loader = {"hard_delete": hard_delete}
    catalog = select(sandbox, *DEFAULT_STREAMS, replication_method="FULL_TABLE")
    for _ in range(2):
        # The second time, rows that carry the version of the time before have to go.
        sent = pipeline.run(
            "--catalog", catalog, target=loader, emit_activate_version_messages=True
        )
        assert kinds_of(sent)["ACTIVATE_VERSION"] == len(DEFAULT_STREAMS)
        now = shown(sandbox)
        assert pipeline.tables(still_there) == now
        assert all(before[table].keys() - now[table].keys() for table in KEYS)
        sandbox.world.delete(next(iter(now["classify_job_parsing_configs"]))[0])
    assert (pipeline.tables() == pipeline.tables(still_there)) is hard_delete


NUL: Row = AWKWARD | {"id": "nul", "error_message": "before\x00after"}


def test_nul_fails_the_load_unless_the_loader_is_told_to_sanitize(
    sandbox: Sandbox, pipeline: IntoPostgres
) -> None:
    sandbox.world.put(NUL | {"project_id": sandbox.project_id})
    _, loaded = pipeline.attempt(target={"sanitize_null_text_characters": False})
    assert (loaded.code != 0, loaded.stdout) == (True, "")
    pipeline.run()
    tables = expected(
        [
            job if job["id"] != "nul" else job | {"error_message": "before\ufffdafter"}
            for job in sandbox.world.jobs(sandbox.project_id)
        ]
    )
    assert pipeline.tables() == tables


def test_nul_below_the_first_level_of_an_unknown_field_fails_the_load_nevertheless(
    sandbox: Sandbox, pipeline: IntoPostgres
) -> None:
    sandbox.world.put(NUL | {"project_id": sandbox.project_id, "labels": {"deep": ["\x00"]}})
    _, loaded = pipeline.attempt()
    assert (loaded.code != 0, loaded.stdout) == (True, "")
    sandbox.world.put(NUL | {"project_id": sandbox.project_id, "label": "a\x00b"})
    pipeline.run()
    landed = pipeline.tables()["classify_jobs"]["nul",]
    assert landed["additional_fields"]["label"] == "a\ufffdb"


def batches(folder: Path, encoding: str, **more: str) -> Row:
    """Make the setting for files so small that each stream has many."""
    storage = {"root": (folder / encoding).as_uri()}
    return {"encoding": {"format": encoding} | more, "storage": storage, "batch_size": 150}


@pytest.fixture
def batch_pipeline(
    command: Command, config: Row, target_with_pyarrow: Path, server: Server, tmp_path: Path
) -> IntoPostgres:
    return IntoPostgres(command, config, target_with_pyarrow, server=server, folder=tmp_path)


@pytest.mark.parametrize("use_copy", [False, True], ids=["insert", "copy"])
@pytest.mark.parametrize("encoding", ["jsonl", "parquet"])
def test_batch_files_land_as_records_do_and_upsert_over_two_runs(
    sandbox: Sandbox,
    batch_pipeline: IntoPostgres,
    tmp_path: Path,
    encoding: str,
    use_copy: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    put_awkward(sandbox, AWKWARD, ODD)
    config = {"batch_config": batches(tmp_path, encoding), "target": {"use_copy": use_copy}}
    sent: list[Counter[str]] = []

    def run() -> None:
        sent.append(kinds_of(batch_pipeline.run(**config)))

    check_two_runs(sandbox, run, batch_pipeline.tables, partial(shown, sandbox))
    assert "RECORD" not in sent[0]
    assert sent[0]["BATCH"] > 2 * len(KEYS)


def test_arrow_files_of_each_compression_land_by_the_reader_of_the_next_singer_sdk(
    sandbox: Sandbox,
    command: Command,
    config: Row,
    server: Server,
    target_of_next_sdk: Path,
    tmp_path: Path,
) -> None:
    into = IntoPostgres(command, config, target_of_next_sdk, server=server, folder=tmp_path)
    put_awkward(sandbox, AWKWARD, ODD)
    compressions = iter(["zstd", "lz4"])

    def run() -> None:
        files = batches(tmp_path, "arrow", compression=next(compressions))
        sent = kinds_of(into.run(batch_config=files, target={"use_copy": True}))
        assert "RECORD" not in sent
        assert sent["BATCH"] >= len(KEYS)

    check_two_runs(sandbox, run, into.tables, partial(shown, sandbox))


def test_parquet_gives_columns_the_types_that_records_give_them_but_json_as_text(
    batch_pipeline: IntoPostgres, tmp_path: Path
) -> None:
    batch_pipeline.run()
    of_records = batch_pipeline.types()
    batch_pipeline.begin_again()
    batch_pipeline.run(batch_config=batches(tmp_path, "parquet"))
    assert batch_pipeline.types() == {
        name: "text" if kind == "jsonb" else kind for name, kind in of_records.items()
    }


def test_parquet_does_not_load_into_tables_that_records_have_made(
    batch_pipeline: IntoPostgres, tmp_path: Path
) -> None:
    batch_pipeline.run()
    _, loaded = batch_pipeline.attempt(batch_config=batches(tmp_path, "parquet"))
    assert loaded.code != 0
    assert "Could not convert column" in loaded.stderr
    assert "'JSONB' to 'TEXT'" in loaded.stderr
    assert loaded.stdout == ""


@pytest.mark.parametrize("encoding", ["records", "parquet"])
def test_timestamps_are_utc_where_the_database_is_not_once_pgtz_is_utc(
    sandbox: Sandbox, batch_pipeline: IntoPostgres, tmp_path: Path, encoding: str
) -> None:
    config = {} if encoding == "records" else {"batch_config": batches(tmp_path, encoding)}
    batch_pipeline.live_in("Pacific/Auckland")
    batch_pipeline.attempt(**config)
    api = shown(sandbox)
    # The loader lets PostgreSQL drop the zone, which takes the session's for it.
    assert batch_pipeline.tables() != api
    batch_pipeline.sessions = {"PGTZ": "UTC"}
    batch_pipeline.run(**config)
    assert batch_pipeline.tables() == api
