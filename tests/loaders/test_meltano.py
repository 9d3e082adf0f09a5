"""The Meltano project: what it declares is what the tap shows, and `meltano run` lands it all."""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.wire.front import Request
from llamacloud_sandbox.world.clock import stamp
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.api_rows import KEYS, V2_KEYS, Tables, expected, expected_v2
from tests.support.builders import DEFAULT_STREAMS, LISTS, STREAMS, V2_STREAMS
from tests.support.commands import ROOT, Command, Ended, ended
from tests.support.loaders import in_duckdb
from tests.support.runs import bookmark_at

pytestmark = [pytest.mark.pipeline, pytest.mark.usefixtures("_meltano_to_itself")]

DAY = 86_400.0
PROJECT_FILE = ROOT / "meltano.yml"
USERS_OWN = ("LLAMA_", "MELTANO_", "TAP_LLAMACLASSIFY_", "TARGET_DUCKDB_", "LOGLEVEL")

PIPELINE = ("tap-llamaclassify", "target-duckdb")
STATE_ID = "dev:tap-llamaclassify-to-target-duckdb"
V1, V2, PROJECTS = "/api/v1/classifier/jobs", "/api/v2/classify", "/api/v1/projects"
BESIDE_JOBS = ("files", "projects", "organizations", "configurations", "timings", "usage")


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run asked of the API, what the file held afterwards, and what the API showed."""

    requests: list[Request]
    tables: Tables
    api: Tables


@dataclass(frozen=True, kw_only=True)
class Story:
    """Three runs into one file.

    `silent` is the job that changed after the first without a new date; `project_file` what
    meltano.yml was before it.
    """

    first: Run
    second: Run
    refreshed: Run
    silent: str
    key: str
    project_file: bytes


class Project:
    """The checkout's Meltano project, with state and a DuckDB file elsewhere."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self._sandbox = sandbox
        self._file = folder / "warehouse.duckdb"
        self._environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith(USERS_OWN)},
            "LLAMA_CLOUD_API_KEY": sandbox.key,
            "LLAMA_CLOUD_BASE_URL": sandbox.url,
            "MELTANO_DATABASE_URI": f"sqlite:///{folder / 'meltano.db'}",
            "NO_PROXY": "*",
            "TARGET_DUCKDB_FILEPATH": str(self._file),
            "UV_SYSTEM_CERTS": "1",
        }

    def run(self, *arguments: str, **environment: str) -> Run:
        """Run `meltano run` to its good end."""
        self._sandbox.clear_requests()
        self.meltano("run", *arguments, **environment)
        world, project_id = self._sandbox.world, self._sandbox.project_id
        api = expected(world.jobs(project_id)) | v2_shown(self._sandbox)
        return Run(requests=self._sandbox.requests, tables=self.landed(KEYS | V2_KEYS), api=api)

    def meltano(self, *arguments: str, **environment: str) -> Ended:
        """Run a command of Meltano's to its good end."""
        return self._ended(0, arguments, environment)

    def failing(self, *arguments: str, **environment: str) -> Ended:
        """Run a command of Meltano's that fails."""
        return self._ended(1, arguments, environment)

    def _ended(self, code: int, words: Sequence[str], environment: dict[str, str]) -> Ended:
        command = [Path(sys.executable).with_name("meltano"), "--env-file", os.devnull, *words]
        done = ended(command, env=self._environment | environment)
        assert done.code == code, done.stdout + done.stderr
        return done

    def landed(self, keys: dict[str, tuple[str, ...]] = V2_KEYS) -> Tables:
        """Read back some tables of the file, those of v2 jobs by default."""
        return in_duckdb(self._file, keys)

    def state(self, state_id: str) -> dict[str, Any]:
        """Return the bookmarks that Meltano would hand to the next run."""
        state = json.loads(self.meltano("state", "get", state_id).stdout)
        bookmarks: dict[str, Any] = state["singer_state"]["bookmarks"]
        return bookmarks


def v2_shown(sandbox: Sandbox) -> Tables:
    """Make the tables of v2 jobs, whose usage nobody asks for."""
    return expected_v2(sandbox.world.v2_jobs(sandbox.project_id), with_usage=False)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory, _meltano_to_itself: None) -> Iterator[Story]:
    project_file = PROJECT_FILE.read_bytes()
    with Sandbox(World(History(jobs=400, v2_jobs=60))) as sandbox:
        project = Project(sandbox, tmp_path_factory.mktemp("meltano"))
        first = project.run("classify-jobs-to-duckdb")
        sandbox.world.advance(2 * DAY)
        oldest = sandbox.world.jobs(sandbox.project_id)[0]
        sandbox.world.put(oldest | {"status": "EXPIRED"})
        second = project.run(*PIPELINE)
        refreshed = project.run("--full-refresh", *PIPELINE, TAP_LLAMACLASSIFY_PAGE_SIZE="50")
        yield Story(
            first=first,
            second=second,
            refreshed=refreshed,
            silent=oldest["id"],
            key=sandbox.key,
            project_file=project_file,
        )


