"""Replies that the OpenAPI allows, read as the tap reads them, and accounted for value by value."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import hypothesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import strategies as st

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Settings
from llamacloud_sandbox.world.world import World
from tap_llamaclassify.api.endpoints import CONFIGURATIONS, V1_RESULTS, V2_JOB, V2_JOBS, Endpoint
from tap_llamaclassify.api.models import Json
from tap_llamaclassify.api.pagination import Paginator
from tap_llamaclassify.http.client import Client
from tests.conformance.contract import Contract, Schema
from tests.conformance.drawing import Drawing, Strategy
from tests.support.accounting import SCHEMAS, TABLES_OF, fits, kept_leaves, sent_leaves
from tests.support.builders import SimulatedClock, connection
from tests.support.items import of_owner

Reply: TypeAlias = Any
"""A reply's JSON."""
Allows = Callable[[Reply], bool]

MOST_PAGES = 3
JSON_TYPE = {"content-type": "application/json"}


@dataclass
class Tally:
    """What was read of an endpoint.

    Attributes:
        replies: So many, all of them allowed.
        pages: How many of them came as the pages of longer listings.
        items: How many items they held.
        values: How many values these held that are not null.
        loss: What was lost, and of which reply; None if nothing was.
    """

    replies: int = 0
    pages: int = 0
    items: int = 0
    values: int = 0
    loss: str | None = None


@dataclass
class Reader:
    """Reads replies to one of the tap's calls.

    Attributes:
        endpoint: The call.
        sandbox: Sends the pages of listings; it has to run.
        allows: Tells whether a reply is one.
        tally: What has been read.
    """

    endpoint: Endpoint
    sandbox: Sandbox
    allows: Allows
    tally: Tally = field(default_factory=Tally)

    def read(self, replies: Sequence[Reply], *, ascii_only: bool) -> None:
        """Read the pages of a listing, or a reply that stands alone.

        Raises:
            AssertionError: A value is lost, or there twice.
        """
        assert all(map(self.allows, replies)), "what was drawn is not allowed"
        texts = [json.dumps(reply, ensure_ascii=ascii_only) for reply in replies]
        bodies = [text.encode() for text in texts]
        pages = self._listed(bodies) if len(bodies) > 1 else [self._parsed(bodies[0])]
        assert len(pages) == len(replies), f"{len(pages)} pages of {len(replies)} were read"
        for text, came in zip(texts, pages, strict=True):
            self._account(items_of(self.endpoint, json.loads(text)), came)
        self.tally.replies += len(replies)
        self.tally.pages += len(replies) if len(replies) > 1 else 0

    def _parsed(self, body: bytes) -> Sequence[Json]:
        return self.endpoint.parse(body).items

    def _listed(self, bodies: Sequence[bytes]) -> list[Sequence[Json]]:
        """Read pages over HTTP; each is asked for with the token of the one before."""
        self.sandbox.clear_requests()
        for body in bodies:
            self.sandbox.answer_next(200, body, headers=JSON_TYPE)
        client = Client(connection(self.sandbox), clock=SimulatedClock())
        pages = [page.items for page in Paginator(client, self.endpoint).pages()]
        sent = [request.query.get("page_token") for request in self.sandbox.requests]
        given_out = [json.loads(body).get("next_page_token") for body in bodies]
        assert sent == [None, *given_out[:-1]], "a page token was sent back as another"
        return pages

    def _account(self, sent: Sequence[Json], came: Sequence[Json]) -> None:
        assert len(came) == len(sent), f"{len(came)} items of {len(sent)} were read"
        source = V2_JOBS if self.endpoint is V2_JOB else self.endpoint
        owned = of_owner(came) if source is V1_RESULTS else came
        for one, other in zip(sent, owned, strict=True):
            wanted, kept = sent_leaves(source, one), kept_leaves(source, other)
            lost, made_up = _beyond(wanted, kept), _beyond(kept, wanted)
            assert kept == wanted, f"lost: {lost}; in the rows, and not sent: {made_up}"
            self.tally.values += len(wanted)
        for table in TABLES_OF[source]:
            rows, columns = table.rows(owned), SCHEMAS[table.name]["properties"]
            alone = [row for item in owned for row in table.rows([item])]
            assert rows == alone, f"{table.name} has other rows for all than for each"
            cells = [(name, value) for row in rows for name, value in row.items()]
            odd = [cell for cell in cells if not fits(cell[1], columns[cell[0]])]
            assert not odd, f"{table.name} has what does not fit its columns: {odd}"
        self.tally.items += len(sent)


