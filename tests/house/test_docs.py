"""README and docs/ are what the code says; `UPDATE_GOLDEN=1` writes their tables anew."""

from __future__ import annotations

import ast
import json
import os
import re
import sys
from collections.abc import Callable, Iterable
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import duckdb
import pytest
import yaml
from singer_sdk import Stream, Target
from singer_sdk.helpers import _batch

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify import nesting
from tap_llamaclassify.command.standard_output import LOADER_GONE
from tap_llamaclassify.config.settings_schema import config_jsonschema
from tap_llamaclassify.http import client, outcomes, pacing, request
from tap_llamaclassify.replication import unfinished, window_plan
from tap_llamaclassify.singer import storage
from tap_llamaclassify.singer.tap import TapLlamaClassify
from tests.support.builders import ALL_STREAMS, V2_STREAMS, job
from tests.support.commands import COMMAND, ROOT, Command, ended, ran
from tests.support.dlt_pipelines import stay_in
from tests.support.items import v2_job
from tests.support.loaders import plugin

DOCS = {path.name: path for path in (ROOT / "docs").glob("*.md")}
ABOVE = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
PAGES = DOCS | {name: ROOT / name for name in ABOVE}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}
PACKAGE = ROOT / "tap_llamaclassify"
V2_FIRST = sorted(ALL_STREAMS, key=lambda name: name not in V2_STREAMS)
FEW_SETTINGS = (
    *("api_key", "api_url", "connections", "page_size", "start_date", "requests_per_minute"),
    *("fetch_results", "fetch_usage"),
)


def table(head: str, rows: Iterable[Iterable[str]]) -> str:
    lines = [head, re.sub("[^|]+", "---", head)]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in rows)])


def settings() -> str:
    own = config_jsonschema()["properties"]
    schema = config_jsonschema()
    TapLlamaClassify.append_builtin_config(schema)
    # In an order of their own: singer-sdk's is another in each version.
    sdk = ", ".join(f"`{name}`" for name in sorted(schema["properties"].keys() - own.keys()))
    return f"{settings_table(own)}\n\nAnd those of singer-sdk: {sdk}."


def few_settings() -> str:
    own = config_jsonschema()["properties"]
    return settings_table({name: own[name] for name in FEW_SETTINGS})


def settings_table(settings: dict[str, Any]) -> str:
    rows = ((f"`{name}`", default(it), it["description"]) for name, it in settings.items())
    return table("| setting | default | meaning |", rows)


def default(about: dict[str, object]) -> str:
    value = about.get("default")
    shown = json.dumps(value) if isinstance(value, list) else str(value).lower()
    return "" if value is None else f"`{shown}`"


def v2_first() -> list[Stream]:
    tap = TapLlamaClassify(validate_config=False)
    return sorted(tap.streams.values(), key=lambda stream: V2_FIRST.index(stream.name))


def rows() -> str:
    return table(
        "| stream | rows | by default |",
        ((f"`{stream.name}`", *_rows(stream)) for stream in v2_first()),
    )


def _rows(stream: Stream) -> tuple[str, str]:
    return stream.schema["description"], "selected" if stream.selected_by_default else "left out"


def streams() -> str:
    return table(
        "| stream | key | replication key | by default |",
        (
            (
                f"[`{stream.name}`](#{stream.name})",
                ", ".join(f"`{key}`" for key in stream.primary_keys),
                f"`{stream.replication_key}`" if stream.replication_key else "none: FULL_TABLE",
                _rows(stream)[1],
            )
            for stream in v2_first()
        ),
    )


def columns() -> str:
    head = "| column | type | meaning |"
    return "\n\n".join(
        f"### {stream.name}\n\n{stream.schema['description']}\n\n"
        + table(
            head,
            (
                (f"`{name}`", kind(column), column["description"])
                for name, column in stream.schema["properties"].items()
            ),
        )
        for stream in v2_first()
    )


def kind(column: dict[str, Any]) -> str:
    of = column["type"]
    name = next(each for each in ([of] if isinstance(of, str) else of) if each != "null")
    name = {"date-time": "timestamp", "date": "date"}.get(column.get("format", ""), name)
    return f"array of {kind(column['items'])}" if name == "array" else name


