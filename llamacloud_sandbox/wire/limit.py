"""The rate limit, by the world's clock; it knows no keys: the organization is one."""

import math
from collections import deque
from datetime import datetime, timedelta

from llamacloud_sandbox.settings import Settings
from llamacloud_sandbox.wire.replies import Canned, answer
from llamacloud_sandbox.world.world import World

MINUTE = timedelta(minutes=1)


class Limit:
    """So many requests in any minute; refused ones do not count."""

    def __init__(self, world: World, settings: Settings) -> None:
        self._world = world
        self._settings = settings
        self._taken: deque[datetime] = deque()

    def refusal(self) -> Canned | None:
        """Count a request, or say what it is refused with."""
        limit, now = self._settings.requests_per_minute, self._world.now()
        while self._taken and self._taken[0] <= now - MINUTE:
            self._taken.popleft()
        if len(self._taken) < limit:
            self._taken.append(now)
            return None
        headers = {}
        if self._settings.retry_after:
            wait = self._taken[-limit] + MINUTE - now
            headers["retry_after"] = str(math.ceil(wait.total_seconds()))
        return answer(429, {"detail": "Rate limit exceeded"}, **headers)
