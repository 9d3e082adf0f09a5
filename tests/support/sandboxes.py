"""Sandboxes that a test asks over HTTP, in this process or by their command."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
import requests

from llamacloud_sandbox.api.app import PATH, V2_PATH
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.clock import Clock
from llamacloud_sandbox.world.history import History, Job
from llamacloud_sandbox.world.world import World
from tests.support.builders import job
from tests.support.commands import ROOT
from tests.support.items import v2_job

START = datetime(2026, 3, 4, 10, 30, tzinfo=UTC)
DAY = 86_400.0


def world_of(jobs: int = 0, **history: Any) -> World:
    """Make a world that begins at START, with so many v1 jobs."""
    return World(History(jobs=jobs, **history), clock=Clock(START))


class Part:
    """A world's jobs of one version, by the names that those of v1 have."""

    def __init__(self, world: World, *, is_v2: bool) -> None:
        self.jobs = world.v2_jobs if is_v2 else world.jobs
        self.job = world.v2_job if is_v2 else world.job
        self.put = world.put_v2 if is_v2 else world.put
        self.put_raw = world.put_raw_v2 if is_v2 else world.put_raw
        self.touch = world.touch_v2 if is_v2 else world.touch
        self.delete = world.delete_v2 if is_v2 else world.delete


@dataclass(frozen=True)
class Version:
    """A version of the API.

    Attributes:
        setting: What a history calls the number of its jobs.
        make: Makes a job.
    """

    name: Literal["v1", "v2"]
    path: str
    setting: str
    make: Callable[..., Job]

    def world(self, jobs: int, /, **history: Any) -> World:
        """Make a world that begins at START, with so many jobs of this version."""
        return world_of(**history | {self.setting: jobs})

    def of(self, world: World) -> Part:
        """Return a world's jobs of this version."""
        return Part(world, is_v2=self.name == "v2")

    def filled(self, *identities: str, **fields: Any) -> World:
        """Make a world that has these jobs only."""
        world = World.empty(clock=Clock(START))
        for identity in identities:
            self.of(world).put(self.make(identity, **fields))
        return world

    def shown(self, jobs: Sequence[Job]) -> list[Job]:
        """Return jobs as a listing shows them."""
        return without_usage(jobs) if self.name == "v2" else [*jobs]


V1 = Version("v1", PATH, "jobs", job)
V2 = Version("v2", V2_PATH, "v2_jobs", v2_job)
each_version = pytest.mark.parametrize("version", [V1, V2], ids=["v1", "v2"])


def without_usage(jobs: Sequence[Job]) -> list[Job]:
    """Return v2 jobs as they are shown to those who do not ask for their usage."""
    return [each | {"usage": None} for each in jobs]


def get(
    sandbox: Sandbox, path: str = PATH, *, key: str = "", timeout: float = 10, **options: Any
) -> requests.Response:
    """Send a request with a key, else the first project's; `options` are those of requests."""
    headers = {"Authorization": f"Bearer {key or sandbox.key}"}
    return requests.get(sandbox.url + path, headers=headers, timeout=timeout, **options)


def ask(sandbox: Sandbox, path: str = PATH, *, key: str = "", **query: Any) -> requests.Response:
    """Send a request with parameters."""
    return get(sandbox, path, key=key, params=query)


def walk(sandbox: Sandbox, path: str = PATH, **query: Any) -> list[dict[str, Any]]:
    """Return the pages of a listing, from the first to the last."""
    pages: list[dict[str, Any]] = [ask(sandbox, path, **query).json()]
    while token := pages[-1].get("next_page_token"):
        pages.append(ask(sandbox, path, **query, page_token=token).json())
    return pages


def listed(sandbox: Sandbox, path: str = PATH, **query: Any) -> list[Any]:
    """Return the items of a listing."""
    return [item for page in walk(sandbox, path, **query) for item in page["items"]]


def token_of(sandbox: Sandbox, path: str = PATH, **query: Any) -> str:
    """Return the token of a listing's second page."""
    token: str = ask(sandbox, path, **query).json()["next_page_token"]
    return token


def ids_of(items: Sequence[Any]) -> list[str]:
    """Return the ids of jobs, in their order."""
    return [item["id"] for item in items]


@contextmanager
def greeted(
    options: str,
    command: Sequence[str | Path] = (sys.executable, "-m", "llamacloud_sandbox"),
    **process: Any,
) -> Iterator[list[str]]:
    """Run the sandbox's command until Ctrl-C ends it well; give the lines that it greets with."""
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    words = [*command, "--port", "0", "--speed", "0", *options.split()]
    with subprocess.Popen(words, encoding="utf-8", **pipes | {"cwd": ROOT} | process) as running:
        assert running.stdout
        assert running.stderr
        try:
            yield list(iter(running.stdout.readline, "Ctrl-C stops it.\n"))
        finally:
            running.send_signal(signal.SIGINT)
            said = running.stdout.read(), running.stderr.read()
    assert (running.returncode, *said) == (0, "", "")


def exported(lines: Sequence[str]) -> tuple[str, str]:
    """Return the address and the key that a greeting lets the reader export."""
    exports = dict(line[len("export ") :].split("=") for line in lines if "export" in line)
    url, key = (exports[f"LLAMA_CLOUD_{name}"].strip() for name in ("BASE_URL", "API_KEY"))
    return url, key
