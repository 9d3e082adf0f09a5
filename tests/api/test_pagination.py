"""A listing is read to its end, each page once, and never further ahead than one page."""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from typing_extensions import override

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Settings
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.api.endpoints import PROJECTS, V1_JOBS, Endpoint
from tap_llamaclassify.api.models import Page
from tap_llamaclassify.api.pagination import MOST_RESTARTS, Paginator
from tap_llamaclassify.errors import ApiError, PageTokenError, ReplyError
from tap_llamaclassify.http.client import Activity, Client, Exchange
from tests.support.builders import SimulatedClock, connection, job

THREAD = "ahead"
LONG = 60.0
"""Seconds after which something that must happen is taken not to: reached by failures only."""


def listing_of(sandbox: Sandbox, watched: Watched | None = None, **changes: Any) -> Paginator:
    """Begin a listing by a clock on which waits cost nothing."""
    client = Client(connection(sandbox, **changes), clock=SimulatedClock())
    return Paginator(client, watched.endpoint if watched else V1_JOBS)


def fill(sandbox: Sandbox, jobs: int) -> list[str]:
    """Put jobs into the world; return their ids in the order of the listing, newest first."""
    for number in range(jobs):
        minute = timedelta(minutes=number)
        created = (datetime(2026, 11, 1, tzinfo=UTC) + minute).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        sandbox.world.put(job(f"job {number}", created_at=created))
    return [f"job {number}" for number in reversed(range(jobs))]


def ids_of(pages: Iterator[Page]) -> list[str]:
    """Read pages to the end; return the ids of their jobs."""
    return [each["id"] for page in pages for each in page.items]


def settle() -> None:
    """Wait until nobody fetches any more."""
    for thread in threading.enumerate():
        if thread.name == THREAD:
            thread.join(LONG)
            assert not thread.is_alive()


class Watched:
    """Reads pages of its own, and sees which of them anybody still holds.

    It counts no others, and that in no time: it is asked while the API is waited for.
    """

    def __init__(self) -> None:
        self._pages: list[weakref.ref[Page]] = []

    @property
    def endpoint(self) -> Endpoint:
        """That of v1 jobs, whose pages are watched."""
        watched = self

        class WatchedEndpoint(Endpoint):
            @override
            def parse(self, body: bytes) -> Page:
                page = V1_JOBS.parse(body)
                watched._pages.append(weakref.ref(page))
                return page

        return WatchedEndpoint(api="v1", path=V1_JOBS.path, form=V1_JOBS.form, lists_jobs=True)

    def held(self) -> int:
        """Count the pages that are still held."""
        return sum(page() is not None for page in self._pages)


@pytest.fixture(params=[True, False], ids=["ahead", "not ahead"])
def ahead(request: pytest.FixtureRequest) -> bool:
    """Read both ahead and not."""
    return bool(request.param)


def chain(sandbox: Sandbox, *tokens: str | None) -> None:
    """Return the next requests with pages of one job and these tokens."""
    for number, token in enumerate(tokens, start=1):
        sandbox.answer_next(200, {"items": [job(f"job {number}")], "next_page_token": token})


# Pages and their tokens.


def test_listing_of_a_thousand_jobs_takes_ten_requests(sandbox: Sandbox, *, ahead: bool) -> None:
    ids = fill(sandbox, 1000)
    listing = listing_of(sandbox)

    assert ids_of(listing.pages(ahead=ahead)) == ids
    assert listing.activity == Activity(pages=10, jobs=1000, requests=10)
    assert len(sandbox.requests) == 10


def test_listing_of_nothing_is_one_empty_page(sandbox: Sandbox) -> None:
    assert [list(page.items) for page in listing_of(sandbox).pages()] == [[]]


def test_every_other_parameter_is_repeated_with_each_token(sandbox: Sandbox) -> None:
    fill(sandbox, 5)
    scope = {
        "project_id": sandbox.project_id,
        "organization_id": sandbox.world.organization_id,
    }
    list(listing_of(sandbox, page_size=2, scope=scope).pages())

    first, *others = [request.query for request in sandbox.requests]
    assert first == scope | {"page_size": "2"}
    assert [query | {"page_token": ""} for query in others] == [first | {"page_token": ""}] * 2
    assert len({query["page_token"] for query in others}) == 2


