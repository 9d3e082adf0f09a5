"""`make mutants`: judge the mutants of all modules, or of some, and record how many died.

With `--changed` it takes little time: a part of the mutants of each module that differs from the
one that was recorded, met only by the nearest tests; of none, a few of one module, so that it is
known to work. It records nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys

import pytest
from mutmut.mutation import trampoline

from tests.mutants.checkout import copied, import_copy, mutants_of
from tests.mutants.figures import changed, is_enough, record
from tests.mutants.ledger import Ledger, Outcome
from tests.mutants.modules import FOLDER, NEAR, SMALL, TESTS, files_of
from tests.mutants.mutant import Mutant
from tests.mutants.survivors import changes_of, listed
from tests.mutants.texts import RUN
from tests.support.commit import checkout_commit

SECONDS = 60.0
"""After which `--changed` begins no other mutant; tests are collected and followed before."""
FEW = 12
# pytest marks its plugins before it imports them, but hypothesis is already there.
IMPORTED = "ignore::pytest.PytestAssertRewriteWarning"


def main() -> int:
    """Return 0, or what pytest says when tests fail without a mutant.

    It is 1 below the floor, or when nothing was tried.
    """
    parser = argparse.ArgumentParser(description=__doc__, prog="make mutants")
    parser.add_argument("modules", nargs="*", metavar="MODULE")
    parser.add_argument("--changed", action="store_true")
    parser.add_argument("--record", action="store_true", help="what was found out so far")
    options = parser.parse_args()
    if unknown := {*options.modules} - TESTS.keys():
        parser.error(f"no such module: {', '.join(unknown)}; there are {', '.join(TESTS)}")
    if options.changed:
        return _judge_changed()
    # Now: a commit that is made meanwhile is not what is tried.
    commit = checkout_commit(*RUN)
    modules, ledger = options.modules or [*TESTS], Ledger(FOLDER)
    if options.record:
        copied()
        _record(mutants_of(modules), ledger, commit)
        return 0
    mutants, code = _judged(modules, ledger, math.inf)
    if not code:
        _record(mutants, ledger, commit)
    return code


def _record(mutants: list[Mutant], ledger: Ledger, commit: str) -> None:
    """Write the figures, and show where they are not what `survivors.json` says."""
    figures = record(mutants, ledger.verdicts(mutants), commit)
    lived, names = {*changes_of(_survivors(mutants, ledger))}, listed().keys()
    for change in lived - names:
        sys.stdout.write(f"survived: {change}\n")
    modules = {mutant.module for mutant in mutants}
    for change in names - lived:
        if change.module in modules:
            sys.stdout.write(f"listed, and no survivor: {change}\n")
    sys.stdout.write(
        f"{figures['killed']} of {figures['mutants']} mutants were killed, "
        f"{figures['percent']} %; docs/mutants.json\n"
    )


def _judge_changed() -> int:
    found = changed()
    sys.stdout.write(f"changed since docs/mutants.json: {', '.join(found) or 'no module'}\n")
    ledger = Ledger(FOLDER / "changed")
    mutants, code = _judged(found or [SMALL], ledger, SECONDS, sampled=True)
    tried = len(ledger.verdicts(mutants))
    killed = tried - len(_survivors(mutants, ledger))
    sys.stdout.write(f"{killed} of {tried} mutants were killed\n")
    return code or int(not is_enough(killed, tried))


def _judged(
    modules: list[str], ledger: Ledger, seconds: float, *, sampled: bool = False
) -> tuple[list[Mutant], int]:
    """Judge mutants of modules; return them all, and pytest's exit code."""
    copied()
    mutants = mutants_of(modules)
    if sampled:
        mutants.sort(key=lambda mutant: hashlib.sha256(mutant.name.encode()).hexdigest())
        mutants = mutants if changed() else mutants[:FEW]
    import_copy()
    # Imported late, with what is mutated: it brings what imports the package.
    from tests.mutants.judging import Judge  # noqa: PLC0415

    files = files_of(modules, NEAR if sampled else None)
    # Another form of traceback reads the whole module, with all its mutants, each time.
    arguments = ["-q", "--tb=native", "-p", "no:cacheprovider", "-W", IMPORTED, *files]
    judge = Judge(mutants, ledger, trampoline, seconds)
    return mutants, int(pytest.main(arguments, plugins=[judge]))


def _survivors(mutants: list[Mutant], ledger: Ledger) -> list[Mutant]:
    verdicts = ledger.verdicts(mutants)
    return [
        mutant
        for mutant in mutants
        if mutant.name in verdicts and verdicts[mutant.name].outcome is Outcome.SURVIVED
    ]


if __name__ == "__main__":
    sys.exit(main())
