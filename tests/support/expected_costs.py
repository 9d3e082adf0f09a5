"""What timings, usage, configurations and files add to the marts, as Python computes it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from math import fsum
from typing import Any

from tests.support.api_rows import Row, Tables

CLASSIFIED = ("pages_classified", "image_classified")
ENDS = ("completed_at", "failed_at", "cancelled_at")
NEVER = datetime(1, 1, 1)  # noqa: DTZ001 - as databases have it
JOBS = {"v1": "classify_jobs", "v2": "classify_v2_jobs"}

Key = tuple[str, str]
"""A version of the API, and a job's id."""


def optional(tables: Tables, name: str) -> list[Row]:
    """Return the rows of a table that need not have been loaded."""
    return [*tables.get(name, {}).values()]


def seconds(begin: datetime | None, end: datetime | None) -> float | None:
    """Return how long it was, if both ends are known."""
    return (end - begin).total_seconds() if begin and end else None


def lasted(begin: datetime | None, end: datetime | None) -> float | None:
    """Return how long it was, if it did not end before it began."""
    return None if begin and end and end < begin else seconds(begin, end)


def times_of(job: Row, timing: Row | None, *, is_finished: bool) -> Row:
    """Return what a job's own row and its timing tell of when it waited, ran and ended."""
    told = timing or {}
    waiting_at = told.get("pending_at") or told.get("created_at") or job["created_at"]
    ended_at = max(filter(None, (told.get(name) for name in ENDS)), default=None)
    finished_at = (ended_at or job["updated_at"]) if is_finished else None
    return {
        "finished_at": finished_at,
        "duration_seconds": lasted(job["created_at"], finished_at),
        "queue_seconds": lasted(waiting_at, told.get("running_at")),
        "run_seconds": lasted(told.get("running_at"), ended_at),
        "times_from": "timings" if is_finished and ended_at else "job",
    }


def usage_of(tables: Tables) -> dict[Key, Row]:
    """Return the credits and pages of each job that usage metrics tell of."""
    owners = _owners(tables)
    found: defaultdict[Key, list[Row]] = defaultdict(list)
    for metric in optional(tables, "classify_usage"):
        if metric["event_aggregation_key"] in owners:
            found[owners[metric["event_aggregation_key"]]].append(metric)
    return {
        job: {
            "credits": total(metric["credits"] for metric in metrics),
            "pages": total(m["value"] for m in metrics if m["event_type"] in CLASSIFIED),
        }
        for job, metrics in found.items()
    }


def _owners(tables: Tables) -> dict[str, Key]:
    """Return whose a metric is, by the id under which it stands."""
    jobs = sorted(
        (row["created_at"] is None, row["created_at"] or NEVER, version, id_)
        for version, table in JOBS.items()
        for (id_,), row in tables[table].items()
    )
    owners: dict[str, Key] = {}
    for *_, version, id_ in jobs:
        owners.setdefault(id_, (version, id_))
    for *_, version, id_ in jobs:
        row = tables[JOBS[version]][id_,]
        own = row.get("document_input_type") == "parse_job_id"
        if row.get("parse_job_id") is not None and not own:
            owners.setdefault(row["parse_job_id"], (version, id_))
    return owners


def costs_of(job: Row, usage: Row | None) -> Row:
    """Return what a job cost, and where that is known from."""
    told = usage or {"credits": None, "pages": None}
    if told["credits"] is not None:
        return told | {"credits_from": "usage"}
    own = job.get("usage_credits")
    return told | {"credits": own, "credits_from": None if own is None else "job"}


def file_names(tables: Tables) -> dict[str, str | None]:
    """Return what files are called, by their id without a prefix."""
    # Of two that changed at once, the one with the prefix counts.
    files = sorted(optional(tables, "classify_files"), key=_newness)
    return {bare(file["id"]): file["name"] for file in files}


def _newness(file: Row) -> tuple[datetime, int]:
    return file["last_modified_at"] or NEVER, len(file["id"])


def bare(file_id: str | None) -> str:
    """Return a file's id without its prefix."""
    return (file_id or "").removeprefix("dfl-")


def file_of(job: Row, names: Mapping[str, str | None]) -> str | None:
    """Return what the file of a v2 job is called."""
    if job.get("document_input_type") != "file_id" or job["file_input"] is None:
        return None
    return names.get(bare(job["file_input"]))


def cost_rows(jobs: list[Row], documents: list[Row]) -> Iterable[Row]:
    """Split what jobs cost over their documents; add up by month, configuration and type."""
    types: defaultdict[Key, list[Any]] = defaultdict(list)
    for document in documents:
        types[document["api_version"], document["job_id"]].append(document["document_type"])
    groups: defaultdict[tuple[Any, ...], list[tuple[Row, int, int]]] = defaultdict(list)
    for job in jobs:
        its = types[job["api_version"], job["job_id"]]
        month = job["created_at"] and job["created_at"].date().replace(day=1)
        for type_ in its or [None]:
            key = (month, job["project_id"], job["configuration_id"], type_)
            groups[key].append((job, max(1, len(its)), min(1, len(its))))
    for (month, project, configuration, type_), parts in groups.items():
        billed = sum(document for job, _, document in parts if job["credits"] is not None)
        of_documents = total(_part(job["credits"], of) for job, of, has in parts if has)
        yield {
            "month": month,
            "project_id": project,
            "project_name": parts[0][0]["project_name"],
            "configuration_id": configuration,
            "configuration_name": parts[0][0]["configuration_name"],
            "rule_type": type_,
            "documents": sum(document for _, _, document in parts),
            "billed_documents": billed,
            "pages": total(_part(job["pages"], of) for job, of, _ in parts),
            "credits": total(_part(job["credits"], of) for job, of, _ in parts),
            "credits_per_document": None if of_documents is None else of_documents / billed,
        }


def _part(amount: float | None, of: int) -> float | None:
    return None if amount is None else amount / of


def total(amounts: Iterable[float | None]) -> float | None:
    """Add up what is known, in whole billionths."""
    known = [amount for amount in amounts if amount is not None]
    return round(fsum(known), 9) if known else None
