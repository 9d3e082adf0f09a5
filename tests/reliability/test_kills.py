"""Real processes, really killed: the tap piped into target-duckdb, SIGKILL at random moments.

The moments come from SEED, a number; those that are counted in bytes come again. TRIALS says how
many kills there are to be.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from random import Random
from subprocess import PIPE, Popen
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Order
from llamacloud_sandbox.world.clock import stamp
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.api_rows import V2_KEYS, Row, Tables, expected, expected_v2, utc
from tests.support.builders import job
from tests.support.commands import COMMAND
from tests.support.items import v2_job
from tests.support.loaders import in_duckdb, loader, plugin
from tests.support.pipe import Moment, Pipe, close
from tests.support.simulated import fixed
from tests.support.tally import Tally
from tests.support.trials import SEED, USUAL, trials
from tests.support.windows import contain, spans_of

JOBS = 20_000
# Of all jobs, four in five are the first project's.
ALL_JOBS = 25_400
CALM_AFTER = 4
"""After so many kills a run is left in peace, so that the next ones resume from its bookmark."""
BYTES_A_JOB = 2_000
DAY = 86_400.0


def moment(random: Random, kill: int, due: int) -> Moment:
    """Choose a moment; five kinds take turns, so that twenty kills hit every stage of a run."""
    victims = frozenset(random.choice([("tap",), ("loader",), ("tap", "loader")]))
    flushing, size = random.uniform(0, 0.5), due * BYTES_A_JOB
    match kill % 5:
        case 0:  # The interpreters start, connect, and send the first request.
            return Moment(victims, after_seconds=random.uniform(0, 1.2), flushing=flushing)
        case 1:  # At any time.
            return Moment(victims, after_seconds=random.uniform(0.5, 4), flushing=flushing)
        case 2:  # The tap has written all, and the loader flushes what it still holds.
            return Moment(victims, flushing=flushing)
        case 3:  # Near the end.
            part = random.uniform(0.9, 1)
        case _:
            part = random.random()
    return Moment(victims, after_bytes=int(part * size), flushing=flushing)


class Warehouse:
    """The file that the loader fills, and the state that it kept."""

    def __init__(self, sandbox: Sandbox, target: Path, folder: Path) -> None:
        self.file = folder / "warehouse.duckdb"
        self.state: Row = {}
        self._folder = folder
        self._target = target
        # Small batches, so that it flushes often, and a kill may hit it there.
        own = {"filepath": str(self.file), "batch_size_rows": 2_500}
        settings = plugin("target-duckdb")["config"] | own
        config = {"api_url": sandbox.url, "api_key": sandbox.key, "page_size": 500}
        (folder / "target.json").write_text(json.dumps(settings), encoding="utf-8")
        (folder / "tap.json").write_text(json.dumps(config), encoding="utf-8")

    def run(self, moment: Moment | None) -> bool:
        """Run tap and loader, with the state that was kept last; return whether any was killed."""
        folder = self._folder
        (folder / "state.json").write_text(json.dumps(self.state), encoding="utf-8")
        tap: list[str | Path] = [
            COMMAND,
            "--config",
            folder / "tap.json",
            "--state",
            folder / "state.json",
        ]
        target: list[str | Path] = [self._target, "--config", folder / "target.json"]
        out, tap_log, log = (folder / name for name in ("states", "tap.log", "loader.log"))
        with out.open("wb") as states, tap_log.open("wb") as told, log.open("wb") as logged:
            pipe = Pipe(
                Popen(tap, stdin=PIPE, stdout=PIPE, stderr=told),
                Popen(target, stdin=PIPE, stdout=states, stderr=logged),
            )
            close(pipe.tap.stdin)
            pipe.run(moment)
        if not pipe.was_killed:
            codes = pipe.tap.returncode, pipe.loader.returncode
            assert codes == (0, 0), (codes, tap_log.read_text(), log.read_text())
        # A tap that loses its loader, too, ends with a line that says so.
        errors = [line for line in tap_log.read_text().splitlines() if "ERROR" in line]
        assert len(errors) < 2
        assert all("the loader has closed the pipe" in line for line in errors)
        assert "Traceback" not in tap_log.read_text()
        lines = out.read_bytes().split(b"\n")[:-1]
        if lines:
            self.state = json.loads(lines[-1])
        return pipe.was_killed

    def bookmark(self, stream: str) -> str | None:
        """Return how far the state claims that a table has come."""
        entry = self.state.get("bookmarks", {}).get(stream, {})
        value: str | None = entry.get("replication_key_value")
        return value


class Life:
    """What happens in the world, between runs and while pages are listed."""

    def __init__(self, sandbox: Sandbox, random: Random) -> None:
        self._world = sandbox.world
        self._project = sandbox.project_id
        self._random = random
        self._ids = sorted(self._world.entries(self._project))
        self._new = 0

    def goes_on(self, *, seconds: float, touched: int, new: int) -> None:
        """Let time pass, then change jobs and add some; none is deleted."""
        self._world.advance(seconds)
        for job_id in self._random.sample(self._ids, touched):
            text = f"at {stamp(self._world.now())}"
            self._world.touch(job_id, status="ERROR", error_message=text)
        for _ in range(new):
            now = stamp(self._world.now())
            fields = {"project_id": self._project, "created_at": now, "updated_at": now}
            self._new += 1
            self._world.put(job(f"new {self._new}", **fields))
            self._ids.append(f"new {self._new}")

    def at_page(self, number: int) -> None:
        """Go on a little; not at every page, because the sandbox sorts all jobs anew each time."""
        if number % 5 == 0:
            self.goes_on(seconds=2, touched=50, new=5)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(World(History(jobs=ALL_JOBS))) as running:
        assert len(running.world.jobs(running.project_id)) >= JOBS
        running.settings.latency_ms = 10
        yield running


def overclaimed(sandbox: Sandbox, warehouse: Warehouse) -> list[Any]:
    """List the rows that the state claims and the tables do not hold as they are."""
    if not warehouse.state:
        return []
    held = in_duckdb(warehouse.file)
    return [
        (table, key)
        for table, rows in expected(sandbox.world.jobs(sandbox.project_id)).items()
        if (bookmark := utc(warehouse.bookmark(table)))
        for key, row in rows.items()
        if row["updated_at"] <= bookmark and held[table].get(key) != row
    ]


@contextmanager
def noted(told: Callable[[], Any]) -> Iterator[None]:
    """Add the story to whatever fails."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"SEED={SEED}: {told()}")
        raise


