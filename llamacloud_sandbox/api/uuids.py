"""Refuses what the API documents as UUIDs and is none; knows no jobs."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from fastapi.exceptions import RequestValidationError


def check_uuid(text: str, *loc: str) -> None:
    """Pass a UUID. RequestValidationError, which is answered with 422: it is none."""
    _refuse(_problems([(text, loc)]))


def check_uuids(texts: Sequence[str], *loc: str) -> None:
    """Pass any number of them in a list. RequestValidationError names each that is none."""
    _refuse(_problems([(text, (*loc, number)) for number, text in enumerate(texts)]))


def _problems(named: Sequence[tuple[str, tuple[str | int, ...]]]) -> list[dict[str, Any]]:
    problems: list[dict[str, Any]] = []
    for text, loc in named:
        try:
            UUID(text)
        except ValueError as error:
            message = f"Input should be a valid UUID, {error}"
            problems.append({"type": "uuid_parsing", "loc": loc, "msg": message, "input": text})
    return problems


def _refuse(problems: list[dict[str, Any]]) -> None:
    if problems:
        raise RequestValidationError(problems)
