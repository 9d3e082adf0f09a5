"""`docs/mutants.json`: how many mutants of each module were killed, and of which text of it."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from tests.mutants.ledger import Outcome, Verdict
from tests.mutants.modules import ROOT, TESTS, source_of
from tests.mutants.mutant import Mutant
from tests.mutants.texts import hash_of

FIGURES = ROOT / "docs" / "mutants.json"

FLOOR = 0.8
"""The part of what is tried in little time that must die; fewer tests meet it than otherwise."""

Figures = dict[str, Any]


def recorded() -> Figures:
    """Return the figures as they are recorded."""
    found: Figures = json.loads(FIGURES.read_bytes()) if FIGURES.exists() else {"modules": {}}
    return found


def record(mutants: list[Mutant], verdicts: dict[str, Verdict], commit: str) -> Figures:
    """Write the figures of the modules that are judged to the end; return those of all.

    A module that is no longer changed is left out.

    Args:
        mutants: All mutants of some modules.
        verdicts: Those that hold, by the mutant's name.
        commit: What they were found out on.
    """
    counted: dict[str, Counter[str]] = {}
    for mutant in mutants:
        verdict = verdicts.get(mutant.name)
        counted.setdefault(mutant.module, Counter())[verdict.outcome if verdict else ""] += 1
    new = {module: _row(module, each, commit) for module, each in counted.items() if not each[""]}
    rows = recorded()["modules"] | new
    rows = {module: rows[module] for module in TESTS if module in rows}
    total: Counter[str] = Counter()
    for row in rows.values():
        total.update({name: row[name] for name in ("mutants", "killed", "timeouts")})
    figures = {
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


def is_enough(killed: int, tried: int) -> bool:
    """Tell whether so many mutants were tried and killed that all is as it should be."""
    return tried > 0 and killed >= FLOOR * tried


def _row(module: str, counted: Counter[str], commit: str) -> Figures:
    return {
        "commit": commit,
        "mutants": counted.total(),
        "killed": counted[Outcome.KILLED] + counted[Outcome.TIMEOUT],
        "timeouts": counted[Outcome.TIMEOUT],
        "text": hash_of(source_of(module)),
    }
