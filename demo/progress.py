"""What a `meltano run` is doing, and how long each step took, told from its log as it goes on."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

INSTALLING = "Installing "
RUNNING = "Running job "
STEP_IS_DONE = "Block run completed"


class Progress:
    """Says which step of one `meltano run` is under way, and its seconds when it is done.

    A first run installs the plugins before its first step. That step's seconds have Meltano's own
    start in them.

    Args:
        steps: What the steps are called, in their order.
        clock: Seconds from any moment on.
    """

    def __init__(
        self, steps: Sequence[str], *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._steps = list(steps)
        self._clock = clock
        self._since = clock()
        self._is_under_way = False

    def note(self, event: Mapping[str, Any]) -> None:
        """Take a line of the log."""
        text = str(event.get("event"))
        if text.startswith(INSTALLING) and not self._is_under_way:
            self._begin("installing the plugins, once")
        elif text.startswith(RUNNING) or (text == STEP_IS_DONE and event.get("success")):
            self._end()
            self._begin_next()
        elif text == STEP_IS_DONE:
            self._end("failed after ")

    def stop(self) -> None:
        """End the line of a step that did not come to its end."""
        self._end("stopped after ")

    def _begin_next(self) -> None:
        if self._steps:
            self._begin(self._steps.pop(0))

    def _begin(self, step: str) -> None:
        self._is_under_way = True
        _write(f"  {step} ... ")

    def _end(self, how: str = "") -> None:
        if self._is_under_way:
            since, self._since = self._since, self._clock()
            _write(f"{how}{self._since - since:.1f} s\n")
            self._is_under_way = False


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
