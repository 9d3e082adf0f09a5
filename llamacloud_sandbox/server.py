"""The sandbox as a server of its own thread on loopback, and the strings a test pulls on it."""

import socket
from collections.abc import Callable
from types import TracebackType
from typing import Any, Literal, Self

from llamacloud_sandbox.api.access import bearer
from llamacloud_sandbox.api.app import PATH, V2_PATH, Api, create_app
from llamacloud_sandbox.api.tokens import Query
from llamacloud_sandbox.settings import Settings
from llamacloud_sandbox.wire.front import Front, Request, ready_key
from llamacloud_sandbox.wire.plan import FaultPlan
from llamacloud_sandbox.wire.replies import JSON_TYPE, Canned, canned_body
from llamacloud_sandbox.wire.thread import ServerThread
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World

HOST = "127.0.0.1"
PATHS = {"v1": PATH, "v2": V2_PATH}


class Sandbox:
    """A classify API on 127.0.0.1 while the `with` block lasts.

    `keys` has the one key of each project; `key` and `project_id` are the first project's.
    `before_page`, if set, is called with a page's number in its listing (from 1) before the
    page is made, in the server's thread: a test may change the world there, and see in
    `requests[-1]` which listing it is. What it raises is answered with 500 and raised again
    at the end of the `with` block.

    Args:
        world: What it shows; by default some 200 v2 jobs and as many of v1, in three projects.
        settings: How the API lists.
        port: Where it listens; 0 for any free port.
    """

    def __init__(
        self, world: World | None = None, settings: Settings | None = None, *, port: int = 0
    ) -> None:
        self.world = world or World(History(v2_jobs=200, jobs=200))
        self.settings = settings or Settings()
        self.before_page: Callable[[int], None] | None = None
        self._api = Api(self.world, self.settings, before_page=self._before_page)
        self.keys = self._api.access.keys
        self.project_id, self.key = next(iter(self.keys.items()))
        self._front = Front(create_app(self._api), self.world, settings=self.settings)
        self._port = port

    def __enter__(self) -> Self:
        """Listen, and return once requests can be sent. OSError: the port is taken."""
        listener = socket.create_server((HOST, self._port))
        # Else each reply on a connection that is kept waits 40 ms for the client's acknowledgement.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.url = f"http://{HOST}:{listener.getsockname()[1]}"
        self._server = ServerThread(self._front, listener)
        self._front.door = self._server
        self._server.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close, and raise what went wrong inside the server unless the block failed already."""
        self._server.stop()
        if kind is None and self._front.failures:
            raise self._front.failures[0]

    @property
    def requests(self) -> list[Request]:
        """What was asked so far, canned replies included, in order of arrival."""
        return list(self._front.requests)

    def clear_requests(self) -> None:
        """Forget what was asked so far."""
        self._front.requests.clear()

    def answer_next(  # noqa: PLR0913 - one reply has so many sides
        self,
        status: int = 200,
        body: Any = b"",
        *,
        headers: dict[str, str] | None = None,
        times: int = 1,
        date: bool = True,
        cut: bool = False,
        delay_ms: float = 0.0,
    ) -> None:
        """Return the next requests, whatever they ask, with this; queued behind earlier ones.

        body: bytes or str as they are, anything else as JSON. date: False for no Date header;
        else the world's, unless `headers` has one. cut: close the connection in the middle of
        the body. delay_ms: real milliseconds to wait before answering.
        """
        raw, lowered = canned_body(body, headers or {})
        reply = Canned(
            status=status, body=raw, headers=lowered, date=date, cut=cut, delay_ms=delay_ms
        )
        self._front.canned.extend([reply] * times)

    @property
    def unanswered(self) -> int:
        """How many canned replies have not been asked for yet."""
        return len(self._front.canned)

    @property
    def faults(self) -> FaultPlan | None:
        """What goes wrong with a share of all requests; to be set, also while it runs."""
        return self._front.faults.plan

    @faults.setter
    def faults(self, plan: FaultPlan | None) -> None:
        self._front.faults.plan = plan

    def fail_next(self, kind: str, *, times: int = 1) -> None:
        """Let the next requests that are not canned meet a fault of wire.faults.FAULTS.

        A fault about page tokens waits for a request that has one, and holds up those behind it.
        ValueError: there is no such fault.
        """
        self._front.faults.order(kind, times)

    def forget_faults(self) -> None:
        """Forget what was ordered by `fail_next` and not met yet."""
        self._front.faults.queue.clear()

    @property
    def unmet(self) -> int:
        """How many faults of `fail_next` no request has met yet."""
        return len(self._front.faults.queue)

    def refuse(self) -> None:
        """Refuse connections until `accept`; those that there are end after their reply."""
        self._server.refuse()

    def accept(self) -> None:
        """Accept connections again at the same port, if they are refused."""
        self._server.accept()

    def revoke(self, key: str) -> None:
        """Return 401 to a key from now on. ValueError: there is none such, or no longer."""
        self._api.access.revoke(key)
        ready = self._front.ready.items()
        self._front.ready = {name: reply for name, reply in ready if name[1] != bearer(key)}

    def prerender(
        self,
        page_size: int,
        *,
        project_id: str | None = None,
        key: str | None = None,
        api: Literal["v1", "v2"] = "v1",
    ) -> int:
        """Encode the whole listing now, for a client that asks with exactly these parameters.

        Such a request is then one dictionary look-up. It skips the check of parameters and
        tokens, the world's later changes, the sorting, the encoding and `before_page`; it
        keeps the record of requests, canned replies, faults, the Date, `latency_ms` and the
        rate limit. Any other request is answered as ever. Returns the number of pages.
        """
        key = key or self.key
        project = next(id_ for id_, its_key in self.keys.items() if its_key == key)
        path = PATHS[api]
        query = Query(path, project_id=project_id, page_size=str(page_size))
        asked = {"page_size": str(page_size)} | ({"project_id": project_id} if project_id else {})
        pages = 0
        for token, body in self._api.listings[path].walk(project, query, size=page_size):
            parameters = asked if token is None else {**asked, "page_token": token}
            name = ready_key(path, bearer(key), parameters.items())
            self._front.ready[name] = Canned(body=body, headers=JSON_TYPE)
            pages += 1
        return pages

    def _before_page(self, number: int) -> None:
        if self.before_page is not None:
            self.before_page(number)
