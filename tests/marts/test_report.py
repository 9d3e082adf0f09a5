"""The report as its reader has it: one page from the marts, whatever they hold."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import duckdb
import pytest

from llamaclassify_report import history
from llamaclassify_report.figures import figures_of
from llamaclassify_report.links import JobPages, LinkError
from llamaclassify_report.marts import MartsError, opened
from tests.support.builders import cases
from tests.support.report_marts import AS_OF, HOSTILE, Made, hostile, ordinary, several
from tests.support.report_page import PATTERN, Page, made_of, read, rows_of

SAFE = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none';"
    " form-action 'none'"
)
LARGEST = 1_000_000
NEVER_ENDED = {
    "pending": "none has ended",
    "other": "No job has ended.",
    "cancelled": "No job has ended.",
}


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return made_of(ordinary(), tmp_path_factory.mktemp("ordinary"))


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory: pytest.TempPathFactory) -> str:
    return made_of(hostile(), tmp_path_factory.mktemp("hostile"), PATTERN)


def test_figures_count_seven_days_before_as_of_and_the_seven_before_those(tmp_path: Path) -> None:
    made = Made()
    for days_ago, status in (
        (0.1, "succeeded"),
        (6.9, "partly_succeeded"),
        (3, "cancelled"),
        (2, "running"),
        (7.1, "failed"),
        (13.9, "succeeded"),
        (14.1, "succeeded"),
        (-1, "succeeded"),
    ):
        made.job(days_ago=days_ago, status=status)
    figures = read(made, tmp_path)
    assert figures.weeks == {
        0: {"weeks_ago": 0, "jobs": 4, "succeeded": 1, "ended": 2},
        1: {"weeks_ago": 1, "jobs": 2, "succeeded": 1, "ended": 2},
    }
    assert figures.oldest_unfinished is not None
    assert figures.oldest_unfinished["job_id"] == "job-3"
    assert figures.as_of == AS_OF


def test_page_shows_figures_grouped_by_thousands_costs_once_its_zone_and_where_it_is_from(
    page: str,
) -> None:
    text = Page(page).text
    opening = ("57", "75 %", "3 days", "waiting")
    others = ("1,234", "2026-11-24 12:00 UTC", "from marts.duckdb, schema llamaclassify.")
    # 20 jobs of 2.5 credits.
    assert [said for said in (*opening, *others, "50 credits") if said not in text] == []


def test_page_says_how_many_jobs_of_the_attention_list_it_leaves_out(page: str) -> None:
    text = Page(page).text
    assert re.search(r"60 jobs", text)
    listed = sorted(int(n) for n in set(re.findall(r"unsure-(\d+)", text)))
    assert listed == [*range(len(listed))], "the least certain come first"
    assert 0 < len(listed) <= 50
    assert f"of which {len(listed)} are shown" in text


def test_page_of_no_data_says_so_and_draws_nothing(tmp_path: Path) -> None:
    html = made_of(Made(), tmp_path)
    assert "No jobs are loaded yet" in Page(html).text
    assert "<svg" not in html


def test_page_says_that_data_is_older_than_two_days_and_not_that_it_is_younger(
    page: str, tmp_path: Path
) -> None:
    old = Page(made_of(Made().job(days_ago=5), tmp_path)).text
    assert "No job has changed for" in old
    assert "No job has changed for" not in Page(page).text


ONLY = "Only {} jobs are loaded; there are none of {}."


@cases(
    "jobs, shown",
    {
        **{s: ([{"status": s, "duration_seconds": None}], t) for s, t in NEVER_ENDED.items()},
        "no time of a change": ([{"updated_at": None}], "Jobs per day"),
        "no time taken": ([{"duration_seconds": n} for n in (0.0, 777_600.0)], "Jobs per day"),
        "v1 only": ([{"api_version": "v1"}], ONLY.format("v1", "v2")),
        "v2 only": ([{"api_version": "v2"}], ONLY.format("v2", "v1")),
    },
)
def test_page_of_odd_jobs_is_no_failure_and_says_what_there_is(
    jobs: list[dict[str, Any]], shown: str, tmp_path: Path
) -> None:
    made = Made()
    for job in jobs:
        made.job(**job)
    html = made_of(made, tmp_path)
    assert shown in Page(html).text
    assert "<svg" in html


def test_charts_are_well_formed_and_named_and_have_their_numbers_as_a_table(page: str) -> None:
    drawings = re.findall(r"<svg .*?</svg>", page, re.DOTALL)
    charts = []
    for drawing in drawings:
        root = ET.fromstring(drawing)  # noqa: S314 - the report's own
        assert root.get("role") == "img"
        assert len(root.get("aria-label") or "") > 20
        charts.append(root.get("aria-label", "").partition(",")[0])
    titles = ["Jobs per day", "Success rate", "Duration", "Credits per day"]
    weekly = "Credits by week and project"
    assert charts == [*titles, *["Jobs per week of Invoices"] * 2, weekly]
    tags = [tag for tag, _ in Page(page).elements]
    assert tags.count("details") == len([*titles, weekly])


def test_colours_of_charts_are_the_pages_own(page: str) -> None:
    declared = set(re.findall(r"(--[\w-]+):", page))
    used = set(re.findall(r"var\((--[\w-]+)\)", page))
    assert "--succeeded" in used
    assert used <= declared


def test_hostile_names_make_no_element_and_no_attribute_that_acts(hostile_page: str) -> None:
    elements = Page(hostile_page).elements
    assert not {tag for tag, _ in elements} & {"script", "img", "iframe", "object", "form"}
    assert {a["href"].partition("/p/")[0] for tag, a in elements if tag == "a"} == {
        "https://cloud.example"
    }
    acting = [
        (tag, name)
        for tag, attributes in elements
        for name, value in attributes.items()
        if name.startswith("on") or value.strip().lower().startswith("javascript:")
    ]
    assert acting == []


def test_hostile_names_are_shown_as_they_are_and_cut_short(hostile_page: str) -> None:
    text = Page(hostile_page).text
    assert "<script>document.title='ran'</script>" in text
    assert "{{ 7 * 7 }}" in text
    assert "two lines and a bell" in text
    assert "x" * 400 not in hostile_page
    assert not set("\x07\u202e\u2066") & set(hostile_page)
    assert HOSTILE[7] in text, "emoji that are joined stay so"


def test_hostile_names_leave_charts_well_formed(hostile_page: str) -> None:
    for drawing in re.findall(r"<svg role.*?</svg>", hostile_page, re.DOTALL):
        ET.fromstring(drawing)  # noqa: S314 - the report's own


def test_page_forbids_scripts_and_network_and_asks_for_neither(page: str) -> None:
    elements = Page(page).elements
    [policy] = [a["content"] for _, a in elements if "http-equiv" in a]
    assert policy == SAFE
    for _, attributes in elements:
        for name in ("src", "href", "xlink:href", "action"):
            assert attributes.get(name, "data:").startswith("data:")
    assert "url(" not in page
    assert "@import" not in page


def test_page_has_a_language_landmarks_and_headings_in_order(page: str) -> None:
    elements = Page(page).elements
    assert ("html", {"lang": "en"}) in elements
    tags = [tag for tag, _ in elements]
    assert {"header", "main", "footer"} <= set(tags)
    levels = [int(tag[1]) for tag in tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1


def test_page_is_the_same_for_the_same_marts(page: str, tmp_path: Path) -> None:
    assert made_of(ordinary(), tmp_path) == page


def test_page_stays_small_however_many_jobs_names_and_days_there_are(tmp_path: Path) -> None:
    made = Made()
    for number in range(360):
        name = f"{number} " + "y" * 1_000
        made.job(days_ago=number / 4, language=name, mode=name, project_name=name)
    for number in range(100):
        name = f"{number} " + "z" * 1_000
        made.rule_type(name, 1, 1)
        made.attention("repeated_error", name, project_id=name, error_message=name)
    assert len(made_of(made, tmp_path).encode()) < LARGEST


def test_page_tells_long_names_apart_that_begin_alike(tmp_path: Path) -> None:
    made = Made().job()
    names = ("same " * 20 + "1", "same " * 20 + "2", "A", "a\ufffeb")
    for name in names:
        made.rule_type(name, 2_222, 1)
    assert Page(made_of(made, tmp_path)).text.count("2,222") == len(names) + 1


def test_marts_of_another_version_are_told_from_marts_that_are_not_there(tmp_path: Path) -> None:
    file = Made().job().write(tmp_path / "marts.duckdb")
    with duckdb.connect(str(file)) as connection:
        connection.execute("ALTER TABLE llamaclassify.agg_rule_types DROP documents")
    with (
        opened({"DBT_FILEPATH": str(file)}) as marts,
        pytest.raises(MartsError, match=r"marts.duckdb, .* another version; run .*dbt:build"),
    ):
        figures_of(marts)


# Its cards: what needs attention, how the last days went, who uses what.


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
    assert len(cards) == page_of_several.count("<article ") == 17
    spans = {"last 30 days", "last 90 days", "last 13 weeks", "all that is loaded"}
    assert {span for _, span in cards} == spans


def test_projects_and_versions_of_the_api_are_told_apart(tmp_path: Path) -> None:
    made = Made().job(api_version="v1", days_ago=8).job(api_version="v1", status="failed")
    made.job(api_version="v2", duration_seconds=5.0, credits=2.5)
    made.job(api_version="v2", project_id="p2", project_name=None, status="pending")
    html = made_of(made, tmp_path)
    assert ["|".join(row) for row in rows_of(html, "By project and API")] == [
        "all projects|v1|1 project|2|1|50 %|0 %|60 seconds|60 seconds|-",
        "all projects|v2|2 projects|2|2|100 %|100 %|5 seconds|5 seconds|2.5",
        "Invoices|v1||2|1|50 %|0 %|60 seconds|60 seconds|-",
        "Invoices|v2||1|1|100 %|100 %|5 seconds|5 seconds|2.5",
        "p2|v2||1|1|-|-|-|-|-",
    ]
