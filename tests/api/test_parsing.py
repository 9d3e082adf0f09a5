"""Whatever comes in by the door is a page of items that fit, or is refused in one sentence."""

from __future__ import annotations

import json
import traceback
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tap_llamaclassify.api.endpoints import V1_JOBS
from tap_llamaclassify.api.models import MISFITS, Json, Page
from tap_llamaclassify.errors import CutShortError, ReplyError
from tests.support.builders import cases
from tests.support.items import KINDS, Kind

NO_JSON = "answered what is no JSON; check api_url and any proxy"
HTML = "answered HTML instead of JSON; check api_url and any proxy"
TOO_DEEP = "answered JSON that is nested too deeply to be {}"
FIXED = "2026-11-23T14:33:08.000000Z"


@pytest.fixture(params=KINDS.values(), ids=[*KINDS])
def kind(request: pytest.FixtureRequest) -> Kind:
    """Every kind of items in turn."""
    found: Kind = request.param
    return found


def page_of(*items: Any, **fields: Any) -> bytes:
    """Write a reply of the list call."""
    return msgspec.json.encode({"items": items, **fields})


def raw_page_of(item: str) -> bytes:
    """Write a reply with one item that is JSON text already."""
    return f'{{"items": [{item}]}}'.encode("utf-8", "surrogatepass")


def one(body: bytes, kind: Kind = KINDS["v1 jobs"]) -> Any:
    """Read a page and answer its only item."""
    (only,) = kind.read(body).items
    return only


def nested(levels: int) -> str:
    """Write that many arrays, one inside the other."""
    return "[" * levels + "]" * levels


def test_page_has_its_items_as_they_came(kind: Kind) -> None:
    items = [kind.make("a"), {"id": "b"}, dict.fromkeys(kind.make("c")) | {"id": "c"}]
    body = page_of(*items, next_page_token="more", total_size=7)

    assert kind.read(body) == Page(items, next_page_token="more", total_size=7)


def test_page_may_be_empty(kind: Kind) -> None:
    assert kind.read(page_of()) == Page([], next_page_token=None, total_size=None)


@pytest.mark.parametrize(
    ("fields", "token"),
    [
        ({}, None),
        ({"next_page_token": None}, None),
        ({"next_page_token": ""}, None),
        ({"next_page_token": " "}, " "),
        ({"next_page_token": "a+/=&?#%\u00e9\U0001f600\x00"}, "a+/=&?#%\u00e9\U0001f600\x00"),
    ],
    ids=["absent", "null", "empty", "a space", "any character"],
)
def test_page_has_a_token_unless_it_is_the_last(
    kind: Kind, fields: dict[str, Any], token: str | None
) -> None:
    assert kind.read(page_of(kind.make("a"), **fields)).next_page_token == token


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (0, 0),
        (7, 7),
        (10**12, 10**12),
        (None, None),
        (True, None),
        (7.0, None),
        ("7", None),
        ([7], None),
        (-1, None),
        (10**12 + 1, None),
    ],
    ids=["none", "some", "many", "null", "true", "fraction", "text", "list", "less", "too many"],
)
def test_page_has_a_total_size_only_if_items_can_be_so_many(
    kind: Kind, size: Any, expected: Any
) -> None:
    total = kind.read(page_of(total_size=size)).total_size

    assert (total, type(total)) == (expected, type(expected))


def test_unknown_fields_of_an_item_are_kept(kind: Kind) -> None:
    odd = kind.make("a", priority={"level": [1, 2.5, None, True]}, __proto__={"x": 1})

    assert one(page_of(odd, server="x"), kind) == odd


