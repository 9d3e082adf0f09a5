"""The vendor's OpenAPI as it is checked against, and where more is known than it says."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

Schema: TypeAlias = dict[str, Any]

REFUSED: Mapping[str, str] = {
    "401": "a key that is missing, revoked, or of another project: in no operation of the OpenAPI",
    "403": "an organization that the key has no access to: likewise",
    "404": "an item that there is not, or no longer: likewise",
}
"""The statuses that LlamaCloud is known to answer with and does not document."""
_DETAIL = {
    "type": "object",
    "properties": {"detail": {"type": "string"}},
    "required": ["detail"],
}

NULLABLE: Mapping[tuple[str, str], str] = {
    ("ClassifyJob", "parsing_configuration"): "of a v1 job, all but five fields may be null",
}
"""Fields, by schema and name, that are known to be null now and then."""

REFUSABLE: Mapping[str, str] = {
    "page_token": "any text by its schema, yet only what a reply gave can be read",
    "page_size": "of some operations without bounds, which are documented nowhere",
    "days": "any text by its schema; its description says YYYY-MM-DD",
    "day_on_or_after": "as days",
    "day_on_or_before": "as days",
}
"""The parameters whose values may be refused with 422 though their schema allows them."""


@dataclass(frozen=True)
class Contract:
    """The vendor's OpenAPI document."""

    document: Schema

    @classmethod
    def read(cls, path: Path) -> Contract:
        """Read it from a file.

        Raises:
            ValueError: It is no OpenAPI document.
        """
        document = json.loads(path.read_bytes())
        if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
            raise ValueError(f"{path} has no paths, so it is no OpenAPI document")  # noqa: TRY004 - a file's content
        return cls(document)

    @property
    def paths(self) -> list[str]:
        """The paths that can be read from."""
        return [path for path, methods in self.document["paths"].items() if "get" in methods]

    def path_like(self, path: str) -> str | None:
        """Find a path, whatever the names of its parameters; None if it is not there."""
        return next((each for each in self.paths if unnamed(each) == unnamed(path)), None)

    def parameters(self, path: str, place: str = "query") -> dict[str, Schema]:
        """Return the parameters of a path's query, or of another place, by name."""
        found: list[Schema] = self.document["paths"][path]["get"].get("parameters", [])
        return {each["name"]: each for each in found if each["in"] == place}

    def reply(self, path: str) -> Schema:
        """Return the schema of a reply of status 200, which may refer to the document."""
        content = self.document["paths"][path]["get"]["responses"]["200"]["content"]
        schema: Schema = content["application/json"]["schema"]
        return schema

    def resolved(self, schema: Schema) -> Schema:
        """Return a schema, or the one that it refers to."""
        while reference := schema.get("$ref"):
            schema = self.document["components"]["schemas"][reference.rpartition("/")[2]]
        return schema

    def standing_alone(self, schema: Schema) -> Schema:
        """Return a schema that takes along all that it may refer to."""
        return {**schema, "components": self.document["components"]}

    def as_checked(self) -> Schema:
        """Return the document with what it leaves out, and without what is not drawn.

        Keys are put beside what is drawn, for most have to be right. The cookie is the web
        application's.
        """
        document = copy.deepcopy(self.document)
        for schema, name in NULLABLE:
            fields = document["components"]["schemas"][schema]["properties"]
            fields[name] = {"anyOf": [fields[name], {"type": "null"}]}
        for path in self.paths:
            operation = document["paths"][path]["get"]
            operation.pop("security", None)
            operation["parameters"] = [
                each for each in operation.get("parameters", []) if each["in"] != "cookie"
            ]
            for status in self.refusals(path):
                content = {"application/json": {"schema": _DETAIL}}
                operation["responses"].setdefault(
                    status, {"description": REFUSED[status], "content": content}
                )
        return document

    def refusals(self, path: str) -> Iterable[str]:
        """Return the statuses of `REFUSED` that a path can answer with."""
        yield "401"
        if "organization_id" in self.parameters(path):
            yield "403"
        if "{" in path:
            yield "404"


def unnamed(path: str) -> str:
    """Leave out what a path's parameters are called."""
    return re.sub(r"\{[^}]*\}", "{}", path)