def outcomes_table() -> str:
    failures = {
        "no connection": outcomes.NO_CONNECTION,
        "a certificate that is not trusted": outcomes.NO_TRUST,
        "no reply in time": outcomes.TIMEOUT,
        "a reply that is cut short": outcomes.CUT_SHORT,
        "a reply of more than 64 MiB": outcomes.TOO_LARGE,
    }
    statuses = {outcomes.status_text(status): out for status, out in outcomes.STATUSES.items()}
    later: dict[outcomes.Outcome, list[str]] = {}
    for status, outcome in outcomes.LATER_STATUSES.items():
        later.setdefault(outcome, []).append(str(status))
    statuses |= {f"{', '.join(some)} after the first page": out for out, some in later.items()}
    classes = {f"any other {digit}xx": out for digit, out in outcomes.CLASSES.items()}
    others = {"any other status": outcomes.UNKNOWN_STATUS}
    return table(
        "| answer | | advice |",
        (
            (answer, outcome.verdict.value, outcome.advice)
            for answer, outcome in (statuses | classes | others | failures).items()
        ),
    )


def figures_of(what: str) -> dict[str, Any]:
    """Return what a command has counted and written into docs/."""
    told: dict[str, Any] = json.loads((ROOT / "docs" / f"{what}.json").read_bytes())
    return told


def reliability() -> str:
    told = figures_of("reliability")
    rows = ((what, f"{times:,}") for what, times in told["tried"].items())
    rounds = {0: "Part of a round", 1: "1 round"}.get(told["rounds"], f"{told['rounds']} rounds")
    return (
        f"{table('| tried | times |', rows)}\n\n"
        f"{rounds} in {told['hours']:g} hours, from seed {told['seed']} on, at commit "
        f"`{told['commit']}`, on {told['cores']} cores ({told['machine']})."
    )


def conformance() -> str:
    found = figures_of("conformance")
    rows = ((what, f"{n:,}" if isinstance(n, int) else n) for what, n in found.items())
    return table("| checked | |", rows)


def mutants() -> str:
    found = figures_of("mutants")
    rows = [(f"`{module}.py`", row) for module, row in found["modules"].items()]
    shown = table(
        "| module | mutants | killed | of these, timeouts | |",
        (
            (name, *(f"{row[key]:,}" for key in ("mutants", "killed", "timeouts")), percent(row))
            for name, row in [*rows, ("all", found)]
        ),
    )
    number = len(found["modules"])
    return f"{shown}\n\nThese are {number} of the package's modules, at {commits_of(found)}."


def commits_of(found: dict[str, Any]) -> str:
    """Say on which commit the mutants of most modules were judged, and on which the others."""
    modules: dict[str, list[str]] = {}
    for module, row in found["modules"].items():
        modules.setdefault(row["commit"], []).append(f"`{module}.py`")
    most, *others = sorted(modules, key=lambda commit: -len(modules[commit]))
    parts = [f"{', '.join(modules[commit])} at `{commit}`" for commit in others]
    return "; ".join([f"commit `{most}`", *parts])


def percent(row: dict[str, Any]) -> str:
    return f"{100 * row['killed'] / row['mutants']:.1f} %"


def figures() -> str:
    changed = figures_of("mutants")
    checked = figures_of("conformance")
    tried = figures_of("reliability")["tried"]
    times = {
        what: sum(times for name, times in tried.items() if name.startswith(begin))
        for what, begin in (
            ("SIGKILLs", "SIGKILLs, all"),
            ("full disks", "full disks"),
            ("loaders that died", "loaders that died"),
            ("clocks that jumped", "clocks that jumped:"),
        )
    }
    survived = ", ".join(f"{number:,} {what}" for what, number in times.items())
    commits = ", ".join(sorted({f"`{row['commit']}`" for row in changed["modules"].values()}))
    return (
        f"- `make mutants`: {changed['killed']:,} of {changed['mutants']:,} small changes of "
        f"{len(changed['modules'])} modules, {percent(changed)}, make a test fail, at commit "
        f"{commits}.\n"
        f"- `make conformance OPENAPI=…`: {checked['calls']:,} calls and {checked['replies']:,} "
        f"replies by LlamaCloud's OpenAPI: {checked['violations']} violations, none of "
        f"{checked['values']:,} values lost.\n"
        f"- `make soak`: {survived}: {tried['divergences']} divergences."
    )


