"""A simulated life around the tap: a world that moves, a client's clock, and a loader that upserts.

Nothing here knows how the tap works: what the warehouse must hold is worked out from the jobs.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from unittest import mock

from typing_extensions import override

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.world.clock import stamp
from tap_llamaclassify.http.pacing import Clock
from tests.support.api_rows import ALL_KEYS, expected, expected_v2
from tests.support.builders import DEFAULT_STREAMS, STREAMS, job
from tests.support.items import configuration, v2_job

Key = tuple[Any, ...]
Row = dict[str, Any]
Tables = dict[str, dict[Key, Row]]

KEYS = {name: ALL_KEYS[name] for name in DEFAULT_STREAMS}

_FORMS: tuple[Callable[[datetime], str | None], ...] = (
    stamp,
    lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
    lambda moment: moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    lambda moment: moment.astimezone(timezone(timedelta(hours=5, minutes=30))).isoformat(),
    lambda moment: moment.replace(tzinfo=None).isoformat(),
    lambda moment: moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "789+00:00",
    lambda _: None,
    lambda _: "soon",
)
FORMS = len(_FORMS)
"""How many ways there are to write a timestamp."""
CREATION_FORMS = FORMS - 2
"""How many ways there are to write an instant that can be read."""
STATUSES = ("RUNNING", "COMPLETED", "FAILED", "NEW")
ENDINGS = ("COMPLETED", "FAILED", "CANCELLED")


def written(moment: datetime, form: int) -> str | None:
    """Write a timestamp in one of the forms; the last two are none."""
    return _FORMS[form](moment)


def fixed(text: str | None) -> str | None:
    """Read a timestamp as the warehouse must show it; None for what is none."""
    if text is None or text == "soon":
        return None
    moment = datetime.fromisoformat(text.replace("789+00:00", "+00:00"))
    return stamp(moment if moment.tzinfo else moment.replace(tzinfo=UTC))


@dataclass(frozen=True)
class Event:
    """Something that happens to the world.

    Attributes:
        kind: create, update or delete; anything else lets time pass and nothing more.
        pick: Which of the jobs; any number.
        form: How the timestamp is written.
        seconds: How much time passes before.
        late: Seconds from the timestamp to when the API shows the change.
    """

    kind: str
    pick: int = 0
    form: int = 0
    seconds: float = 0
    late: float = 0


@dataclass
class Life:
    """What happens to a sandbox's jobs, in one project.

    Attributes:
        pending: Changes that the API does not show yet, and when it will.
        deleted: The ids of jobs that are gone.
        on_change: Called with the id of a job that has changed.
        clock_jumped: Seconds by which the client's clock has jumped since the beginning.
    """

    sandbox: Sandbox
    pending: list[tuple[datetime, Row]] = field(default_factory=list)
    deleted: set[str] = field(default_factory=set)
    on_change: Callable[[str], object] = str
    born: int = 0
    clock_jumped: float = 0

    def jobs(self) -> dict[str, Row]:
        """Return the jobs that the API shows, by id."""
        return self.sandbox.world.entries(self.sandbox.project_id)

    def expected(self) -> Tables:
        """Work out the rows of each table from the jobs that the API shows."""
        return expected(self.jobs().values(), fixed)

    def let(self, event: Event) -> None:
        """Let something happen."""
        self.pass_time(event.seconds)
        idle = sorted(self.jobs().keys() - {row["id"] for _, row in self.pending})
        if event.kind == "create":
            self.born += 1
            self._commit(self.made(event), event)
        elif event.kind == "update" and (ids := [id_ for id_ in idle if self.may_change(id_)]):
            before = self.jobs()[ids[event.pick % len(ids)]]
            self._commit(self.changed(before, event.pick), event)
        elif event.kind == "delete" and idle:
            gone = idle[event.pick % len(idle)]
            self.delete(gone)
            self.deleted.add(gone)

    def may_change(self, id_: str) -> bool:
        """Return whether a job may be updated."""
        return id_ in self.jobs()

    def changed(self, before: Row, pick: int) -> Row:
        """Return what an update makes of a job."""
        change = {"status": ("SUCCESS", "ERROR", "PENDING", "NEW")[pick % 4]}
        return before | change | {"error_message": f"change {pick}"}

    def put(self, row: Row) -> None:
        """Let the API show a job."""
        self.sandbox.world.put(row)

    def delete(self, id_: str) -> None:
        """Let a job be gone."""
        self.sandbox.world.delete(id_)

    def made(self, event: Event) -> Row:
        """Make a job that is new."""
        rules = [{"type": f"type {n}", "description": "text"} for n in range(1 + event.pick % 3)]
        config = {"lang": "en", "max_pages": event.pick, "target_pages": [0, event.pick]}
        created = written(self.sandbox.world.now(), event.form)
        return job(
            f"job {self.born}",
            project_id=self.sandbox.project_id,
            rules=rules,
            parsing_configuration=config if event.pick % 2 else None,
            created_at=None if created == "soon" else created,
        )

    def _commit(self, row: Row, event: Event) -> None:
        now = self.sandbox.world.now()
        changed = row | {"updated_at": written(now, event.form)}
        self.pending.append((now + timedelta(seconds=event.late), changed))
        self._show()

    def pass_time(self, seconds: float) -> None:
        """Let time pass, and changes come into sight."""
        self.sandbox.world.advance(seconds)
        self._show()

    def _show(self) -> None:
        now = self.sandbox.world.now()
        for moment, row in sorted(self.pending, key=lambda change: change[0]):
            if moment <= now:
                self.pending.remove((moment, row))
                self.put(row)
                self.on_change(row["id"])


def cost_of(status: str, pick: int) -> Row | None:
    """Return what a job has cost, which is known when it has finished."""
    return {"credits": pick, "parse_credits": pick / 2} if status in ENDINGS else None


@dataclass
class V2Life(Life):
    """What happens to a sandbox's v2 jobs: those that have finished do not change.

    Attributes:
        changing_seconds: How long after their creation they change all the same.
        with_usage: Whether the warehouse is to have what they cost.
    """

    changing_seconds: float = 0
    with_usage: bool = False

    @override
    def jobs(self) -> dict[str, Row]:
        return self.sandbox.world.v2_entries(self.sandbox.project_id)

    @override
    def expected(self) -> Tables:
        return expected_v2(self.jobs().values(), fixed, with_usage=self.with_usage)

    @override
    def may_change(self, id_: str) -> bool:
        job = self.jobs()[id_]
        age = self.sandbox.world.now() - datetime.fromisoformat(fixed(job["created_at"]) or "")
        return job["status"] not in ENDINGS or age < timedelta(seconds=self.changing_seconds)

    @override
    def changed(self, before: Row, pick: int) -> Row:
        # A job of a status that nobody knows cannot be looked for before it moves.
        is_moving = self.sandbox.settings.order == "updated"
        statuses = STATUSES[:-1] if is_moving else STATUSES
        status = statuses[pick % len(statuses)]
        found = {"type": f"type {pick}", "confidence": 0.5, "reasoning": "text"}
        return before | {
            "status": status,
            "error_message": f"change {pick}",
            "result": found if status == "COMPLETED" else None,
            "usage": cost_of(status, pick),
        }

    @override
    def put(self, row: Row) -> None:
        self.sandbox.world.put_v2(row)

    @override
    def delete(self, id_: str) -> None:
        self.sandbox.world.delete_v2(id_)

    @override
    def made(self, event: Event) -> Row:
        rules = [{"type": f"type {n}", "description": "text"} for n in range(1 + event.pick % 3)]
        config = {"lang": "en", "max_pages": event.pick, "target_pages": f"1,{event.pick}"}
        status = ("PENDING", "PENDING", *ENDINGS)[event.pick % 5]
        now = self.sandbox.world.now()
        created_at = written(now, event.form) if event.form < CREATION_FORMS else stamp(now)
        return v2_job(
            f"job/{self.born}?ä&",
            project_id=self.sandbox.project_id,
            status=status,
            configuration=configuration(
                rules=rules, parsing_configuration=config if event.pick % 2 else None
            ),
            result=None,
            usage=cost_of(status, event.pick),
            created_at=created_at,
        )


class ClientClock(Clock):
    """The clock of a machine that may be wrong; the world goes on while somebody sleeps by it."""

    def __init__(self, life: Life, wrong_by: float = 0) -> None:
        self._life = life
        self._wrong_by = timedelta(seconds=wrong_by)

    @override
    def now(self) -> datetime:
        jumped = timedelta(seconds=self._life.clock_jumped)
        return self._life.sandbox.world.now() + self._wrong_by + jumped

    @override
    def monotonic(self) -> float:
        return self._life.sandbox.world.now().timestamp()

    @override
    def wait(self, seconds: float, end: threading.Event) -> None:
        self._life.pass_time(seconds)

    @override
    def up_to(self, seconds: float) -> float:
        return seconds


@contextmanager
def clock_of(life: Life, wrong_by: float = 0) -> Iterator[None]:
    """Let every tap that is made meanwhile go by the client's clock."""
    with mock.patch(
        "tap_llamaclassify.singer.sync.Clock", return_value=ClientClock(life, wrong_by)
    ):
        yield


