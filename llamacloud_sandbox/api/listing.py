"""A project's items in the listing's order, cut into pages; knows one kind of them but no HTTP."""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Protocol

import msgspec

from llamacloud_sandbox.api.choices import Fields, Points
from llamacloud_sandbox.api.filters import EVERYTHING, Filter
from llamacloud_sandbox.api.lifetime import Lifetime
from llamacloud_sandbox.api.tokens import Place, Query, Token, write
from llamacloud_sandbox.settings import Order, Settings
from llamacloud_sandbox.world.jobs import created_at, updated_at

SortKey = tuple[str, str]
Show = Callable[[Any], Any]
Dated = Callable[[Any], str]
Only = Filter | Fields | Points

KEPT = 16
"""How many filtered listings are kept for their next pages."""


class Entries(Protocol):
    """Items of one kind, jobs for one."""

    @property
    def version(self) -> int:
        """A number that grows whenever any item has come, gone or changed."""

    def entries(self, project_id: str) -> Mapping[str, Any]:
        """The items of a project by identity."""


@dataclass(frozen=True, slots=True)
class Listing:
    """All items in the order they are listed, and their sort keys in ascending order."""

    items: list[Any]
    keys: list[SortKey]
    descending: bool

    def position_after(self, place: Place) -> int:
        """How many items come before the next page: those at or before this place."""
        if isinstance(place, int):
            return place
        if self.descending:
            return len(self.keys) - bisect_left(self.keys, place)
        return bisect_right(self.keys, place)

    def key_at(self, position: int) -> SortKey:
        """The sort key of the item at this position of the listing."""
        return self.keys[-1 - position if self.descending else position]

    def narrowed_to(self, only: Filter) -> "Listing":
        """The same listing with only the items that pass."""
        return self.where(only.passes)

    def where(self, passes: Callable[[Any], bool]) -> "Listing":
        """The same listing with only the items that this is true of."""
        places = [place for place, item in enumerate(self.items) if passes(item)]
        keys = [self.key_at(place) for place in places]
        items = [self.items[place] for place in places]
        return Listing(items, keys[::-1] if self.descending else keys, self.descending)


class Listings:
    """The pages of every project; sorts and filters again only when the items have changed.

    `show` is how a listing shows an item; `seed` is what "shuffled" goes by; `created` and
    `updated` are the texts that the other orders go by.
    """

    def __init__(  # noqa: PLR0913 - a listing has so many sides
        self,
        jobs: Entries,
        settings: Settings,
        *,
        lifetime: Lifetime,
        seed: int,
        show: Show,
        created: Dated = created_at,
        updated: Dated = updated_at,
    ) -> None:
        self._jobs = jobs
        self._created = created
        self._updated = updated
        self._settings = settings
        self._seed = seed
        self._show = show
        self._sorted: dict[tuple[str, Order], tuple[int, Listing]] = {}
        self._filtered: dict[tuple[str, Order, Only], tuple[int, Listing]] = {}
        self.lifetime = lifetime

    def walk(
        self, project_id: str, query: Query, *, size: int
    ) -> Iterator[tuple[str | None, bytes]]:
        """The JSON of every page, each with the token that asks for it (None: the first)."""
        body, token = self.page(project_id, query, size=size)
        yield None, body
        while token is not None:
            text = write(token)
            body, token = self.page(project_id, query, size=size, token=token)
            yield text, body

    def page(  # noqa: PLR0913 - a page depends on so much
        self,
        project_id: str,
        query: Query,
        *,
        size: int,
        token: Token | None = None,
        only: Only = EVERYTHING,
        among: frozenset[str] | None = None,
        show: Show | None = None,
        with_total: bool = True,
    ) -> tuple[bytes, Token | None]:
        """The JSON of one page (the first, or the one this token asks for), and its token.

        among: the identities of all that the listing may have, which need no search.
        show: how this page shows an item, unless it is as ever.
        """
        settings, listing = self._settings, self._listing(project_id, only, among)
        number = token.page + 1 if token else 1
        begin = listing.position_after(token.place) if token else 0
        items = [] if self._is_empty_page(number) else listing.items[begin : begin + size]
        end = begin + len(items)
        following: Token | None = None
        if end < len(listing.items) or (items and self._is_empty_page(number + 1)):
            place = token.place if token and not items else self._place(listing, end)
            begun = self.lifetime.begun(token)
            following = Token(query, settings.order, page=number, place=place, begun=begun)
        self.lifetime.note_page()
        total = len(listing.items) if settings.total_size and with_total else None
        shown = [*map(show or self._show, items)]
        body = {"items": shown, **self._next_page_token(following), "total_size": total}
        return msgspec.json.encode(body), following

    def _next_page_token(self, token: Token | None) -> dict[str, str | None]:
        if token is not None:
            return {"next_page_token": write(token)}
        form = self._settings.at_end
        return {} if form == "absent" else {"next_page_token": "" if form == "empty" else None}

    def _place(self, listing: Listing, end: int) -> Place:
        return end if self._settings.tokens == "position" else listing.key_at(end - 1)

    def _is_empty_page(self, number: int) -> bool:
        full_pages = self._settings.empty_pages
        return full_pages > 0 and number % (full_pages + 1) == 0

    def _listing(self, project_id: str, only: Only, among: frozenset[str] | None) -> Listing:
        order = self._settings.order
        if among is not None:
            entries = self._jobs.entries(project_id)
            some = {key: entries[key] for key in among if key in entries}
            return self._sorted_by(order, some).where(only.passes)
        # Read before the entries: a change in between costs another sort, not a stale page.
        version = self._jobs.version
        known = self._sorted.get((project_id, order))
        if known is None or known[0] != version:
            known = (version, self._sort(project_id, order))
            self._sorted[project_id, order] = known
        if only == EVERYTHING:
            return known[1]
        name = project_id, order, only
        narrowed = self._filtered.pop(name, None)
        if narrowed is None or narrowed[0] != version:
            whole = known[1]
            # By name, for there are listings that find the jobs of a window by themselves.
            chosen = (
                whole.narrowed_to(only) if isinstance(only, Filter) else whole.where(only.passes)
            )
            narrowed = version, chosen
        self._filtered[name] = narrowed
        if len(self._filtered) > KEPT:
            del self._filtered[next(iter(self._filtered))]
        return narrowed[1]

    def _sort(self, project_id: str, order: Order) -> Listing:
        return self._sorted_by(order, self._jobs.entries(project_id))

    def _sorted_by(self, order: Order, entries: Mapping[str, Any]) -> Listing:
        first = self._first_key(order)
        keyed = {(first(key, item), key): item for key, item in entries.items()}
        keys = sorted(keyed)
        descending = order in ("newest", "updated")
        items = [keyed[key] for key in (reversed(keys) if descending else keys)]
        return Listing(items, keys, descending)

    def _first_key(self, order: Order) -> Callable[[str, Any], str]:
        if order == "shuffled":
            return lambda key, _: blake2b(f"{self._seed} {key}".encode(), digest_size=8).hexdigest()
        if order == "updated":
            return lambda _, item: self._updated(item)
        return lambda _, item: self._created(item)