def performance() -> str:
    result = json.loads((ROOT / "benchmarks" / "results" / "bench.json").read_bytes())
    rows = (
        (figure["name"], f"{figure['value']:.2f} {figure['unit']}", f"{figure['bound']:g}")
        for figure in result["figures"]
    )
    unbound = (
        (f"{found[1]}, {found[3]}", f"{value:.2f} x {found[2]}", "")
        for name, value in sorted(result["notes"].items())
        if (found := re.fullmatch(r"(.+), x (.+), (\w+)", name))
    )
    shown = table("| figure | measured | at most |", [*rows, *unbound])
    ratios = "ratios are medians of seven pairs of runs, where dlt is of three"
    return f"{shown}\n\nMeasured on {result['machine']}; {ratios}."


@pytest.mark.parametrize(
    ("page", "name", "content"),
    [
        ("README.md", "rows", rows),
        ("README.md", "few-settings", few_settings),
        ("README.md", "figures", figures),
        ("settings.md", "settings", settings),
        ("streams.md", "streams", streams),
        ("streams.md", "columns", columns),
        ("errors.md", "outcomes", outcomes_table),
        ("reliability.md", "reliability", reliability),
        ("reliability.md", "conformance", conformance),
        ("reliability.md", "mutants", mutants),
        ("performance.md", "performance", performance),
    ],
)
def test_page_shows_what_the_code_says(page: str, name: str, content: Callable[[], str]) -> None:
    before, shown, after = part(page, name)
    if "UPDATE_GOLDEN" in os.environ:
        shown = f"\n{content()}\n"
        PAGES[page].write_text(f"{before}{shown}{after}", encoding="utf-8")
    assert shown == f"\n{content()}\n"


def part(page: str, name: str) -> tuple[str, str, str]:
    """Split a page: up to a part's mark, the part, from its end mark on."""
    begin, end = f"<!-- {name} -->", f"<!-- /{name} -->"
    before, rest = PAGES[page].read_text(encoding="utf-8").split(begin)
    shown, after = rest.split(end)
    return before + begin, shown, end + after


def test_performance_shows_no_bound_that_was_missed() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "bench.json").read_bytes())
    assert {figure["verdict"] for figure in result["figures"]} == {"ok"}


def test_contract_shows_no_violation_and_no_loss() -> None:
    checked = figures_of("conformance")
    assert checked["violations"] == checked["operations with a loss"] == 0


def test_reliability_shows_a_commit_in_which_nothing_diverged() -> None:
    told = figures_of("reliability")
    assert told["rounds"]
    assert told["tried"]["divergences"] == 0
    assert re.fullmatch("[0-9a-f]{12}", told["commit"])


LOADER = """#!/usr/bin/env python3
import json, sys
for message in map(json.loads, sys.stdin):
    if message["type"] == "STATE":
        print(json.dumps(message["value"]), flush=True)
"""


