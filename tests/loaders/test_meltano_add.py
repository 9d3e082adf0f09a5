"""In a new Meltano project the tap comes from its definition, as README tells, and lands it all."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.wire.front import Request
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.api_rows import V2_KEYS, Tables, expected_v2
from tests.support.builders import V2_STREAMS
from tests.support.commands import ROOT, Ended, built_wheel, ended
from tests.support.loaders import in_duckdb, plugin

pytestmark = [pytest.mark.heavy, pytest.mark.pipeline]

DAY = 86_400.0
DEFINITION = ROOT / "plugins" / "extractors" / "tap-llamaclassify.yml"
LOADER = "target-duckdb"
PAGE_SIZE = 10
USERS_OWN = ("LLAMA_", "MELTANO_", "TAP_LLAMACLASSIFY_", "TARGET_DUCKDB_", "LOGLEVEL")


@dataclass(frozen=True, kw_only=True)
class Run:
    """How commands ended, what they asked of the API, what had landed then, what the API shows."""

    ended: Ended
    requests: list[Request]
    landed: Tables
    api: Tables


@dataclass(frozen=True, kw_only=True)
class Story:
    """A project from its beginning to the run after the first.

    `added` is the tap's entry in meltano.yml after README's commands, `set_` all of meltano.yml
    after the key was set, and `listed` what `meltano select --list` said then.
    """

    key: str
    added: dict[str, Any]
    first: Run
    set_: str
    listed: str
    second: Run


class Project:
    """A Meltano project in a folder of its own, with the tap's definition and a loader's entry."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        bin_ = str(Path(sys.executable).parent)
        self._sandbox = sandbox
        self.folder = folder / "project"
        self._environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith(USERS_OWN)},
            "LLAMA_CLOUD_BASE_URL": sandbox.url,
            "MELTANO_CLI_DISABLE_VERSION_CHECK": "1",
            "NO_PROXY": "*",
            "PATH": os.pathsep.join([bin_, os.environ["PATH"]]),
            "UV_SYSTEM_CERTS": "1",
        }
        self.folder.mkdir()
        self.bash("meltano init . --no-usage-stats")
        definition = DEFINITION.read_text(encoding="utf-8")
        pip_url = f"pip_url: {built_wheel(folder)} -c {ROOT / 'constraints.txt'}"
        definition, times = re.subn("^pip_url: .*$", pip_url, definition, flags=re.MULTILINE)
        assert times == 1
        (self.folder / DEFINITION.name).write_text(definition, encoding="utf-8")
        project = yaml.safe_load(self.file) | {"plugins": {"loaders": [plugin(LOADER)]}}
        (self.folder / "meltano.yml").write_text(yaml.safe_dump(project), encoding="utf-8")

    @property
    def file(self) -> str:
        """The text of meltano.yml."""
        return (self.folder / "meltano.yml").read_text(encoding="utf-8")

    def bash(self, commands: str, **environment: str) -> Ended:
        """Run commands in the project, each to its good end."""
        given = self._environment | environment
        done = ended(["bash", "-e", "-c", commands], cwd=self.folder, env=given)
        assert done.code == 0, done.stdout + done.stderr
        return done

    def run(self, commands: str, **environment: str) -> Run:
        """Run commands, the last of which loads."""
        self._sandbox.clear_requests()
        done = self.bash(commands, **environment)
        jobs = self._sandbox.world.v2_jobs(self._sandbox.project_id)
        return Run(
            ended=done,
            requests=self._sandbox.requests,
            landed=in_duckdb(self.folder / "output" / "warehouse.duckdb", V2_KEYS),
            api=expected_v2(jobs, with_usage=False),
        )

    def forget(self, stream: str, column: str) -> None:
        """Take a column out of the catalog that Meltano keeps, as if an older tap had made it."""
        file = self.folder / ".meltano" / "run" / "tap-llamaclassify" / "tap.properties.json"
        catalog = json.loads(file.read_bytes())
        (entry,) = (each for each in catalog["streams"] if each["tap_stream_id"] == stream)
        del entry["schema"]["properties"][column]
        entry["metadata"] = [each for each in entry["metadata"] if column not in each["breadcrumb"]]
        file.write_text(json.dumps(catalog), encoding="utf-8")


