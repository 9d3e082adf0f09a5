"""Runs of the tap: what they are given, what they are held up by, and how they ended."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import pytest

from llamacloud_sandbox.server import Sandbox
from tests.support.builders import ALL_STREAMS, STREAMS, Output, catalog_with
from tests.support.commands import Ended
from tests.support.items import v2_job
from tests.support.moments import PATIENCE

Row = dict[str, Any]
UPDATED_AT = "updated_at"


def put(sandbox: Sandbox, *jobs: Row) -> None:
    """Add v1 jobs to the first project."""
    for each in jobs:
        sandbox.world.put(each | {"project_id": sandbox.project_id})


def put_v2(sandbox: Sandbox, *ids: str, **fields: Any) -> None:
    """Add v2 jobs to the first project."""
    for each in ids:
        sandbox.world.put_v2(v2_job(each, project_id=sandbox.project_id, **fields))


def select(sandbox: Sandbox, *streams: str, **wish: Any) -> Row:
    """Make a catalog of some streams and no others; the wish is for all of them."""
    entries = {name: wish | {"selected": name in streams} for name in ALL_STREAMS}
    return catalog_with(sandbox, **entries)


def config_of(sandbox: Sandbox, **more: Any) -> Row:
    """Make settings for a sandbox, without retries."""
    return {"api_url": sandbox.url, "api_key": sandbox.key, "retry_seconds": 0} | more


def bookmark_at(value: Any, key: str = UPDATED_AT) -> Row:
    """Make what a stream's entry in a state has of its bookmark."""
    return {"replication_key": key, "replication_key_value": value}


def bookmarks_at(value: str) -> Row:
    """Make a state in which the streams of v1 jobs have come to an update."""
    return {"bookmarks": {stream: bookmark_at(value) for stream in STREAMS}}


def reached(state: Mapping[str, Any]) -> dict[str, str]:
    """Return the bookmarks of a state that are none of them null, by stream."""
    found = Output([{"type": "STATE", "value": state}]).bookmarks()
    return {stream: value for stream, value in found.items() if value}


def failure(ended: Ended, code: int = 1) -> str:
    """Make sure that a command failed with one line and no traceback; return the line."""
    assert ended.code == code
    assert "Traceback" not in ended.stderr
    assert "Exception ignored" not in ended.stderr
    (line,) = ended.errors
    return line


def success(ended: Ended) -> Output:
    """Make sure that a command ended well; return what it wrote."""
    assert (ended.code, ended.errors) == (0, [])
    return ended.output


def warning(ended: Ended) -> str:
    """Make sure that a command ended well with one warning; return it."""
    success(ended)
    (line,) = ended.lines("WARNING")
    return line


def assert_version_activated_last(output: Output) -> None:
    """Make sure that all records are of the one version, which is activated after them."""
    (version,) = output.of_type("ACTIVATE_VERSION")
    rows = output.of_type("RECORD")
    assert {row["version"] for row in rows} == {version["version"]}
    assert output.messages.index(version) > output.messages.index(rows[-1])


def at_page(sandbox: Sandbox, page: int, do: Callable[[], object]) -> None:
    """Do something in the server's thread before a page is made."""

    def before_page(number: int) -> None:
        if number == page:
            do()

    sandbox.before_page = before_page


class Hold:
    """Holds up whoever comes, until it is left."""

    def __init__(self) -> None:
        self._came, self._release = threading.Semaphore(0), threading.Event()

    def __call__(self, *_: Any) -> None:
        """Hold somebody up."""
        self._came.release()
        self._release.wait(PATIENCE)

    def wait(self, count: int = 1) -> None:
        """Wait until so many have come."""
        for _ in range(count):
            assert self._came.acquire(timeout=PATIENCE)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._release.set()


@contextmanager
def watched(owner: Any, name: str, before: Callable[..., object]) -> Iterator[None]:
    """Call something with a method's arguments each time before the method itself."""
    method = getattr(owner, name)

    def call(*arguments: Any, **options: Any) -> Any:
        before(*arguments, **options)
        return method(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, name, call)
        yield
