"""What an item holds and what its rows hold, leaf by leaf: equal where a table loses nothing.

It goes by the tables' columns, and reads timestamps by itself, not by the tap's own code.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, TypeAlias

from tap_llamaclassify.api.context_models import StateTransitions
from tap_llamaclassify.api.endpoints import (
    CONFIGURATIONS,
    FILES,
    ORGANIZATIONS,
    PROJECTS,
    TIMINGS,
    USAGE_METRICS,
    V1_JOBS,
    V1_RESULTS,
    V2_JOBS,
    Endpoint,
)
from tap_llamaclassify.api.models import JOB, Json, V2ParsingConfiguration
from tap_llamaclassify.tables.schemas import schema_of
from tap_llamaclassify.tables.tables import TABLES
from tests.support.items import OWNER

Path: TypeAlias = tuple[str | int, ...]
Leaf: TypeAlias = tuple[Path, str]

SCHEMAS = {table.name: schema_of(table.name) for table in TABLES}
IS_FIXED = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII).fullmatch


def fits(value: Any, column: Json) -> bool:
    """Say whether a value has the type that a schema gives a column."""
    types = column["type"] if isinstance(column["type"], list) else [column["type"]]
    if "date-time" in column.get("format", "") and isinstance(value, str):
        return IS_FIXED(value) is not None
    if "array" in types and isinstance(value, list):
        return all(fits(item, column["items"]) for item in value)
    if "integer" in types and type(value) is int:
        return -(2**63) <= value < 2**63
    if "number" in types and type(value) is int:
        return float(value) == value
    python = {"string": str, "object": dict, "null": type(None), "boolean": bool, "number": float}
    return any(type(value) is python.get(name) for name in types)


APART: dict[Endpoint, dict[str, Any]] = {
    V1_JOBS: {"rules": {}, "parsing_configuration": {}},
    V2_JOBS: {
        "configuration": {"rules": {}, "parsing_configuration": {}},
        "result": {},
        "usage": {},
    },
    V1_RESULTS: {"result": {}},
    PROJECTS: {},
    ORGANIZATIONS: {},
    TIMINGS: {"state_transitions": {}},
    USAGE_METRICS: {},
    CONFIGURATIONS: {"parameters": {"parsing_configuration": {}}},
    FILES: {},
}
"""The objects whose fields have columns, or tables, of their own."""
INSIDE: dict[Endpoint, dict[str, Any]] = {
    V2_JOBS: {"configuration": {}, "result": {}, "usage": {}},
    V1_RESULTS: {"result": {}},
    TIMINGS: {"state_transitions": {}},
    CONFIGURATIONS: {"parameters": {"parsing_configuration": {}}},
}
"""Those that additional_fields takes apart, too."""
TABLES_OF = {each: [table for table in TABLES if table.endpoint is each] for each in APART}
PLACES: dict[str, dict[str, Path]] = {
    "classify_v2_jobs": {
        "mode": ("configuration", "mode"),
        "result_type": ("result", "type"),
        "result_confidence": ("result", "confidence"),
        "result_reasoning": ("result", "reasoning"),
        "usage_credits": ("usage", "credits"),
        "usage_parse_credits": ("usage", "parse_credits"),
    },
    "classify_job_results": {
        name: ("result", name) for name in ("type", "confidence", "reasoning")
    },
    "classify_job_timings": {
        "job_id": ("id",),
        **{name: ("state_transitions", name) for name in StateTransitions.__annotations__},
    },
    "classify_configurations": {
        "mode": ("parameters", "mode"),
        **{
            name: ("parameters", "parsing_configuration", name)
            for name in V2ParsingConfiguration.__annotations__
        },
    },
}
"""Where the API has what a column holds, if it is not a field of that name."""


def repeated(source: Endpoint, table: str, item: Json) -> Json:
    """Return what a table's rows of an item hold that was not sent there, by column."""
    if table in {"classify_jobs", "classify_v2_jobs"}:
        asked = item if source is V1_JOBS else item.get("configuration") or {}
        return {"rule_count": len(asked.get("rules") or ())}
    if source is CONFIGURATIONS:
        rules = (item.get("parameters") or {}).get("rules")
        return {"rule_count": len(rules) if isinstance(rules, list) else 0}
    if source in {PROJECTS, ORGANIZATIONS, TIMINGS, USAGE_METRICS, FILES}:
        return {}
    owner, prefix = (item[JOB], "job_") if source is V1_RESULTS else (item, "")
    shared = {f"{prefix}updated_at": owner.get("updated_at")}
    return shared | {"job_id": owner["id"], "project_id": owner.get("project_id")}


