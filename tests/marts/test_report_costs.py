"""What the report tells of costs and waits, and what it says where none are known."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from llamaclassify_report import charts, costs, waiting
from llamaclassify_report.cards import Card
from llamaclassify_report.formatting import price
from tests.support.builders import cases
from tests.support.report_marts import AS_OF, Made, ordinary, several
from tests.support.report_page import Page, made_of, read, rows_of

CONFIGURATIONS, TYPES = "Dearest configurations", "Cost of a document"


def cells(card: Card) -> list[list[str]]:
    """Return the texts of the numbers behind a chart."""
    assert card.numbers
    return [[cell.text for cell in row] for row in card.numbers.rows]


def test_credits_are_stacked_by_week_the_dearest_projects_each_and_the_others_together(
    tmp_path: Path,
) -> None:
    made = Made().job(days_ago=150, credits=99.0)
    for number in range(6):
        its: dict[str, Any] = {"project_id": f"p{number}", "project_name": f"Project {number}"}
        made.job(days_ago=8, credits=10.0 - number, **its).job(days_ago=1, credits=0.5, **its)
        made.job(days_ago=1, credits=None, **its).job(days_ago=-1, credits=50.0, **its)
    card = costs.costs(read(made, tmp_path)).cards[0]
    named = [name for name, _ in card.legend]
    assert named == ["Project 0", "Project 1", "Project 2", "Project 3", "other projects"]
    assert cells(card) == [
        ["2026-11-16", "Project 0", "10"],
        ["2026-11-16", "Project 1", "9"],
        ["2026-11-16", "Project 2", "8"],
        ["2026-11-16", "Project 3", "7"],
        ["2026-11-16", "other projects", "11"],
        *(["2026-11-23", name, "1" if name == "other projects" else "0.5"] for name in named),
    ]
    assert card.sentence == (
        "48 credits for the jobs created since 31 Aug 2026; most in the week of 16 Nov 2026, 45."
    )
    assert card.chart
    titles = [span.title for span in card.chart.spans]
    assert len(titles) == 13
    assert titles[0] == "week of 31 Aug 2026: 0 credits"
    assert titles[-1].startswith("week of 23 Nov 2026: 3 credits (Project 0 0.5, ")
    assert card.chart.across[-1].label == "23 Nov"


def test_weeks_of_costs_begin_with_the_oldest_job(tmp_path: Path) -> None:
    weeks = read(Made().job(days_ago=10), tmp_path).weeks_of_costs
    assert weeks == [date(2026, 11, 9), date(2026, 11, 16), date(2026, 11, 23)]
    assert weeks[-1] <= AS_OF.date()


def test_configurations_are_listed_by_their_credits_and_types_by_those_of_a_document(
    tmp_path: Path,
) -> None:
    made = Made()
    saved: dict[str, Any] = {"configuration_id": "cfg-1", "configuration_name": "Mailroom"}
    costly: list[tuple[dict[str, Any], str | None]] = [
        (saved | {"credits": 3.0, "pages": 4}, "invoice"),
        (saved | {"credits": 1.0, "pages": 2}, "invoice"),
        ({"configuration_id": "cfg-2", "credits": 0.5}, None),
        ({"credits": 9.0}, "contract"),
        ({"credits": None}, "contract"),
        ({"configuration_id": "cfg-3", "credits": None}, "contract"),
    ]
    for number, (its, type_) in enumerate(costly):
        made.job(job_id=f"j{number}", **its)
        made.outcome(type_, 0.9, api_version="v1", job_id=f"j{number}")
    html = made_of(made, tmp_path)
    assert rows_of(html, CONFIGURATIONS) == [
        ["none saved", "2", "-", "9", "9"],
        ["Mailroom", "2", "6", "4", "2"],
        ["cfg-2", "1", "-", "0.5", "0.5"],
    ]
    assert rows_of(html, TYPES) == [
        ["contract", "1", "9"],
        ["invoice", "2", "2"],
        ["no type found", "1", "0.5"],
    ]
    assert "Their names take" not in html


@cases(
    "job, said",
    {
        "no cost": ({}, "No cost is known: select the stream classify_usage, or"),
        "no timings": ({}, "how long it waited and ran: select the stream classify_job_timings."),
        "no pages": ({"credits": 1.0}, "Pages take the stream classify_usage."),
        "no names": (
            {"credits": 1.0, "configuration_id": "cfg-1"},
            "Their names take the stream classify_configurations.",
        ),
        "long ago": ({"credits": 1.0, "days_ago": 200}, "Of no job of these weeks the cost is"),
    },
)
def test_page_says_which_stream_to_select_where_something_is_not_known(
    job: dict[str, Any], said: str, tmp_path: Path
) -> None:
    assert said in Page(made_of(Made().job(**job), tmp_path)).text


def test_cards_of_what_is_known_ask_for_no_stream(tmp_path: Path) -> None:
    text = Page(made_of(several(), tmp_path)).text
    assert "No cost is known" not in text
    assert "classify_job_timings" not in text
    assert "Pages take" not in text


def test_waits_and_runs_have_their_medians_and_95_of_100_by_day_and_by_project(
    tmp_path: Path,
) -> None:
    made = Made().job(days_ago=100, queue_seconds=999.0)
    for wait, run in ((1.0, 10.0), (2.0, 20.0), (5.0, None)):
        made.job(days_ago=0.25, queue_seconds=wait, run_seconds=run)
    patient: dict[str, Any] = {"project_id": "p2", "project_name": None}
    made.job(days_ago=1, queue_seconds=300.0, run_seconds=0.0, **patient)
    made.job(days_ago=1, **patient)
    figures = read(made, tmp_path)
    by_day, _ = waiting.waiting(figures).cards
    assert cells(by_day) == [
        ["2026-11-23", "5 minutes", "5 minutes", "0.0 seconds", "0.0 seconds"],
        ["2026-11-24", "2 seconds", "5 seconds", "15 seconds", "20 seconds"],
    ]
    assert by_day.sentence == (
        "On 24 Nov 2026 half of the jobs waited at most 2 seconds and ran at most 15 seconds."
    )
    assert by_day.chart
    titles = [span.title for span in by_day.chart.spans]
    assert titles[-3] == "Sun 22 Nov 2026: not known"
    assert titles[-1].startswith("Tue 24 Nov 2026: half of the jobs waited at most 2 seconds")
    again = tmp_path / "again"
    again.mkdir()
    assert rows_of(made_of(made, again), "Wait and run by project") == [
        ["p2 1 job", "5 minutes", "5 minutes", "0.0 seconds", "0.0 seconds"],
        ["Invoices 3 jobs", "2 seconds", "5 seconds", "15 seconds", "20 seconds"],
    ]


def test_wait_or_run_that_alone_is_known_is_shown(tmp_path: Path) -> None:
    section = waiting.waiting(read(Made().job(run_seconds=3.0), tmp_path))
    by_day, _ = section.cards
    assert by_day.sentence == "On 23 Nov 2026 half of the jobs ran at most 3 seconds."
    assert by_day.chart
    assert [path.colour for path in by_day.chart.paths] == [charts.SECOND] * 2, "a line, its dots"


@pytest.mark.parametrize(
    ("number", "text"),
    [(None, "-"), (0, "0"), (1_234.56, "1,234.6"), (12.34, "12.3"), (2, "2"), (0.00123, "0.00123")],
)
def test_price_has_three_digits_that_count(number: float | None, text: str) -> None:
    assert price(number) == text


def test_costs_and_waits_stand_between_the_history_and_all_that_is_loaded(tmp_path: Path) -> None:
    html = made_of(ordinary(), tmp_path)
    assert re.findall(r"<h2 id=\"([\w-]+)\"", html) == [
        "needs-attention",
        "history",
        "waiting",
        "cost",
        "documents",
    ]
