"""A long v2 history in the rhythm of a working week, and a sandbox that finds windows at once.

The sandbox by itself looks at every job for every new window. Here it searches by `created_at`, so
that it is not the bottleneck when windows are read side by side.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import islice
from operator import itemgetter
from random import Random

import msgspec
from typing_extensions import override

from benchmarks.server import UNKNOWN_FIELDS
from llamacloud_sandbox.api.app import V2_PATH
from llamacloud_sandbox.api.filters import EVERYTHING, Filter
from llamacloud_sandbox.api.listing import Listing, Listings
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Order, Settings
from llamacloud_sandbox.world.clock import stamp
from llamacloud_sandbox.world.history import History, Job
from llamacloud_sandbox.world.world import World

DAYS = 90
OFFICE_HOURS = range(9, 17)
OUT_OF_OFFICE = 0.05
"""How much is done in an hour of a night or a weekend, of what is done in one of the office."""
MORE = 1.05
"""How many times as many jobs are made up, for some of them never finish."""


def working_week(jobs: int) -> World:
    """Make a world of one project that has so many finished v2 jobs."""
    world = World.empty(projects=1)
    moments = sorted(islice(_moments(world.now()), jobs))
    for job, moment in zip(_finished(jobs), moments, strict=True):
        at = stamp(moment)
        world.put_v2(job | {"created_at": at, "updated_at": at})
    return world


def add_new(world: World, jobs: int) -> None:
    """Let an hour pass, and put so many further jobs at its end: the oldest ones once more."""
    world.advance(3600)
    at = stamp(world.now())
    for job in world.v2_jobs()[:jobs]:
        world.put_v2(job | {"id": f"{job['id']}-{at}", "created_at": at, "updated_at": at})


def _finished(jobs: int) -> Iterator[Job]:
    """Make up jobs, without the `usage` that a listing does not show."""
    history = History(
        jobs=0, v2_jobs=round(jobs * MORE) + 10, projects=1, unknown_fields=UNKNOWN_FIELDS
    )
    finished = (job | {"usage": None} for job in World(history).v2_jobs() if job["usage"])
    return islice(finished, jobs)


def _moments(now: datetime) -> Iterator[datetime]:
    dice = Random(1)  # noqa: S311 - it is to repeat
    while True:
        moment = now - timedelta(days=DAYS * dice.random())
        is_office = moment.isoweekday() <= 5 and moment.hour in OFFICE_HOURS  # noqa: PLR2004 - Friday
        if is_office or dice.random() < OUT_OF_OFFICE:
            yield moment


class LongHistory(Sandbox):
    """A sandbox that finds the v2 jobs of a window by their place among all."""

    def __init__(self, world: World, settings: Settings) -> None:
        super().__init__(world, settings)
        listings = self._api.listings
        listings[V2_PATH] = _SearchedListings(
            world.v2,
            settings,
            lifetime=listings[V2_PATH].lifetime,
            seed=world.history.seed,
            show=lambda job: job,
        )


class _SearchedListings(Listings):
    @override
    def _sort(self, project_id: str, order: Order) -> Listing:
        listing = super()._sort(project_id, order)
        if order not in {"newest", "oldest"}:
            return listing
        return _Searched(listing.items, listing.keys, listing.descending)


class _Searched(Listing):
    """Jobs in the order of their creation; both bounds are inclusive, as the sandbox's are."""

    @override
    def narrowed_to(self, only: Filter) -> Listing:
        begin, end, created_at = 0, len(self.keys), itemgetter(0)
        if only.on_or_after:
            begin = bisect_left(self.keys, stamp(only.on_or_after), key=created_at)
        if only.on_or_before:
            end = bisect_right(self.keys, stamp(only.on_or_before), key=created_at)
        places = slice(len(self.keys) - end, len(self.keys) - begin)
        items = self.items[places if self.descending else slice(begin, end)]
        window = Listing(items, self.keys[begin:end], self.descending)
        others = msgspec.structs.replace(only, on_or_after=None, on_or_before=None)
        return window if others == EVERYTHING else window.narrowed_to(others)
