"""The report in a browser: it fits, it is legible, it prints, and no name in it runs."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Browser
from tests.support.report_marts import Made, hostile, ordinary, several
from tests.support.report_page import PATTERN, made_of

pytestmark = pytest.mark.heavy

WIDTHS = (390, 1280)
DARK = "--blink-settings=preferredColorScheme=0"
LIGHT = "--blink-settings=preferredColorScheme=1"
LEGIBLE = 4.5
"""The least contrast that WCAG 2 AA asks for text of ordinary size."""

HARNESS = """<!doctype html><iframe id="it" style="border:0;width:{width}px;height:900px"
src="{page}"></iframe><pre id="found"></pre><script>
const it = document.getElementById("it");
it.onload = () => {{
  const page = it.contentDocument, root = page.documentElement, view = it.contentWindow;
  for (const closed of page.querySelectorAll("details")) closed.open = true;
  const right = (e) => e.getBoundingClientRect().right;
  const beyond = [...page.querySelectorAll(".card")].filter((e) => right(e) > {width} + 0.5);
  const style = (e) => view.getComputedStyle(e);
  const text = [...page.querySelectorAll(
    "h1, h2, h3, p, dt, dd, th, summary, a, .said, .below, .upwards span, .across span, li")];
  const wide = [...page.querySelectorAll("table, td, th")].filter((e) =>
    e.scrollWidth > e.clientWidth + 1 || right(e) > right(e.closest(".card")) - 16);
  const words = page.createTreeWalker(page.body, NodeFilter.SHOW_TEXT), broken = [];
  while (words.nextNode()) {{
    const node = words.currentNode;
    if (node.parentElement.tagName === "title") continue;
    for (const {{0: word, index}} of node.data.matchAll(/\\S+/g)) {{
      if (!/^[\\p{{Script=Latin}}\\d_.,:;%-]{{2,36}}$/u.test(word)) continue;
      const range = page.createRange();
      range.setStart(node, index);
      range.setEnd(node, index + word.length);
      if (new Set([...range.getClientRects()].map((box) => box.top)).size > 1) broken.push(word);
    }}
  }}
  const grids = [...page.querySelectorAll("div.grid, dl")].map((grid) => {{
    const cards = [...grid.children].map((card) => card.getBoundingClientRect());
    const area = (box) => (box.width + 16) * (box.height + 16);
    return area(grid.getBoundingClientRect()) - cards.map(area).reduce((a, b) => a + b, 0);
  }});
  const behind = (e) => {{
    for (let at = e; at; at = at.parentElement) {{
      const colour = style(at).backgroundColor;
      if (colour !== "rgba(0, 0, 0, 0)") return colour;
    }}
    return "rgb(255, 255, 255)";
  }};
  document.getElementById("found").textContent = JSON.stringify({{
    inner: view.innerWidth, scroll: root.scrollWidth, beyond: beyond.length, title: page.title,
    images: page.images.length, scripts: page.scripts.length, broken,
    wide: wide.map((e) => e.textContent.slice(0, 40)), holes: grids.map(Math.round),
    cards: new Set([...page.querySelectorAll("article:has(.plot)")].map(right)).size,
    colours: text.map((e) => [e instanceof view.SVGElement ? style(e).fill : style(e).color,
      behind(e), e.textContent.slice(0, 40)]),
  }});
}};
</script>"""


def measured(browser: Browser, page: Path, width: int, *options: str) -> tuple[dict[str, Any], str]:
    """Return what a frame of that width measures, and what the console said."""
    harness = page.with_name(f"harness-{width}.html")
    harness.write_text(HARNESS.format(width=width, page=page.name), encoding="utf-8")
    dump, console = browser.dump(
        harness, "--allow-file-access-from-files", "--window-size=1400,1000", *options
    )
    found = re.search(r'<pre id="found">(.+?)</pre>', dump, re.DOTALL)
    assert found, "the harness measured nothing"
    return json.loads(html.unescape(found[1])), console


def written(made: Made, folder: Path) -> Path:
    page = folder / "report.html"
    page.write_text(made_of(made, folder, PATTERN), encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Browser:
    return Browser(tmp_path_factory.mktemp("browser"))


@pytest.fixture(scope="module", params=[ordinary, several, hostile])
def page(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(request.param(), tmp_path_factory.mktemp("page"))


@pytest.mark.parametrize("width", WIDTHS)
def test_page_fits_its_window_and_no_name_in_it_runs(
    width: int, page: Path, browser: Browser
) -> None:
    found, console = measured(browser, page, width)
    assert found["inner"] == width, "the frame is as wide as the test means"
    assert found["scroll"] <= width
    assert found["beyond"] == 0
    assert (found["images"], found["scripts"]) == (0, 0)
    assert found["title"].startswith("Classify jobs")
    assert console == ""


@pytest.mark.parametrize("width", WIDTHS)
def test_no_word_breaks_no_table_overflows_and_cards_leave_no_hole(
    width: int, page: Path, browser: Browser
) -> None:
    found, _ = measured(browser, page, width)
    assert found["broken"] == []
    assert found["wide"] == []
    assert {*found["holes"]} == {0}


def test_charts_stand_in_one_column_on_a_phone_and_in_several_on_a_screen(
    page: Path, browser: Browser
) -> None:
    known = "Credits per day" in page.read_text(encoding="utf-8")
    in_a_row = [measured(browser, page, width)[0]["cards"] for width in WIDTHS]
    assert in_a_row == [1, 3 if known else 2]


@pytest.mark.parametrize("scheme", [LIGHT, DARK], ids=["light", "dark"])
def test_text_is_legible_in_light_and_dark(scheme: str, page: Path, browser: Browser) -> None:
    colours = measured(browser, page, 1280, scheme)[0]["colours"]
    assert len(colours) > 50
    faint = [text for ink, ground, text in colours if contrast(ink, ground) < LEGIBLE]
    assert faint == []


def test_schemes_have_grounds_of_their_own(page: Path, browser: Browser) -> None:
    light, dark = (
        luminance(measured(browser, page, 1280, scheme)[0]["colours"][0][1])
        for scheme in (LIGHT, DARK)
    )
    assert dark < 0.1
    assert light > 0.8


def test_page_prints(page: Path, browser: Browser) -> None:
    pdf = browser.printed(page)
    assert pdf.startswith(b"%PDF-")
    assert 1 <= len(re.findall(rb"/Type\s*/Page\b", pdf)) <= 14


def test_policy_of_the_page_stops_what_a_name_would_run(page: Path, browser: Browser) -> None:
    text = page.read_text(encoding="utf-8")
    bad = page.with_name("bad.html")
    script = "<script>document.title = 'ran'</script></body>"
    bad.write_text(text.replace("</body>", script), encoding="utf-8")
    dump, console = browser.dump(bad)
    assert "<title>ran</title>" not in dump
    assert "Content Security Policy" in console


def contrast(one: str, other: str) -> float:
    """Return WCAG's contrast, 1 to 21, of two CSS colours."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    """Return WCAG's relative luminance of `rgb(1, 2, 3)`."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
