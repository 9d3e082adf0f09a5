"""Which request meets which fault: what a test ordered first, else a seeded plan."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from llamacloud_sandbox.wire.faults import FAULTS, OUTLASTABLE, fault_named


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """A share of all requests goes wrong, each in one of some ways, as the seed has it.

    kinds: names of faults; by default all that a client can outlast.
    """

    seed: int = 1
    share: float = 0.3
    kinds: Sequence[str] = OUTLASTABLE

    def __post_init__(self) -> None:
        for kind in self.kinds:
            fault_named(kind)
        if not 0 <= self.share <= 1:
            message = f"the share of faults is not between 0 and 1: {self.share}"
            raise ValueError(message)

    def kind_of(self, number: int) -> str | None:
        """The fault that the request of this number meets, if any."""
        dice = Random(f"{self.seed} {number}")  # noqa: S311 - it is to be guessed, from the seed
        return dice.choice(self.kinds) if self.kinds and dice.random() < self.share else None


class Upcoming:
    """The faults that the next requests meet."""

    def __init__(self) -> None:
        self.queue: deque[str] = deque()
        self._plan: FaultPlan | None = None
        self._number = 0

    @property
    def plan(self) -> FaultPlan | None:
        """What the requests meet that nothing was ordered for; setting it starts it anew."""
        return self._plan

    @plan.setter
    def plan(self, plan: FaultPlan | None) -> None:
        self._plan = plan
        self._number = 0

    def order(self, kind: str, times: int) -> None:
        """Let the next requests meet a fault. ValueError: there is none of this name."""
        fault_named(kind)
        self.queue.extend([kind] * times)

    def take(self, *, has_token: bool) -> str | None:
        """The fault that this request meets; one about page tokens waits for a request with one."""
        if self.queue:
            return self.queue.popleft() if _meets(self.queue[0], has_token=has_token) else None
        if self._plan is None:
            return None
        self._number += 1
        kind = self._plan.kind_of(self._number)
        return kind if kind and _meets(kind, has_token=has_token) else None


def _meets(kind: str, *, has_token: bool) -> bool:
    return has_token or not FAULTS[kind].token
