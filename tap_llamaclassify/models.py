"""What the API's replies look like, and the door that every page comes in by, a page at a time.

A job leaves this module as the API's own dictionary, of which this much is sure: it is an object
with an `id`; every field that is named here has the type that is named here, or is null or
absent; its timestamps are in the fixed form. Fields that are not named here are left as they
came. A value that does not fit is taken out and kept, raw, under the key `MISFITS`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Annotated, Any, Final, Required, TypeAlias

import msgspec
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails, from_json
from typing_extensions import TypedDict

from tap_llamaclassify.errors import CutShortError, ReplyError
from tap_llamaclassify.timestamps import all_fixed, to_fixed


class _Mark(Enum):
    MISFITS = "misfits"


MISFITS: Final = _Mark.MISFITS
"""The key of what did not fit, in a job, rule or parsing configuration; no JSON can hold it."""

Json: TypeAlias = dict[Any, Any]
"""An object of the API's; its keys are text, and perhaps MISFITS."""

# Unknown fields are not dropped: what pydantic answers is a copy, and is not used.
_OPEN = ConfigDict(extra="ignore", strict=True)
_Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]


class Rule(TypedDict, total=False):
    """A rule of a job; its position in the job is its identity."""

    __pydantic_config__ = _OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    type: str | None
    description: str | None


class ParsingConfiguration(TypedDict, total=False):
    """How a job's documents are read; `target_pages` count from 0."""

    __pydantic_config__ = _OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    lang: str | None
    max_pages: _Int64 | None
    target_pages: list[_Int64] | None


class Job(TypedDict, total=False):
    """A classify job of the v1 API."""

    __pydantic_config__ = _OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    id: Required[Annotated[str, Field(min_length=1)]]
    project_id: str | None
    user_id: str | None
    rules: list[Rule] | None
    status: str | None
    mode: str | None
    parsing_configuration: ParsingConfiguration | None
    created_at: str | None
    effective_at: str | None
    updated_at: str | None
    error_message: str | None
    job_record_id: str | None


class JobList(TypedDict, total=False):
    """A reply of the list call; `total_size` is an estimate, if anything."""

    __pydantic_config__ = _OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    items: Required[list[Job]]
    next_page_token: str | None
    total_size: Any


_TIMESTAMPS = ("created_at", "effective_at", "updated_at")
_JOB_LIST = TypeAdapter(JobList)
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_LONGEST_INTEGER = 4000
_MOST_JOBS = 10**12


@dataclass(frozen=True)
class PageOfJobs:
    """One page, as it came through the door.

    Attributes:
        next_page_token: None at the listing's end.
        total_size: How many jobs the API says there are, if it does and they can be as many.
        has_misfits: Whether any job has values that did not fit.
        replaced: How many lone surrogates became U+FFFD, because no text can hold them.
    """

    jobs: Sequence[Json]
    next_page_token: str | None
    total_size: int | None
    replaced: int = 0
    has_misfits: bool = False


def read_page(body: bytes) -> PageOfJobs:
    """Read a reply of the list call.

    Raises:
        CutShortError: The reply ends in the middle.
        ReplyError: It is no JSON, JSON of another shape, or holds a job without an `id`.
    """
    decoded, replaced = _decode(body)
    # Outer values first: a list that is kept raw must not have lost anything yet.
    problems = sorted(_problems(decoded), key=lambda problem: len(problem["loc"]))
    for problem in problems:
        _set_aside(decoded, problem)
    if replaced:
        _refuse_replaced(decoded)
    unreadable = [_fix_timestamps(decoded["items"], name) for name in _TIMESTAMPS]
    total = decoded.get("total_size")
    return PageOfJobs(
        jobs=decoded["items"],
        next_page_token=decoded.get("next_page_token") or None,
        total_size=total if type(total) is int and 0 <= total <= _MOST_JOBS else None,
        replaced=replaced,
        has_misfits=bool(problems) or any(unreadable),
    )


def _problems(decoded: Any) -> list[ErrorDetails]:
    try:
        _JOB_LIST.validate_python(decoded)
    except ValidationError as error:
        return error.errors(include_url=False, include_context=False, include_input=False)
    return []


def _decode(body: bytes) -> tuple[Any, int]:
    try:
        return msgspec.json.decode(body), 0
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _decode_with_care(body)


def _decode_with_care(body: bytes) -> tuple[Any, int]:
    """Decode what the fast decoder refuses: lone surrogates, and numbers out of range, as text."""
    try:
        text = body.decode("utf-8", "surrogatepass")
        decoded = json.loads(text, parse_constant=_refuse, parse_float=_to_float, parse_int=_to_int)
        return _replace_surrogates(decoded)
    except RecursionError:
        raise ReplyError("answered JSON that is nested too deeply to be a page of jobs") from None
    except ValueError:
        raise _no_json(body) from None