def test_what_is_no_list_of_jobs_in_pages_is_asked_for_and_counted_as_what_it_is(
    sandbox: Sandbox,
) -> None:
    listing = Paginator(Client(connection(sandbox)), PROJECTS)
    (page,) = listing.pages()

    assert len(page.items) == 3
    assert "page_size" not in sandbox.requests[0].query
    assert listing.activity == Activity(pages=1, jobs=0, requests=1)
    sandbox.answer_next(402)
    with pytest.raises(ApiError, match=rf"^GET {PROJECTS.path} at "):
        list(listing.pages())


@pytest.mark.parametrize(
    ("tokens", "pages"),
    [(["a", "a"], 1), (["a", "b", "a"], 2), (["a", "b", "c", "d", "c"], 4)],
    ids=["directly", "in a cycle", "in a cycle after a beginning"],
)
def test_token_that_comes_twice_is_an_api_error(
    sandbox: Sandbox, tokens: list[str], pages: int, *, ahead: bool
) -> None:
    chain(sandbox, *tokens)
    iterator = listing_of(sandbox).pages(ahead=ahead)
    read = [next(iterator).items[0]["id"] for _ in range(pages)]
    with pytest.raises(ApiError) as caught:
        next(iterator)

    assert read == [f"job {number}" for number in range(1, pages + 1)]
    assert str(caught.value) == (
        f"page {pages + 1}: the API handed out a page token for the second time, so the listing "
        "has no end; run again, and tell LlamaCloud if it stays so"
    )
    assert (len(sandbox.requests), sandbox.unanswered) == (len(tokens), 0)


def test_listing_may_be_read_again_from_its_beginning(sandbox: Sandbox) -> None:
    ids = fill(sandbox, 5)
    listing = listing_of(sandbox, page_size=2)

    assert ids_of(listing.pages()) == ids_of(listing.pages()) == ids


def test_page_has_what_the_reply_says(sandbox: Sandbox) -> None:
    sandbox.answer_next(
        200, rb'{"items": [{"id": "a", "mode": "\ud800"}], "total_size": 7}', date=False
    )
    pages = list(listing_of(sandbox).pages())

    noon = datetime(2026, 11, 1, 12, tzinfo=UTC)
    (page,) = pages
    assert page == Page(
        [{"id": "a", "mode": "\ufffd"}],
        asked_at=noon,
        total_size=7,
        replaced=1,
        listed=1,
        is_server_clock=False,
    )


@pytest.mark.parametrize("dated", [True, False], ids=["the server's", "this machine's"])
def test_every_page_says_whose_clock_the_listing_began_by(sandbox: Sandbox, *, dated: bool) -> None:
    for number, date in enumerate([dated, not dated, dated]):
        body = {"items": [job(str(number))], "next_page_token": str(number) if number < 2 else None}
        sandbox.answer_next(200, body, date=date)

    assert [p.is_server_clock for p in listing_of(sandbox).pages()] == [dated] * 3


def test_every_page_was_asked_at_when_the_first_was(sandbox: Sandbox) -> None:
    fill(sandbox, 6)
    sandbox.before_page = lambda number: sandbox.world.advance(3600) if number > 1 else None
    exchanges: list[Exchange] = []
    asked = connection(sandbox, page_size=2)
    client = Client(asked, clock=SimulatedClock(), on_exchange=exchanges.append)
    pages = list(Paginator(client, V1_JOBS).pages())

    began = datetime(2026, 11, 23, 12, tzinfo=UTC) - timedelta(seconds=exchanges[0].seconds)
    assert [page.asked_at for page in pages] == [began] * 3


# Ahead.


def test_next_page_is_asked_for_while_one_is_worked_on_but_not_the_one_after(
    sandbox: Sandbox,
) -> None:
    fill(sandbox, 8)
    asked = {number: threading.Event() for number in range(1, 5)}
    sandbox.before_page = lambda number: asked[number].set()
    listing = listing_of(sandbox, page_size=2)
    pages = listing.pages()
    for taken in range(1, 4):
        next(pages)
        assert asked[taken + 1].wait(LONG)
        settle()
        assert len(sandbox.requests) == taken + 1
        assert (listing.activity.pages, listing.activity.jobs) == (taken, 2 * taken)

    assert len(list(pages)) == 1
    assert len(sandbox.requests) == 4


def test_page_is_asked_for_before_anybody_waits_for_it_and_it_is_told_when_it_is_there(
    sandbox: Sandbox,
) -> None:
    ids = fill(sandbox, 4)
    listing = listing_of(sandbox, page_size=2)
    for number in (1, 2):
        is_there = threading.Event()
        listing.fetch(is_there.set)
        assert is_there.wait(LONG)
        assert len(sandbox.requests) == number
        assert ids_of(iter([listing.next()])) == ids[2 * number - 2 : 2 * number]

    assert listing.is_over
    assert len(sandbox.requests) == 2


