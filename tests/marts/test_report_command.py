"""The report's command writes one file, and says in one line what keeps it from that."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.commands import Ended, ended
from tests.support.report_marts import Made, ordinary


def run(folder: Path, *options: str, **environ: str) -> Ended:
    users_own = ("DBT_", "PG", "LLAMACLASSIFY_", "TARGET_DUCKDB_")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(users_own)}
    command = [sys.executable, "-m", "llamaclassify_report"]
    output = ["--output", folder / "page" / "report.html"]
    given = clean | {"DBT_FILEPATH": str(folder / "marts.duckdb")} | environ
    return ended([*command, *output, *options], env=given)


def test_command_writes_one_file_and_prints_its_path_in_one_line(tmp_path: Path) -> None:
    ordinary().write(tmp_path / "marts.duckdb", schema="elsewhere")
    done = run(tmp_path, DBT_SCHEMA="elsewhere")
    output = tmp_path / "page" / "report.html"
    assert done == Ended(0, f"{output}\n", "")
    assert [*output.parent.iterdir()] == [output]


@pytest.mark.parametrize("way", ["option", "variable"])
def test_jobs_link_by_the_pattern_of_the_option_or_of_the_variable(
    way: str, tmp_path: Path
) -> None:
    ordinary().write(tmp_path / "marts.duckdb")
    pattern = "https://cloud.example/{project_id}/{job_id}"
    given = {"LLAMACLASSIFY_JOB_URL": "no-pattern" if way == "option" else pattern}
    done = run(tmp_path, *(("--job-url", pattern) if way == "option" else ()), **given)
    assert done.code == 0, done.stderr
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert 'href="https://cloud.example/project-1/waiting"' in page


def _nothing(_: Path) -> None:
    """Leave the folder as it is."""


def _marts(folder: Path) -> None:
    Made().write(folder / "marts.duckdb")


def _no_marts(folder: Path) -> None:
    Made().write(folder / "marts.duckdb", schema="another")


def _text(folder: Path) -> None:
    (folder / "marts.duckdb").write_text("no database " * 1_000, encoding="utf-8")


def _output_in_a_file(folder: Path) -> None:
    _marts(folder)
    (folder / "page").write_text("in the way", encoding="utf-8")


POSTGRES = {
    "DBT_TARGET": "postgres",
    "PGHOST": "127.0.0.1",
    "PGPORT": "1",
    "PGPASSWORD": "not-to-be-seen",
}


NO_URL = {"LLAMACLASSIFY_JOB_URL": "javascript:{job_id}"}


@pytest.mark.parametrize(
    ("prepare", "environ", "says"),
    [
        pytest.param(_nothing, {}, "DBT_FILEPATH", id="no-file"),
        pytest.param(_no_marts, {}, "dbt:build", id="no-marts"),
        pytest.param(_no_marts, {}, "marts.duckdb", id="no-marts-where"),
        pytest.param(_marts, NO_URL, "LLAMACLASSIFY_JOB_URL", id="job-url"),
        pytest.param(_text, {}, "marts.duckdb", id="no-database"),
        pytest.param(_output_in_a_file, {}, "cannot be written", id="output-not-writable"),
        pytest.param(_nothing, {"DBT_TARGET": "oracle"}, "duckdb or postgres", id="target"),
        pytest.param(_nothing, POSTGRES, "PGHOST", id="postgres-refuses"),
    ],
)
def test_command_says_in_one_line_what_the_user_can_put_right(
    prepare: Callable[[Path], None], environ: dict[str, str], says: str, tmp_path: Path
) -> None:
    prepare(tmp_path)
    done = run(tmp_path, **environ)
    assert (done.code, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("llamaclassify-report: ")
    assert says in done.stderr
    assert "not-to-be-seen" not in done.stderr


def test_command_leaves_the_last_page_when_it_cannot_make_a_new_one(tmp_path: Path) -> None:
    output = tmp_path / "page" / "report.html"
    output.parent.mkdir()
    output.write_text("the last", encoding="utf-8")
    assert run(tmp_path).code == 1
    assert output.read_text(encoding="utf-8") == "the last"
