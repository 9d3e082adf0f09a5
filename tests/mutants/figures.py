"""`docs/mutants.json`: how many mutants of each module were killed, and of which text of it."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from typing import Any

from tests.mutants.ledger import Outcome, Verdict
from tests.mutants.modules import PACKAGE, ROOT, TESTS, source_of
from tests.mutants.mutant import Mutant, hash_of

FIGURES = ROOT / "docs" / "mutants.json"

Figures = dict[str, Any]


def recorded() -> Figures:
    """Return the figures as they are recorded."""
    found: Figures = json.loads(FIGURES.read_bytes()) if FIGURES.exists() else {"modules": {}}
    return found


def record(mutants: list[Mutant], verdicts: dict[str, Verdict]) -> Figures:
    """Write the figures of the modules that are judged to the end; return those of all.

    A module that is no longer changed is left out.
    """
    counted: dict[str, Counter[str]] = {}
    for mutant in mutants:
        verdict = verdicts.get(mutant.name)
        counted.setdefault(mutant.module, Counter())[verdict.outcome if verdict else ""] += 1
    new = {module: _row(module, each) for module, each in counted.items() if not each[""]}
    rows = recorded()["modules"] | new
    rows = {module: rows[module] for module in TESTS if module in rows}
    total: Counter[str] = Counter()
    for row in rows.values():
        total.update({name: row[name] for name in ("mutants", "killed", "timeouts")})
    figures = {
        "commit": _commit(),
        **total,
        "percent": round(100 * total["killed"] / max(total["mutants"], 1), 1),
        "modules": rows,
    }
    FIGURES.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures


def changed() -> list[str]:
    """Return the modules whose text is not the one that the figures are of."""
    rows = recorded()["modules"]
    return [
        module for module in TESTS if rows.get(module, {}).get("text") != hash_of(source_of(module))
    ]


def _row(module: str, counted: Counter[str]) -> Figures:
    return {
        "mutants": counted.total(),
        "killed": counted[Outcome.KILLED] + counted[Outcome.TIMEOUT],
        "timeouts": counted[Outcome.TIMEOUT],
        "text": hash_of(source_of(module)),
    }


def _commit() -> str:
    """Return the checkout's commit, marked when code or tests differ; nothing without git."""
    said = _git("rev-parse", "--short=12", "HEAD")
    changes = _git("diff", "--quiet", "HEAD", "--", PACKAGE, "tests").returncode
    return said.stdout.strip() + ("-dirty" if said.stdout and changes else "")


def _git(*words: str) -> subprocess.CompletedProcess[str]:
    command = ["git", *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=False, encoding="utf-8")
