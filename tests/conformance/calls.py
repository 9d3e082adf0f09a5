"""Calls that the OpenAPI describes, right ones and wrong ones, sent to the sandbox over HTTP."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st
from requests import codes
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks
from starlette.routing import Route

from llamacloud_sandbox.api.app import Api, create_app
from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Settings
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World
from tests.conformance.contract import Contract, unnamed
from tests.conformance.expected import ANOTHERS, NO, OWN, WRONG, Expected
from tests.conformance.wire import Asked, verdict

CHECKS = (
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
)
"""What holds for every reply, whatever was asked."""
MODES = {GenerationMode.POSITIVE: 0.6, GenerationMode.NEGATIVE: 0.4}
"""The shares of cases that the OpenAPI allows, and that it does not."""
MOST_PAGES = 3
LONGEST = 400
"""How much of a reply is shown."""
PATIENCE = 30
"""Seconds that a reply may take."""

KEYS = st.sampled_from([OWN] * 12 + [NO, WRONG, ANOTHERS])
OFTEN = st.sampled_from([True, True, True, False])
WAYS: Mapping[str, Sequence[Any]] = {
    "at_end": ("null", "empty", "absent"),
    "total_size": (True, False),
    "empty_pages": (0, 2),
    "usage_in_list": (False, True),
    "pending_results": ("empty", "404"),
}
"""The sandbox's settings under each of which it has to hold to the OpenAPI."""


def new_sandbox() -> Sandbox:
    """Make a sandbox with items of every kind, where the last two settings are the OpenAPI's."""
    world = World(History(jobs=120, v2_jobs=120, unknown_fields=0.2))
    # Most data points are out of reach of `hours`.
    return Sandbox(world, Settings(data_points_reach="bounds", file_ids="uuid", longest_url=0))


@dataclass
class Tally:
    """What was asked of an operation.

    Attributes:
        cases: So many calls.
        wrong: How many of them the OpenAPI does not allow.
        statuses: How many had each status.
        filled: How many replies of status 200 had items, or were one.
        violations: What was not as the OpenAPI has it, each with its request.
    """

    cases: int = 0
    wrong: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    filled: int = 0
    violations: list[str] = field(default_factory=list)


class Caller:
    """Sends the cases of one operation."""

    def __init__(self, sandbox: Sandbox, contract: Contract, path: str, tally: Tally) -> None:
        self.tally = tally
        self.path = path
        self._sandbox = sandbox
        self._contract = contract
        self._expected = Expected(sandbox, contract, path)
        self._session = requests.Session()
        self._session.trust_env = False

    def call(self, case: Case, draw: st.DataObject) -> None:
        """Send a case and, of a listing, the pages after it."""
        for name, ways in WAYS.items():
            setattr(self._sandbox.settings, name, draw.draw(st.sampled_from(ways)))
        key = draw.draw(KEYS)
        self._use_known(case, draw)
        for _ in range(MOST_PAGES):
            token = self._sent(case, key)
            if not token:
                return
            self._expected.given_out.add(token)
            case.query["page_token"] = token

    def _use_known(self, case: Case, draw: st.DataObject) -> None:
        """Let most of a case be about what there is; what is wrong in it stays wrong."""
        for place, values in (("path", case.path_parameters), ("query", case.query)):
            for name, parameter in self._contract.parameters(self.path, place).items():
                known = self._expected.known.get(name)
                if known and name in values and draw.draw(OFTEN):
                    value = values[name]
                    texts = [*map(str, value if isinstance(value, list) else [value])] or [""]
                    if verdict(parameter["schema"], texts):
                        chosen = draw.draw(st.sampled_from(known))
                        values[name] = [chosen] if isinstance(value, list) else chosen
        if draw.draw(OFTEN):
            case.query.pop("page_token", None)
        for name, value in case.path_parameters.items():
            # Starlette finds no route for a path with a line break, which may be encoded already.
            case.path_parameters[name] = str(value).replace("\n", "").replace("%0A", "")

    def _sent(self, case: Case, key: str) -> str | None:
        """Send a case once; return the token of the next page."""
        sent: dict[str, Any] = {"session": self._session, "timeout": PATIENCE}
        authorization = self._expected.authorization(key)
        reply = case.call(self._sandbox.url, headers=authorization, **sent)
        asked = Asked.by(str(reply.request.url), self.path)
        self.tally.cases += 1
        self.tally.wrong += False in self._expected.verdicts(asked).values()
        self.tally.statuses[reply.status_code] += 1
        for violation in self._violations(case, reply, self._expected.statuses(asked, key)):
            told = f"{reply.request.url} with {key} key"
            answered = f"{reply.status_code} {reply.text[:LONGEST]}"
            self.tally.violations.append(f"{violation}\n  {told}\n  {answered}")
        if reply.status_code != codes.ok:
            return None
        body = reply.json()
        listed = isinstance(body, dict) and "items" in body
        self.tally.filled += bool(body["items"] if listed else body)
        return body.get("next_page_token") if listed else None

    def _violations(
        self, case: Case, reply: requests.Response, expected: Collection[int]
    ) -> Iterator[str]:
        try:
            case.validate_response(reply, checks=[*CHECKS])
        except FailureGroup as group:
            yield from map(str, group.exceptions)
        if reply.status_code not in expected:
            yield f"answered {reply.status_code}, where {sorted(expected)} is expected"


def served() -> set[str]:
    """Return the paths that the sandbox serves, without the names of their parameters."""
    api = Api(World.empty(), Settings(), before_page=lambda _: None)
    return {unnamed(route.path) for route in create_app(api).routes if isinstance(route, Route)}


def call_all(contract: Contract, path: str, *, cases: int, seed: int) -> Tally:
    """Send so many cases of an operation, and further pages beyond."""
    schema = schemathesis.openapi.from_dict(contract.as_checked())
    operation = schema[path]["GET"]
    tally = Tally()
    try:
        with new_sandbox() as sandbox:
            caller = Caller(sandbox, contract, path, tally)
            for mode, share in MODES.items():
                _send(caller, operation.as_strategy(generation_mode=mode), int(cases * share), seed)
    except Exception as error:  # noqa: BLE001 - the sandbox raises what it has answered with 500
        tally.violations.append(repr(error))
    return tally


def _send(caller: Caller, drawn: st.SearchStrategy[Case], cases: int, seed: int) -> None:
    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=cases,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[*HealthCheck],
    )
    @given(drawn, st.data())
    def send(case: Case, draw: st.DataObject) -> None:
        caller.call(case, draw)

    send()
