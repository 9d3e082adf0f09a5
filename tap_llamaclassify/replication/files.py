"""The files that jobs and results name: asked for by their ids, before a bookmark passes the jobs.

A run that is killed therefore leaves none out that its state speaks of.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import quote

from tap_llamaclassify.api.endpoints import FILES, FILES_LARGEST_PAGE, V2_JOBS
from tap_llamaclassify.api.pagination import Paginator
from tap_llamaclassify.errors import ApiError, RefusedError
from tap_llamaclassify.http.client import Client, Params
from tap_llamaclassify.replication.steps import Step
from tap_llamaclassify.replication.stream_state import StreamState
from tap_llamaclassify.tables.tables import FILES as TABLE
from tap_llamaclassify.tables.tables import RESULTS

FILTER = "file_ids"
LONGEST_QUERY = 6000
"""Characters that the ids of one request may take: some servers take 8,000 in all."""
MOST_KNOWN = 10_000
"""How many ids are remembered, so that a file that many jobs name is asked for once."""
_LARGEST = {"page_size": str(FILES_LARGEST_PAGE)}
_PREFIX = "dfl-"
"""What stands before the UUID of a file in some of the API's replies, and not in others."""


class Files:
    """Brings the files of one connection's jobs.

    Args:
        client: Asks.

    Attributes:
        error: Why none can be had, when the key may not have them.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, None] = {}
        self._to_ask: dict[str, str] = {}
        self._length = 0
        self._is_filtered = True
        self._held: dict[str, StreamState] = {}
        self.error: ApiError | None = None

    def before(self, steps: Iterator[Step]) -> Iterator[Step]:
        """Go through steps, and put the files that they name before what the state may keep.

        Where files cannot be had, the state keeps nothing.

        Raises:
            ApiError: As the steps do, or files cannot be had, though the key may have them.
        """
        for step in steps:
            for id_ in _named_in(step):
                if not self._has_room(id_):
                    yield from self._asked()
                self._note(id_)
            if step.kept:
                yield from self._asked()
            if self._is_filtered and not self.error:
                yield step
            else:
                self._held |= step.kept
                yield replace(step, kept={})
            # Let go of it before the next one comes in.
            del step

    def rest(self) -> Iterator[Step]:
        """Bring what is left: where files cannot be asked for by their ids, all are listed.

        Raises:
            ApiError: They cannot be had, though the key may have them.
        """
        yield from self._asked()
        if self._is_filtered:
            return
        if self._to_ask:
            yield from self._listed(_LARGEST)
            self._to_ask.clear()
        if not self.error:
            yield Step(kept=self._held)
        self._held = {}

    def _asked(self) -> Iterator[Step]:
        """Ask for the files that were noted."""
        if not (self._to_ask and self._is_filtered):
            return
        for step in self._listed({**_LARGEST, FILTER: [*self._to_ask.values()]}):
            (page,) = step.pages
            # Else it lists others: what was asked for is among all of them.
            self._is_filtered = len(step.items[TABLE.name]) == len(page.items)
            yield step
            if not self._is_filtered:
                return
        if self._is_filtered:
            self._to_ask.clear()
            self._length = 0

    def _listed(self, filters: Params) -> Iterator[Step]:
        """List files; yield those that were noted."""
        try:
            for page in Paginator(self._client, FILES, filters).pages(ahead=FILTER not in filters):
                files = [file for file in page.items if _bare(file["id"]) in self._to_ask]
                yield Step({TABLE.name: files}, pages=[page])
        except RefusedError as error:
            if FILTER in filters and not (error.parameters and error.is_unavailable):
                # Ids are said to be UUIDs, and shown to be none.
                self._is_filtered = False
            else:
                self._note_error(error)
        except ApiError as error:
            self._note_error(error)

    def _note_error(self, error: ApiError) -> None:
        if not error.is_unavailable:
            raise error
        self.error = error
        self._to_ask.clear()

    def _has_room(self, id_: str) -> bool:
        """Return whether one more would go into the request."""
        is_short = self._length + _length(id_) <= LONGEST_QUERY
        return is_short and len(self._to_ask) < FILES_LARGEST_PAGE

    def _note(self, id_: str) -> None:
        """Take note of a file to ask for, but for one that is known, or has too long an id."""
        bare = _bare(id_)
        if self.error or not bare or bare in self._known or _length(id_) > LONGEST_QUERY:
            return
        self._known[bare] = None
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]
        self._to_ask[bare] = id_
        self._length += _length(id_)


def _length(id_: str) -> int:
    return len(f"&{FILTER}={quote(id_, safe='')}")


def _named_in(step: Step) -> Iterator[str]:
    """Yield the ids of the files that a step's jobs and results name."""
    # Each table's are those since an instant, so the longest of them holds all the others.
    jobs = max((step.items.get(name, ()) for name in V2_JOBS.tables), key=len)
    for job in jobs:
        if job.get("document_input_type") == "file_id" and (id_ := job.get("file_input")):
            yield id_
    for result in step.items.get(RESULTS.name, ()):
        if id_ := result.get("file_id"):
            yield id_


def _bare(id_: str) -> str:
    return id_.removeprefix(_PREFIX)
