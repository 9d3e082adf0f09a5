"""The README's tables are what the code says; `UPDATE_GOLDEN=1` writes them anew."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest
import yaml

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify import errors
from tap_llamaclassify.config.json_schema import config_jsonschema
from tap_llamaclassify.singer.tap import TapLlamaClassify
from tests.support.builders import ALL_STREAMS, V2_STREAMS, job
from tests.support.commands import COMMAND, ROOT
from tests.support.loaders import plugin

README = ROOT / "README.md"
V2_FIRST = sorted(ALL_STREAMS, key=lambda name: name not in V2_STREAMS)


def table(head: str, rows: Iterable[Iterable[str]]) -> str:
    lines = [head, re.sub("[^|]+", "---", head)]
    return "\n".join([*lines, *(f"| {' | '.join(cells)} |" for cells in rows)])


def settings() -> str:
    own = config_jsonschema()["properties"]
    schema = config_jsonschema()
    TapLlamaClassify.append_builtin_config(schema)
    sdk = ", ".join(f"`{name}`" for name in schema["properties"] if name not in own)
    rows = ((f"`{name}`", default(about), about["description"]) for name, about in own.items())
    return f"{table('| setting | default | meaning |', rows)}\n\nAnd those of singer-sdk: {sdk}."


def default(about: dict[str, object]) -> str:
    value = about.get("default")
    return "" if value is None else f"`{str(value).lower()}`"


def streams() -> str:
    tap = TapLlamaClassify(validate_config=False)
    rows = (
        (
            f"`{stream.name}`",
            ", ".join(f"`{key}`" for key in stream.primary_keys),
            f"`{stream.replication_key}`" if stream.replication_key else "",
            ", ".join(stream.schema["properties"]),
        )
        for stream in sorted(tap.streams.values(), key=lambda s: V2_FIRST.index(s.name))
    )
    return table("| stream | key | replication key | columns |", rows)


def outcomes() -> str:
    failures = {
        "no connection": errors.NO_CONNECTION,
        "a certificate that is not trusted": errors.NO_TRUST,
        "no reply in time": errors.TIMEOUT,
        "a reply that is cut short": errors.CUT_SHORT,
        "a reply of more than 64 MiB": errors.TOO_LARGE,
    }
    statuses = {errors.status_text(status): out for status, out in errors.STATUSES.items()}
    later: dict[errors.Outcome, list[str]] = {}
    for status, outcome in errors.LATER_STATUSES.items():
        later.setdefault(outcome, []).append(str(status))
    statuses |= {f"{', '.join(some)} after the first page": out for out, some in later.items()}
    classes = {f"any other {digit}xx": out for digit, out in errors.CLASSES.items()}
    others = {"any other status": errors.UNKNOWN_STATUS}
    return table(
        "| answer | | advice |",
        (
            (answer, outcome.verdict.value, outcome.advice)
            for answer, outcome in (statuses | classes | others | failures).items()
        ),
    )


def reliability() -> str:
    tried = json.loads((ROOT / "docs" / "reliability.json").read_bytes())
    return table("| tried | times |", ((what, f"{times:,}") for what, times in tried.items()))


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
    return f"{shown}\n\nMeasured on {result['machine']}; ratios are medians of seven pairs of runs."


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("settings", settings),
        ("streams", streams),
        ("outcomes", outcomes),
        ("reliability", reliability),
        ("performance", performance),
    ],
)
def test_readme_shows_what_the_code_says(name: str, content: object) -> None:
    assert callable(content)
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
    text = README.read_text(encoding="utf-8")
    before, rest = text.split(begin)
    shown, after = rest.split(end)
    if "UPDATE_GOLDEN" in os.environ:
        README.write_text(f"{before}{begin}{content()}\n{end}{after}", encoding="utf-8")
        shown = f"{content()}\n"
    assert shown == f"{content()}\n"


def test_readme_shows_no_bound_that_was_missed() -> None:
    result = json.loads((ROOT / "benchmarks" / "results" / "bench.json").read_bytes())
    assert {figure["verdict"] for figure in result["figures"]} == {"ok"}


LOADER = """#!/usr/bin/env python3
import json, sys
for message in map(json.loads, sys.stdin):
    if message["type"] == "STATE":
        print(json.dumps(message["value"]), flush=True)
"""


def test_pipe_of_the_readme_runs_from_no_state_on_and_keeps_the_state_of_a_good_run(
    sandbox: Sandbox, tmp_path: Path
) -> None:
    text = README.read_text(encoding="utf-8").split("<!-- pipe -->")[1]
    (snippet,) = re.findall(r"```sh\n(.*?)```", text.split("<!-- /pipe -->")[0], re.DOTALL)
    (tmp_path / "target-anything").write_text(LOADER, encoding="utf-8")
    (tmp_path / "target-anything").chmod(0o755)
    config = {"api_key": sandbox.key, "api_url": sandbox.url, "retry_seconds": 0}
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    paths = [str(tmp_path), str(Path(COMMAND).parent), os.environ["PATH"]]

    def run() -> tuple[int, str]:
        ended = subprocess.run(
            ["bash", "-c", snippet],  # noqa: S607 - the bash that a reader has
            capture_output=True,
            check=False,
            cwd=tmp_path,
            env=os.environ | {"PATH": os.pathsep.join(paths)},
        )
        return ended.returncode, (tmp_path / "state.json").read_text(encoding="utf-8")

    for updated_at in ("2026-11-01T08:00:00.000000Z", "2026-11-02T08:00:00.000000Z"):
        sandbox.world.put(job("one", project_id=sandbox.project_id, updated_at=updated_at))
        code, state = run()
        bookmark = json.loads(state)["bookmarks"]["classify_jobs"]
        assert (code, bookmark["replication_key_value"]) == (0, updated_at)
    sandbox.answer_next(500)
    assert run() == (1, state)


def test_readme_shows_the_loaders_pip_url_where_it_is_chosen() -> None:
    text = README.read_text(encoding="utf-8")
    chosen = text.split("## Use it")[1].split("\n## ")[0]
    pip_url = plugin("target-duckdb")["pip_url"]
    assert "duckdb<" in pip_url
    assert f"`{pip_url}`" in chosen


def test_readme_names_every_target_of_the_makefile_that_it_uses() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(
        re.findall(r"(?:`|^)make ([a-z-]+)", README.read_text(encoding="utf-8"), re.MULTILINE)
    ):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target


def test_readme_shows_the_variables_of_the_dbt_project() -> None:
    blocks = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    (shown,) = [told for block in blocks if "vars" in (told := yaml.safe_load(block))]
    project = yaml.safe_load((ROOT / "transform" / "dbt_project.yml").read_text(encoding="utf-8"))
    assert shown["vars"] == {project["name"]: project["vars"]}
    assert (ROOT / shown["packages"][0]["subdirectory"] / "dbt_project.yml").exists()


def test_readme_shows_each_mart_with_a_question() -> None:
    marts = (ROOT / "transform" / "models" / "marts").glob("*.sql")
    shown = re.findall(
        r"^\| `(\w+)` \| [^|]+ \| [^|]+\? \|$", README.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert sorted(shown) == sorted(mart.stem for mart in marts)