@dataclass
class Loader:
    """A loader that upserts, and keeps a state once all that came before it is loaded."""

    tables: Tables = field(default_factory=lambda: {stream: {} for stream in KEYS})
    state: Row | None = None

    def load(self, lines: Sequence[str]) -> None:
        """Load what a tap wrote, and keep its last state."""
        for line in lines:
            message = json.loads(line)
            if message["type"] == "STATE":
                self.state = message["value"]
            elif message["type"] == "RECORD":
                stream, row = message["stream"], message["record"]
                self.tables[stream][tuple(row[key] for key in KEYS[stream])] = row

    def bookmark(self, stream: str) -> str | None:
        """Return a stream's bookmark."""
        bookmarks = (self.state or {}).get("bookmarks", {})
        bookmark: str | None = bookmarks.get(stream, {}).get("replication_key_value")
        return bookmark

    def differences(self, life: Life, streams: Collection[str] = STREAMS) -> list[tuple[str, Key]]:
        """Name the rows that are not as the API shows them, those of deleted jobs aside."""
        wanted = life.expected()
        return [
            (stream, key)
            for stream in streams
            for key in wanted[stream].keys() | self.tables[stream].keys()
            if key[0] not in life.deleted
            and self.tables[stream].get(key) != wanted[stream].get(key)
        ]