def _no_json(body: bytes) -> ReplyError:
    if body.lstrip()[:1] == b"<":
        return ReplyError("answered HTML instead of JSON; check api_url and any proxy")
    try:
        from_json(body)
    except ValueError as error:
        if "EOF while parsing" in str(error):
            return CutShortError("answered JSON that ends in the middle")
    return ReplyError("answered what is no JSON; check api_url and any proxy")


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _to_float(text: str) -> float | str:
    number = float(text)
    return number if math.isfinite(number) else text


def _to_int(text: str) -> int | str:
    return int(text) if len(text) <= _LONGEST_INTEGER else text


def _replace_surrogates(value: Any) -> tuple[Any, int]:
    match value:
        case str():
            return _LONE_SURROGATE.subn("\ufffd", value)
        case list():
            items = [_replace_surrogates(item) for item in value]
            return [item for item, _ in items], sum(count for _, count in items)
        case dict():
            return _replace_in_object(value)
        case _:
            return value, 0


def _replace_in_object(value: Json) -> tuple[Json, int]:
    replaced: Json = {}
    total = 0
    for name, content in value.items():
        text, in_name = _replace_surrogates(name)
        if text in replaced or (in_name and text in value):
            text = name.encode("utf-8", "backslashreplace").decode()
            while text in replaced or text in value:
                text += "\ufffd"
        replaced[text], in_content = _replace_surrogates(content)
        total += in_name + in_content
    return replaced, total


def _set_aside(page: Any, problem: ErrorDetails) -> None:
    """Take one value that does not fit out of the page, or refuse the page for it."""
    match problem["loc"]:
        case ("items", int(position), *path) if path and path != ["id"]:
            _set_aside_in(page["items"][position], path)
        case ("items", int(position), *path):
            what = "has no usable id" if path else "is no object"
            raise _bad_job(what, position)
        case _:
            raise ReplyError("answered JSON of another shape than a page of jobs; check api_url")


def misfits_of(job: Json) -> Iterator[str]:
    """Name the fields of a job that hold what did not fit, such as `rules.type`."""
    yield from job.get(MISFITS, ())
    for rule in job.get("rules") or ():
        yield from (f"rules.{name}" for name in (rule or {}).get(MISFITS, ()))
    config = job.get("parsing_configuration") or {}
    yield from (f"parsing_configuration.{name}" for name in config.get(MISFITS, ()))


def _set_aside_in(job: Json, path: Sequence[int | str]) -> None:
    match path:
        case ("rules", int(index)):
            # Its place stays taken: the position is the identity of the rules after it.
            misfits = job.setdefault(MISFITS, {})
            if "rules" not in misfits:
                misfits["rules"] = msgspec.json.decode(msgspec.json.encode(job["rules"]))
            job["rules"][index] = None
        case ("rules", int(index), str(name), *_):
            _move(job["rules"][index], name)
        case ("parsing_configuration", str(name), *_):
            _move(job["parsing_configuration"], name)
        case (str(name), *_):
            _move(job, name)
        case _:
            raise ReplyError("answered a job of another shape than a job's")


def _move(owner: Json, name: str) -> None:
    """Move a field among the misfits; it may be there already, for a list has many items."""
    if name in owner:
        owner.setdefault(MISFITS, {})[name] = owner.pop(name)


def _refuse_replaced(page: Json) -> None:
    """Refuse what is no longer itself: ids that may have been made equal, and the page token."""
    for position, job in enumerate(page["items"]):
        if "\ufffd" in job["id"]:
            raise _bad_job("has no usable id", position)
    if "\ufffd" in (page.get("next_page_token") or ""):
        raise ReplyError("answered a page token that cannot be sent back; tell LlamaCloud")


def _bad_job(what: str, position: int) -> ReplyError:
    return ReplyError(f"answered a job that {what}, at position {position} of the page")


def _fix_timestamps(jobs: Sequence[Json], name: str) -> bool:
    """Bring a field of all jobs into the fixed form; answers whether any could not be read."""
    if all_fixed([text for job in jobs if (text := job.get(name)) is not None]):
        return False
    unreadable = False
    for job in jobs:
        text = job.get(name)
        if text is None:
            continue
        fixed = to_fixed(text)
        if fixed is None:
            unreadable = True
            _move(job, name)
        else:
            job[name] = fixed
    return unreadable
