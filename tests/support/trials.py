"""A tap piped into an upserting loader, in a world that goes on, while all kinds of things go wrong.

What is tried comes from a seed; when exactly a kill hits comes from the machine as well.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from subprocess import Popen
from typing import Any, Literal

import duckdb

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.clock import stamp
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.conftest import refuse_key
from tests.support import victims
from tests.support.api_rows import KEYS, V2_KEYS, Row, Tables, expected, expected_v2
from tests.support.batch_files import batch_config
from tests.support.builders import job
from tests.support.forks import Fork, Forks, forking
from tests.support.pipe import Moment, Pipe, Victims
from tests.support.simulated import fixed
from tests.support.small_loader import lines_of, rows_in

SEED = int(os.environ.get("SEED", "20261123"))
"""From which seed on; each trial has one of its own."""
Form = Literal["RECORD", "Parquet"]
FORMS: tuple[Form, ...] = ("RECORD", "Parquet")
VICTIMS: tuple[Victims, ...] = tuple(
    map(frozenset, (("tap",), ("loader",), ("tap", "loader")))
)
AT_FIRST = 60
"""About how many requests the first run of a life takes."""
BYTES_A_REQUEST = 3_000

# pyarrow imports pandas, if it is there, with the first array.
_TAP = """
import pyarrow
pyarrow.array([1])
import tap_llamaclassify.singer.sync, tap_llamaclassify.singer.tap, tap_llamaclassify.tables.arrow
from tests.support import victims
main = lambda words: victims.tap()
"""
_LOADER = """
import pyarrow
pyarrow.array([1])
from tests.support import victims
main = victims.loader
"""


def trials(usual: int) -> int:
    """Return how many trials there are to be; `TRIALS` says so in place of the usual number."""
    return int(os.environ.get("TRIALS", usual))


@dataclass
class Pair:
    """The two processes of which taps and loaders are forks."""

    taps: Forks
    loaders: Forks


@contextmanager
def pairs(folder: Path) -> Any:
    """Start them."""
    with forking(_TAP, folder) as taps, forking(_LOADER, folder) as loaders:
        yield Pair(taps, loaders)


@dataclass
class Outcome:
    """How a run ended: the two exit codes, and what the tap said of its failure, if it did."""

    tap: int
    loader: int
    errors: Sequence[str]

    @property
    def is_good(self) -> bool:
        """Whether both came to their good end."""
        return (self.tap, self.loader) == (0, 0)


@dataclass
class Trial:
    """A world, a warehouse, and runs between them.

    Attributes:
        seed: What happens comes from it.
        state: What was kept last.
        requests: About how many the next run takes.
        seconds: How long the last good run took.
        told: What was done, in order.
        environment: What every tap's environment says.
    """

    pair: Pair
    folder: Path
    seed: int
    form: Form
    state: Row = field(default_factory=dict)
    requests: int = AT_FIRST
    seconds: float = 0.5
    told: list[Any] = field(default_factory=list)
    environment: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        self.files = self.folder / "files"
        self.file = self.folder / "base" / "warehouse.sqlite"
        for folder in (self.files, self.file.parent, self.folder / "out"):
            folder.mkdir()
        self.dice = Random(self.seed)  # noqa: S311 - it is to repeat
        self._life = Random(self.seed)  # noqa: S311 - it is to repeat
        history = History(
            seed=self.seed, jobs=80, v2_jobs=150, days=30, unknown_fields=self.dice.choice([0, 0.2])
        )
        self.sandbox = Sandbox(World(history))
        settings = self.sandbox.settings
        settings.total_size = self.dice.random() < 0.7
        self.is_many = self.dice.random() < 0.6
        self.config = self._config()

    def _config(self) -> Row:
        config: Row = {
            "page_size": self.dice.choice([4, 8]),
            "parallel_windows": self.dice.choice([1, 3, 4, 8]),
            "retry_seconds": 0,
        }
        if self.form == "Parquet":
            size = self.dice.choice([20, 50, 10_000])
            config["batch_config"] = batch_config(self.files, batch_size=size)
        return config

    def _keys(self) -> Row:
        keys = self.sandbox.keys
        own = {"api_url": self.sandbox.url}
        if not self.is_many:
            return own | {"api_key": self.sandbox.key}
        connections = [{"name": f"n{n}", "api_key": key} for n, key in enumerate(keys.values())]
        return own | {"connections": connections}

    @property
    def projects(self) -> Sequence[str]:
        """The projects that are read."""
        return [*self.sandbox.keys] if self.is_many else [self.sandbox.project_id]

    def goes_on(self, hours: float) -> None:
        """Let the world go on: jobs come, change and finish, none is deleted."""
        world, dice = self.sandbox.world, self._life
        world.advance(hours * 3600)
        for project in self.projects:
            ids = sorted(world.entries(project))
            for id_ in dice.sample(ids, min(3, len(ids))):
                world.touch(id_, status="ERROR", error_message=f"at {stamp(world.now())}")
        now = stamp(world.now())
        fields = {"project_id": dice.choice(self.projects), "created_at": now, "updated_at": now}
        world.put(job(f"new {dice.randrange(10**12)}", **fields))

    def shown(self) -> Tables:
        """Work out the rows that the warehouse must hold."""
        world = self.sandbox.world
        v1 = [each for project in self.projects for each in world.jobs(project)]
        v2 = [each for project in self.projects for each in world.v2_jobs(project)]
        return expected(v1, fixed) | expected_v2(v2, fixed, with_usage=False)

    def held(self) -> Tables:
        """Return the rows that it holds."""
        return {name: {} for name in KEYS | V2_KEYS} | rows_in(self.file)

    def _write(self) -> list[str]:
        """Write the settings and the state; return the tap's words."""
        words = []
        for name, content in (("config", self.config | self._keys()), ("state", self.state)):
            path = self.folder / f"{name}.json"
            path.write_text(json.dumps(content), encoding="utf-8")
            words += [f"--{name}", str(path)]
        return words

    def _load(self, *death: Any, **more: Any) -> Fork:
        return self.pair.loaders.start(
            [str(self.file), *map(str, death)],
            stderr=self.folder / "loader.log",
            stdout=self.folder / "states",
            takes_input=True,
            **more,
        )

    def run_by_file(self, messages: Path, of_tap: Mapping[str, str]) -> Outcome:
        """Run the tap into a file, and load what is whole of it."""
        log = self.folder / "tap.log"
        tap = self.pair.taps.start(
            self._write(),
            stderr=log,
            stdout=self.folder / "nothing",
            environment={**self.environment, **of_tap, victims.OUTPUT: str(messages)},
        )
        tap.wait()
        loader = self._load()
        assert loader.stdin
        with loader.stdin:
            loader.stdin.write(messages.read_bytes().rpartition(b"\n")[0] + b"\n")
        loader.wait()
        return self._outcome(tap, loader, log)

    def run(
        self,
        *,
        moment: Moment | None = None,
        page: int | None = None,
        death: Sequence[Any] = (),
        of_tap: Mapping[str, str] | None = None,
        of_loader: Mapping[str, str] | None = None,
        at_page: Any = None,
    ) -> Outcome:
        """Run tap and loader, with the state that was kept last; keep the one that is said.

        Args:
            moment: Whom to kill, and when.
            page: Kill them before this page is made, in place of a moment.
            death: At which message the loader dies, and how.
            of_tap: What the tap's environment says.
            of_loader: What the loader's says.
            at_page: Called at each page with its number.
        """
        began, log, words = time.monotonic(), self.folder / "tap.log", self._write()
        loader = self._load(*death, environment=of_loader)
        pages = 0
        environment = {**self.environment, **(of_tap or {})}
        tap = self.pair.taps.start(words, stderr=log, environment=environment)
        pipe = Pipe(tap, loader)

        def before_page(_: int) -> None:
            nonlocal pages
            pages += 1
            if page == pages and moment:
                pipe.kill(moment.victims)
            elif at_page:
                at_page(pages)

        self.sandbox.before_page = before_page
        try:
            pipe.run(moment if page is None else None)
        finally:
            self.sandbox.before_page = None
            # Those who fork them begin no other one before.
            for process in (tap, loader):
                process.kill()
                process.wait()
        outcome = self._outcome(pipe.tap, pipe.loader, log)
        if outcome.is_good:
            self.seconds, self.requests = time.monotonic() - began, max(4, pages)
        return outcome

    def _outcome(self, tap: Popen[bytes] | Fork, loader: Popen[bytes] | Fork, log: Path) -> Outcome:
        for state in lines_of(self.folder / "states"):
            self.state = state
        text = log.read_text(encoding="utf-8")
        refuse_key(text, "the log")
        assert "Traceback" not in text, text
        errors = [line.split("|", 3)[3].strip() for line in text.splitlines() if "| ERROR" in line]
        assert len(errors) < 2, errors
        assert tap.returncode is not None
        assert loader.returncode is not None
        return Outcome(tap.returncode, loader.returncode, errors)

    def assert_whole(self) -> None:
        """Run in peace; nothing may be lost, and nothing doubled."""
        outcome = self.run()
        assert outcome.is_good, (outcome, (self.folder / "loader.log").read_text())
        held, shown = self.held(), self.shown()
        assert held == shown, differences(held, shown)
        if self.form == "Parquet":
            self._assert_files_show_the_same(shown)

    def _assert_files_show_the_same(self, shown: Tables) -> None:
        """Read all files as docs/parquet.md does."""
        for table, keys in (("classify_jobs", "id"), ("classify_v2_jobs", "id")):
            query = f"""
                SELECT id, status, error_message
                FROM read_parquet('{self.files}/run-{table}-*.parquet',
                                  filename = true, file_row_number = true)
                QUALIFY row_number() OVER (
                    PARTITION BY {keys} ORDER BY filename DESC, file_row_number DESC) = 1
            """  # noqa: S608 - it is our own
            with duckdb.connect() as connection:
                found = {row[0]: row[1:] for row in connection.sql(query).fetchall()}
            wanted = {
                key[0]: (row["status"], row["error_message"]) for key, row in shown[table].items()
            }
            assert found == wanted, f"files show another {table}"


def differences(held: Tables, shown: Tables) -> Row:
    """Tell what one has and the other has not."""
    return {
        table: (
            sorted(map(str, shown[table].keys() - held[table].keys())),
            sorted(map(str, held[table].keys() - shown[table].keys())),
            [k for k, row in shown[table].items() if k in held[table] and held[table][k] != row],
        )
        for table in shown
        if held.get(table) != shown[table]
    }


@contextmanager
def noted(trial: Trial) -> Any:
    """Add what it takes to see it again to whatever fails."""
    try:
        with trial.sandbox:
            yield
    except BaseException as error:
        error.add_note(f"It comes again with SEED={trial.seed} TRIALS=1: {trial.told}")
        raise
