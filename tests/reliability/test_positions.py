"""How much rarer missed jobs become where page tokens are positions, in a world that is busy."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from unittest import mock

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Settings
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.replication.bookmarks import Bookmark
from tap_llamaclassify.replication.stream_state import StreamState
from tests.support.builders import new_tap, written_by
from tests.support.simulated import Event, Life, Loader, Row, clock_of
from tests.support.tally import Tally

JOBS = 150
PAGE_SIZE = 10
BETWEEN = {"create": 15, "update": 15, "delete": 10}
"""What happens between two runs."""
DURING = {"create": 0.4, "update": 0.4, "delete": 0.4}
"""How likely each is before a page is made."""
AN_HOUR = 3600.0


def never_seen(self: Bookmark, newest: str | None, *, shifted: bool) -> StreamState:
    """Return what to keep as if no job had been seen to move."""
    del shifted
    return AFTER(self, newest, shifted=False)


AFTER = Bookmark.after


def run(life: Life, loader: Loader) -> None:
    """Run the tap, and load what it writes."""
    with clock_of(life):
        text, error = written_by(new_tap(life.sandbox, state=loader.state, page_size=PAGE_SIZE))
    assert error is None
    loader.load(text.split("\n")[:-1])


@dataclass
class Figures:
    """What became of the jobs of some worlds.

    Attributes:
        changed: Changes that the runs were there to bring.
        late: How many of them one run passed over.
        lost: How many the next run passed over as well.
    """

    changed: int = 0
    late: int = 0
    lost: int = 0


def live(seed: int, runs: int, figures: Figures) -> None:
    """Let a world live through many runs."""
    dice = Random(seed)  # noqa: S311 - it is to repeat
    with Sandbox(World.empty(), Settings(tokens="position")) as sandbox:
        life, loader = Life(sandbox), Loader()
        stale: dict[str, Row] = {}
        lost: set[str] = set()

        def happen(kind: str, seconds: float = 0.5) -> None:
            life.let(Event(kind, pick=dice.randrange(10**6), seconds=seconds))

        def at_page(_: int) -> None:
            for kind, share in DURING.items():
                if dice.random() < share:
                    happen(kind)

        for _ in range(JOBS):
            happen("create", AN_HOUR)
        run(life, loader)
        sandbox.before_page = at_page
        changes = [kind for kind, times in BETWEEN.items() for _ in range(times)]
        for _ in range(runs):
            for kind in dice.sample(changes, len(changes)):
                happen(kind, AN_HOUR / len(changes))
            before = {**life.jobs()}
            figures.changed += len({key[0] for _, key in loader.differences(life)})
            run(life, loader)
            now = life.jobs()
            ids = {key[0] for _, key in loader.differences(life)}
            left = {name: now[name] for name in ids if now[name] is before.get(name)}
            again = {name for name, row in left.items() if stale.get(name) is row}
            figures.late += len(left) - len(again)
            figures.lost += len(again - lost)
            stale, lost = left, again


@pytest.mark.heavy
def test_jobs_missed_by_position_tokens_are_rare(tally: Tally) -> None:
    figures, without = Figures(), Figures()
    for seed in range(5):
        live(seed, 40, figures)
        # Without beginning where the run before began.
        with mock.patch.object(Bookmark, "after", never_seen):
            live(seed, 40, without)
    tally("changes to be brought, by position tokens", figures.changed)
    tally("brought a run late", figures.late - figures.lost)
    tally("not brought", figures.lost)
    tally("not brought without reading twice", without.lost)
    assert figures.lost < without.lost / 10