@cases(
    "item, what",
    {
        "null": (None, "is no object"),
        "text": ("text", "is no object"),
        "number": (7, "is no object"),
        "list": ([], "is no object"),
        "empty object": ({}, "has no usable id"),
        "id null": ({"id": None}, "has no usable id"),
        "id empty": ({"id": ""}, "has no usable id"),
        "id a number": ({"id": 7}, "has no usable id"),
        "id a list": ({"id": ["a"]}, "has no usable id"),
        "id an object": ({"id": {"a": "b"}, "max": 1}, "has no usable id"),
    },
)
@pytest.mark.parametrize("position", [0, 2], ids=["first", "third"])
def test_item_without_an_id_is_refused_with_its_position(
    kind: Kind, item: Any, what: str, position: int
) -> None:
    items: list[Any] = [kind.make("a"), kind.make("b", created_at=7), kind.make("c")]
    items.insert(position, item)
    with pytest.raises(ReplyError) as caught:
        kind.read(page_of(*items))

    expected = f"answered {kind.item} that {what}, at position {position} {kind.place}"
    assert (type(caught.value), str(caught.value)) == (ReplyError, expected)


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"true",
        b'"items"',
        b"7",
        b"{}",
        b'{"items": null}',
        b'{"items": {}}',
        b'{"items": "none"}',
        b'{"detail": "Not Found"}',
        b'{"items": [], "next_page_token": 7}',
        b'{"items": [], "next_page_token": ["a"]}',
    ],
)
def test_json_of_another_shape_is_refused(kind: Kind, body: bytes) -> None:
    with pytest.raises(ReplyError) as caught:
        kind.read(body)

    expected = f"answered JSON of another shape than {kind.whole}; check api_url"
    assert (type(caught.value), str(caught.value)) == (ReplyError, expected)


@pytest.mark.parametrize("body", [b"[]", b"[{}]", b'[{"id": "a"}]'])
@pytest.mark.parametrize(
    "kind", [kind for name, kind in KINDS.items() if name != "projects"], ids=lambda k: k.whole
)
def test_list_outside_a_page_is_refused_where_the_api_has_pages(kind: Kind, body: bytes) -> None:
    with pytest.raises(ReplyError, match="another shape"):
        kind.read(body)


@cases(
    "body, text",
    {
        "HTML": (b"<!DOCTYPE html><html></html>", HTML),
        "HTML after white space": (b"\r\n  <html>", HTML),
        "plain text": (b"upstream connect error", NO_JSON),
        "Python": (b"{'items': []}", NO_JSON),
        "two documents": (b'{"items": []} {}', NO_JSON),
        "a comma too many": (b'{"items": [],}', NO_JSON),
        "NaN for a job": (b'{"items": [NaN]}', NO_JSON),
        "NaN": (b'{"items": [{"id": "a", "x": NaN}]}', NO_JSON),
        "infinity": (b'{"items": [{"id": "a", "x": -Infinity}]}', NO_JSON),
        "invalid UTF-8": (b'{"items": [{"id": "\xff"}]}', NO_JSON),
        "a line feed in a text": (b'{"items": [{"id": "a\nb"}]}', NO_JSON),
        "binary": (b"\x1f\x8b\x08\x00\x00", NO_JSON),
        "byte order mark": (b'\xef\xbb\xbf{"items": []}', NO_JSON),
        "nested jobs": (f'{{"items": {nested(10_000)}}}'.encode(), TOO_DEEP),
        "nested field": (f'{{"items": [{{"id": "a", "x": {nested(10_000)}}}]}}'.encode(), TOO_DEEP),
    },
)
def test_what_is_no_page_is_refused_for_good(kind: Kind, body: bytes, text: str) -> None:
    with pytest.raises(ReplyError) as caught:
        kind.read(body)

    assert (type(caught.value), str(caught.value)) == (ReplyError, text.format(kind.whole))


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"x": [1, -2.5e-7, True, False, None, '\u00e9\n\\"\U0001f600']},
        {"x": [10**30, {"y": {}}]},
    ],
    ids=["an ordinary job", "every kind of value", "a large number"],
)
@pytest.mark.parametrize("ascii_only", [True, False], ids=["escaped", "UTF-8"])
def test_page_cut_anywhere_is_cut_short(
    kind: Kind, extra: dict[str, Any], *, ascii_only: bool
) -> None:
    body = json.dumps({"items": [kind.make("a", **extra)]}, ensure_ascii=ascii_only).encode()
    for length in range(len(body)):
        with pytest.raises(CutShortError, match="answered JSON that ends in the middle"):
            kind.read(body[:length])


def test_timestamps_take_the_fixed_form_or_stay_null(kind: Kind) -> None:
    for name in kind.timestamps:
        page = kind.read(page_of(kind.make("a", **{name: "2026-11-23T16:33:08+02:00"})))
        assert page.items == [kind.make("a", **{name: FIXED})]
        assert not page.has_misfits
        assert one(page_of(kind.make("a", **{name: None})), kind)[name] is None