def _beyond(some: Sequence[Any], others: Sequence[Any]) -> list[Any]:
    return [each for each in some if each not in others]


def items_of(endpoint: Endpoint, reply: Reply) -> list[Json]:
    """Return the items of a reply, wherever it has them."""
    if endpoint is V2_JOB:
        return [reply]
    return [*(reply if isinstance(reply, list) else reply["items"])]


def listings(contract: Contract, endpoint: Endpoint, path: str) -> Strategy:
    """Draw replies to a call: one, or the pages of a listing."""
    drawing, schema = Drawing(contract), contract.reply(path)
    one = drawing.of(schema)
    if endpoint is CONFIGURATIONS:
        one |= drawing.of(_of_classify(contract, schema))
    one = one.map(lambda reply: _with_ids(endpoint, reply))
    if not endpoint.is_paged:
        return st.tuples(one)
    token = st.text(min_size=1, max_size=20)
    return st.lists(one, min_size=1, max_size=MOST_PAGES).flatmap(
        lambda pages: st.builds(
            lambda tokens, end: _chained(pages, tokens, end),
            st.lists(token, min_size=len(pages) - 1, max_size=len(pages) - 1, unique=True),
            st.sampled_from([None, "", ...]),
        )
    )


def _with_ids(endpoint: Endpoint, reply: Reply) -> Reply:
    """Give items with an empty id another: the tap refuses such a reply, and says so."""
    for item in items_of(endpoint, reply):
        item["id"] = item["id"] or "an id"
    return reply


def _chained(pages: list[Json], tokens: list[str], end: Any) -> list[Json]:
    """Let each page name the next one; `...` stands for no name at all."""
    for page, token in zip(pages, [*tokens, end], strict=True):
        page["next_page_token"] = token
        if token is ...:
            del page["next_page_token"]
    return pages


def _of_classify(contract: Contract, schema: Schema) -> Schema:
    """Narrow a list of saved configurations to those that the tap asks for."""
    whole = contract.resolved(schema)
    item = contract.resolved(whole["properties"]["items"]["items"])
    parameters = item["properties"]["parameters"]["discriminator"]["mapping"]["classify_v2"]
    own = {"product_type": {"const": "classify_v2"}, "parameters": {"$ref": parameters}}
    items = {"type": "array", "items": {**item, "properties": item["properties"] | own}}
    return {**whole, "properties": whole["properties"] | {"items": items}}


def read_all(
    contract: Contract, endpoint: Endpoint, path: str, *, replies: int, seed: int, allows: Allows
) -> Tally:
    """Read so many replies to a call, or until a value is lost.

    Args:
        contract: Says what a reply may hold.
        endpoint: The call.
        path: What the contract calls it.
        replies: How many to read; a listing's last pages may come beyond.
        seed: The same draws the same.
        allows: Tells whether a reply is one; by other code than what draws it.
    """
    drawn = listings(contract, endpoint, path)
    with Sandbox(World.empty(), Settings(longest_url=0)) as sandbox:
        reader = Reader(endpoint, sandbox, allows)
        turn = 0
        while (left := replies - reader.tally.replies) > 0 and reader.tally.loss is None:
            _read_some(
                reader, drawn, -(-left * 2 // 3) if endpoint.is_paged else left, seed * 1000 + turn
            )
            turn += 1
    return reader.tally


def _read_some(reader: Reader, drawn: Strategy, times: int, seed: int) -> None:
    """Read what is drawn; what is lost is told of the smallest reply of which it is."""
    last: list[Reply] = []

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=times,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=[*HealthCheck],
        report_multiple_bugs=False,
    )
    @given(drawn, st.booleans())
    def check(replies: Sequence[Reply], ascii_only: bool) -> None:  # noqa: FBT001 - drawn
        last[:] = copy.deepcopy(replies)
        reader.read(replies, ascii_only=ascii_only)

    try:
        check()
    except Exception as error:  # noqa: BLE001 - whatever it is, the tap has met it
        reader.tally.loss = f"{type(error).__name__}: {error}\n  of {json.dumps(last)}"