def test_nothing_is_asked_for_before_the_first_page_is_wanted(sandbox: Sandbox) -> None:
    listing_of(sandbox).pages()
    settle()

    assert sandbox.requests == []


def test_without_ahead_each_page_is_asked_for_when_it_is_wanted(sandbox: Sandbox) -> None:
    fill(sandbox, 8)
    counts = []
    for _ in listing_of(sandbox, page_size=2).pages(ahead=False):
        settle()
        counts.append(len(sandbox.requests))

    assert counts == [1, 2, 3, 4]


def test_no_more_than_one_page_is_held(sandbox: Sandbox, *, ahead: bool) -> None:
    fill(sandbox, 8)
    watched, held = Watched(), []
    for _ in listing_of(sandbox, watched, page_size=2).pages(ahead=ahead):
        settle()
        held.append(watched.held())

    assert held == [1, 1, 1, 1]


def test_without_ahead_a_page_is_let_go_before_the_next_is_asked_for(sandbox: Sandbox) -> None:
    fill(sandbox, 8)
    watched, held = Watched(), []
    sandbox.before_page = lambda _: held.append(watched.held())
    deque(listing_of(sandbox, watched, page_size=2).pages(ahead=False), maxlen=0)

    assert held == [0, 0, 0, 0]


def test_listing_that_is_dropped_early_leaves_nobody_to_wait_for(sandbox: Sandbox) -> None:
    sandbox.answer_next(200, {"items": [], "next_page_token": "more"})
    sandbox.answer_next(200, {"items": []}, delay_ms=60_000)
    pages = listing_of(sandbox, retry_seconds=0).pages()
    next(pages)
    fetching = [thread for thread in threading.enumerate() if thread.name == THREAD]
    del pages

    # A process ends without waiting for daemons.
    assert [(thread.is_alive(), thread.daemon) for thread in fetching] == [(True, True)]


def test_error_reaches_whoever_takes_the_page(sandbox: Sandbox, *, ahead: bool) -> None:
    chain(sandbox, "more")
    sandbox.answer_next(402)
    pages = listing_of(sandbox).pages(ahead=ahead)
    assert next(pages).items == [job("job 1")]
    with pytest.raises(ApiError, match="request 2, answered 402 Payment Required"):
        next(pages)
    assert list(pages) == []


def test_what_is_no_error_of_the_api_reaches_whoever_takes_the_page(sandbox: Sandbox) -> None:
    def interrupt(exchange: Exchange) -> None:
        if len(sandbox.requests) > 1:
            raise SystemExit(exchange.path)

    chain(sandbox, "more", None)
    asked = connection(sandbox)
    pages = Paginator(Client(asked, on_exchange=interrupt), V1_JOBS).pages()
    next(pages)
    caught: list[BaseException] = []

    def take() -> None:
        try:
            next(pages)
        except SystemExit as error:
            caught.append(error)

    # In a thread, because whoever lost the error would wait for ever.
    taking = threading.Thread(target=take, daemon=True)
    taking.start()
    taking.join(LONG)
    assert [str(error) for error in caught] == [V1_JOBS.path]


# What errors say.


@pytest.mark.parametrize("page", [1, 2], ids=["first page", "second page"])
def test_reply_that_is_no_page_is_named_with_its_page_and_request(
    sandbox: Sandbox, page: int
) -> None:
    chain(sandbox, *["more"] * (page - 1))
    sandbox.answer_next(503)
    sandbox.answer_next(200, "text")
    with pytest.raises(ReplyError) as caught:
        list(listing_of(sandbox).pages())

    assert type(caught.value) is ReplyError
    assert str(caught.value) == (
        f"page {page}: GET {V1_JOBS.path} at {urlsplit(sandbox.url).netloc}, "
        f"request {page + 1}, answered what is no JSON; check api_url and any proxy"
    )


class Late(Activity):
    """Counters that are slow to count pages: whoever fetches ahead is done by then."""

    @override
    def __setattr__(self, name: str, value: int) -> None:
        if name == "pages":
            settle()
        super().__setattr__(name, value)


def test_page_that_fails_ahead_of_the_count_is_named_rightly(sandbox: Sandbox) -> None:
    chain(sandbox, "more")
    sandbox.answer_next(200, "text")
    asked = connection(sandbox)
    client = Client(asked)
    client.activity = Late()
    with pytest.raises(ReplyError, match="page 2: GET"):
        list(Paginator(client, V1_JOBS).pages())


