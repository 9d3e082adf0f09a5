"""The tables that jobs become: what each is called, its key, and which rows a job gives it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tap_llamaclassify import rows
from tap_llamaclassify.models import Json
from tap_llamaclassify.rows import Row


@dataclass(frozen=True)
class Table:
    """One table; its columns are in the JSON Schema of its name.

    Attributes:
        keys: The columns that tell one row from another.
        api_fields: The API's fields that it has columns for, one way or another.
        rows_of: Makes its rows from the jobs of a page.
    """

    name: str
    keys: Sequence[str]
    api_fields: frozenset[str]
    rows_of: Callable[[Iterable[Json]], list[Row]]


JOBS = Table("classify_jobs", ("id",), rows.JOB_FIELDS, rows.job_rows)
RULES = Table("classify_job_rules", ("job_id", "rule_index"), rows.RULE_FIELDS, rows.rule_rows)
PARSING_CONFIGS = Table(
    "classify_job_parsing_configs",
    ("job_id",),
    rows.PARSING_CONFIGURATION_FIELDS,
    rows.parsing_config_rows,
)

TABLES = (JOBS, RULES, PARSING_CONFIGS)
"""Every table, in the order in which a page's rows are written."""
