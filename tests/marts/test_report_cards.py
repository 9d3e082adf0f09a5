"""The report's cards: what needs attention, how the last days went, who uses what."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from llamaclassify_report import history
from llamaclassify_report.links import JobPages, LinkError
from tests.support.report_marts import AS_OF, Made, ordinary, several
from tests.support.report_page import PATTERN, Page, made_of, read, rows_of


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return made_of(ordinary(), tmp_path_factory.mktemp("ordinary"))


@pytest.fixture(scope="module")
def page_of_several(tmp_path_factory: pytest.TempPathFactory) -> str:
    return made_of(several(), tmp_path_factory.mktemp("several"), PATTERN)


def test_what_needs_attention_stands_between_the_three_figures_and_the_charts(page: str) -> None:
    places = [
        page.index(f">{title}<")
        for title in ("Oldest unfinished job", "Needs attention", "Jobs per day")
    ]
    assert places == sorted(places)
    (notes,) = re.findall(r'id="needs-attention".*?<svg', page, re.DOTALL)
    assert re.findall(r"<h3>(.*?)</h3>", notes)[:3] == [
        "Failed jobs by project and error",
        "Unfinished for unusually long",
        "Less than 50 % sure",
    ]


def test_failed_jobs_are_counted_by_project_and_error_with_the_newest_of_each(
    tmp_path: Path,
) -> None:
    failed: dict[str, Any] = {"status": "failed", "error_message": "no pages", "job_id": "a"}
    made = Made().job(**failed | {"job_id": "b"}, days_ago=20)
    made.job(**failed, days_ago=2).job(**failed | {"api_version": "v2"}, days_ago=3)
    made.job(**failed | {"project_id": "p2", "project_name": None, "error_message": None})
    made.job(**failed, days_ago=31)
    html = made_of(made, tmp_path)
    assert rows_of(html, "Failed jobs by project and error") == [
        ["Invoices v1", "no pages", "1", "2", "a 2026-11-22 12:01"],
        ["Invoices v2", "no pages", "1", "1", "a 2026-11-21 12:01"],
        ["p2 v1", "no error text", "1", "1", "a 2026-11-23 12:01"],
    ]
    assert "3 jobs failed in the last 7 days, 4 in 30: 3 kinds of failure." in Page(html).text


def test_jobs_link_to_their_pages_where_a_pattern_is_given(page: str, page_of_several: str) -> None:
    assert "<a " not in page
    links = {a["href"]: a for tag, a in Page(page_of_several).elements if tag == "a"}
    assert len(links) > 10
    shape = r"https://cloud\.example/p/d6ba0a37-[0-9a-f-]+/jobs/5f0c7a52-[0-9a-f-]+\?tab=1"
    assert all(re.fullmatch(shape, address) for address in links)
    assert {a["rel"] for a in links.values()} == {"noreferrer"}


ENCODED = "p/%F0%9F%98%80%20%7Bjob_id%7D/jobs/a%2F..%2Fb%3Fc%23d%26e%3D%252e"


@pytest.mark.parametrize(
    ("job_id", "project_id", "address"),
    [
        ("a/../b?c#d&e=%2e", "\U0001f600 {job_id}", f"https://cloud.example/{ENCODED}?tab=1"),
        ("..", "p", ""),
        ("j", "", ""),
        ("j", None, ""),
        ("j" * 201, "p", ""),
    ],
    ids=["encoded", "step", "empty", "null", "too-long"],
)
def test_ids_are_encoded_in_addresses_or_have_none(
    job_id: str, project_id: str | None, address: str
) -> None:
    assert JobPages(PATTERN).address_of(job_id, project_id) == address


@pytest.mark.parametrize(
    "pattern",
    [
        "javascript:alert('{job_id}')",
        "data:text/html,{job_id}",
        "//cloud.example/{job_id}",
        "https://cloud.example/",
        "https:///{job_id}",
        "https://{job_id}.example/",
        "https://cloud.example/{job_id}/{user}",
        "https://cloud.example/{job_id}/{project_id!r}",
        "https://cloud.example/{job_id}\n",
        "https://[cloud/{job_id}",
    ],
)
def test_pattern_that_makes_no_address_is_refused(pattern: str) -> None:
    with pytest.raises(LinkError, match="http or https"):
        JobPages(pattern)


# The last days, and all that is loaded.


def test_success_rate_has_a_mean_over_the_jobs_of_seven_days_beside_that_of_each_day(
    tmp_path: Path,
) -> None:
    made = Made()
    for days_ago, *statuses in (
        (6.4, "succeeded", "succeeded", "succeeded"),
        (1.4, "failed"),
        (0.4, "succeeded", "cancelled", "running"),
        (96.4, "failed"),
        (90.4, "failed"),
    ):
        for status in statuses:
            made.job(days_ago=days_ago, status=status)
    card = history.success_rate(read(made, tmp_path))
    assert card.numbers
    assert [[cell.text for cell in row] for row in card.numbers.rows] == [
        ["2026-11-18", "3", "3", "100 %", "100 %"],
        ["2026-11-23", "0", "1", "0 %", "75 %"],
        ["2026-11-24", "1", "1", "100 %", "80 %"],
    ]
    assert card.chart
    titles = [span.title for span in card.chart.spans]
    assert len(titles) == 90
    assert titles[0] == "Thu 27 Aug 2026: no job ended; over 7 days 0 %"
    assert titles[-2] == "Mon 23 Nov 2026: 0 of 1 succeeded, 0 %; over 7 days 75 %"
    assert [label for label, _ in card.legend] == ["mean of 7 days", "each day"]


def test_charts_tell_each_days_values_where_the_pointer_rests(page: str) -> None:
    titles = re.findall(r"<title>(.*?)</title>", page)
    assert "Mon 23 Nov 2026: 8 jobs (6 succeeded, 2 failed)" in titles
    assert any(re.fullmatch(r"last 7 days: \d+ jobs, \d+ failed", title) for title in titles)


def test_charts_span_the_days_up_to_the_marts_instant_though_no_job_came(tmp_path: Path) -> None:
    figures = read(Made().job(days_ago=40), tmp_path)
    assert figures.days[0] == date(2026, 10, 15)
    assert figures.days[-1] == AS_OF.date()
    assert len(figures.days) == 41


def test_each_card_says_which_span_it_shows(page_of_several: str) -> None:
    cards = re.findall(r"<h3>(.*?)</h3><p class=\"reach\">(.*?)</p>", page_of_several)
    assert len(cards) == page_of_several.count("<article ") == 12
    assert {span for _, span in cards} == {"last 30 days", "last 90 days", "all that is loaded"}


def test_projects_and_versions_of_the_api_are_told_apart(tmp_path: Path) -> None:
    made = Made().job(api_version="v1", days_ago=8).job(api_version="v1", status="failed")
    made.job(api_version="v2", duration_seconds=5.0)
    made.job(api_version="v2", project_id="p2", project_name=None, status="pending")
    cost = {"credits": 2.5, "parse_credits": 2.5, "classified_at": AS_OF}
    made.add("fct_classify_outcomes", api_version="v2", project_id="project-1", **cost)
    html = made_of(made, tmp_path)
    assert ["|".join(row) for row in rows_of(html, "By project and API")] == [
        "all projects|v1|1 project|2|1|50 %|0 %|60 seconds|60 seconds|-",
        "all projects|v2|2 projects|2|2|100 %|100 %|5 seconds|5 seconds|2.5",
        "Invoices|v1||2|1|50 %|0 %|60 seconds|60 seconds|-",
        "Invoices|v2||1|1|100 %|100 %|5 seconds|5 seconds|2.5",
        "p2|v2||1|1|-|-|-|-|-",
    ]
