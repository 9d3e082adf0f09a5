"""What the API's objects look like, and what a page of them is once it has come in by the door.

Beyond an item's `id`, every field may be null or absent, and every object may have more fields.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Final, Generic, Required, TypeAlias, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field
from typing_extensions import TypedDict


class Mark(Enum):
    """A key beside the API's own; no JSON can hold it."""

    MISFITS = "misfits"
    JOB = "job"


MISFITS: Final = Mark.MISFITS
"""The key of what did not fit, raw, in the object that it was sent in."""
JOB: Final = Mark.JOB
"""The key, in a result, of the job whose results were asked for."""

Json: TypeAlias = dict[Any, Any]
"""An object of the API's; its keys are text, and perhaps marks."""

# Unknown fields are not dropped: what pydantic answers is a copy, and is not used.
OPEN = ConfigDict(extra="ignore", strict=True)
_LARGEST_EXACT = 2**53


def _exact(value: Any) -> Any:
    """Refuse an integer that a 64-bit floating-point number cannot be told from its neighbours."""
    if isinstance(value, int) and abs(value) > _LARGEST_EXACT:
        raise ValueError
    return value


Id = Annotated[str, Field(min_length=1)]
Int64 = Annotated[int, Field(ge=-(2**63), le=2**63 - 1)]
Number = Annotated[float, BeforeValidator(_exact), Field(allow_inf_nan=False)]


class Rule(TypedDict, total=False):
    """A rule of a job; its position in the job is its identity."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    type: str | None
    description: str | None


class ParsingConfiguration(TypedDict, total=False):
    """How a v1 job's documents are read; `target_pages` count from 0."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    lang: str | None
    max_pages: Int64 | None
    target_pages: list[Int64] | None


class Job(TypedDict, total=False):
    """A classify job of the v1 API."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    id: Required[Id]
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


class V2ParsingConfiguration(TypedDict, total=False):
    """How a v2 job's document is read; `target_pages` is text such as `1,3,5-7`, from 1."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    lang: str | None
    max_pages: Int64 | None
    target_pages: str | None


class Configuration(TypedDict, total=False):
    """What a v2 job was asked to do."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    rules: list[Rule] | None
    mode: str | None
    parsing_configuration: V2ParsingConfiguration | None


class Classification(TypedDict, total=False):
    """What a document was found to be; a null `type` says that no rule matched."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    type: str | None
    confidence: Number | None
    reasoning: str | None


class Usage(TypedDict, total=False):
    """What a v2 job has cost."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    credits: Number | None
    parse_credits: Number | None


class V2Job(TypedDict, total=False):
    """A classify job of the v2 API: one document.

    `document_input_value` is what the oldest replies call `file_input`.
    """

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    id: Required[Id]
    project_id: str | None
    user_id: str | None
    status: str | None
    configuration: Configuration | None
    configuration_id: str | None
    document_input_type: str | None
    file_input: str | None
    document_input_value: str | None
    parse_job_id: str | None
    transaction_id: str | None
    error_message: str | None
    result: Classification | None
    usage: Usage | None
    created_at: str | None
    updated_at: str | None


class Result(TypedDict, total=False):
    """What a v1 job found one of its files to be."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    id: Required[Id]
    classify_job_id: str | None
    file_id: str | None
    result: Classification | None
    created_at: str | None
    updated_at: str | None


_Item = TypeVar("_Item")


class ItemList(TypedDict, Generic[_Item], total=False):
    """A reply that lists items; `total_size` is an estimate, if anything."""

    __pydantic_config__ = OPEN  # type: ignore[misc] # pydantic's way to configure a TypedDict
    items: Required[list[_Item]]
    next_page_token: str | None
    total_size: Any


@dataclass
class Page:
    """What a reply lists, and where it stands in its listing.

    Attributes:
        items: Jobs, results, projects or the like, as the API's own dictionaries.
        next_page_token: None at the listing's end.
        total_size: How many items the API says there are, if it does and they can be as many; an
            estimate.
        replaced: How many lone surrogates became U+FFFD, because no text can hold them.
        has_misfits: Whether any item has values that did not fit.
        asked_at: The server's clock when the listing began: an item that changed later may have
            been listed as it was before.
        is_server_clock: Whether that is so; else it is this machine's clock.
        overlaps: Whether an item of the page before is listed again: they move from page to page
            while they are listed, so others may have been passed over.
        listed: How many items the listing has shown so far, those of this page among them.
    """

    items: Sequence[Json]
    next_page_token: str | None = None
    total_size: int | None = None
    replaced: int = 0
    has_misfits: bool = False
    asked_at: datetime = datetime.min  # noqa: DTZ901 - until the reply it came in says so
    is_server_clock: bool = True
    overlaps: bool = False
    listed: int = 0

    @property
    def is_last(self) -> bool:
        """Whether the listing ends with it."""
        return self.next_page_token is None