def owner_of(item: Json, path: str) -> tuple[Json, str]:
    """Follow a path such as `rules.0.type`; return the object that it ends in, and a name there."""
    owner: Any = item
    *steps, name = path.split(".")
    for step in steps:
        owner = owner[int(step) if step.isdigit() else step]
    return owner, name


def each_value(table: dict[str, dict[str, list[Any]]]) -> pytest.MarkDecorator:
    """Parametrize a test by every value of a table by kind and path."""
    rows = [
        (name, path, value)
        for name, paths in table.items()
        for path, values in paths.items()
        for value in values
    ]
    return pytest.mark.parametrize(("name", "path", "value"), rows)


NO_TEXT = [7, 1.5, True, [], {"a": "b"}]
NO_TIMESTAMP = ["yesterday", "2026-02-30T00:00:00.000000Z", "0001-01-01T00:00:00+01:00", 7, {}]
NO_OBJECT = ["none", 7, True, [], [{"mode": "FAST"}]]
NO_NUMBER = ["high", "0.5", "NaN", "Infinity", True, [0.5], 2**53 + 1, -(2**53) - 1]
NO_INTEGER = ["ten", "10", True, 3.0, 2**63, -(2**63) - 1, [3]]
MISFITTING: dict[str, dict[str, list[Any]]] = {
    "v1 jobs": {
        "rules": ["none", 7, True, {"0": {}}],
        "rules.0.type": [7],
        "rules.0.description": [{}],
        "parsing_configuration": NO_OBJECT,
        "parsing_configuration.lang": [7, ["en"]],
        "parsing_configuration.max_pages": NO_INTEGER,
        "parsing_configuration.target_pages": [
            *("1,3", 1, {"0": 1}, [1, "two", 3, None, 4.0, True], [1, 2**64], [[1]])
        ],
    },
    "v2 jobs": {
        "configuration": NO_OBJECT,
        "configuration.mode": [7, {"name": "FAST"}],
        "configuration.rules": ["none", {"0": {}}],
        "configuration.rules.0.type": [7],
        "configuration.parsing_configuration": [[1]],
        "configuration.parsing_configuration.lang": [7],
        "configuration.parsing_configuration.max_pages": NO_INTEGER,
        "configuration.parsing_configuration.target_pages": [[0, 1], 3],
        "result": NO_OBJECT,
        "result.type": [7],
        "result.confidence": NO_NUMBER,
        "result.reasoning": [["because"]],
        "usage": NO_OBJECT,
        "usage.credits": ["1.5"],
        "usage.parse_credits": [{"sum": 1}],
    },
    "results": {
        "result": ["invoice", [{"type": "t"}]],
        "result.type": [7],
        "result.confidence": NO_NUMBER,
    },
    "projects": {"is_default": [0, 1, "true", [True], {}]},
}


@each_value(
    {
        name: dict.fromkeys(kind.texts, NO_TEXT)
        | dict.fromkeys(kind.timestamps, NO_TIMESTAMP)
        | MISFITTING.get(name, {})
        for name, kind in KINDS.items()
    }
)
def test_value_that_does_not_fit_becomes_a_misfit_of_the_object_that_held_it(
    name: str, path: str, value: Any
) -> None:
    kind = KINDS[name]
    before, sent, expected, after = (kind.make(identity) for identity in "zaab")
    owner, field = owner_of(sent, path)
    owner |= {field: value, "x": 1}
    owner, _ = owner_of(expected, path)
    owner |= {"x": 1, MISFITS: {field: value}}
    del owner[field]

    page = kind.read(page_of(before, sent, after))
    assert page.items == [before, expected, after]
    assert page.has_misfits


NUMBERS = [0, 1, -3, 7.5, 1e-300, 1e300, -0.0, 2**53, -(2**53), 1.0, None]
OUTCOMES = [None, {}, {"type": None, "confidence": 0, "reasoning": "", "page": 3}]


