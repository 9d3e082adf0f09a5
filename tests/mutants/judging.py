"""A plugin of pytest that judges mutants: pytest collects once, then forks run tests on each.

mutmut's own runner starts pytest anew for each mutant, and runs every test that comes through its
function. Here a mutant meets the tests of the files that `modules` names for it, those first that
have killed its like, for at most `MOST` seconds of a processor; one that then lives has survived.
A kill counts when the same tests pass without a mutant.
"""

from __future__ import annotations

import gc
import math
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator

import hypothesis
import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.world import World
from tests.mutants.controls import Controls
from tests.mutants.following import Follower, Trampoline, in_turn, passes
from tests.mutants.forks import TOO_LONG, Done, Work, in_forks
from tests.mutants.ledger import Ledger, Outcome, Reach, Verdict, judged_text
from tests.mutants.modules import files_of
from tests.mutants.mutant import Mutant
from tests.mutants.texts import file_of

AT_ONCE = 2
MOST = 3.0
"""Seconds of a processor that tests are run on a mutant."""
HANGS = 3.0, 10.0
"""A test hangs after these seconds and these many times its own, of a processor."""
IDLE = 20.0
"""Seconds after which a test that waits for something, and does nothing, hangs."""
LOST = 600.0
"""Seconds after which a mutant is given up, whatever it does."""
FAILS = 1
"""The exit code when a test fails."""
OUTCOMES = {
    0: Outcome.SURVIVED,
    FAILS: Outcome.KILLED,
    -signal.SIGSEGV: Outcome.KILLED,
    TOO_LONG: Outcome.TIMEOUT,
    -signal.SIGXCPU: Outcome.TIMEOUT,
}
"""How a mutant ended, by an exit code: Arrow does not bear every None.

Any other says nothing: memory may have run out.
"""
ELSEWHERE = {"command", "quick_command", "_meltano_to_itself"}
"""Fixtures of tests that run the tap in another process, which knows of no mutant."""


