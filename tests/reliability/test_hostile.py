"""Whatever a reply holds, the output is rows in strict JSON, or one error of ours and no row."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Sequence
from contextlib import redirect_stdout
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from singer_sdk.typing import DEFAULT_JSONSCHEMA_VALIDATOR

from llamacloud_sandbox.server import Sandbox
from tap_llamaclassify.api.endpoints import V1_JOBS
from tap_llamaclassify.errors import ReplyError, TapError
from tap_llamaclassify.singer.messages import MessageWriter
from tap_llamaclassify.tables.rows import job_rows, parsing_config_rows, rule_rows
from tap_llamaclassify.tables.schemas import schema_of
from tap_llamaclassify.timestamps import to_fixed
from tests.support.builders import job, new_tap, written_by
from tests.support.commands import Command
from tests.support.runs import failure
from tests.support.tally import Tally

DEEPEST_LINE = 64
"""How many levels the strictest of the usual parsers of JSON take."""

NO_JSON = "answered what is no JSON"
SHAPE = "answered JSON of another shape"
TOO_DEEP = "nested too deeply"
NO_ID = "has no usable id"
CUT = "the reply was cut short"
HTML = "answered HTML"


def nested(levels: int, inner: str = "") -> str:
    """Write that many lists, one inside the other."""
    return "[" * levels + inner + "]" * levels


def named(levels: int) -> str:
    """Write that many objects, one inside the other."""
    return '{"a":' * levels + "1" + "}" * levels


def page(*items: str, more: str = "") -> bytes:
    """Write a reply whose items are JSON texts; lone surrogates are kept as they are."""
    return f'{{"items": [{",".join(items)}]{more}}}'.encode("utf-8", "surrogatepass")


def with_field(value: str, name: str = "x") -> bytes:
    """Write a reply with one job that has a field of that JSON text."""
    return page(f'{{"id": "a", "rules": [{{"type": "t"}}], "{name}": {value}}}')


def depth(value: Any) -> int:
    """Return how many levels of objects and lists a value has."""
    levels = 0
    level = [value]
    while level := [v for v in level if isinstance(v, dict | list)]:
        levels += 1
        level = [i for v in level for i in (v.values() if isinstance(v, dict) else v)]
    return levels


def refuse_constant(constant: str) -> None:
    raise AssertionError(constant)


def strict(output: bytes) -> list[dict[str, Any]]:
    """Read Singer messages as the strictest loader does: one a line, by the letter of RFC 8259."""
    if not output:
        return []
    *lines, rest = output.split(b"\n")
    assert rest == b""
    messages = [msgspec.json.decode(line) for line in lines]
    for line, message in zip(lines, messages, strict=True):
        line.decode("utf-8", "strict")
        assert json.loads(line, parse_constant=refuse_constant) == message
        assert depth(message) <= DEEPEST_LINE
        assert message["type"] in {"SCHEMA", "RECORD", "STATE"}
    return messages


def synced(sandbox: Sandbox, *replies: bytes, **config: Any) -> tuple[bytes, TapError | None]:
    """Sync these pages in this process; return what was written, and the error that ended it."""
    for reply in replies:
        sandbox.answer_next(200, reply)
    text, error = written_by(new_tap(sandbox, **config))
    return text.encode(), error


MANY_RULES = ",".join(['{"type": "t", "description": "d"}'] * 100_000)
TOO_MANY_FOR_EVERY_RUN = "100,000 rules"
MANY_ODD_RULES = ",".join(['{"type": 7}', "7"] * 2_000)
LONG = "k" * 10_000

ROWS: dict[str, tuple[bytes, int]] = {
    "names of JavaScript and Python": (
        with_field(
            '{"constructor": {"prototype": {}}, "__init__": []}, "__class__": 1', "__proto__"
        ),
        2,
    ),
    "a name that is empty": (with_field("1", ""), 2),
    "a name of 10,000 characters": (with_field("1", LONG), 2),
    "a name of control characters": (with_field("1", r"\u0000\u001b\n\r\t\u007f\u202e"), 2),
    "a name with a template": (with_field("1", "%s %(x)s {x} {0!r} ${x}"), 2),
    "a name of ours": (with_field("1", "additional_fields"), 2),
    "a name that marks misfits": (with_field('{"type": 7}, "status": 7', "misfits"), 2),
    "400 digits": (with_field("9" * 400), 2),
    "minus 400 digits": (with_field("-" + "9" * 400), 2),
    "400 digits after the point": (with_field("0." + "1" * 400), 2),
    "400 digits before the point": (with_field("9" * 400 + ".5"), 2),
    "an exponent of 400 digits": (with_field("1e" + "9" * 400), 2),
    "a negative exponent of 400 digits": (with_field("1e-" + "9" * 400), 2),
    "100,000 digits": (with_field("9" * 100_000), 2),
    "minus zero": (with_field("[-0, -0.0, -0e-0]"), 2),
    "1e400": (with_field("[1e400, -1e400, 1e308, 5e-324]"), 2),
    "400 digits in a column": (
        with_field(f'{{"max_pages": {"9" * 400}}}', "parsing_configuration"),
        3,
    ),
    "1e400 in a column": (with_field('{"max_pages": 1e400}', "parsing_configuration"), 3),
    "1e400 for the total": (page('{"id": "a"}', more=', "total_size": 1e400'), 1),
    "4,000 digits for the total": (page('{"id": "a"}', more=f', "total_size": {"9" * 4000}'), 1),
    "lone surrogates, escaped": (with_field(r'{"\ud800": "\udfff\ud800"}'), 2),
    "lone surrogates, raw": (with_field('{"\ud800": "\udfff\ud800"}'), 2),
    "a lone surrogate in a status": (with_field(r'"\udc00"', "status"), 2),
    "names that differ by surrogates": (
        with_field(r'{"\ud800": 1, "\ud801": 2, "\ufffd": 3, "\\ud801": 4, "\\ud800": 5}'),
        2,
    ),
    "duplicate names": (page('{"id": "b", "id": "a", "x": 1, "x": 2, "rules": [], "rules": 7}'), 1),
    "duplicate items": (b'{"items": [7], "items": [{"id": "a"}]}', 1),
    "duplicate jobs": (page(*['{"id": "a"}'] * 3), 3),
    "text of 5 MB": (with_field(f'"{"x" * 5_000_000}"', "error_message"), 2),
    "an id of 1 MB": (page(f'{{"id": "{"x" * 1_000_000}"}}'), 1),
    "an id of a blank": (page('{"id": " "}'), 1),
    "NUL": (with_field(r'"\u0000"', r"\u0000"), 2),
    "an id of NUL": (page(r'{"id": "\u0000"}'), 1),
    "line separators": (with_field('"\u2028\u2029\x85\x7f\ufeff"', "\u2028"), 2),
    "line ends, escaped": (with_field(r'"a\nb\r\n{\"type\":\"STATE\"}\n"'), 2),
    "noncharacters": (with_field('"\uffff\ufffe\U0010ffff"'), 2),
    "no jobs": (page(), 0),
    "no jobs, and spaces": (b' \n\t\r{"items"\n:\t[ ] } \n', 0),
    "no rules that are objects": (page('{"id": "a", "rules": [null, 7, [], "x", [[{}]]]}'), 1),
    TOO_MANY_FOR_EVERY_RUN: (page(f'{{"id": "a", "rules": [{MANY_RULES}]}}'), 100_001),
    "4,000 odd rules": (page(f'{{"id": "a", "rules": [{MANY_ODD_RULES}]}}'), 2_001),
    "10,000 new fields": (
        page(f'{{"id": "a", {",".join(f"{chr(34)}f{n}{chr(34)}: {n}" for n in range(10_000))}}}'),
        1,
    ),
    "51 levels": (with_field(nested(51)), 2),
    "500 levels of objects": (with_field(named(500)), 2),
    "900 levels": (with_field(nested(900)), 2),
    "900 levels in a rule": (page(f'{{"id": "a", "rules": [{{"x": {named(900)}}}]}}'), 2),
    "900 levels for a rule": (page(f'{{"id": "a", "rules": [{nested(900)}]}}'), 1),
    "900 levels for a column": (with_field(nested(900), "status"), 2),
    "900 levels for pages": (
        with_field(f'{{"target_pages": {nested(900)}}}', "parsing_configuration"),
        3,
    ),
    "900 levels beside the jobs": (page('{"id": "a"}', more=f', "x": {nested(900)}'), 1),
}
"""Replies that are a page, and how many rows it has in all streams."""

ERRORS: dict[str, tuple[bytes, str]] = {
    "10,000 levels": (with_field(nested(10_000)), TOO_DEEP),
    "10,000 levels of objects": (with_field(named(10_000)), TOO_DEEP),
    "10,000 levels in a rule": (page(f'{{"id": "a", "rules": [{named(10_000)}]}}'), TOO_DEEP),
    "10,000 levels at the top": (nested(10_000).encode(), TOO_DEEP),
    "a million levels, cut": (b"[" * 1_000_000, TOO_DEEP),
    "an id with a lone surrogate": (page(r'{"id": "\ud800"}'), NO_ID),
    "overlong UTF-8": (b'{"items": [{"id": "\xc0\x80"}]}', NO_JSON),
    "UTF-16": ('{"items": []}'.encode("utf-16"), NO_JSON),
    "UTF-16 without a mark": ('{"items": []}'.encode("utf-16-le"), NO_JSON),
    "UTF-32": ('{"items": []}'.encode("utf-32"), NO_JSON),
    "NUL, raw": (b'{"items": [{"id": "\x00"}]}', NO_JSON),
    "NUL after the page": (b'{"items": []}\x00', NO_JSON),
    "JSON lines": (b'{"items": []}\n{"items": []}', NO_JSON),
    "numbers of another language": (with_field("[0x10, +1, .5, 1_000, 01]"), NO_JSON),
    "a comment": (b'{"items": [] /* none */}', NO_JSON),
    "nothing": (b"", CUT),
    "blanks": (b" \n", CUT),
    "a quote": (b'"', CUT),
    "a surrogate, cut": (b'{"items": [{"id": "\\ud8', CUT),
    "HTML": (b"\n<!doctype html>", HTML),
    "XML": (b"<?xml version='1.0'?><items/>", HTML),
    "an id of 400 digits": (page(f'{{"id": {"9" * 400}}}'), NO_ID),
    "a token that is false": (page(more=', "next_page_token": false'), SHAPE),
    "a token that is a list": (page(more=', "next_page_token": ["a"]'), SHAPE),
    "a token that is an object": (page(more=', "next_page_token": {}'), SHAPE),
    "a token with a lone surrogate": (
        page('{"id": "a"}', more=r', "next_page_token": "a\ud800"'),
        "a page token that cannot be sent back",
    ),
}
"""Replies that are no page, and what the one line says."""


WORST = (
    "900 levels",
    "lone surrogates, raw",
    "100,000 digits",
    "line separators",
    "4,000 odd rules",
)
WORST_ERRORS = ("10,000 levels", "a million levels, cut", "UTF-16", "a token that is a list")
LIGHT = (*(name for name in ROWS if name != TOO_MANY_FOR_EVERY_RUN),)


def rest_is_heavy(cases: dict[str, Any], worst: Sequence[str]) -> list[Any]:
    """Leave all but the worst cases of a table to the heavy tests."""
    return [
        pytest.param(*case, id=name, marks=[] if name in worst else [pytest.mark.heavy])
        for name, case in cases.items()
    ]


@pytest.mark.parametrize(("body", "count"), rest_is_heavy(ROWS, LIGHT))
def test_page_of_hostile_values_becomes_rows_in_strict_json(
    sandbox: Sandbox, body: bytes, count: int
) -> None:
    output, error = synced(sandbox, body)
    assert error is None
    messages = strict(output)
    assert sum(message["type"] == "RECORD" for message in messages) == count
    assert messages[-1]["type"] == "STATE"


@pytest.mark.parametrize(("body", "words"), ERRORS.values(), ids=ERRORS)
def test_reply_that_is_no_page_ends_in_an_error_and_no_row(
    sandbox: Sandbox, body: bytes, words: str
) -> None:
    output, error = synced(sandbox, body)
    assert words in str(error)
    assert "\n" not in str(error)
    assert {message["type"] for message in strict(output)} == {"SCHEMA"}


@pytest.mark.parametrize(("body", "count"), rest_is_heavy(ROWS, WORST))
def test_command_writes_hostile_values_in_strict_json(
    sandbox: Sandbox, quick_command: Command, config: dict[str, Any], body: bytes, count: int
) -> None:
    sandbox.answer_next(200, body)
    ended = quick_command("--config", config)
    assert (ended.code, ended.errors) == (0, [])
    assert "Traceback" not in ended.stderr
    records = [m for m in strict(ended.stdout.encode()) if m["type"] == "RECORD"]
    assert len(records) == count
    # Names of new fields are shown, but may not write lines of their own, or a book.
    assert all(line.startswith("20") and len(line) < 1000 for line in ended.stderr.splitlines())


@pytest.mark.parametrize(("body", "words"), rest_is_heavy(ERRORS, WORST_ERRORS))
def test_command_ends_in_one_line_over_a_reply_that_is_no_page(
    sandbox: Sandbox, quick_command: Command, config: dict[str, Any], body: bytes, words: str
) -> None:
    sandbox.answer_next(200, body)
    ended = quick_command("--config", config)
    assert words in failure(ended)
    assert {message["type"] for message in strict(ended.stdout.encode())} == {"SCHEMA"}


@pytest.mark.parametrize("levels", [1, 49, 50, 51, 100, 970, 975, 980, 985, 990, 995, 1000])
@pytest.mark.parametrize(
    "item",
    [
        '{{"id": "a", "x": {0}}}',
        '{{"id": "a", "rules": [{{"x": {0}}}]}}',
        '{{"id": "a", "rules": ["t", {0}]}}',
        '{{"id": "a", "parsing_configuration": {{"lang": {0}}}}}',
    ],
    ids=["new field", "rule", "rule that is none", "misfit"],
)
@pytest.mark.parametrize(
    "config",
    [{}, {"flattening_enabled": True, "flattening_max_depth": 9}],
    ids=["as it is", "flattened"],
)
def test_value_of_any_depth_reaches_the_loader_or_is_refused(
    sandbox: Sandbox, levels: int, item: str, config: dict[str, Any]
) -> None:
    for text in (nested(levels), named(levels)):
        output, error = synced(sandbox, page(item.format(text)), **config)
        assert error is None or TOO_DEEP in str(error)
        assert error is None or levels > 960
        assert strict(output)


@pytest.mark.parametrize(
    "token",
    ["a\nb\r\n", "\x00", "\u2028", "a b&page_size=1#/../?", "\U0001f600" * 50, "../..", "x" * 9000],
    ids=["line ends", "NUL", "line separator", "a query", "emoji", "a path", "9,000 characters"],
)
def test_page_token_of_any_characters_goes_back_as_it_came(sandbox: Sandbox, token: str) -> None:
    more = f', "next_page_token": {json.dumps(token)}'
    output, error = synced(sandbox, page('{"id": "a"}', more=more), page('{"id": "b"}'))
    assert error is None
    assert sandbox.requests[1].query["page_token"] == token
    assert sum(m["type"] == "RECORD" for m in strict(output)) == 2


# The door.


NOW = datetime(2026, 11, 23, tzinfo=UTC)
MAKERS = {
    "classify_jobs": job_rows,
    "classify_job_rules": rule_rows,
    "classify_job_parsing_configs": parsing_config_rows,
}
COLUMNS = {stream: schema_of(stream)["properties"] for stream in MAKERS}
VALIDATORS = {stream: DEFAULT_JSONSCHEMA_VALIDATOR(schema_of(stream)) for stream in MAKERS}


def let_in(body: bytes) -> list[dict[str, Any]]:
    """Take a reply all the way to standard output, but for the network; return the messages.

    Raises:
        ReplyError: It is refused.
    """
    output = io.BytesIO()
    with redirect_stdout(io.TextIOWrapper(output, write_through=True)) as out:
        try:
            jobs = V1_JOBS.parse(body).items
            for stream, make in MAKERS.items():
                rows = make(jobs)
                MessageWriter().write_records(stream, rows, version=None, extracted_at=NOW)
        finally:
            out.detach()
    messages = strict(output.getvalue())
    assert sum(message["stream"] == "classify_jobs" for message in messages) == len(jobs)
    return messages


def check_record(stream: str, record: dict[str, Any]) -> None:
    """Make sure that a record is what its stream's schema says."""
    VALIDATORS[stream].validate(record)
    assert record.keys() == COLUMNS[stream].keys()
    for name, column in COLUMNS[stream].items():
        if column.get("format") == "date-time" and record[name] is not None:
            assert to_fixed(record[name]) == record[name]


