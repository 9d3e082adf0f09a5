"""A world that moves and runs that fail and are killed, made up by dice: the machine and its laws.

`HISTORIES` and `SEED` say how many histories are made up, and from which seed on.
"""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from random import Random
from typing import Any, ClassVar
from unittest import mock

import hypothesis
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from typing_extensions import override

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Settings, Tokens
from llamacloud_sandbox.wire.faults import FAULTS
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.api.endpoints import Endpoint
from tap_llamaclassify.api.models import Page
from tap_llamaclassify.errors import TapError
from tests.support.builders import STREAMS, catalog_with, new_tap, seconds_after, written_by
from tests.support.simulated import FORMS, KEYS, Event, Key, Life, Loader, Row, clock_of, fixed
from tests.support.tally import DIVERGENCES, Tally

SEED = int(os.environ.get("SEED", "1"))
AT_A_TIME = 500
"""Histories a test; each test has a seed of its own."""

Place = tuple[str, Key]

SLOW = ("refused", "stalled", "large")
QUICK_FAULTS = sorted(name for name in FAULTS if not name.startswith(SLOW))
RESTARTS = [name for name in QUICK_FAULTS if name.startswith("token")]


@dataclass(frozen=True)
class Plan:
    """How a run goes.

    Attributes:
        selected: The streams that are selected.
        full: Whether they are read as full tables.
        during: What happens before each page is made, by how many were made before.
        faults: What the request after so many pages meets.
        received: Which part of the lines the loader gets before the tap is killed; 1 is all.
        loaded: Which part of these it loads before it is killed itself; 1 is all.
        jumps: By how many hours the client's clock jumps, by how many pages were made before.
    """

    selected: frozenset[str] = frozenset(STREAMS)
    full: bool = False
    page_size: int = 3
    during: dict[int, list[Event]] = field(default_factory=dict)
    faults: dict[int, str] = field(default_factory=dict)
    retry_seconds: int = 600
    received: float = 1
    loaded: float = 1
    jumps: dict[int, int] = field(default_factory=dict)


SEEDS = st.integers(0, 2**32 - 1)
A_SHARE = 0.2
KINDS = ("create", "create", "update", "update", "update", "delete", "wait")
JUMPS = (-25, -3, -1, 1, 4, 26)
TIMES = (0, 0.25, 1, 40, 400, 400, 90_000)


def an_event(dice: Random, latest: float) -> Event:
    """Make up something that happens, shown so late at most."""
    return Event(
        kind=dice.choice(KINDS),
        pick=dice.randrange(1000),
        form=dice.choice([0, dice.randrange(FORMS)]),
        seconds=dice.choice(TIMES),
        late=dice.choice([0, 0, dice.uniform(0, latest)]),
    )


def a_plan(dice: Random, latest: float, streams: Sequence[str] = STREAMS) -> Plan:
    """Make up a run."""
    some = frozenset(dice.sample(streams, dice.randint(1, 3)))
    pages = range(6)
    return Plan(
        selected=dice.choice([frozenset(streams), some]),
        full=dice.random() < A_SHARE,
        page_size=dice.randint(1, 4),
        during={
            page: [an_event(dice, latest) for _ in range(dice.randint(1, 3))]
            for page in pages
            if dice.random() < dice.choice([0, 0.5])
        },
        faults={page: dice.choice(QUICK_FAULTS) for page in pages if dice.random() < A_SHARE / 2},
        retry_seconds=dice.choice([0, 600, 600, 600]),
        received=dice.choice([1, 1, 1, dice.random()]),
        loaded=dice.choice([1, 1, 1, dice.random()]),
        jumps={p: dice.choice(JUMPS) for p in pages if dice.random() < A_SHARE / 2},
    )


@cache
def catalog(selected: frozenset[str], *, full: bool) -> Any:
    """Make a catalog of the selected streams."""
    with Sandbox(World.empty()) as anywhere:
        wish = {"replication_method": "FULL_TABLE"} if full else {}
        return catalog_with(
            anywhere, **{name: wish | {"selected": name in selected} for name in KEYS}
        )


