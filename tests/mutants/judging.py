"""A plugin of pytest that judges mutants: pytest collects once, then forks run tests on each.

mutmut's own runner starts pytest anew for each mutant, and runs every test that comes through its
function. Here a mutant meets the tests of the files that `modules` names for it, those first that
have killed its like, for at most `MOST` seconds of a processor; one that then lives has survived.
"""

from __future__ import annotations

import gc
import hashlib
import math
import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Container, Iterator

import hypothesis
import pytest
from mutmut.mutation import trampoline

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.world import World
from tests.mutants.following import Follower, file_of, in_turn, passes
from tests.mutants.forks import TOO_LONG, Done, Work, in_forks
from tests.mutants.ledger import Ledger, Outcome, Reach, Verdict
from tests.mutants.modules import files_of
from tests.mutants.mutant import MARK, Mutant, hash_of

AT_ONCE = 2
MOST = 3.0
"""Seconds of a processor that tests are run on a mutant."""
HANGS = 3.0, 10.0
"""A test hangs after these seconds and these many times its own, of a processor."""
LOST = 600.0
"""Seconds after which a mutant that waits for something, and does nothing, is given up."""
ELSEWHERE = {"command", "quick_command", "_meltano_to_itself"}
"""Fixtures of tests that run the tap in another process, which knows of no mutant."""


class Judge:
    """Judges mutants one by one, until all are judged or the time is up.

    Args:
        mutants: The mutants, in the order in which they are judged.
        ledger: Holds what was found out before.
        seconds: No other mutant is begun after.
        looked_at: The survivors that nobody can kill, by name: they are not tried again.
    """

    def __init__(
        self,
        mutants: list[Mutant],
        ledger: Ledger,
        seconds: float = math.inf,
        looked_at: Container[str] = (),
    ) -> None:
        self._mutants = {mutant.name: mutant for mutant in mutants}
        self._modules = [*dict.fromkeys(mutant.module for mutant in mutants)]
        self._ledger, self._until = ledger, time.monotonic() + seconds
        self._looked_at = looked_at
        self._items: dict[str, pytest.Item] = {}
        self._reaching: dict[str, list[Reach]] = {}
        self._kills: Counter[tuple[str, str]] = Counter()

    def pytest_configure(self) -> None:
        """Let hypothesis try the same examples each time."""
        profile = hypothesis.settings(
            derandomize=True, database=None, deadline=None, max_examples=25
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
            if done.code:
                pytest.exit(f"{done.said} fails without a mutant", returncode=2)
            write(f"followed {done.name}")
        self._remember()
        for done in in_forks(self._to_judge(session), AT_ONCE):
            verdict = self._verdict(done)
            self._ledger.add(verdict)
            self._kills[verdict.mutant.partition(MARK)[0], verdict.by] += 1
            write(f"{verdict.outcome:9} {verdict.mutant} {verdict.by}")
        return True

    def _to_follow(self, session: pytest.Session) -> Iterator[Work]:
        """Tests of files of which it is not known what they come through."""
        files = dict.fromkeys(map(file_of, self._items))
        for file in files.keys() - self._ledger.reaches(files, self._modules).keys():
            items = [item for test, item in self._items.items() if file_of(test) == file]

            def follow(say: Callable[[str], None], items: list[pytest.Item] = items) -> int:
                _be_quiet(session)
                follower = Follower(self._ledger, self._modules)
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
        self._before = self._ledger.verdicts(self._mutants.values())
        for name, verdict in self._before.items():
            self._kills[self._mutants[name].function, verdict.by] += 1

    def _to_judge(self, session: pytest.Session) -> Iterator[Work]:
        """The mutants on which no verdict holds, new ones first, while there is time."""
        for mutant in sorted(self._mutants.values(), key=lambda each: each.name in self._before):
            if self._is_settled(mutant):
                continue
            if time.monotonic() > self._until:
                return
            reaches = self._in_order(mutant)

            def judge(
                say: Callable[[str], None],
                mutant: Mutant = mutant,
                reaches: list[Reach] = reaches,
            ) -> int:
                _be_quiet(session)
                trampoline.set_mutant_under_test(mutant.name)
                return self._run(reaches, say)

            yield Work(mutant.name, judge, LOST)

    def _is_settled(self, mutant: Mutant) -> bool:
        before = self._before.get(mutant.name)
        if before is None:
            return False
        if before.outcome is Outcome.SURVIVED:
            return mutant.name in self._looked_at or before.tests == self._tests(mutant)
        return before.by in self._items

    def _in_order(self, mutant: Mutant) -> list[Reach]:
        """Return what may kill a mutant, the likeliest and quickest first."""
        files = {file: number for number, file in enumerate(files_of([mutant.module]), 1)}
        found = [
            reach
            for reach in self._reaching.get(mutant.function, [])
            if reach.test in self._items and file_of(reach.test) in files
        ]

        def rank(reach: Reach) -> float:
            kills = self._kills[mutant.function, reach.test]
            return (0.01 + reach.seconds) * files[file_of(reach.test)] / (1 + kills)

        return sorted(found, key=rank)

    def _run(self, reaches: list[Reach], say: Callable[[str], None]) -> int:
        """Run tests until one fails, which is 1, or the time or they are at their end."""
        items = [self._items[reach.test] for reach in reaches]
        for (item, next_item), reach in zip(in_turn(items), reaches, strict=True):
            used = time.process_time()
            if used > MOST:
                break
            say(item.nodeid)
            most = math.ceil(used + HANGS[0] + HANGS[1] * reach.seconds)
            resource.setrlimit(resource.RLIMIT_CPU, (most, resource.RLIM_INFINITY))
            if not passes(item, next_item):
                return 1
        return 0

    def _verdict(self, done: Done) -> Verdict:
        mutant = self._mutants[done.name]
        if not done.code:
            tests = self._tests(mutant)
            return Verdict(mutant.name, mutant.text, Outcome.SURVIVED, "", tests)
        if not done.said:
            raise RuntimeError(f"{mutant.name} ended with {done.code} before any test")
        is_timeout = done.code in {TOO_LONG, -signal.SIGXCPU}
        outcome = Outcome.TIMEOUT if is_timeout else Outcome.KILLED
        return Verdict(mutant.name, mutant.text, outcome, done.said, "")

    def _tests(self, mutant: Mutant) -> str:
        texts = "".join(map(hash_of, files_of([mutant.module])))
        return hashlib.sha256(texts.encode()).hexdigest()[:16]


def _be_quiet(session: pytest.Session) -> None:
    """Let a fork report to nobody."""
    plugins = session.config.pluginmanager
    plugins.unregister(name="terminalreporter")
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 1)
    os.dup2(null, 2)