REAL_PAGE = msgspec.json.encode(
    {
        "items": [
            job("a", priority={"level": [1, 2.5, None]}),
            job("b", rules=[], parsing_configuration=None, updated_at="2026-11-23T16:33:08+02:00"),
            job("c", mode=7, rules=[{"type": "t", "weight": 0.5}, None, {"description": [1]}]),
            job("\u00e9\U0001f600", error_message="a\nb\u2028", created_at="2026-11-23"),
        ],
        "next_page_token": "+//+token==",
        "total_size": 4,
    }
)
NASTY = (
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"-", b"1e999", b"9" * 400, b"NaN", b"null"),
    *(b"\\ud800", b"\xed\xa0\x80", b"\xff", b"\x00", b"\n", b"\xef\xbb\xbf", b"[" * 300, b'"id":'),
    *(b'{"id":"x"},', b'"rules":7,', b'"updated_at":"0001-01-01T00:00:00+01:00",', b"\xe2\x80\xa8"),
)

SCALARS = st.one_of(
    st.none() | st.booleans() | st.integers() | st.floats(),
    st.sampled_from([10**400, 2**63, -(2**63) - 1, -0.0, 1e308]),
    st.text(max_size=5),
    st.characters(categories=["Cs"]),
    st.sampled_from(["2026-11-23T14:33:08+02:00", "2026-11-23", "0001-01-01T00:00:00+01:00", ""]),
)
NAMES = st.sampled_from(
    ["id", "items", "rules", "type", "updated_at", "parsing_configuration", "lang", "__proto__", ""]
) | st.text(max_size=3)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def mutated(draw: st.DrawFn) -> Any:
    """Draw a page in which a few values are replaced, added or taken away."""
    page = msgspec.json.decode(REAL_PAGE)
    for _ in range(draw(st.integers(1, 4))):
        owner: Any = page
        while True:
            places = [*owner] if isinstance(owner, dict) else [*range(len(owner))]
            place = draw(st.sampled_from(places) if places else st.just("id"))
            inner = owner[place] if places else None
            if not isinstance(inner, dict | list) or draw(st.booleans()):
                break
            owner = inner
        if isinstance(owner, list):
            owner.insert(draw(st.integers(0, len(owner))), draw(JSON))
        elif draw(st.integers(0, 4)) == 0:
            owner.pop(place, None)
        else:
            owner[draw(st.just(place) | NAMES)] = draw(JSON)
    return page


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Draw a page with bytes flipped, cut out, repeated or put in."""
    body = bytearray(REAL_PAGE)
    for _ in range(draw(st.integers(1, 5))):
        at = draw(st.integers(0, len(body)))
        match draw(st.integers(0, 4)):
            case 0 if at < len(body):
                body[at] ^= 1 << draw(st.integers(0, 7))
            case 1:
                del body[at : at + draw(st.integers(1, 60))]
            case 2:
                body[at:at] = body[at : at + draw(st.integers(1, 60))]
            case 3:
                del body[at:]
            case _:
                body[at:at] = draw(st.sampled_from(NASTY))
    return bytes(body)


def written(values: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    """Write values as JSON, escaped or not; NaN and lone surrogates come as what they are."""
    return st.builds(
        lambda value, ascii_only: json.dumps(value, ensure_ascii=ascii_only).encode(
            "utf-8", "surrogatepass"
        ),
        values,
        st.booleans(),
    )


JOB_LIKE = st.dictionaries(NAMES, JSON, max_size=5).map(lambda fields: {"id": "a"} | fields)
BYTES = st.binary(max_size=200) | st.lists(st.sampled_from(NASTY), max_size=20).map(b"".join)
ANY_JSON = (
    written(JSON)
    | written(st.fixed_dictionaries({"items": JSON}))
    | written(st.fixed_dictionaries({"items": st.lists(JOB_LIKE, max_size=4)}))
)
INPUTS: dict[str, tuple[st.SearchStrategy[bytes], int]] = {
    "any bytes": (BYTES, 8000),
    "any JSON": (ANY_JSON, 4000),
    "a page with other values": (written(mutated()), 4000),
    "a page with other bytes": (damaged(), 8000),
}
"""What comes in, and how often in the heavy tests."""


def test_real_page_leaves_as_rows() -> None:
    assert len(let_in(REAL_PAGE)) == 4 + 4 + 3


@pytest.mark.parametrize(
    ("inputs", "examples"),
    [
        *(pytest.param(inputs, 200, id=name) for name, (inputs, _) in INPUTS.items()),
        *(
            pytest.param(inputs, many, id=f"much of {name}", marks=pytest.mark.heavy)
            for name, (inputs, many) in INPUTS.items()
        ),
    ],
)
def test_whatever_comes_in_by_the_door_leaves_as_valid_rows_or_is_refused(
    tally: Tally, inputs: st.SearchStrategy[bytes], examples: int
) -> None:
    outcomes: Counter[str] = Counter()

    # The same inputs every time: what fails once fails again.
    @settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[*HealthCheck],
    )
    @given(inputs)
    def knock(body: bytes) -> None:
        tally("inputs fuzzed", 1)
        try:
            messages = let_in(body)
        except ReplyError:
            outcomes["refused"] += 1
            return
        outcomes["let in"] += 1
        for message in messages:
            check_record(message["stream"], message["record"])

    knock()
    # A fuzz that is always refused, or never, looks at one side of the door only.
    assert outcomes["refused"] > examples // 50
    assert outcomes["let in"] > examples // 50 or inputs is BYTES