class Judge:
    """Judges mutants one by one, until all are judged or the time is up.

    Args:
        mutants: The mutants, in the order in which they are judged.
        ledger: Holds what was found out before.
        trampoline: Wakes mutants.
        seconds: No other mutant is begun after, from when the first one is.
    """

    def __init__(
        self,
        mutants: list[Mutant],
        ledger: Ledger,
        trampoline: Trampoline,
        seconds: float = math.inf,
    ) -> None:
        self._mutants = {mutant.name: mutant for mutant in mutants}
        self._modules = [*dict.fromkeys(mutant.module for mutant in mutants)]
        self._ledger, self._trampoline, self._seconds = ledger, trampoline, seconds
        self._controls = Controls()
        self._items: dict[str, pytest.Item] = {}
        self._reaching: dict[str, list[Reach]] = {}
        self._run_on: dict[str, list[Reach]] = {}
        self._kills: Counter[tuple[str, str]] = Counter()

    def pytest_configure(self) -> None:
        """Let hypothesis try the same examples each time, until one fails, however long it takes.

        To make that one smaller could take longer than a test may.
        """
        profile = hypothesis.settings(
            derandomize=True,
            database=None,
            deadline=None,
            max_examples=25,
            phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
            suppress_health_check=[hypothesis.HealthCheck.too_slow],
        )
        hypothesis.settings.register_profile("mutants", profile)
        hypothesis.settings.load_profile("mutants")

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Take the tests that stay in this process and are not heavy."""
        items[:] = [
            item
            for item in items
            if not ELSEWHERE & {*getattr(item, "fixturenames", ())}
            and not any(item.iter_markers("heavy"))
        ]

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Do it all where pytest would run the tests."""
        if session.testsfailed:
            raise session.Interrupted("tests cannot be collected")
        self._items = {item.nodeid: item for item in session.items}
        write = session.config.get_terminal_writer().line
        # What the first of them builds, all others use: here it is done once for all forks.
        Sandbox(World.empty())
        gc.freeze()
        for done in in_forks(self._to_follow(session), AT_ONCE):
            _refuse(done)
            write(f"followed {done.name}")
        self._remember()
        for works in (self._to_judge(session), self._to_control(session)):
            for done in in_forks(works, AT_ONCE):
                for verdict in self._counted(done):
                    self._ledger.add(verdict)
                    write(f"{verdict.outcome:9} {verdict.mutant} {verdict.by}")
        return True

    def _to_follow(self, session: pytest.Session) -> Iterator[Work]:
        """Tests of files of which it is not known what they come through."""
        files = dict.fromkeys(map(file_of, self._items))
        for file in files.keys() - self._ledger.reaches(files, self._modules).keys():
            items = [item for test, item in self._items.items() if file_of(test) == file]

            def follow(say: Callable[[str], None], items: list[pytest.Item] = items) -> int:
                _be_quiet(session)
                follower = Follower(self._ledger, self._modules, self._trampoline)
                session.config.pluginmanager.register(follower)
                return follower.follow(items, say)

            yield Work(file, follow, math.inf)

    def _remember(self) -> None:
        """Take over what earlier calls have found out."""
        files = map(file_of, self._items)
        for reaches in self._ledger.reaches(files, self._modules).values():
            for reach in reaches:
                for function in reach.functions:
                    self._reaching.setdefault(function, []).append(reach)
        self._settled = self._ledger.verdicts(self._mutants.values())
        self._hints = self._ledger.hints(self._mutants.values())
        for name, verdict in self._hints.items():
            self._kills[self._mutants[name].function, verdict.by] += 1

    def _to_judge(self, session: pytest.Session) -> Iterator[Work]:
        """The mutants on which no verdict holds, new ones first, while there is time."""
        until = time.monotonic() + self._seconds
        for mutant in sorted(self._mutants.values(), key=lambda each: each.name in self._hints):
            yield from self._to_control(session)
            if mutant.name in self._settled:
                continue
            if time.monotonic() > until:
                return
            reaches = self._run_on[mutant.name] = self._in_order(mutant)

            def judge(
                say: Callable[[str], None],
                mutant: Mutant = mutant,
                reaches: list[Reach] = reaches,
            ) -> int:
                _be_quiet(session)
                self._trampoline.set_mutant_under_test(mutant.name)
                return self._run(reaches, say, MOST)

            yield Work(mutant.name, judge, LOST, IDLE)

    def _to_control(self, session: pytest.Session) -> Iterator[Work]:
        """The tests that have killed, with those that ran before, for when there is no mutant."""
        for name, reaches in self._controls.begun():

            def control(say: Callable[[str], None], reaches: list[Reach] = reaches) -> int:
                _be_quiet(session)
                return self._run(reaches, say, math.inf)

            yield Work(name, control, LOST, IDLE)

    def _in_order(self, mutant: Mutant) -> list[Reach]:
        """Return what may kill a mutant: what did so before, then the likeliest and quickest."""
        hint = self._hints.get(mutant.name)
        files = {file: number for number, file in enumerate(files_of([mutant.module]), 1)}
        found = [
            reach
            for reach in self._reaching.get(mutant.function, [])
            if reach.test in self._items and file_of(reach.test) in files
        ]

        def rank(reach: Reach) -> tuple[bool, float]:
            kills = self._kills[mutant.function, reach.test]
            cost = (0.01 + reach.seconds) * files[file_of(reach.test)] / (1 + kills)
            return hint is None or hint.by != reach.test, cost

        return sorted(found, key=rank)

    def _run(self, reaches: list[Reach], say: Callable[[str], None], seconds: float) -> int:
        """Run tests until one fails, or the seconds of a processor or they are at their end."""
        items = [self._items[reach.test] for reach in reaches]
        for (item, next_item), reach in zip(in_turn(items), reaches, strict=True):
            used = time.process_time()
            if used > seconds:
                break
            say(item.nodeid)
            most = math.ceil(used + HANGS[0] + HANGS[1] * reach.seconds)
            resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
            if not passes(item, next_item):
                return FAILS
        return 0

    def _counted(self, done: Done) -> list[Verdict]:
        """Return the verdicts that stand after a mutant or a control has ended."""
        if done.name not in self._mutants:
            _refuse(done)
            return self._controls.passed(done.name)
        mutant = self._mutants[done.name]
        outcome = OUTCOMES.get(done.code)
        if outcome is None or (done.code and not done.said):
            where = done.said or "no test"
            pytest.exit(f"{mutant.name} ended with {done.code} in {where}", returncode=3)
        by = done.said if done.code else ""
        verdict = Verdict(mutant.name, mutant.text, outcome, by, judged_text(mutant, by))
        if not by:
            return [verdict]
        self._kills[mutant.function, by] += 1
        reaches = self._run_on[mutant.name]
        ran = [reach.test for reach in reaches].index(by) + 1
        return self._controls.hold(verdict, reaches[:ran])


def _refuse(done: Done) -> None:
    """End it all where a test does not pass without a mutant."""
    if done.code:
        pytest.exit(f"{done.said} fails without a mutant", returncode=2)


def _be_quiet(session: pytest.Session) -> None:
    """Let a fork report to nobody."""
    plugins = session.config.pluginmanager
    plugins.unregister(name="terminalreporter")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
