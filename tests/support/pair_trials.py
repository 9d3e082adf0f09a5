"""The tap piped into an upserting loader, both forks: runs in which either may meet its end."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import duckdb
from typing_extensions import override

from tests.conftest import refuse_key
from tests.support import victims
from tests.support.api_rows import KEYS, V2_KEYS, Row, Tables
from tests.support.batch_files import batch_config
from tests.support.forks import Fork, Forks, forking
from tests.support.pipe import PATIENCE, Moment, Pipe
from tests.support.small_loader import rows_in, states_in
from tests.support.trials import Trial

Form = Literal["RECORD", "Parquet"]
FORMS: tuple[Form, ...] = ("RECORD", "Parquet")

# pyarrow imports pandas, if it is there, with the first array.
_TAP = """
import pyarrow
pyarrow.array([1])
import tap_llamaclassify.singer.sync, tap_llamaclassify.singer.tap, tap_llamaclassify.tables.arrow
from tests.support import victims
main = victims.tap
"""
_LOADER = """
import pyarrow
pyarrow.array([1])
from tests.support import victims
main = victims.loader
"""
_NEWEST = """
SELECT id, status, error_message
FROM read_parquet('{files}-*.parquet', filename = true, file_row_number = true)
QUALIFY row_number() OVER (PARTITION BY id ORDER BY filename DESC, file_row_number DESC) = 1
"""
"""As docs/parquet.md has it."""


@dataclass
class Pair:
    """The two processes of which taps and loaders are forks."""

    taps: Forks
    loaders: Forks


@contextmanager
def pairs(folder: Path) -> Iterator[Pair]:
    """Start them."""
    with forking(_TAP, folder) as taps, forking(_LOADER, folder) as loaders:
        yield Pair(taps, loaders)


@dataclass
class Outcome:
    """How a run ended.

    Attributes:
        tap: Its exit code.
        loader: Its exit code.
        errors: What the tap said of its failure, if it did.
        log: What the loader said.
    """

    tap: int
    loader: int
    errors: Sequence[str]
    log: str

    @property
    def is_good(self) -> bool:
        """Whether both came to their good end."""
        return (self.tap, self.loader) == (0, 0)

    @property
    def killed(self) -> str:
        """Which of them ended by SIGKILL, in words; none if there is no such one."""
        codes = {"tap": self.tap, "loader": self.loader}
        return " and ".join(name for name, code in codes.items() if code == -signal.SIGKILL)

    @property
    def has_died(self) -> bool:
        """Whether the loader ended before it had taken all: one that says so, or leaves the tap."""
        return self.loader != 0 or self.tap != 0


@dataclass(kw_only=True)
class PairTrial(Trial):
    """A warehouse that the two fill.

    Attributes:
        state: What was kept last.
        seconds: How long the last good run took.
        environment: What every tap's environment says.
        files: Where batch files go.
        out: Where the tap's output goes, if it is to be in a file.
    """

    pair: Pair
    form: Form
    state: Row = field(default_factory=dict)
    seconds: float = 0.5
    environment: Mapping[str, str] = field(default_factory=dict)

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        self.files, self.out, base = (self.folder / name for name in ("files", "out", "base"))
        for folder in (self.files, self.out, base):
            folder.mkdir()
        self.file = base / "warehouse.sqlite"
        if self.form == "Parquet":
            size = self.dice.choice([20, 50, 10_000])
            self.config["batch_config"] = batch_config(self.files, batch_size=size)

    def run(
        self,
        *,
        moment: Moment | None = None,
        page: int | None = None,
        death: Sequence[Any] = (),
        of_tap: Mapping[str, str] | None = None,
        of_loader: Mapping[str, str] | None = None,
        at_page: Callable[[int], object] | None = None,
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
        began, pages = time.monotonic(), 0
        loader = self._load(*death, environment=of_loader)
        pipe = Pipe(self._tap(of_tap), loader)

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
            for process in (pipe.tap, pipe.loader):
                process.kill()
                process.wait()
        outcome = self._outcome(pipe.tap.wait(), pipe.loader.wait())
        if outcome.is_good:
            self.seconds, self.requests = time.monotonic() - began, max(4, pages)
        return outcome

    def run_by_file(self, of_tap: Mapping[str, str]) -> Outcome:
        """Run the tap into a file, and load what is whole of it."""
        messages = self.out / "messages.jsonl"
        more = {**of_tap, victims.OUTPUT: str(messages)}
        code = self._tap(more, stdout=self.folder / "nothing").wait(PATIENCE)
        loader = self._load()
        assert loader.stdin
        with loader.stdin:
            loader.stdin.write(messages.read_bytes().rpartition(b"\n")[0] + b"\n")
        return self._outcome(code, loader.wait(PATIENCE))

    def _tap(self, more: Mapping[str, str] | None, **options: Any) -> Fork:
        words = []
        for name, content in (("config", self.settings()), ("state", self.state)):
            path = self.folder / f"{name}.json"
            path.write_text(json.dumps(content), encoding="utf-8")
            words += [f"--{name}", str(path)]
        environment = {**self.environment, **(more or {})}
        log = self.folder / "tap.log"
        return self.pair.taps.start(words, stderr=log, environment=environment, **options)

    def _load(self, *death: Any, environment: Mapping[str, str] | None = None) -> Fork:
        return self.pair.loaders.start(
            [str(self.file), *map(str, death)],
            stderr=self.folder / "loader.log",
            stdout=self.folder / "states",
            takes_input=True,
            environment=environment,
        )

    def _outcome(self, tap: int, loader: int) -> Outcome:
        for state in states_in(self.folder / "states"):
            self.state = state
        text = (self.folder / "tap.log").read_text(encoding="utf-8")
        refuse_key(text, "the log")
        assert "Traceback" not in text, text
        errors = [line.split("|", 3)[3].strip() for line in text.splitlines() if "| ERROR" in line]
        assert len(errors) < 2, errors
        log = (self.folder / "loader.log").read_text(encoding="utf-8")
        return Outcome(tap, loader, errors, log)

    def held(self) -> Tables:
        """Return the rows that the warehouse holds."""
        return {name: {} for name in KEYS | V2_KEYS} | rows_in(self.file)

    @contextmanager
    def living(self) -> Iterator[None]:
        """Run the API, and at last tap and loader in peace."""
        with self.noted():
            yield
            self.assert_whole()

    def assert_whole(self) -> None:
        """Run in peace; then the warehouse must hold what the API shows."""
        outcome = self.run()
        assert outcome.is_good, outcome
        self.assert_shown(self.held())
        if self.form == "Parquet":
            for table in ("classify_jobs", "classify_v2_jobs"):
                self._assert_files_show(table)

    def _assert_files_show(self, table: str) -> None:
        """Make sure that the newest row of each job in all files is the API's."""
        with duckdb.connect() as connection:
            query = _NEWEST.format(files=self.files / f"run-{table}")
            found = {row[0]: row[1:] for row in connection.sql(query).fetchall()}
        rows = self.shown()[table].values()
        wanted = {row["id"]: (row["status"], row["error_message"]) for row in rows}
        other = {id_ for id_ in wanted.keys() | found if wanted.get(id_) != found.get(id_)}
        assert not other, f"files show others than the API in {table}"
