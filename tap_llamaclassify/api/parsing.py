"""The door that every reply comes in by: what the streams read leaves it fit for their columns.

An item leaves as the API's own dictionary, of which this much is sure: it is an object with an
`id`; every field that the models name has the type that they name, or is null or absent; its
timestamps are in the fixed form. Fields that they do not name are left as they came. A value that
does not fit is taken out and kept, raw, under the key `MISFITS` of the object that held it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from tap_llamaclassify.api.decoding import decode
from tap_llamaclassify.api.models import MISFITS, Json, Page
from tap_llamaclassify.errors import ReplyError
from tap_llamaclassify.timestamps import all_fixed, to_day, to_fixed


@dataclass(frozen=True, kw_only=True)
class Format:
    """What a reply holds, and what errors call it.

    Attributes:
        shape: The model of the whole, `ItemList` of the items' model.
        whole: What errors call it, such as `a page of jobs`.
        item: What they call one of its items, such as `a job`.
        place: What stands behind an item's position, such as ` of the page`.
        timestamps: The items' fields that are timestamps; one inside an object has the object's
            name and a dot before its own.
        days: The items' fields that are days.
        as_list: Makes of a reply that is no list of items one that is.
        finish: What is done to each item at last.
    """

    shape: Any
    whole: str
    item: str
    place: str = " of the page"
    timestamps: Sequence[str] = ("created_at", "updated_at")
    days: Sequence[str] = ()
    as_list: Callable[[Any], Any] | None = None
    finish: Callable[[Json], None] | None = None


_OBJECTS: Json = {
    "rules": {},
    "parsing_configuration": {},
    "configuration": {"rules": {}, "parsing_configuration": {}},
    "result": {},
    "usage": {},
    "state_transitions": {},
    "parameters": {"parsing_configuration": {}},
}
"""Where in an item objects stand, alone or in a list, that can have misfits of their own."""

_MOST_ITEMS = 10**12


def parse_page(body: bytes, form: Format) -> Page:
    """Parse a reply.

    Raises:
        CutShortError: It ends in the middle.
        ReplyError: It is no JSON, JSON of another shape, or holds an item without an `id`.
    """
    try:
        decoded, replaced = decode(body)
        page = _page_of(form.as_list(decoded) if form.as_list else decoded, replaced, form)
        if form.finish:
            for item in page.items:
                form.finish(item)
    except RecursionError:
        raise ReplyError(f"answered JSON that is nested too deeply to be {form.whole}") from None
    return page


def bare_list(decoded: Any) -> Any:
    """Take a bare list for a page that has it."""
    return {"items": decoded} if isinstance(decoded, list) else decoded


def single_item(decoded: Any) -> Any:
    """Take one item for a page that has it alone."""
    return {"items": [decoded]}


def misfits_of(item: Json) -> Iterator[str]:
    """Name the fields of an item that hold what did not fit, such as `rules.type`."""
    yield from _misfits_in(item, _OBJECTS)


def _misfits_in(owner: Json, objects: Json, path: str = "") -> Iterator[str]:
    yield from (f"{path}{name}" for name in owner.get(MISFITS, ()))
    for name, inner in objects.items():
        value = owner.get(name)
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                yield from _misfits_in(item, inner, f"{path}{name}.")


def _page_of(decoded: Any, replaced: int, form: Format) -> Page:
    # Outer values first: a list that is kept raw must not have lost anything yet.
    problems = sorted(_problems(decoded, form), key=lambda problem: len(problem["loc"]))
    for problem in problems:
        _set_aside(decoded, problem, form)
    if replaced:
        _refuse_replaced(decoded, form)
    items = decoded["items"]
    unreadable = [_fix(_owners(items, path), path, to_fixed) for path in form.timestamps]
    unreadable += [_fix(_owners(items, path), path, to_day) for path in form.days]
    total = decoded.get("total_size")
    return Page(
        items=items,
        next_page_token=decoded.get("next_page_token") or None,
        total_size=total if type(total) is int and 0 <= total <= _MOST_ITEMS else None,
        replaced=replaced,
        has_misfits=bool(problems) or any(unreadable),
    )


def _problems(decoded: Any, form: Format) -> list[ErrorDetails]:
    try:
        _adapter(form.shape).validate_python(decoded)
    except ValidationError as error:
        return error.errors(include_url=False, include_context=False, include_input=False)
    return []


@cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def _set_aside(page: Any, problem: ErrorDetails, form: Format) -> None:
    """Take one value that does not fit out of the page, or refuse the page for it."""
    match problem["loc"]:
        case ("items", int(position), *path) if path and path != ["id"]:
            _set_aside_in(page["items"][position], path, problem["type"])
        case ("items", int(position), *path):
            what = "has no usable id" if path else "is no object"
            raise _unusable(what, position, form)
        case _:
            raise ReplyError(f"answered JSON of another shape than {form.whole}; check api_url")


def _set_aside_in(owner: Json, path: Sequence[int | str], problem: str) -> None:
    """Take a value out of the innermost object that it is in."""
    match path:
        case (str(name), str(), *_) if isinstance(owner.get(name), dict):
            _set_aside_in(owner[name], path[1:], problem)
        case (str(name), int(index), str(), *_):
            _set_aside_in(owner[name][index], path[2:], problem)
        case (str(name), int(index)) if problem == "dict_type":
            # Its place stays taken: the position is the identity of the objects after it.
            misfits = owner.setdefault(MISFITS, {})
            if name not in misfits:
                misfits[name] = msgspec.json.decode(msgspec.json.encode(owner[name]))
            owner[name][index] = None
        case _:
            _move(owner, str(path[0]))


def _move(owner: Json, name: str) -> None:
    """Move a field among the misfits; it may be there already, for a list has many items."""
    if name in owner:
        owner.setdefault(MISFITS, {})[name] = owner.pop(name)


def take_older_name(job: Json) -> None:
    """Let `file_input` be what the oldest replies call `document_input_value`."""
    if "document_input_value" not in job:
        return
    older = job["document_input_value"]
    if job.get("file_input") is None and "file_input" not in job.get(MISFITS, ()):
        job["file_input"] = older
    if older in {None, job.get("file_input")}:
        del job["document_input_value"]


def _refuse_replaced(page: Json, form: Format) -> None:
    """Refuse what is no longer itself: ids that may have been made equal, and the page token."""
    for position, item in enumerate(page["items"]):
        if "\ufffd" in item["id"]:
            raise _unusable("has no usable id", position, form)
    if "\ufffd" in (page.get("next_page_token") or ""):
        raise ReplyError("answered a page token that cannot be sent back; tell LlamaCloud")


def _unusable(what: str, position: int, form: Format) -> ReplyError:
    place = f", at position {position}{form.place}" if form.place else ""
    return ReplyError(f"answered {form.item} that {what}{place}")


def _owners(items: Sequence[Json], path: str) -> Sequence[Json]:
    """Return the objects that a field is in: the items, or what is inside of them."""
    outer, dot, _ = path.rpartition(".")
    return [owner for item in items if (owner := item.get(outer))] if dot else items


def _fix(owners: Sequence[Json], path: str, to_form: Callable[[str], str | None]) -> bool:
    """Bring a field into its fixed form; returns whether any could not be read."""
    name = path.rpartition(".")[2]
    texts = [text for owner in owners if (text := owner.get(name)) is not None]
    if to_form is to_fixed and all_fixed(texts):
        return False
    unreadable = False
    for owner in owners:
        text = owner.get(name)
        if text is None:
            continue
        fixed = to_form(text)
        if fixed is None:
            unreadable = True
            _move(owner, name)
        else:
            owner[name] = fixed
    return unreadable