@pytest.mark.heavy
def test_nothing_is_lost_when_tap_and_loader_are_killed_at_twenty_moments(
    sandbox: Sandbox, tmp_path: Path, tally: Tally
) -> None:
    random = Random(SEED)  # noqa: S311 - must be repeatable, not secret
    life = Life(sandbox, Random(SEED + 1))  # noqa: S311 - must be repeatable, not secret
    warehouse = Warehouse(sandbox, loader("target-duckdb"), tmp_path)
    story: list[Any] = []
    kills, most = 0, trials(20)
    calm = {*range(CALM_AFTER + 1, most, CALM_AFTER)}
    assert calm, f"TRIALS must be more than {CALM_AFTER + 1}, or no kill follows a run in peace"
    while kills < most:
        life.goes_on(seconds=DAY / 4, touched=600, new=100)
        sandbox.before_page = life.at_page
        sandbox.settings.order = random.choice(["newest", "oldest", "updated", "shuffled"])
        since = warehouse.bookmark("classify_jobs") or ""
        due = sum(j["updated_at"] > since for j in sandbox.world.jobs(sandbox.project_id))
        chosen = None if kills in calm else moment(random, kills, due)
        calm.discard(kills)
        story.append((chosen, sandbox.settings.order))
        with noted(lambda: story):
            killed = warehouse.run(chosen)
            sandbox.before_page = None
            assert overclaimed(sandbox, warehouse) == []
        kills += killed
        tally("SIGKILLs, v1, RECORD into target-duckdb", killed)
    with noted(lambda: story):
        warehouse.run(None)
        assert in_duckdb(warehouse.file) == expected(sandbox.world.jobs(sandbox.project_id))


V2_JOBS = 8_000
V2_BYTES_A_JOB = 1_300


def put_v2_history(sandbox: Sandbox) -> None:
    """Put finished v2 jobs, evenly over three months."""
    for number in range(V2_JOBS):
        at = stamp(sandbox.world.now() - timedelta(minutes=16 * number))
        row = v2_job(f"clj-{number:05}", created_at=at, updated_at=at)
        sandbox.world.put_v2(row | {"project_id": sandbox.project_id})


def held_in_v2(warehouse: Warehouse) -> Tables:
    """Return the rows of v2 jobs that the warehouse holds."""
    return in_duckdb(warehouse.file, V2_KEYS)


@pytest.mark.heavy
@pytest.mark.parametrize(("order", "total_size"), [("newest", False), ("oldest", True)])
def test_no_window_that_the_state_tells_of_lacks_a_row_when_tap_and_loader_are_killed(
    order: Order, *, total_size: bool, tmp_path: Path, tally: Tally
) -> None:
    random = Random(SEED)  # noqa: S311 - must be repeatable, not secret
    with Sandbox(World.empty()) as sandbox:
        settings = sandbox.settings
        settings.latency_ms, settings.order, settings.total_size = 20, order, total_size
        put_v2_history(sandbox)
        jobs = sandbox.world.v2_jobs(sandbox.project_id)
        created = {job["id"]: fixed(job["created_at"]) or "" for job in jobs}
        wanted = expected_v2(jobs, with_usage=False)
        warehouse = Warehouse(sandbox, loader("target-duckdb"), tmp_path)
        story, windows, left = [], 0, V2_JOBS
        for _ in range(trials(6)):
            victims = frozenset(random.choice([("tap",), ("loader",), ("tap", "loader")]))
            after = int(random.uniform(0.3, 0.9) * left * V2_BYTES_A_JOB)
            story.append(after)
            with noted(lambda: story):
                killed = warehouse.run(Moment(victims, after_bytes=after))
                tally("SIGKILLs, v2, RECORD into target-duckdb", killed)
                if warehouse.state:
                    entry = warehouse.state["bookmarks"]["classify_v2_jobs"]
                    read = spans_of(entry)
                    windows += len(read)
                    claimed = {id_ for id_, at in created.items() if contain(read, at)}
                    held = held_in_v2(warehouse)
                    assert [
                        (table, key)
                        for table, rows in wanted.items()
                        for key, row in rows.items()
                        if key[0] in claimed and held[table].get(key) != row
                    ] == []
                    left = V2_JOBS - len(held["classify_v2_jobs"])
        tally("windows that a state told of after a kill", windows)
        # By other seeds each kill may come before the first one is told of.
        assert windows or SEED != USUAL
        with noted(lambda: story):
            warehouse.run(None)
            assert held_in_v2(warehouse) == wanted
