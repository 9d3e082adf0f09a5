"""Lists of what follows from jobs, and what was put beside it by hand; knows no HTTP."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from threading import RLock
from typing import Any, Protocol

from llamacloud_sandbox.world.jobs import Jobs, created_at

Item = dict[str, Any]
Named = Sequence[tuple[str, Item]]
"""Items, each with its identity."""
Make = Callable[[str, Any], Named]
"""What a job comes to, given its identity and itself."""


class Source(Protocol):
    """Where items come from."""

    @property
    def version(self) -> int:
        """A number that grows whenever any of its items has come, gone or changed."""

    def made(self, project_id: str) -> Iterator[tuple[str, Item]]:
        """The items of a project, each with its identity."""


class Made:
    """What jobs come to; made once of each job, and again only as the job changes."""

    def __init__(self, jobs: Jobs, make: Make) -> None:
        self._jobs = jobs
        self._make = make
        self._known: dict[str, tuple[Any, Named]] = {}
        self._forgotten = 0

    @property
    def version(self) -> int:
        """A number that grows whenever any job has changed, or was forgotten."""
        return self._jobs.version + self._forgotten

    def made(self, project_id: str) -> Iterator[tuple[str, Item]]:
        """The items of a project, each with its identity."""
        for key, job in self._jobs.entries(project_id).items():
            found = self._known.get(key)
            if found is None or found[0] is not job:
                found = self._known[key] = job, self._make(key, job)
            yield from found[1]

    def forget(self, key: str) -> None:
        """Make the items of a job anew, for what else they are made of has changed."""
        self._known.pop(key, None)
        self._forgotten += 1


class Fixed:
    """Items that are there from the beginning, by project; made when they are first asked for."""

    version = 0

    def __init__(self, make: Callable[[], Mapping[str, Named]]) -> None:
        self._make = make
        self._made: Mapping[str, Named] | None = None

    def made(self, project_id: str) -> Iterator[tuple[str, Item]]:
        """The items of a project, each with its identity."""
        self._made = self._made or self._make()
        yield from self._made[project_id]


class Items:
    """One kind of items as it is at the clock's present, and ways to meddle with it.

    `dated` is the text that an item is sorted by. The dicts it hands out are its own: read them,
    and change them through its methods. Safe to use from a test while the server's thread reads it.
    """

    def __init__(
        self,
        *sources: Source,
        project_ids: Sequence[str],
        dated: Callable[[Any], str] = created_at,
    ) -> None:
        self.dated = dated
        self._sources = sources
        self._project_ids = project_ids
        self._by_hand: dict[str, dict[str, Any]] = {project: {} for project in project_ids}
        self._hidden: set[str] = set()
        self._changes = 0
        self._known: dict[str, tuple[int, dict[str, Any]]] = {}
        self._lock = RLock()

    @property
    def version(self) -> int:
        """A number that grows whenever any item has come, gone or changed."""
        with self._lock:
            return self._changes + sum(source.version for source in self._sources)

    def entries(self, project_id: str | None = None) -> Mapping[str, Any]:
        """The items visible now by identity: most often their `id`."""
        if project_id is not None:
            return self._of(project_id)
        return {key: item for id_ in self._project_ids for key, item in self._of(id_).items()}

    def oldest_first(self, project_id: str | None = None) -> list[Any]:
        """The items visible now, by date, those of one date by identity."""
        named = [(self.dated(item), key, item) for key, item in self.entries(project_id).items()]
        return [item for _, _, item in sorted(named, key=lambda each: each[:2])]

    def put(self, item: Item) -> None:
        """Add an item as it is, or replace the one of its id.

        Without a `project_id` the world knows it stays where it was, else it is the first's.
        """
        with self._lock:
            identity, project_id = str(item["id"]), item.get("project_id")
            if project_id not in self._project_ids:
                project_id = self._home_of(identity)
            self._hide(identity)
            self._place(identity, item, project_id)

    def put_raw(self, item: Any, *, project_id: str | None = None) -> None:
        """Add anything JSON can say to a project's listing."""
        with self._lock:
            self._place(f"raw {self._changes}", item, project_id)

    def delete(self, identity: str) -> None:
        """Remove the item of an id without a trace. KeyError: there is none."""
        with self._lock:
            if self._home_of(identity) is None:
                message = f"there is no {identity}"
                raise KeyError(message)
            self._hide(identity)
            self._changes += 1

    def _home_of(self, identity: str) -> str | None:
        for project_id in self._project_ids:
            items = self._of(project_id)
            # Most often the identity is the id: a look, and no search.
            if identity in items or any(_id_of(item) == identity for item in items.values()):
                return project_id
        return None

    def _hide(self, identity: str) -> None:
        for shelf in self._by_hand.values():
            shelf.pop(identity, None)
        self._hidden.add(identity)

    def _place(self, identity: str, item: Any, project_id: Any) -> None:
        project = project_id if project_id in self._project_ids else self._project_ids[0]
        self._by_hand[project][identity] = item
        self._changes += 1

    def _of(self, project_id: str) -> dict[str, Any]:
        with self._lock:
            # Read before the items: a change in between costs another look, not a stale one.
            version = self.version
            known = self._known.get(project_id)
            if known is None or known[0] != version:
                known = self._known[project_id] = version, self._gathered(project_id)
            return known[1]

    def _gathered(self, project_id: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for source in self._sources:
            for key, item in source.made(project_id):
                # What two jobs have in common is what the first of them made it.
                found.setdefault(key, item)
        if self._hidden:
            found = {key: item for key, item in found.items() if _id_of(item) not in self._hidden}
        return found | self._by_hand[project_id]


def _id_of(item: Any) -> str | None:
    return str(item["id"]) if isinstance(item, dict) and "id" in item else None
