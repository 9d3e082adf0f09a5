"""The notebook of the docs runs and shows what its cells give; `UPDATE_GOLDEN=1` writes it anew."""

from __future__ import annotations

import ast
import json
import os
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.support.commands import ROOT

PAGE = ROOT / "docs" / "notebook.md"
CELL = re.compile(r"(```python\n(.*?)```\n)(?:\n```\n.*?```\n)?", re.DOTALL)
A_DAY_LATER = "<!-- a day later -->"
DAY = 86_400.0


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    """Be where the notebook runs: in a folder of its own, with a key of a sandbox."""
    with Sandbox(World(History(v2_jobs=1000, jobs=0))) as sandbox:
        monkeypatch.setenv("LLAMA_CLOUD_API_KEY", sandbox.key)
        monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", sandbox.url)
        monkeypatch.chdir(tmp_path)
        yield sandbox.world


def rendered(page: str, world: World) -> str:
    """Run the cells of a page; return it with the outputs that they give."""
    names: dict[str, Any] = {}
    parts, end = [], 0
    for cell in CELL.finditer(page):
        between = page[end : cell.start()]
        if A_DAY_LATER in between:
            world.advance(DAY)
        output = output_of(cell[2], names, line=page.count("\n", 0, cell.start(2)))
        parts += [between, cell[1], f"\n```\n{output}\n```\n" if output else ""]
        end = cell.end()
    return "".join([*parts, page[end:]])


def output_of(code: str, names: dict[str, Any], *, line: int) -> str:
    """Run a cell as a notebook does: the value of an expression at its end is shown."""
    # So that a traceback tells the page's line.
    tree = ast.parse("\n" * line + code, PAGE.name)
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    printed = StringIO()
    with redirect_stdout(printed):
        exec(compile(tree, PAGE.name, "exec"), names)  # noqa: S102 - the docs' own
        if isinstance(last, ast.Expr):
            shown = eval(compile(ast.Expression(last.value), PAGE.name, "eval"), names)  # noqa: S307 - the docs' own
            printed.write("" if shown is None else repr(shown))
    return printed.getvalue().strip()


def test_notebook_shows_what_its_cells_give_and_draws_the_jobs_of_the_api(world: World) -> None:
    page = PAGE.read_text(encoding="utf-8")
    shown = rendered(page, world)
    if "UPDATE_GOLDEN" in os.environ:
        PAGE.write_text(shown, encoding="utf-8")
        page = shown
    assert page == shown
    jobs = world.v2_jobs(world.project_ids[0])
    expected = Counter((job["created_at"][:7], job["status"]) for job in jobs)
    assert len({month for month, _ in expected}) == 4
    assert drawn(Path("jobs.html").read_text(encoding="utf-8")) == expected


def drawn(page: str) -> dict[tuple[str, str], int]:
    """Return the heights of a chart's bars by month and status, each of which it has once."""
    (text,) = re.findall(r"var spec = (\{.*\});\n", page)
    chart = json.loads(text)
    axes = {axis: of["field"] for axis, of in chart["encoding"].items()}
    assert chart["mark"]["type"] == "bar"
    assert axes == {"x": "month", "y": "jobs", "color": "status"}
    bars = chart["datasets"][chart["data"]["name"]]
    heights = {(bar["month"], bar["status"]): bar["jobs"] for bar in bars}
    assert len(heights) == len(bars)
    return heights


@pytest.mark.parametrize("shown", ["", "\n```\n3\n```\n"], ids=["no output", "a wrong one"])
def test_output_that_is_not_the_cells_is_replaced(shown: str) -> None:
    cells = "```python\ntwo = 2\n```\n{}\nThen:\n\n```python\nprint('a')\ntwo * 2\n```\n{}\nText.\n"
    right = cells.format("", "\n```\na\n4\n```\n")
    assert rendered(cells.format(shown, shown), World.empty()) == right


def test_cell_that_fails_names_its_line_of_the_page() -> None:
    with pytest.raises(ZeroDivisionError) as failure:
        rendered("# Title\n\n```python\nx = 1\nx / 0\n```\n", World.empty())
    assert failure.traceback[-1].lineno == 4
