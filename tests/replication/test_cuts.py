"""A v2 history is cut into even pieces by counting; together they bring each job once."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from typing import Any, get_args

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Bounds, Order, Tokens
from llamacloud_sandbox.world.clock import stamp
from tap_llamaclassify.api import pagination
from tap_llamaclassify.config.settings import Settings, parse_settings
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.replication.cuts import LEAST_SHARE, Narrowed, cut, most_pieces
from tap_llamaclassify.replication.pieces import Piece, items_of
from tap_llamaclassify.replication.window_plan import AIM_AT_ONCE, TOO_LONG
from tap_llamaclassify.replication.window_survey import FEW, MOST_PARTS, SHARE
from tap_llamaclassify.tables.tables import FILES, PROJECTS, V2_JOBS, Table
from tests.replication.test_v2_bounds import A_DAY, WORLDS, put
from tests.support.builders import connection
from tests.support.runs import at_page, put_v2, watched

ANY, USUAL = Narrowed(), Settings()


@pytest.fixture
def _small_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"AIM_AT_ONCE": 6, "LEAST_AIM": 2}.items():
        monkeypatch.setattr(f"tap_llamaclassify.replication.window_survey.{name}", value)


def client_of(sandbox: Sandbox, **config: Any) -> Client:
    return Client(connection(sandbox, **{"retry_seconds": 0, "page_size": 3} | config))


def cut_up(
    sandbox: Sandbox, narrowed: Narrowed = ANY, table: Table = V2_JOBS, **config: Any
) -> list[Piece]:
    return cut(client_of(sandbox, **config), Settings(), table, narrowed)


def ids_in(
    sandbox: Sandbox, pieces: list[Piece], settings: Settings = USUAL, **config: Any
) -> Counter[str]:
    return Counter(
        item["id"]
        for piece in pieces
        for items in items_of(client_of(sandbox, **config), settings, V2_JOBS, piece)
        for item in items
    )


def of_numbers(jobs: int) -> Counter[str]:
    return Counter(f"{number}" for number in range(jobs))


def of_world(sandbox: Sandbox, world: str) -> Counter[str]:
    """Fill a sandbox; return what it holds."""
    _, ages = WORLDS[world]
    put(sandbox, {f"{number}": age for number, age in enumerate(ages)})
    return of_numbers(len(ages))


@pytest.mark.usefixtures("_small_windows")
@pytest.mark.parametrize("bounds", get_args(Bounds))
@pytest.mark.parametrize(
    ("world", "page_size"),
    [("nine pages", 3), ("130 jobs in an hour", 3), ("a second", 12), ("bursts", 12)],
)
def test_pieces_bring_each_job_once_whatever_the_api_makes_of_bounds(
    world: str, page_size: int, bounds: Bounds, sandbox: Sandbox
) -> None:
    jobs = of_world(sandbox, world)
    sandbox.settings.bounds = bounds
    for total in (True, False):
        sandbox.settings.total_size = total
        pieces = cut_up(sandbox, page_size=page_size)
        assert ids_in(sandbox, pieces, page_size=page_size) == jobs


@pytest.mark.parametrize("world", ["two days", "90 days", "bursts", "ever denser", "ever sparser"])
def test_pieces_are_even_and_planned_with_few_requests(world: str, sandbox: Sandbox) -> None:
    jobs = of_world(sandbox, world)
    pages = -(-jobs.total() // 3)
    pieces = cut_up(sandbox)
    # The first page, what is known of bounds, whether all have a date, what is unfinished.
    others = 1 + 1 + 2 + 2
    assert len(sandbox.requests) <= FEW + SHARE * pages + MOST_PARTS + others
    assert sum(piece.pages for piece in pieces) == pytest.approx(jobs.total() / 3, abs=len(pieces))
    counted = [ids_in(sandbox, [piece]).total() / 3 for piece in pieces]
    assert counted == [pytest.approx(piece.pages, abs=1) for piece in pieces]
    assert max(counted) <= max(TOO_LONG * AIM_AT_ONCE, pages / 3)
    assert pages < 30 or len(pieces) >= 4


@pytest.mark.usefixtures("_small_windows")
@pytest.mark.parametrize("order", get_args(Order))
def test_job_that_moves_while_its_window_is_listed_comes_all_the_same(
    order: Order, sandbox: Sandbox
) -> None:
    of_world(sandbox, "400 jobs in ten hours")
    sandbox.settings.order = order
    piece = cut_up(sandbox)[2]
    # The one that is listed last.
    oldest = max(map(int, ids_in(sandbox, [piece])))
    sandbox.world.touch_v2(f"{oldest}", status="RUNNING", updated_at=piece.begin)
    piece = cut_up(sandbox)[2]
    there = ids_in(sandbox, [piece])
    sandbox.clear_requests()

    def let_it_end(_: int) -> None:
        if len(sandbox.requests) == 2:
            sandbox.world.touch_v2(f"{oldest}", status="COMPLETED")

    sandbox.before_page = let_it_end
    assert ids_in(sandbox, [piece]) == there
    sandbox.before_page = None
    assert there[f"{oldest}"] == 1


@pytest.mark.parametrize("limit", [None, 60])
def test_unfinished_jobs_that_are_asked_for_come_although_one_ends_meanwhile(
    limit: int | None, sandbox: Sandbox
) -> None:
    of_world(sandbox, "nine pages")
    for id_ in range(27):
        sandbox.world.touch_v2(f"{id_}", status="RUNNING")
    sandbox.settings.tokens = "position"
    pieces = cut_up(sandbox, Narrowed(status="RUNNING"), requests_per_minute=limit)
    at_page(sandbox, 2, lambda: sandbox.world.touch_v2("0", status="COMPLETED"))
    sandbox.clear_requests()
    assert ids_in(sandbox, pieces) == of_numbers(27)


def test_job_that_moves_comes_where_a_low_limit_leaves_one_piece_of_a_window(
    sandbox: Sandbox,
) -> None:
    of_world(sandbox, "nine pages")
    begin = stamp(sandbox.world.now() - timedelta(days=40))
    sandbox.world.touch_v2("26", status="RUNNING", updated_at=begin)
    sandbox.settings.order = "updated"
    pieces = cut_up(sandbox, Narrowed(begin), requests_per_minute=60)
    at_page(sandbox, 2, lambda: sandbox.world.touch_v2("26", status="COMPLETED"))
    assert ids_in(sandbox, pieces) == of_numbers(27)


def test_window_that_ends_before_it_begins_is_not_asked_for(sandbox: Sandbox) -> None:
    of_world(sandbox, "nine pages")
    now = sandbox.world.now()
    begin, end = (stamp(now - timedelta(days=days)) for days in (5, 9))
    assert cut_up(sandbox, Narrowed(begin, end)) == []
    assert not sandbox.requests


def test_job_of_a_status_comes_without_created_at_whatever_the_start_date(
    sandbox: Sandbox,
) -> None:
    now = stamp(sandbox.world.now())
    put_v2(sandbox, "undated", created_at=None, status="FAILED", updated_at=now)
    settings = parse_settings({"start_date": now})
    pieces = cut(client_of(sandbox), settings, V2_JOBS, Narrowed(status="FAILED"))
    assert ids_in(sandbox, pieces, settings) == Counter(["undated"])


@pytest.mark.usefixtures("_small_windows")
@pytest.mark.parametrize("tokens", get_args(Tokens))
def test_job_that_is_shown_twice_comes_once(tokens: Tokens, sandbox: Sandbox) -> None:
    jobs = of_world(sandbox, "nine pages")
    sandbox.world.touch_v2("20", status="RUNNING")
    sandbox.settings.tokens = tokens
    # Read as one, what is unfinished comes first, and with all others.
    sandbox.settings.total_size = False
    assert ids_in(sandbox, cut_up(sandbox)) == jobs


@pytest.mark.usefixtures("_small_windows")
def test_job_made_after_the_plan_is_in_no_piece(sandbox: Sandbox) -> None:
    jobs = of_world(sandbox, "nine pages")
    pieces = cut_up(sandbox)
    sandbox.world.advance(5)
    put(sandbox, {"new": 0})
    assert ids_in(sandbox, pieces) == jobs


@pytest.mark.usefixtures("_small_windows")
def test_jobs_without_created_at_are_read_in_one_piece_with_all_others(sandbox: Sandbox) -> None:
    jobs = of_world(sandbox, "nine pages")
    put_v2(sandbox, "undated", created_at=None)
    pieces = cut_up(sandbox)
    assert [piece.is_all for piece in pieces] == [True]
    assert ids_in(sandbox, pieces) == jobs + Counter(["undated"])


@pytest.mark.usefixtures("_small_windows")
def test_jobs_made_while_they_are_counted_do_not_hide_one_without_created_at(
    sandbox: Sandbox,
) -> None:
    of_world(sandbox, "nine pages")
    put_v2(sandbox, "undated", created_at=None)

    def make_a_job(number: int) -> None:
        put(sandbox, {f"new {number}": 0})

    sandbox.before_page = make_a_job
    pieces = cut_up(sandbox)
    assert [piece.is_all for piece in pieces] == [True]


@pytest.mark.parametrize("table", [PROJECTS, FILES], ids=lambda table: table.name)
def test_table_that_is_not_of_v2_jobs_is_one_piece_planned_without_a_request(
    table: Table, sandbox: Sandbox
) -> None:
    assert cut_up(sandbox, table=table) == [Piece(is_all=True)]
    assert not sandbox.requests


@pytest.mark.usefixtures("_small_windows")
def test_rate_limit_bounds_the_pieces_and_a_low_one_is_not_spent_on_plans(
    sandbox: Sandbox,
) -> None:
    jobs = of_world(sandbox, "two days")
    pieces = cut_up(sandbox, requests_per_minute=20)
    assert pieces == [Piece(is_all=True)]
    assert not sandbox.requests
    pieces = cut_up(sandbox, requests_per_minute=1000, page_size=10)
    assert 1 < len(pieces) <= 1000 // LEAST_SHARE
    assert ids_in(sandbox, pieces, page_size=10) == jobs
    assert (most_pieces(59), most_pieces(120), most_pieces(None)) == (1, 2, 10_000)


@pytest.mark.usefixtures("_small_windows")
def test_window_and_status_are_asked_of_the_api(sandbox: Sandbox) -> None:
    of_world(sandbox, "90 days")
    for id_ in ("3", "600", "601"):
        sandbox.world.touch_v2(id_, status="FAILED")
    now = sandbox.world.now()
    begin, end = (stamp(now - timedelta(days=days)) for days in (60, 30))
    window = Narrowed(begin, end)
    pieces = cut_up(sandbox, window)
    assert (pieces[0].begin, pieces[-1].end) == (begin, end)
    assert ids_in(sandbox, pieces).total() == 400
    sandbox.clear_requests()
    pieces = cut_up(sandbox, Narrowed(begin, end, "FAILED"))
    # Whoever asks looks at the rows as well.
    assert {"600", "601"} <= ids_in(sandbox, pieces).keys() <= {"3", "600", "601"}
    assert len(sandbox.requests) == 2


@pytest.mark.usefixtures("_small_windows")
def test_what_was_updated_before_the_start_date_is_left_out(sandbox: Sandbox) -> None:
    of_world(sandbox, "90 days")
    start = stamp(sandbox.world.now() - timedelta(days=45))
    settings = parse_settings({"start_date": start})
    pieces = cut(client_of(sandbox), settings, V2_JOBS, Narrowed())
    assert pieces[0].begin == stamp(sandbox.world.now() - timedelta(days=75))
    assert ids_in(sandbox, pieces, settings).total() == 601


@pytest.mark.usefixtures("_small_windows")
def test_piece_is_the_same_after_json(sandbox: Sandbox) -> None:
    of_world(sandbox, "nine pages")
    sandbox.world.touch_v2("3", status="RUNNING")
    pieces = cut_up(sandbox)
    assert [Piece.of_json(piece.as_json) for piece in pieces] == pieces
    assert [id_ for piece in pieces for id_ in piece.ids] == ["3"]


@pytest.mark.usefixtures("_small_windows")
def test_reader_holds_two_pages_at_most(sandbox: Sandbox) -> None:
    of_world(sandbox, "nine pages")
    (piece, *_) = cut_up(sandbox, page_size=9)
    parsed = worked_on = 0

    def note(*_: object, **__: object) -> None:
        nonlocal parsed
        parsed += 1
        assert parsed - worked_on <= 2

    with watched(pagination, "page_of", note):
        for _ in items_of(client_of(sandbox), Settings(), V2_JOBS, piece):
            worked_on += 1
    assert worked_on == parsed > 2


@pytest.mark.usefixtures("_small_windows")
def test_usage_is_filled_where_it_is_wished_for(sandbox: Sandbox) -> None:
    put(sandbox, {f"{number}": A_DAY * number for number in range(9)})
    settings = parse_settings({"fetch_usage": True})
    pieces = cut(client_of(sandbox), settings, V2_JOBS, Narrowed())
    found = [
        item["usage"]
        for piece in pieces
        for items in items_of(client_of(sandbox), settings, V2_JOBS, piece)
        for item in items
    ]
    assert found == [{"credits": 1.5, "parse_credits": 1}] * 9