@pytest.fixture(scope="module")
def project_file() -> dict[str, Any]:
    project: dict[str, Any] = yaml.safe_load(PROJECT_FILE.read_text(encoding="utf-8"))
    return project


@pytest.fixture(scope="module")
def tap(project_file: dict[str, Any]) -> Any:
    (extractor,) = project_file["plugins"]["extractors"]
    assert extractor["name"] == "tap-llamaclassify"
    return extractor


@pytest.fixture
def about(command: Command) -> Any:
    return json.loads(command("--about", "--format=json").stdout)


@pytest.fixture
def catalog(command: Command) -> Any:
    return json.loads(command("--discover", env={"LLAMA_CLOUD_API_KEY": "llx-any"}).stdout)


def pages(jobs: Tables, page_size: int) -> int:
    return -(-len(jobs["classify_jobs"]) // page_size)


def of_v1(run: Run) -> list[Request]:
    return [request for request in run.requests if request.path == V1]


def test_job_lands_every_row_with_the_requests_of_one_listing(story: Story) -> None:
    assert story.first.tables == story.first.api
    assert len(of_v1(story.first)) == pages(story.first.api, 100) > 1
    assert len(story.first.requests) == len(of_v1(story.first)) + 1


def test_runs_ask_for_v1_and_v2_jobs_only_with_the_key_and_address_of_the_environment(
    story: Story,
) -> None:
    for run in (story.first, story.second, story.refreshed):
        assert {request.path for request in run.requests} == {V1, V2}
        assert {r.headers["authorization"] for r in run.requests} == {f"Bearer {story.key}"}
        assert {r.status for r in run.requests} == {200}


def test_second_run_lands_what_is_new_and_passes_over_what_kept_its_date(story: Story) -> None:
    landed, api = story.second.tables, story.second.api

    jobs = api["classify_jobs"]
    missed = [key for key in jobs if landed["classify_jobs"].get(key) != jobs[key]]
    assert missed == [(story.silent,)]
    assert len(landed["classify_jobs"]) > len(story.first.tables["classify_jobs"])
    for table in api.keys() - {"classify_jobs"}:
        assert landed[table] == api[table]


def test_full_refresh_lands_what_kept_its_date_too_in_pages_of_the_size_given_to_meltano(
    story: Story,
) -> None:
    assert story.refreshed.tables == story.refreshed.api
    assert {r.query["page_size"] for r in of_v1(story.refreshed)} == {"50"}
    assert len(of_v1(story.refreshed)) == pages(story.refreshed.api, 50)


@pytest.mark.heavy
def test_v1_that_is_gone_fails_the_run_where_it_alone_is_selected_and_not_as_shipped(
    tmp_path: Path,
) -> None:
    with Sandbox(World(History(jobs=5, v2_jobs=20))) as sandbox:
        sandbox.settings.gone = {V1: 410}
        project = Project(sandbox, tmp_path)
        said = project.meltano("run", *PIPELINE).stderr
        assert said.count(f"{', '.join(STREAMS)} are left out") == 1
        assert "ERROR" not in said
        assert project.landed() == v2_shown(sandbox)

        alone = json.dumps([f"{name}.*" for name in STREAMS])
        project.failing("run", *PIPELINE, TAP_LLAMACLASSIFY__SELECT=alone)


def test_connections_given_through_meltano_reach_the_tap_with_the_keys_of_their_variables(
    tmp_path: Path,
) -> None:
    connections = [{"name": "emea", "api_key_env": "KEY_OF_EMEA", "project_id": None}]
    with Sandbox(World(History(jobs=10))) as sandbox:
        project = Project(sandbox, tmp_path)
        project.meltano(
            *("invoke", "tap-llamaclassify"),
            KEY_OF_EMEA=sandbox.key,
            LLAMA_CLOUD_API_KEY="llx-of-nobody",
            TAP_LLAMACLASSIFY_CONNECTIONS=json.dumps(connections),
        )
        sent = {request.headers["authorization"] for request in sandbox.requests}
        assert sent == {f"Bearer {sandbox.key}"}


def test_meltano_does_not_show_the_keys_of_connections(tmp_path: Path) -> None:
    connections = json.dumps([{"name": "emea", "api_key": "llx-marked-secret"}])
    with Sandbox(World.empty()) as sandbox:
        shown = Project(sandbox, tmp_path).meltano(
            *("config", "list", "tap-llamaclassify"), TAP_LLAMACLASSIFY_CONNECTIONS=connections
        )
    assert re.search(r"^connections .*current value: \(redacted\)", shown.stdout, re.MULTILINE)
    assert "marked-secret" not in shown.stdout


@pytest.mark.heavy
def test_batch_config_given_through_meltano_makes_parquet_files(tmp_path: Path) -> None:
    lake = tmp_path / "lake"
    config = {"encoding": {"format": "parquet"}, "storage": {"root": str(lake)}, "batch_size": 50}
    with Sandbox(World(History(jobs=100))) as sandbox:
        project = Project(sandbox, tmp_path)
        given = {"TAP_LLAMACLASSIFY_BATCH_CONFIG": json.dumps(config)}
        project.meltano("invoke", "tap-llamaclassify", **given)
        ids = {job["id"] for job in sandbox.world.jobs(sandbox.project_id)}
    landed = duckdb.sql(f"SELECT id FROM '{lake}/classify_jobs-*.parquet'").fetchall()  # noqa: S608 - a path of our own
    assert {row[0] for row in landed} == ids
    assert len(landed) == len(ids)


def test_check_shows_what_can_be_read_and_fails_only_for_what_is_selected(tmp_path: Path) -> None:
    with Sandbox(World(History(jobs=5, v2_jobs=5))) as sandbox:
        sandbox.settings.gone = {V1: 410}
        project = Project(sandbox, tmp_path)
        connections = [{"name": "emea", "api_key_env": "KEY_OF_EMEA"}]
        shown = project.meltano(
            *("invoke", "tap-llamaclassify:check"),
            KEY_OF_EMEA=sandbox.key,
            TAP_LLAMACLASSIFY__SELECT=json.dumps(["classify_v2_*.*"]),
            TAP_LLAMACLASSIFY_CONNECTIONS=json.dumps(connections),
        )
        lines = [re.split(r"\s{2,}", line) for line in shown.stdout.splitlines()]
        host = sandbox.url.removeprefix("http://")
        assert [line[:5] for line in lines[1:]] == [
            ["emea", host, "accepted", "v1", "no: 410 Gone"],
            ["emea", host, "accepted", "v2", "yes"],
            *(["emea", host, "accepted", name, "yes"] for name in BESIDE_JOBS),
        ]
        paths = [request.path for request in sandbox.requests]
        assert paths == [V1, V2, "/api/v1/beta/files", *LISTS]


@pytest.mark.heavy
def test_check_of_a_wrong_key_shows_that_it_is_refused_and_fails(tmp_path: Path) -> None:
    with Sandbox(World.empty()) as sandbox:
        shown = Project(sandbox, tmp_path).failing(
            *("invoke", "tap-llamaclassify:check"), LLAMA_CLOUD_API_KEY="llx-of-nobody"
        )
    refused = re.findall(r" refused +(\w+) +no: 401 Unauthorized\n", shown.stdout)
    assert refused == ["v1", "v2", *BESIDE_JOBS]


@pytest.mark.heavy
@pytest.mark.parametrize("is_quiet", [True, False], ids=["quiet project", "busy project"])
def test_full_refresh_after_a_run_that_was_broken_off_leaves_no_job_behind(
    tmp_path: Path,
    is_quiet: bool,  # noqa: FBT001 - a column of the table above
) -> None:
    with Sandbox(World(History(jobs=10, v2_jobs=400, days=30))) as sandbox:
        project = Project(sandbox, tmp_path)
        given = {
            "TAP_LLAMACLASSIFY__SELECT": json.dumps(["classify_v2_*.*"]),
            "TAP_LLAMACLASSIFY_PAGE_SIZE": "5",
            "TAP_LLAMACLASSIFY_RETRY_SECONDS": "0",
        }

        def break_off(_: int) -> None:
            if len(sandbox.requests) == 60:
                sandbox.settings.gone = {V2: 503}

        sandbox.before_page = break_off
        project.failing("run", *PIPELINE, **given)
        assert {request.path for request in sandbox.requests} == {V2}
        sandbox.before_page, sandbox.settings.gone = None, {}
        if not is_quiet:
            sandbox.world.advance(DAY)

        project.meltano("run", "--full-refresh", *PIPELINE, **given)
        assert project.landed() == v2_shown(sandbox)
        for bookmark in project.state(STATE_ID).values():
            # Meltano merges what the run that was broken off had left with what this one left.
            assert bookmark.keys() >= {"created_at_read_until", "replication_key_value"}

        sandbox.world.advance(DAY)
        sandbox.clear_requests()
        project.meltano("run", *PIPELINE, **given)
        assert project.landed() == v2_shown(sandbox)
        pages = -(-len(sandbox.world.v2_jobs(sandbox.project_id)) // 5)
        assert len(sandbox.requests) < pages / (1 if is_quiet else 2)
        for bookmark in project.state(STATE_ID).values():
            assert "created_at_read_until" not in bookmark


@pytest.mark.heavy
def test_full_refresh_of_one_stream_leaves_the_bookmarks_of_the_others(tmp_path: Path) -> None:
    jobs = V2_STREAMS[0]
    with Sandbox(World(History(v2_jobs=20))) as sandbox:
        project = Project(sandbox, tmp_path)
        before = {name: bookmark_at(stamp(sandbox.world.now())) for name in V2_STREAMS}
        state = json.dumps({"singer_state": {"bookmarks": before}})
        project.meltano("state", "set", "--force", STATE_ID, state)
        given = {"TAP_LLAMACLASSIFY__SELECT_FILTER": json.dumps([jobs])}
        project.meltano("run", "--full-refresh", *PIPELINE, **given)
        assert project.landed({jobs: V2_KEYS[jobs]})[jobs] == v2_shown(sandbox)[jobs]
        after = project.state(STATE_ID)
        assert [name for name in V2_STREAMS if after[name] != before[name]] == [jobs]


def test_runs_leave_the_project_file_as_it_was(story: Story) -> None:
    assert PROJECT_FILE.read_bytes() == story.project_file


def test_settings_and_capabilities_are_those_that_the_tap_shows(
    tap: dict[str, Any], about: dict[str, Any]
) -> None:
    declared = {
        setting["name"]: (setting["kind"], setting["description"], setting.get("sensitive", False))
        for setting in tap["settings"]
    }

    assert declared == {
        name: (kind_of(setting), setting["description"], setting.get("secret", False))
        for name, setting in about["settings"]["properties"].items()
    }
    assert len(declared) == len(tap["settings"])
    assert sorted(tap["capabilities"]) == sorted(about["capabilities"])


def kind_of(setting: dict[str, Any]) -> str:
    if setting.get("format") == "date-time":
        return "date_iso8601"
    (kind,) = (type_ for type_ in setting["type"] if type_ != "null")
    return str(kind)


def test_no_setting_of_the_tap_has_a_value_that_would_beat_the_environment(
    tap: dict[str, Any],
) -> None:
    assert "config" not in tap
    assert [setting["name"] for setting in tap["settings"] if "value" in setting] == []


def test_select_lists_the_streams_that_the_tap_selects_by_default(
    tap: dict[str, Any], catalog: dict[str, Any]
) -> None:
    selected = {
        stream["tap_stream_id"]
        for stream in catalog["streams"]
        for entry in stream["metadata"]
        if entry["breadcrumb"] == [] and entry["metadata"].get("selected-by-default", True)
    }
    assert sorted(tap["select"]) == sorted(f"{name}.*" for name in selected)
    assert selected == {*DEFAULT_STREAMS}
    assert tap["select"] == [f"{name}.*" for name in (*V2_STREAMS, *STREAMS)]


def test_project_file_names_every_stream_that_could_be_selected(catalog: dict[str, Any]) -> None:
    named = re.findall(r"(classify_\w+)\.\*", PROJECT_FILE.read_text(encoding="utf-8"))
    assert sorted(named) == sorted(stream["tap_stream_id"] for stream in catalog["streams"])


@pytest.mark.parametrize("kind", ["loaders", "utilities"])
def test_loaders_and_dbt_can_be_taken_over_as_they_stand(
    kind: str, project_file: dict[str, Any]
) -> None:
    constraints = {*(ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()}
    for plugin in project_file["plugins"][kind]:
        words = shlex.split(plugin["pip_url"])
        assert "-c" not in words
        pins = {word for word in words if word not in {"-e", ".[report]"}}
        assert all(re.search("==|<", pin) for pin in pins)
        if kind == "utilities":
            assert {pin for pin in pins if "==" in pin} <= constraints


def test_duckdb_file_has_another_name_than_its_schema(project_file: dict[str, Any]) -> None:
    # DuckDB calls a file's database by its name, and could not tell it from the schema.
    loaders = {loader["name"]: loader for loader in project_file["plugins"]["loaders"]}
    config = loaders["target-duckdb"]["config"]

    assert Path(config["filepath"]).stem != config["default_target_schema"]