def test_time_that_a_page_is_worked_on_is_not_taken_off_the_next_one_s_retry_seconds(
    sandbox: Sandbox,
) -> None:
    ids = fill(sandbox, 4)
    clock = SimulatedClock()
    client = Client(connection(sandbox, page_size=1, retry_seconds=60), clock=clock)
    found = []
    for page in Paginator(client, V1_JOBS).pages(ahead=False):
        found += [each["id"] for each in page.items]
        sandbox.fail_next("503")
        clock.sleep(61)

    assert found == ids


# Tokens that the API no longer takes.


def test_listing_that_starts_again_began_when_it_first_did(sandbox: Sandbox) -> None:
    ids = fill(sandbox, 4)
    pages = listing_of(sandbox, page_size=2).pages(ahead=False)
    first = next(pages)
    sandbox.world.advance(3600)
    # A 422 that does not say of which parameter it speaks may speak of the token.
    sandbox.answer_next(422, {"detail": "expired"})
    read = [first, *pages]

    assert ids_of(iter(read)) == [*ids[:2], *ids]
    assert len({page.asked_at.replace(microsecond=0) for page in read}) == 1


def test_listing_starts_again_twice_at_most_and_says_so_each_time(
    sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    ids = fill(sandbox, 4)
    listing = listing_of(sandbox, page_size=2)
    # As often each time that it is read.
    for _ in range(2):
        pages = listing.pages(ahead=False)
        read = []
        for _ in range(MOST_RESTARTS):
            read.append(next(pages))
            sandbox.answer_next(422, {"detail": "expired"})
        assert ids_of(iter([*read, *pages])) == [*ids[:2] * 2, *ids]
    messages = [record.getMessage() for record in caplog.records]
    assert all(message.startswith("page 2: GET /api/") for message in messages)
    assert [message.partition(". ")[2] for message in messages] == [
        "Starting again from the top, for time 1 of 2 at most",
        "Starting again from the top, for time 2 of 2 at most",
    ] * 2

    caplog.clear()
    pages = listing.pages(ahead=False)
    next(pages)
    sandbox.answer_next(422, {"detail": "expired"})
    for _ in range(MOST_RESTARTS):
        next(pages)
        sandbox.answer_next(422, {"detail": "expired"})
    with pytest.raises(PageTokenError, match=r"^page 2: GET .+ answered 422"):
        next(pages)
    assert len(caplog.records) == MOST_RESTARTS


def test_listing_that_is_read_page_by_page_starts_again_as_often(sandbox: Sandbox) -> None:
    ids = fill(sandbox, 4)
    listing = listing_of(sandbox, page_size=2)
    read = []
    for _ in range(MOST_RESTARTS):
        read.append(listing.next())
        sandbox.answer_next(422, {"detail": "expired"})
    while not listing.is_over:
        read.append(listing.next())

    assert ids_of(iter(read)) == [*ids[:2] * 2, *ids]


def test_listing_that_is_read_again_begins_when_it_is(sandbox: Sandbox) -> None:
    fill(sandbox, 2)
    listing = listing_of(sandbox, page_size=2)
    (before,) = listing.pages()
    sandbox.world.advance(3600)
    (page,) = listing.pages()

    assert page.asked_at - before.asked_at > timedelta(minutes=59)
    assert (page.listed, page.overlaps) == (2, False)


def test_listing_does_not_start_again_over_another_parameter(sandbox: Sandbox) -> None:
    chain(sandbox, "more")
    sandbox.answer_next(422, {"detail": [{"loc": ["query", "project_id"], "msg": "page_token"}]})
    with pytest.raises(ApiError, match=r"\(query.project_id\): the API refuses a parameter"):
        list(listing_of(sandbox).pages())

    assert len(sandbox.requests) == 2


# Jobs that move from page to page.


@pytest.mark.parametrize("empty_pages", [0, 1])
def test_page_that_repeats_a_job_of_the_page_before_is_marked(empty_pages: int) -> None:
    settings = Settings(tokens="position", empty_pages=empty_pages)
    with Sandbox(World.empty(), settings) as sandbox:
        ids = fill(sandbox, 6)
        pages = listing_of(sandbox, page_size=2).pages(ahead=False)
        read = [next(pages)]
        sandbox.world.put(job("new", created_at="2026-11-02T00:00:00Z"))
        read += pages

    full = [page for page in read if page.items]
    assert [page.overlaps for page in full] == [False, True, False, False]
    assert [job["id"] for job in full[1].items] == ids[1:3]
    assert not any(page.overlaps for page in read if not page.items)