@each_value(
    {
        "v1 jobs": {
            "parsing_configuration.lang": ["", None],
            "parsing_configuration.max_pages": [2**63 - 1, -(2**63), 0, None],
            "parsing_configuration.target_pages": [[], [2**63 - 1, 0, 0], None],
        },
        "v2 jobs": {
            "configuration": [None, {}],
            "configuration.rules": [[], [{"type": "t", "weight": 1}]],
            "configuration.mode": [None],
            "configuration.cache": [{"x": [1]}],
            "configuration.parsing_configuration": [None, {"target_pages": None, "x": 1}],
            "result": OUTCOMES,
            "result.confidence": NUMBERS,
            "usage": [None, {}, {"credits": None, "seconds": 1}],
            "usage.credits": NUMBERS,
        },
        "results": {"result": OUTCOMES, "classify_job_id": ["other"]},
    }
)
def test_value_that_fits_stays_as_it_was_sent(name: str, path: str, value: Any) -> None:
    kind = KINDS[name]
    sent = kind.make("a")
    owner, field = owner_of(sent, path)
    owner[field] = value
    page = kind.read(page_of(sent))

    # 1 is not 1.0 here, nor 0.0 the same as -0.0.
    assert repr(page.items) == repr([sent])
    assert not page.has_misfits


@pytest.mark.parametrize("rule", ["text", None, 7, [], [{"type": "t"}]], ids=repr)
@pytest.mark.parametrize(
    ("name", "path"), [("v1 jobs", "rules"), ("v2 jobs", "configuration.rules")]
)
def test_rule_that_is_no_object_keeps_its_position_and_the_raw_rules_are_kept(
    name: str, path: str, rule: Any
) -> None:
    rules: list[Any] = [{"type": 7, "description": "first"}, rule, {"type": "third"}, rule]
    sent, expected = (KINDS[name].make("a") for _ in range(2))
    owner_of(sent, path)[0]["rules"] = rules
    first = {"description": "first", MISFITS: {"type": 7}}
    owner, field = owner_of(expected, path)
    owner |= {field: [first, None, {"type": "third"}, None], MISFITS: {"rules": rules}}

    assert one(page_of(sent), KINDS[name]) == expected


@pytest.mark.parametrize(
    "text",
    ["\x00", "a\x00b", "\U0001f600 \u00e9 \u4e2d", "\u2028\x85\x1b", "\ufffd", "x\u00e9" * 50_000],
    ids=["NUL", "NUL inside", "emoji", "separators", "replacement character", "long"],
)
@pytest.mark.parametrize("ascii_only", [True, False], ids=["escaped", "UTF-8"])
def test_text_survives_as_it_is(kind: Kind, text: str, ascii_only: bool) -> None:  # noqa: FBT001 - a column of the table
    odd = kind.make(text, rules=[{"type": text}], **{text: text}) | dict.fromkeys(kind.texts, text)
    body = json.dumps({"items": [odd]}, ensure_ascii=ascii_only).encode()

    assert kind.read(body) == Page([odd], next_page_token=None, total_size=None)


@cases(
    "text, read, count",
    {
        "one": (r'"\ud800"', "\ufffd", 1),
        "two": (r'"a\udfffb\ud800"', "a\ufffdb\ufffd", 2),
        "a pair in the wrong order": (r'"\ude00\ud83d"', "\ufffd\ufffd", 2),
        "one after a pair": (r'"\ud83d\ude00\ud83d"', "\U0001f600\ufffd", 1),
        "not escaped": ('"\ud800"', "\ufffd", 1),
        "nested, and in a name": (
            r'["\ud800", {"\udc00": "\ud800"}]',
            ["\ufffd", {"\ufffd": "\ufffd"}],
            3,
        ),
        "replacement character": (r'"\ufffd"', "\ufffd", 0),
    },
)
def test_lone_surrogate_is_replaced_and_counted(
    kind: Kind, text: str, read: Any, count: int
) -> None:
    body = raw_page_of(f'{{"id": "a", "x": {text}}}')
    expected = [{"id": "a", "x": read}]

    assert kind.read(body) == Page(expected, None, None, replaced=count)