class Histories(RuleBasedStateMachine):
    """One history: a world, a warehouse, and runs between them."""

    streams: ClassVar[Sequence[str]] = STREAMS
    life_of: ClassVar[type[Life]] = Life
    tokens: ClassVar[Tokens] = "cursor"
    tried: ClassVar[Counter[str]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.tried["histories simulated"] += 1
        self.sandbox = Sandbox(World.empty(), Settings(tokens=self.tokens, page_size_limit=100))
        self.sandbox.__enter__()
        self.life = self.life_of(self.sandbox)
        self.loader = Loader()
        self.present: dict[str, Row] = {}
        self.is_whole = False
        self.lookback = 0
        self.wrong_by = 0

    @initialize(
        order=st.sampled_from(["newest", "oldest", "updated", "shuffled"]),
        lookback=st.sampled_from([0, 60, 300]),
        wrong_by=st.sampled_from([0, -3600, 3600]),
        seed=SEEDS,
    )
    def begins(self, order: Any, lookback: int, wrong_by: int, seed: int) -> None:
        """Make the first jobs."""
        dice = Random(seed)  # noqa: S311 - histories repeat
        self.sandbox.settings.order = order
        self.sandbox.settings.empty_pages = dice.choice([0, 0, 2])
        self.lookback, self.wrong_by = lookback, wrong_by
        for _ in range(dice.randint(4, 14)):
            self.life.let(replace(an_event(dice, 0), kind="create"))
        # Where replies show no time, the client's clock is the only one.
        self.sandbox.settings.date = dice.random() > A_SHARE

    @property
    def latest(self) -> int:
        """How late a change may be shown; timestamps that are cut off cost up to a second."""
        return max(0, self.lookback - 2)

    @rule(seed=SEEDS)
    def something_happens(self, seed: int) -> None:
        """Let something happen between runs."""
        dice = Random(seed)  # noqa: S311 - histories repeat
        for _ in range(dice.randint(1, 4)):
            self.life.let(an_event(dice, self.latest))

    @rule(seed=SEEDS)
    def tap_runs(self, seed: int) -> None:
        """Run the tap, while the world moves and the wire fails."""
        dice = Random(seed)  # noqa: S311 - histories repeat
        self.run(a_plan(dice, self.latest, self.streams))

    def run(self, plan: Plan) -> None:
        """Run the tap, load what is not lost on the way, and look at what there is then."""
        lines = self.lines_of(plan)
        received = lines[: round(plan.received * len(lines))]
        loaded = received[: round(plan.loaded * len(received))]
        self.tried["runs"] += 1
        self.tried["runs killed at a line"] += len(loaded) < len(lines)
        self.loader.load(loaded)
        if self.is_whole and len(loaded) == len(lines):
            self.note_whole_listing()
        assert self.excused(self.ahead()) == [], "the state ran ahead of the rows"

    def note_whole_listing(self) -> None:
        """Take down what a listing that was read to its end has left out."""

    def lines_of(self, plan: Plan) -> list[str]:
        """Run the tap; return what it wrote before it ended or failed."""
        made = 0

        def at_page(_: int) -> None:
            nonlocal made
            for event in plan.during.get(made, ()):
                self.life.let(event)
            if made == 0:
                self.present = {**self.life.jobs()}
            self.jump(plan.jumps.get(made, 0))
            made += 1
            self.meet(plan.faults.get(made))

        self.sandbox.before_page = at_page
        self.meet(plan.faults.get(0))
        config = {
            "page_size": plan.page_size,
            "lookback_seconds": self.lookback,
            "retry_seconds": plan.retry_seconds,
            **self.more_config(),
        }
        with clock_of(self.life, self.wrong_by):
            text, error = self.written(plan, config)
        self.is_whole = error is None
        self.tried["runs that failed"] += error is not None
        self.sandbox.before_page = None
        self.sandbox.forget_faults()
        return [line for line in text.split("\n") if line]

    def written(self, plan: Plan, config: Mapping[str, Any]) -> tuple[str, TapError | None]:
        """Run the tap; return what it wrote, and what it failed with."""
        chosen = catalog(plan.selected, full=plan.full)
        return written_by(new_tap(self.sandbox, state=self.loader.state, catalog=chosen, **config))

    def more_config(self) -> dict[str, Any]:
        """Return further settings of the tap."""
        return {}

    def jump(self, hours: int) -> None:
        """Let the client's clock jump."""
        self.life.clock_jumped += hours * 3600
        self.tried["clocks that jumped within simulated runs"] += bool(hours)

    def meet(self, fault: str | None) -> None:
        """Let the next request meet a fault."""
        if fault:
            self.sandbox.fail_next(fault)

    def ahead(self) -> list[Place]:
        """Name what the state will not bring again, and is not loaded all the same."""
        return self.ahead_by_update(self.streams)

    def ahead_by_update(self, streams: Sequence[str]) -> list[Place]:
        """Name what is older than a bookmark, less the lookback, and not loaded all the same."""
        jobs = self.life.jobs()
        return [
            (stream, key)
            for stream in streams
            if (bookmark := self.loader.bookmark(stream))
            for _, key in self.loader.differences(self.life, [stream])
            if (updated := fixed(jobs[key[0]]["updated_at"]))
            and updated < seconds_after(bookmark, -self.lookback)
        ]

    def excused(self, places: list[Place]) -> list[Place]:
        """Leave out what the tap could not have known of: nothing."""
        return places

    @override
    def teardown(self) -> None:
        try:
            self.life.pass_time(self.lookback + 1)
            self.run(Plan(frozenset(self.streams)))
            assert self.excused(self.loader.differences(self.life, self.streams)) == []
        finally:
            self.sandbox.__exit__(None, None, None)


class HistoriesOfPositions(Histories):
    """The same where page tokens are positions: jobs can move to pages that were read already.

    Attributes:
        passed_over: Jobs that have not changed since a whole listing left them out.
    """

    tokens = "position"

    def __init__(self) -> None:
        super().__init__()
        self.passed_over: set[str] = set()
        self.life.on_change = self.passed_over.discard

    @override
    def lines_of(self, plan: Plan) -> list[str]:
        self.listed: set[str] = set()

        parse = Endpoint.parse

        def noting(endpoint: Endpoint, body: bytes) -> Page:
            page = parse(endpoint, body)
            self.listed.update(each["id"] for each in page.items)
            return page

        with mock.patch.object(Endpoint, "parse", noting):
            return super().lines_of(plan)

    @override
    def note_whole_listing(self) -> None:
        now = self.life.jobs()
        there = {name for name, row in self.present.items() if now.get(name) is row}
        left_out = there - self.listed - self.passed_over
        self.tried["jobs passed over by shifting pages"] += len(left_out)
        self.passed_over |= left_out

    @override
    def excused(self, places: list[Place]) -> list[Place]:
        return [(stream, key) for stream, key in places if key[0] not in self.passed_over]


def simulate(kind: type[Histories], tally: Tally, *, seed: int, histories: int) -> None:
    """Make up histories; what is wrong with one is told with the seed that repeats it."""
    settings = hypothesis.settings(
        max_examples=histories,
        stateful_step_count=10,
        deadline=None,
        database=None,
        print_blob=False,
        suppress_health_check=list(HealthCheck),
    )
    tally(DIVERGENCES, 0)
    logging.disable()  # pytest would keep every line of thousands of runs
    try:
        run_state_machine_as_test(hypothesis.seed(seed)(kind), settings=settings)
    except BaseException as error:
        error.add_note(f"It comes again with SEED={seed} HISTORIES={histories}.")
        tally(DIVERGENCES, isinstance(error, Exception))
        raise
    finally:
        logging.disable(logging.NOTSET)
        for what, times in kind.tried.items():
            tally(what, times)
        kind.tried.clear()