def leaves(value: Any, apart: Mapping[str, Any] | None, path: Path = ()) -> Iterator[Leaf]:
    """Yield what a value holds that is not null, with its path, and each object that has a row.

    Args:
        value: The value.
        apart: Objects to go into; other values are leaves.
        path: Where the value is.
    """
    if apart is not None and path[-1:] == ("rules",) and isinstance(value, list):
        if not all(isinstance(rule, dict) for rule in value):
            yield path, json.dumps(value)
        for index, rule in enumerate(value):
            if isinstance(rule, dict):
                yield from leaves(rule, {}, (*path, index))
    elif apart is not None and path[-1:] != ("rules",) and isinstance(value, dict):
        if path[-1:] == ("parsing_configuration",) or path[-2:-1] == ("rules",):
            yield path, "a row"
        for name, inner in value.items():
            yield from leaves(inner, apart.get(name), (*path, name))
    elif value is not None:
        yield path, json.dumps(value)


def sent_leaves(source: Endpoint, item: Json, owner: Json = OWNER) -> list[Leaf]:
    """Return what an item holds, timestamps in the fixed form, and named as the columns are.

    Args:
        source: Where it was sent.
        item: The item, which is changed.
        owner: The job whose results were asked for, if it is one of them.
    """
    for path, to_form in _forms(source).items():
        *above, name = path
        outer = item.get(above[0]) if above else item
        if isinstance(outer, dict) and isinstance(text := outer.get(name), str):
            outer[name] = to_form(text) or text
    older = item.get("document_input_value")
    if source is V2_JOBS and isinstance(older, str):
        if item.get("file_input") is None:
            item["file_input"] = older
        if item["file_input"] == older:
            del item["document_input_value"]
    if source is V1_RESULTS and item.get("classify_job_id") == owner["id"]:
        del item["classify_job_id"]
    if source is FILES:
        # Whoever has it can read the file.
        item.pop("download_url", None)
    if source is CONFIGURATIONS and not _is_of_classify(item):
        return []
    return sorted(_of(source, leaves(item, APART[source])), key=str)


def _is_of_classify(configuration: Json) -> bool:
    """Tell whether a saved configuration has a row; if it names its product twice, once will do."""
    product, parameters = configuration.get("product_type"), configuration.get("parameters")
    # What is no text has no column, so that both are kept.
    is_text = isinstance(product, str)
    if is_text and isinstance(parameters, dict) and parameters.get("product_type") == product:
        del parameters["product_type"]
    return not isinstance(product, str) or not product or product.startswith("classify")


@cache
def _forms(source: Endpoint) -> dict[Path, Callable[[str], str | None]]:
    """Return where an item has what columns hold as instants and days, by the tables' schemas."""
    readers = {"date-time": fixed, "date": day}
    return {
        PLACES.get(table.name, {}).get(name, (name,)): readers[column["format"]]
        for table in TABLES_OF[source]
        for name, column in SCHEMAS[table.name]["properties"].items()
        if column.get("format") in readers and name != "job_updated_at"
    }


_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:[Zz]|([+-])(\d\d):(\d\d))?)?",
    re.ASCII,
).fullmatch


def fixed(text: str) -> str | None:
    """Bring a timestamp into the form of columns; None for one that no calendar has."""
    if not (found := _TIMESTAMP(text)):
        return None
    *parts, fraction, sign, hours, minutes = found.groups()
    east = timedelta(hours=int(hours or 0), minutes=int(minutes or 0)) * (-1 if sign == "-" else 1)
    try:
        year, month, date, hour, minute, second = (int(part or 0) for part in parts)
        micro = int((fraction or "").ljust(6, "0")[:6])
        moment = datetime(year, month, date, hour, minute, second, micro, UTC) - east
    except (ValueError, OverflowError):
        return None
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def day(text: str) -> str | None:
    """Bring a day into the form of columns; None as `fixed`."""
    moment = fixed(text)
    return moment and moment[:10]


def _of(source: Endpoint, found: Iterable[Leaf]) -> Iterator[Leaf]:
    """Leave out the rows of parsing configurations, where they have none of their own."""
    return (leaf for leaf in found if source is not CONFIGURATIONS or leaf[1] != "a row")


def kept_leaves(source: Endpoint, item: Json) -> list[Leaf]:
    """Return what the rows of an item hold, in all tables, by the paths of the API."""
    found = (
        leaf
        for table in TABLES_OF[source]
        for row in table.rows([item])
        for leaf in row_leaves(source, table.name, item, row)
    )
    return sorted(_of(source, found), key=str)


def row_leaves(source: Endpoint, table: str, item: Json, row: Json) -> Iterator[Leaf]:
    """Yield what a row of an item holds, by the paths of the API."""
    above: Path = ("configuration",) if source is V2_JOBS else ()
    if table.endswith("_rules"):
        above = (*above, "rules", row["rule_index"])
    elif table.endswith("_parsing_configs"):
        above = (*above, "parsing_configuration")
    else:
        above = ()
    if above:
        yield above, "a row"
    others = repeated(source, table, item)
    assert {name: row[name] for name in others} == others
    for name in row.keys() - others.keys() - {"rule_index", "additional_fields"}:
        yield from leaves(row[name], None, above + PLACES.get(table, {}).get(name, (name,)))
    apart = {} if above else INSIDE.get(source, {})
    for name, value in (row["additional_fields"] or {}).items():
        yield from leaves(value, apart.get(name), (*above, name))
