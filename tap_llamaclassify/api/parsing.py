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
from tap_llamaclassify.api.models import (
    MISFITS,
    ItemList,
    Job,
    Json,
    PageOfItems,
    Project,
    Result,
    V2Job,
)
from tap_llamaclassify.errors import ReplyError
from tap_llamaclassify.timestamps import all_fixed, to_fixed


@dataclass(frozen=True)
class _Kind:
    """What a reply holds, and what errors call it."""

    shape: Any
    whole: str
    item: str
    place: str
    timestamps: Sequence[str] = ("created_at", "updated_at")


_JOBS = _Kind(
    ItemList[Job],
    "a page of jobs",
    "a job",
    " of the page",
    ("created_at", "effective_at", "updated_at"),
)
_V2_JOBS = _Kind(ItemList[V2Job], "a page of jobs", "a job", " of the page")
_V2_JOB = _Kind(ItemList[V2Job], "a job", "a job", "")
_RESULTS = _Kind(ItemList[Result], "a job's results", "a result", " of the results")
_PROJECTS = _Kind(ItemList[Project], "a list of projects", "a project", " of the list")

_OBJECTS: Json = {
    "rules": {},
    "parsing_configuration": {},
    "configuration": {"rules": {}, "parsing_configuration": {}},
    "result": {},
    "usage": {},
}
"""Where in an item objects stand, alone or in a list, that can have misfits of their own."""

_MOST_ITEMS = 10**12


def read_jobs(body: bytes) -> PageOfItems:
    """Read a reply of the v1 list call.

    Raises:
        CutShortError: The reply ends in the middle.
        ReplyError: It is no JSON, JSON of another shape, or holds a job without an `id`.
    """
    return _read(body, _JOBS)


def read_v2_jobs(body: bytes) -> PageOfItems:
    """Read a reply of the v2 list call; raises as `read_jobs` does."""
    page = _read(body, _V2_JOBS)
    for job in page.items:
        _take_older_name(job)
    return page


def read_v2_job(body: bytes) -> Json:
    """Read the reply of the call that gets one v2 job.

    Raises:
        CutShortError: The reply ends in the middle.
        ReplyError: It is no JSON, or no job with an `id`.
    """
    (job,) = _read(body, _V2_JOB, lambda decoded: {"items": [decoded]}).items
    _take_older_name(job)
    return job


def read_results(body: bytes) -> PageOfItems:
    """Read the results of a v1 job; raises as `read_jobs` does."""
    return _read(body, _RESULTS)


def read_projects(body: bytes) -> PageOfItems:
    """Read a list of projects, bare or in a page; raises as `read_jobs` does."""
    return _read(body, _PROJECTS, _in_a_page)


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


def _in_a_page(decoded: Any) -> Any:
    return {"items": decoded} if isinstance(decoded, list) else decoded


def _as_it_is(decoded: Any) -> Any:
    return decoded


def _read(body: bytes, kind: _Kind, paged: Callable[[Any], Any] = _as_it_is) -> PageOfItems:
    try:
        decoded, replaced = decode(body)
        return _page_of(paged(decoded), replaced, kind)
    except RecursionError:
        raise ReplyError(f"answered JSON that is nested too deeply to be {kind.whole}") from None


def _page_of(decoded: Any, replaced: int, kind: _Kind) -> PageOfItems:
    # Outer values first: a list that is kept raw must not have lost anything yet.
    problems = sorted(_problems(decoded, kind), key=lambda problem: len(problem["loc"]))
    for problem in problems:
        _set_aside(decoded, problem, kind)
    if replaced:
        _refuse_replaced(decoded, kind)
    unreadable = [_fix_timestamps(decoded["items"], name) for name in kind.timestamps]
    total = decoded.get("total_size")
    return PageOfItems(
        items=decoded["items"],
        next_page_token=decoded.get("next_page_token") or None,
        total_size=total if type(total) is int and 0 <= total <= _MOST_ITEMS else None,
        replaced=replaced,
        has_misfits=bool(problems) or any(unreadable),
    )


def _problems(decoded: Any, kind: _Kind) -> list[ErrorDetails]:
    try:
        _adapter(kind.shape).validate_python(decoded)
    except ValidationError as error:
        return error.errors(include_url=False, include_context=False, include_input=False)
    return []


@cache
def _adapter(shape: Any) -> TypeAdapter[Any]:
    return TypeAdapter(shape)


def _set_aside(page: Any, problem: ErrorDetails, kind: _Kind) -> None:
    """Take one value that does not fit out of the page, or refuse the page for it."""
    match problem["loc"]:
        case ("items", int(position), *path) if path and path != ["id"]:
            _set_aside_in(page["items"][position], path, problem["type"])
        case ("items", int(position), *path):
            what = "has no usable id" if path else "is no object"
            raise _unusable(what, position, kind)
        case _:
            raise ReplyError(f"answered JSON of another shape than {kind.whole}; check api_url")


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


def _take_older_name(job: Json) -> None:
    """Let `file_input` be what the oldest replies call `document_input_value`."""
    if "document_input_value" not in job:
        return
    older = job["document_input_value"]
    if job.get("file_input") is None and "file_input" not in job.get(MISFITS, ()):
        job["file_input"] = older
    if older in {None, job.get("file_input")}:
        del job["document_input_value"]


def _refuse_replaced(page: Json, kind: _Kind) -> None:
    """Refuse what is no longer itself: ids that may have been made equal, and the page token."""
    for position, item in enumerate(page["items"]):
        if "\ufffd" in item["id"]:
            raise _unusable("has no usable id", position, kind)
    if "\ufffd" in (page.get("next_page_token") or ""):
        raise ReplyError("answered a page token that cannot be sent back; tell LlamaCloud")


def _unusable(what: str, position: int, kind: _Kind) -> ReplyError:
    place = f", at position {position}{kind.place}" if kind.place else ""
    return ReplyError(f"answered {kind.item} that {what}{place}")


def _fix_timestamps(items: Sequence[Json], name: str) -> bool:
    """Bring a field of all items into the fixed form; answers whether any could not be read."""
    if all_fixed([text for item in items if (text := item.get(name)) is not None]):
        return False
    unreadable = False
    for item in items:
        text = item.get(name)
        if text is None:
            continue
        fixed = to_fixed(text)
        if fixed is None:
            unreadable = True
            _move(item, name)
        else:
            item[name] = fixed
    return unreadable