def commands_of_readme() -> str:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (commands,) = re.findall(r"<!-- meltano -->\n```sh\n(.*?)```", text, re.DOTALL)
    return str(commands)


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with Sandbox(World(History(jobs=5, v2_jobs=200))) as sandbox:
        project = Project(sandbox, tmp_path_factory.mktemp("meltano"))
        first = project.run(commands_of_readme(), LLAMA_CLOUD_API_KEY=sandbox.key)
        (added,) = yaml.safe_load(project.file)["plugins"]["extractors"]
        (project.folder / "key.txt").write_text(sandbox.key, encoding="utf-8")
        project.bash("meltano config set tap-llamaclassify api_key --from-file key.txt")
        # Where a setting has changed Meltano makes the catalog anew; from here on none does.
        pages = {"TAP_LLAMACLASSIFY_PAGE_SIZE": f"{PAGE_SIZE}"}
        listed = project.bash("meltano select tap-llamaclassify --list", **pages).stdout
        project.forget("classify_v2_jobs", "status")
        sandbox.world.advance(2 * DAY)
        yield Story(
            key=sandbox.key,
            added=added,
            first=first,
            set_=project.file,
            listed=listed,
            second=project.run(
                f"meltano run --refresh-catalog tap-llamaclassify {LOADER}", **pages
            ),
        )


def test_add_takes_all_that_the_definition_says_for_meltano_but_its_selection(story: Story) -> None:
    definition = yaml.safe_load(DEFINITION.read_text(encoding="utf-8"))
    for_the_hub = {"keywords", "domain_url", "maintenance_status", "quality"}
    for name in definition.keys() - for_the_hub - {"pip_url", "select", "settings"}:
        assert story.added[name] == definition[name], name
    assert by_name(story.added["settings"]) == by_name(definition["settings"])
    # README has people select because of this.
    assert story.added.keys() & for_the_hub == set()
    assert story.added["select"] == ["classify_v2_*.*"]


def by_name(settings: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {setting["name"]: setting for setting in settings}


def test_key_in_the_environment_is_enough_and_meltano_has_nothing_to_say_against_it(
    story: Story,
) -> None:
    assert {r.headers["authorization"] for r in story.first.requests} == {f"Bearer {story.key}"}
    said = re.findall(r"\[(?:warning|error|critical) *\] (.*)", story.first.ended.stderr)
    assert [line.split(maxsplit=1)[1] for line in said] == ["No state was found, complete import."]


def test_check_shows_what_can_be_read_with_the_streams_that_are_selected(story: Story) -> None:
    lines = [re.split(r"\s{2,}", line) for line in story.first.ended.stdout.splitlines()]
    shown = {line[2]: line[3] for line in lines if line[1:2] == ["accepted"]}
    assert shown["v2"] == "yes"
    assert len(shown) == 8


def test_commands_of_the_readme_land_every_row_of_what_they_select(story: Story) -> None:
    assert story.first.landed == story.first.api
    selected = re.findall(r"^\s*\[(?:selected|automatic) *\] (\w+)\.", story.listed, re.MULTILINE)
    assert {*selected} == {*V2_STREAMS}


def test_key_that_was_set_is_what_the_next_run_goes_by_and_is_kept_out_of_meltano_yml(
    story: Story,
) -> None:
    assert story.key not in story.set_
    assert {r.headers["authorization"] for r in story.second.requests} == {f"Bearer {story.key}"}


def test_second_run_lands_every_row_and_column_again_and_moves_little(story: Story) -> None:
    # Without --refresh-catalog the column that the kept catalog lacks would be null.
    assert story.second.landed == story.second.api
    jobs = story.second.api["classify_v2_jobs"]
    assert len(jobs) > len(story.first.api["classify_v2_jobs"])
    assert {r.query["page_size"] for r in story.second.requests} >= {f"{PAGE_SIZE}"}
    assert len(story.second.requests) * PAGE_SIZE < len(jobs) / 2