def test_pipe_for_any_loader_runs_from_no_state_on_and_keeps_the_state_of_a_good_run(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    (snippet,) = re.findall(r"```sh\n(.*?)```", part("getting-started.md", "pipe")[1], re.DOTALL)
    (tmp_path / "target-anything").write_text(LOADER, encoding="utf-8")
    (tmp_path / "target-anything").chmod(0o755)
    config = {"api_key": sandbox.key, "api_url": sandbox.url, "retry_seconds": 0}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    paths = [str(tmp_path), str(Path(COMMAND).parent), os.environ["PATH"]]

    def run() -> tuple[int, str]:
        path = os.environ | {"PATH": os.pathsep.join(paths)}
        code = ended(["bash", "-c", snippet], cwd=tmp_path, env=path).code
        return code, (tmp_path / "state.json").read_text(encoding="utf-8")

    for updated_at in ("2026-11-01T08:00:00.000000Z", "2026-11-02T08:00:00.000000Z"):
        sandbox.world.put(job("one", project_id=sandbox.project_id, updated_at=updated_at))
        code, state = run()
        bookmark = json.loads(state)["bookmarks"]["classify_jobs"]
        assert (code, bookmark["replication_key_value"]) == (0, updated_at)
    sandbox.answer_next(500)
    assert run() == (1, state)


def test_table_is_one_line_of_python_as_the_readme_says(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", sandbox.key)
    monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", sandbox.url)
    sandbox.world.put_v2(v2_job("one", project_id=sandbox.project_id))
    names: dict[str, Any] = {}
    exec(code("README.md", "python"), names)  # noqa: S102 - it is our own
    assert [*names["jobs"]["id"]] == ["one"]


@pytest.mark.parametrize("page", ["README.md", "dlt.md"])
def test_dlt_loads_in_parts_or_at_once_as_the_pages_say(
    page: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stay_in(tmp_path, monkeypatch)
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", sandbox.key)
    monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", sandbox.url)
    names: dict[str, Any] = {}
    for number, part_ in enumerate(["dlt", "load"] if page == "dlt.md" else ["dlt"]):
        sandbox.world.put_v2(v2_job(f"{number}", project_id=sandbox.project_id))
        exec(code(page, part_), names)  # noqa: S102 - it is our own
        with duckdb.connect(tmp_path / "llamaclassify.duckdb", read_only=True) as connection:
            found = connection.sql("SELECT id FROM llamacloud.classify_v2_jobs").fetchall()
        assert len(found) == number + 1


def code(page: str, name: str) -> str:
    (snippet,) = re.findall(r"```python\n(.*?)```", part(page, name)[1], re.DOTALL)
    return str(snippet)


def test_check_shows_what_getting_started_says(
    sandbox: Sandbox, command: Command, config: dict[str, Any]
) -> None:
    (shown,) = re.findall(r"```\n(.*?)```", part("getting-started.md", "check")[1], re.DOTALL)
    created_at = re.findall(r"\S+Z", shown)[0]
    sandbox.settings.gone = {"/api/v1/classifier": 410}
    sandbox.settings.total_size = False
    for name in ("a", "b"):
        sandbox.world.put_v2(v2_job(name, project_id=sandbox.project_id, created_at=created_at))
    printed = command("--config", config, "--check").stdout
    host = sandbox.url.removeprefix("http://")
    assert cells(printed.replace(host, "api.cloud.llamaindex.ai")) == cells(shown)


def cells(text: str) -> list[list[str]]:
    return [re.split("  +", line) for line in text.splitlines()]


def test_readme_shows_the_loaders_pip_url_where_it_is_chosen() -> None:
    chosen = TEXTS["README.md"].split("## With Meltano")[1].split("\n## ")[0]
    pip_url = plugin("target-duckdb")["pip_url"]
    assert "duckdb<" in pip_url
    assert f"`{pip_url}`" in chosen


def test_pages_show_the_same_commands_for_a_meltano_project() -> None:
    # tests/loaders/test_meltano_add.py runs README's.
    assert part("getting-started.md", "meltano")[1] == part("README.md", "meltano")[1]


def test_pages_name_only_targets_that_the_makefile_has() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for text in TEXTS.values():
        for target in re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_marts_shows_the_variables_of_the_dbt_project() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", TEXTS["marts.md"], re.DOTALL)
    (shown,) = [told for block in blocks if "vars" in (told := yaml.safe_load(block))]
    project = yaml.safe_load((ROOT / "transform" / "dbt_project.yml").read_text(encoding="utf-8"))
    assert shown["vars"] == {project["name"]: project["vars"]}
    assert (ROOT / shown["packages"][0]["subdirectory"] / "dbt_project.yml").exists()


def test_marts_shows_each_mart_with_a_question() -> None:
    marts = (ROOT / "transform" / "models" / "marts").glob("*.sql")
    shown = re.findall(r"^\| `(\w+)` \| [^|]+ \| [^|]+\? \|$", TEXTS["marts.md"], re.MULTILINE)
    assert sorted(shown) == sorted(mart.stem for mart in marts)


def test_loaders_shows_the_versions_that_meltano_installs() -> None:
    shown = re.findall(r"^\| ([a-z-]+ [0-9.]+) \|", TEXTS["loaders.md"], re.MULTILINE)
    plugins = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))["plugins"]
    pinned = [each["pip_url"].split()[0].replace("==", " ") for each in plugins["loaders"]]
    assert sorted(shown) == sorted(pinned)


@pytest.mark.parametrize(
    ("page", "text"),
    [
        (
            "guarantees.md",
            f"some {window_plan.AIM_AT_ONCE} pages each, or of {window_plan.AIM} where",
        ),
        ("guarantees.md", f"older than {unfinished.DAYS} days"),
        ("guarantees.md", f"the newest {unfinished.MOST:,} that are unfinished"),
        ("guarantees.md", f"more than {nesting.DEEPEST} levels deep"),
        ("errors.md", f"up to {pacing.LONGEST_RETRY_AFTER / 60:.0f} minutes"),
        ("errors.md", f"come to more than {request.LONG_WAIT:.0f} s"),
        ("errors.md", f"a reply of more than {client.LONGEST_BODY // 2**20} MiB"),
        ("parquet.md", f"after {storage.OLD // 3600} hours"),
        ("parquet.md", f"{_batch.DEFAULT_BATCH_SIZE:,} by default"),
        (
            "singer-problems.md",
            f"has held rows for {vars(Target)['_MAX_RECORD_AGE_IN_MINUTES']:.0f} minutes",
        ),
        ("singer-problems.md", f"Meltano {metadata.version('meltano').rpartition('.')[0]}, which"),
        ("singer-problems.md", f'"{LOADER_GONE}"'),
    ],
)
def test_limit_that_is_told_is_the_codes(page: str, text: str) -> None:
    assert text in " ".join(TEXTS[page].split())


NAMED_TESTS = [
    pytest.param(path, name, id=f"{page} {path}::{name}")
    for page, text in TEXTS.items()
    for path, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", text)
]


@pytest.mark.parametrize(("path", "name"), NAMED_TESTS)
def test_test_that_a_page_names_is_there(path: str, name: str) -> None:
    assert name in names_in(path)


@cache
def names_in(path: str) -> set[str]:
    body = ast.parse((ROOT / path).read_text(encoding="utf-8")).body
    names = {each.name for each in body if isinstance(each, ast.FunctionDef)}
    return {name for name in names if name.startswith("test_")}


def test_each_problem_of_singer_users_has_a_thread_an_answer_and_tests() -> None:
    for problem in TEXTS["singer-problems.md"].split("\n## ")[1:]:
        assert re.search(r"^\nAs in [\w-]+/[\w-]+ #\d+\. ", problem.partition("\n")[2]), problem
        assert re.search(r"(\n- `tests/[^`]+`)+\n*$", problem), problem
    shown = re.findall(r"tests/\S+::", TEXTS["singer-problems.md"])
    assert len(shown) == len([each for each in NAMED_TESTS if "singer-problems.md" in str(each.id)])


def test_contributing_names_modules_that_there_are() -> None:
    text = TEXTS["CONTRIBUTING.md"]
    for path in re.findall(r"`((?!output/)[\w/.-]+(?:\.(?:py|json|yml|txt|md|toml|svg)|/))`", text):
        assert any((base / path).exists() for base in (ROOT, PACKAGE)), path
    picture = text.split("```text")[1].split("```")[0]
    for block in re.split(r"\n (?=[\w]+/)", picture)[1:]:
        folder = block.split("/")[0]
        names = re.findall(r"\w+\.py", block)
        assert names
        for name in names:
            assert any((base / name).exists() for base in (PACKAGE, PACKAGE / folder)), name


def test_readme_is_short() -> None:
    assert TEXTS["README.md"].count("\n") <= 180


def test_readme_and_the_site_list_every_page() -> None:
    shown = re.findall(r"^\| \[[^]]+\]\(docs/([a-z-]+\.md)\) \|", TEXTS["README.md"], re.MULTILINE)
    assert sorted(shown) == sorted(DOCS)
    nav = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("nav:\n- index")[1]
    listed = re.findall(r"- ([a-z-]+\.md)$", nav, re.MULTILINE)
    assert sorted(listed) == sorted([*DOCS, "contributing.md"])


LINKS = [
    pytest.param(page, *link, id=f"{page} {''.join(link)}")
    for page, text in TEXTS.items()
    for link in re.findall(r"\]\((?![a-z]+:)([^)#\s]*)(#[^)\s]+)?\)", text)
]


@pytest.mark.parametrize(("page", "path", "anchor"), LINKS)
def test_link_leads_somewhere(page: str, path: str, anchor: str) -> None:
    target = (PAGES[page].parent / path).resolve() if path else PAGES[page]
    assert target.is_relative_to(ROOT)
    assert target.exists()
    assert not anchor or anchor in anchors_of(target.read_text(encoding="utf-8"))


def anchors_of(text: str) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    headings = re.findall("^#+ (.+)$", re.sub("```.*?```", "", text, flags=re.DOTALL), re.MULTILINE)
    return {"#" + re.sub(r"[^\w -]", "", each).lower().replace(" ", "-") for each in headings}


def test_site_is_laid_out_with_links_to_its_own_pages_only(tmp_path: Path) -> None:
    ran([sys.executable, ROOT / "docs" / "lay_out.py", tmp_path / "site"])
    pages = {page.name for page in (tmp_path / "site").iterdir()}
    assert pages >= {*DOCS, "index.md", "contributing.md", "report.png", "performance.svg"}
    for page in (tmp_path / "site").glob("*.md"):
        text = page.read_text(encoding="utf-8")
        links = re.findall(r"\]\((?![a-z]+:)([^)#\s]+)", text)
        assert {*links} <= pages, page.name