@cases(
    "text, read",
    {
        "1e400": ("1e400", "1e400"),
        "minus 1e400": ("-1E+400", "-1E+400"),
        "1e-400": ("1e-400", 0.0),
        "400 digits": ("9" * 400, int("9" * 400)),
        "minus 400 digits": ("-" + "9" * 400, -int("9" * 400)),
        "5,000 digits": ("9" * 5000, "9" * 5000),
        "minus 5,000 digits": ("-" + "9" * 5000, "-" + "9" * 5000),
        "2 to the 64th": (str(2**64), 2**64),
        "a fraction": ("0.1", 0.1),
        "minus zero": ("-0", 0),
    },
)
@pytest.mark.parametrize("beside", ["0", "1e999"], ids=["read fast", "read with care"])
def test_number_is_never_lost(kind: Kind, text: str, read: Any, beside: str) -> None:
    kept = one(raw_page_of(f'{{"id": "a", "x": {text}, "y": {beside}}}'), kind)["x"]

    assert (kept, type(kept)) == (read, type(read))


@pytest.mark.parametrize("beside", ["0", "1e999"], ids=["read fast", "read with care"])
def test_name_that_comes_twice_has_its_last_value(kind: Kind, beside: str) -> None:
    read = one(raw_page_of(f'{{"id": "a", "x": {beside}, "id": "b", "x": 1, "x": 2}}'), kind)

    assert read == {"id": "b", "x": 2}


@pytest.mark.parametrize("levels", [100, 400, 900, 990, 1000, 10_000])
def test_value_that_nests_deeply_is_kept_or_refused(kind: Kind, levels: int) -> None:
    text = nested(levels)
    try:
        read = one(raw_page_of(f'{{"id": "a", "x": {text}}}'), kind)
    except ReplyError as error:
        assert levels >= 900
        assert str(error) == TOO_DEEP.format(kind.whole)  # noqa: PT017 - either answer will do
    else:
        assert msgspec.json.encode(read["x"]) == text.encode()


@given(
    st.sampled_from([*KINDS.values()]),
    st.binary() | st.text('{}[]",:0123456789eE.-+\\utfnaN itemsd<').map(str.encode),
)
@example(KINDS["v1 jobs"], b'{"items": [{"id": "a", "rules": [{"type": 1}, 1]}]}')
@example(KINDS["v2 jobs"], b'{"items": [{"id": "a", "configuration": {"rules": [1]}}]}')
def test_any_bytes_are_a_page_or_are_refused(kind: Kind, body: bytes) -> None:
    try:
        page = kind.read(body)
    except ReplyError as error:
        assert str(error).startswith("answered ")  # noqa: PT017 - either answer will do
    else:
        assert json.loads(body) is not None
        assert page.next_page_token != ""


@pytest.mark.parametrize(
    "body",
    [b'{"items":[{"MARKED":"MARKED"}]}', b'{"items":["MARKED"]}', b'{"MARKED":1}', b"MARKED"],
)
def test_refusal_of_a_page_holds_nothing_of_it(kind: Kind, body: bytes) -> None:
    with pytest.raises(ReplyError) as caught:
        kind.read(body)
    assert "MARKED" not in "".join(traceback.format_exception(caught.value))


def test_ids_that_hold_a_lone_surrogate_are_refused_because_they_might_become_one(
    kind: Kind,
) -> None:
    with pytest.raises(ReplyError, match=f"no usable id, at position 1 {kind.place}"):
        kind.read(rb'{"items": [{"id": "b"}, {"id": "a\ud800"}, {"id": "a\ud801"}]}')


def test_names_that_spell_out_a_lone_surrogate_are_kept_beside_it() -> None:
    names = r'"k\\ud801": 1, "k\ud800": 2, "k\ud801": 3, "k\\ud801\ufffd": 4, "k\ufffd": 5'
    page = V1_JOBS.parse(raw_page_of(f'{{"id": "a", {names}}}'))
    (item,) = page.items
    assert sorted(item.values(), key=str) == [1, 2, 3, 4, 5, "a"]
    assert (item["k\\ud801"], item["k\\ud801\ufffd"], item["k\ufffd"]) == (1, 4, 5)
    assert page.replaced == 2


def test_page_token_that_holds_a_lone_surrogate_is_refused(kind: Kind) -> None:
    with pytest.raises(ReplyError, match="a page token that cannot be sent back"):
        kind.read(rb'{"items": [], "next_page_token": "a\ud800"}')


def test_page_token_may_hold_a_replacement_character() -> None:
    assert V1_JOBS.parse(page_of(next_page_token="\ufffd")).next_page_token == "\ufffd"
