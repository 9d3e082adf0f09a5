"""Makes the report of marts made by hand, and takes it apart; it knows no browser."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

from typing_extensions import override

from llamaclassify_report.figures import Figures, figures_of
from llamaclassify_report.links import JobPages
from llamaclassify_report.marts import opened
from llamaclassify_report.page import page_of
from tests.support.report_marts import Made

PATTERN = "https://cloud.example/p/{project_id}/jobs/{job_id}?tab=1"


class Page(HTMLParser):
    """Collects elements with their attributes, and all text outside style sheets."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()

    @property
    def text(self) -> str:
        """All text, its white space made single."""
        return " ".join(" ".join(self.words).split())

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    @override
    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] != "style":
            self.words.append(data)


def read(made: Made, folder: Path) -> Figures:
    with opened({"DBT_FILEPATH": str(made.write(folder / "marts.duckdb"))}) as marts:
        return figures_of(marts)


def made_of(made: Made, folder: Path, pattern: str = "") -> str:
    return page_of(read(made, folder), JobPages(pattern))


def rows_of(html: str, title: str) -> list[list[str]]:
    """Return the texts of a table's cells; of a small chart, nothing."""
    (table,) = re.findall(rf'<table [^>]*aria-label="{title}">.*?</table>', html, re.DOTALL)
    table = re.sub(r"<svg.*?</svg>", "", table, flags=re.DOTALL)
    return [
        [Page(cell).text for cell in re.findall(r"<td.*?</td>", row, re.DOTALL)]
        for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)[1:]
    ]
