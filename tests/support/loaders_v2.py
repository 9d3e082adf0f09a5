"""The tables that a loader must end with when every stream is selected, made from a world."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from llamacloud_sandbox.server import Sandbox
from tests.support.builders import ALL_STREAMS, catalog_with
from tests.support.commands import Command, Ended, ended
from tests.support.items import configuration, v2_job
from tests.support.loaders import AWKWARD, ODD, Row, Tables, expected, utc
from tests.support.loaders import KEYS as V1_KEYS

KEYS = V1_KEYS | {
    "classify_job_results": ("id",),
    "classify_v2_jobs": ("id",),
    "classify_v2_job_rules": ("job_id", "rule_index"),
    "classify_v2_job_parsing_configs": ("job_id",),
    "classify_projects": ("id",),
    "classify_organizations": ("id",),
}
TIMES = ("created_at", "effective_at", "updated_at", "job_updated_at")
EVERYTHING = {"fetch_results": True, "fetch_usage": True}
"""The settings that let every column be filled."""

V2_JOB_COLUMNS = (
    *("id", "project_id", "user_id", "status", "configuration_id", "document_input_type"),
    *("file_input", "parse_job_id", "transaction_id", "error_message"),
)
NESTED = ("configuration", "result", "usage", "created_at", "updated_at")

AWKWARD_V2: Row = v2_job(
    "Übung 日本 📷",
    configuration=configuration(
        rules=[
            {"type": "räumung", "description": '"quotes", \\N, \\" and\nline\r\nbreaks\t;'},
            {"type": "null", "description": "NULL", "weight": 0.25},
        ],
        parsing_configuration={"lang": "ja", "max_pages": 0, "target_pages": "1,3,5-7"},
    ),
    result={"type": None, "confidence": 0.1 + 0.2, "reasoning": "—\u2028“”"},
    usage={"credits": 1e-9, "parse_credits": 12345678.123456},
    created_at="2026-11-20T09:00:00+02:00",
    updated_at="2026-11-20T09:00:00.123456Z",
)
"""A v2 job whose values a loader may stumble over."""


def select_all(sandbox: Sandbox) -> Row:
    """Make a catalog that selects every stream."""
    return catalog_with(sandbox, **{name: {"selected": True} for name in ALL_STREAMS})


def api_shows(sandbox: Sandbox, *project_ids: str) -> Tables:
    """Make all tables from what the API shows the keys of some projects; else of the first."""
    ids = project_ids or (sandbox.project_id,)
    jobs = [job for id_ in ids for job in sandbox.world.jobs(id_)]
    v2_jobs = [job for id_ in ids for job in sandbox.world.v2_jobs(id_)]
    laid_out = expected(job | job["configuration"] for job in v2_jobs)
    return expected(jobs) | {
        "classify_job_results": _by_id(_result_rows(sandbox, jobs)),
        "classify_v2_jobs": _by_id(map(_v2_job_row, v2_jobs)),
        "classify_v2_job_rules": laid_out["classify_job_rules"],
        "classify_v2_job_parsing_configs": laid_out["classify_job_parsing_configs"],
        "classify_projects": _by_id(map(_project_row, sandbox.world.projects())),
        "classify_organizations": _by_id(map(_organization_row, sandbox.world.organizations())),
    }


def _by_id(rows: Iterable[Row]) -> dict[tuple[Any, ...], Row]:
    return {(row["id"],): row for row in rows}


def _result_rows(sandbox: Sandbox, jobs: Iterable[Row]) -> list[Row]:
    return [
        {
            "id": result["id"],
            "job_id": job["id"],
            "project_id": job["project_id"],
            "file_id": result["file_id"],
            **{name: (result["result"] or {}).get(name) for name in _FOUND},
            **{name: utc(result[name]) for name in ("created_at", "updated_at")},
            "job_updated_at": utc(job["updated_at"]),
            "additional_fields": None,
        }
        for job in jobs
        for result in sandbox.world.results(job["id"])
    ]


_FOUND = ("type", "confidence", "reasoning")


def _v2_job_row(job: Row) -> Row:
    asked, usage = job["configuration"], job["usage"] or {}
    others = {name: job[name] for name in job.keys() - {*V2_JOB_COLUMNS, *NESTED}}
    known = {"rules", "mode", "parsing_configuration"}
    if asked.keys() - known:
        others["configuration"] = {name: asked[name] for name in asked.keys() - known}
    return {
        **{name: job[name] for name in V2_JOB_COLUMNS},
        "mode": asked["mode"],
        **{f"result_{name}": (job["result"] or {}).get(name) for name in _FOUND},
        **{f"usage_{name}": usage.get(name) for name in ("credits", "parse_credits")},
        "rule_count": len(asked["rules"]),
        **{name: utc(job[name]) for name in ("created_at", "updated_at")},
        "additional_fields": others or None,
    }


def _organization_row(organization: Row) -> Row:
    return _listed_row(organization, "id", "name")


def _project_row(project: Row) -> Row:
    return _listed_row(project, "id", "name", "organization_id", "is_default")


def _listed_row(item: Row, *columns: str) -> Row:
    times = ("created_at", "updated_at")
    others = {name: item[name] for name in item.keys() - {*columns, *times}}
    kept = {name: item[name] for name in columns} | {name: utc(item[name]) for name in times}
    return kept | {"additional_fields": others or None}


def put_awkward(sandbox: Sandbox, *jobs: Row, **v2_jobs: Row) -> None:
    """Put v1 jobs, and v2 jobs under any names, into the first project."""
    for each in jobs:
        sandbox.world.put(each | {"project_id": sandbox.project_id})
    for each in v2_jobs.values():
        sandbox.world.put_v2(each | {"project_id": sandbox.project_id})


def live_on(sandbox: Sandbox, said: str = "\x00") -> None:
    """Let two days go by, in which awkward jobs change, and projects and organizations, too.

    `said` is what the v2 job says of its failure.
    """
    world = sandbox.world
    world.advance(2 * 86_400)
    changes: dict[str, Row] = {
        AWKWARD["id"]: {"status": "SUCCESS", "error_message": None, "labels": ["новый", 1]},
        ODD["id"]: {"error_message": "now with text", "labels": None},
    }
    for id_ in changes.keys() & world.entries().keys():
        world.touch(id_, **changes[id_])
    if AWKWARD_V2["id"] in world.v2_entries():
        world.touch_v2(AWKWARD_V2["id"], status="FAILED", error_message=said, result=None)
    world.put_project({"id": sandbox.project_id, "name": "Renamed", "is_default": None})
    world.put_organization({"id": world.organization_id, "name": "Renamed"})


class Pipeline:
    """The tap piped into a loader, which writes the state that the next run begins with."""

    def __init__(self, command: Command, config: Row, target: Path, folder: Path) -> None:
        self._command = command
        self._config = config
        self._target = target
        self.folder = folder
        self.state: Row = {}
        self.sessions: Row = {}
        """What the environment tells the loader."""

    def settings(self) -> Row:
        """Return the loader's settings."""
        raise NotImplementedError

    def attempt(
        self, *arguments: Any, target: Row | None = None, **config: Any
    ) -> tuple[list[Row], Ended]:
        """Sync once; return the messages that the tap wrote, and how the loader ended."""
        given = {name: v for name, v in (self._config | config).items() if v is not None}
        tapped = self._command("--config", given, "--state", self.state, *arguments)
        assert tapped.code == 0, tapped.stderr
        path = self.folder / "target.json"
        path.write_text(json.dumps(self.settings() | (target or {})), encoding="utf-8")
        environment = os.environ | self.sessions
        loaded = ended([self._target, "--config", path], tapped.stdout, env=environment)
        return tapped.output.messages, loaded

    def run(self, *arguments: Any, target: Row | None = None, **config: Any) -> list[Row]:
        """Sync once to its good end; return the messages that the loader was given."""
        messages, loaded = self.attempt(*arguments, target=target, **config)
        assert loaded.code == 0, loaded.stderr
        self.state = json.loads(loaded.stdout.splitlines()[-1])
        return messages


NUMBERS = {
    "classify_job_results.confidence",
    "classify_v2_jobs.result_confidence",
    "classify_v2_jobs.usage_credits",
    "classify_v2_jobs.usage_parse_credits",
}
"""The columns of numbers that need not be whole."""


def check_two_runs(
    sandbox: Sandbox,
    run: Callable[[], object],
    landed: Callable[[], Tables],
    shown: Callable[[], Tables],
    *,
    said: str = "\x00",
) -> None:
    """Make sure that a loader has what the API shows after each of two runs, and that it changed.

    `said` is what a v2 job says that fails in between.
    """
    run()
    first = shown()
    assert landed() == first
    live_on(sandbox, said)
    run()
    second = shown()
    assert landed() == second
    assert all(second[table] != first[table] for table in second)
