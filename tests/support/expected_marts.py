"""The marts as Python computes them from the tables; it knows nothing of the SQL."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from decimal import Decimal
from statistics import fmean
from typing import Any

from tests.support.api_rows import Row, Tables
from tests.support.expected_costs import (
    bare,
    cost_rows,
    costs_of,
    file_names,
    file_of,
    optional,
    seconds,
    times_of,
    total,
    usage_of,
)
from tests.support.transform import Mart, keyed

STATUSES = {
    "PENDING": "pending",
    "RUNNING": "running",
    "SUCCESS": "succeeded",
    "COMPLETED": "succeeded",
    "PARTIAL_SUCCESS": "partly_succeeded",
    "ERROR": "failed",
    "FAILED": "failed",
    "CANCELLED": "cancelled",
}
FINISHED = ("succeeded", "partly_succeeded", "failed", "cancelled")
ENDED = FINISHED[:3]
AS_THEY_ARE = (
    *("project_id", "user_id", "mode", "rule_count", "error_message", "created_at", "updated_at"),
)
RECENT = timedelta(days=30)
LOW = 0.5


def expected_marts(tables: Tables, as_of: datetime) -> dict[str, Mart]:
    """Compute all marts but the one that remembers."""
    names = {row["id"]: row["name"] for row in tables["classify_projects"].values()}
    jobs = [*_jobs("v1", "classify_job", tables), *_jobs("v2", "classify_v2_job", tables)]
    for job in jobs:
        job["project_name"] = names.get(job["project_id"])
        job["age_seconds"] = seconds(job["created_at"], as_of)
    documents = [*_documents(tables, jobs)]
    for document in documents:
        document["project_name"] = names.get(document["project_id"])
    rows: dict[str, Iterable[Row]] = {
        "fct_classify_jobs": jobs,
        "fct_classify_outcomes": documents,
        "agg_classify_daily": _daily(jobs),
        "agg_classify_cost": cost_rows(jobs, documents),
        "agg_rule_types": _rule_types(tables, jobs, documents),
        "agg_classify_failures": _failures(jobs, as_of),
        "jobs_needing_attention": _attention(jobs, documents, as_of),
        "classify_freshness": [_freshness(version, jobs, as_of) for version in ("v1", "v2")],
    }
    return {name: keyed(name, [*found]) for name, found in rows.items()}


def _jobs(version: str, prefix: str, tables: Tables) -> Iterable[Row]:
    configs = tables[f"{prefix}_parsing_configs"]
    timings = {row["job_id"]: row for row in optional(tables, "classify_job_timings")}
    saved = {row["id"]: row["name"] for row in optional(tables, "classify_configurations")}
    usage, files = usage_of(tables), file_names(tables)
    for row in tables[f"{prefix}s"].values():
        status = STATUSES.get((row["status"] or "").upper(), "other")
        is_finished = status in FINISHED
        yield {name: row[name] for name in AS_THEY_ARE} | {
            "api_version": version,
            "job_id": row["id"],
            "status": status,
            "api_status": row["status"],
            "language": configs.get((row["id"],), {}).get("lang"),
            "configuration_id": row.get("configuration_id"),
            "configuration_name": saved.get(row.get("configuration_id")),
            "file_name": file_of(row, files),
            "is_finished": is_finished,
            **times_of(row, timings.get(row["id"]), is_finished=is_finished),
            **costs_of(row, usage.get((version, row["id"]))),
        }


def _documents(tables: Tables, jobs: list[Row]) -> Iterable[Row]:
    files = file_names(tables)
    for row in tables["classify_job_results"].values():
        found = (row["type"], row["confidence"], row["reasoning"])
        document = _document("v1", row, row["job_id"], row["file_id"], found)
        yield document | {"file_name": files.get(bare(row["file_id"]))}
    for job in jobs:
        if job["api_version"] == "v2":
            row = tables["classify_v2_jobs"][job["job_id"],]
            found = (row["result_type"], row["result_confidence"], row["result_reasoning"])
            costs = job["credits"], row["usage_parse_credits"]
            if any(value is not None for value in (*found, *costs)):
                document = _document("v2", row, row["id"], row["file_input"], found)
                costs_and_file = {"credits": costs[0], "parse_credits": costs[1]}
                yield document | costs_and_file | {"file_name": job["file_name"]}


def _document(version: str, row: Row, job_id: str, document: Any, found: tuple[Any, ...]) -> Row:
    type_, confidence, reasoning = found
    has_outcome = confidence is not None or reasoning is not None
    return {
        "api_version": version,
        "outcome_id": row["id"],
        "job_id": job_id,
        "project_id": row["project_id"],
        "document": document,
        "file_name": None,
        "document_type": type_,
        "outcome": "matched" if type_ is not None else "unmatched" if has_outcome else "none",
        "confidence": confidence,
        "credits": None,
        "parse_credits": None,
        "classified_at": row["updated_at"],
    }


def _daily(jobs: list[Row]) -> Iterable[Row]:
    def day(job: Row) -> Any:
        return job["created_at"] and job["created_at"].date()

    of_days = _grouped(jobs, lambda job: (day(job), job["project_id"]))
    groups = _grouped(jobs, lambda job: (day(job), job["project_id"], job["status"]))
    for (date, project, status), group in groups.items():
        statuses = [job["status"] for job in of_days[date, project]]
        ended = sum(status in ENDED for status in statuses)
        succeeded = statuses.count("succeeded")
        yield {
            "day": date,
            "project_id": project,
            "project_name": group[0]["project_name"],
            "status": status,
            "jobs": len(group),
            **{
                f"{name}_{which}_seconds": percentile((job[f"{which}_seconds"] for job in group), n)
                for which in ("duration", "queue", "run")
                for name, n in (("median", 0.5), ("p95", 0.95))
            },
            "credits": total(job["credits"] for job in group),
            "day_jobs": len(statuses),
            "day_finished_jobs": ended,
            "day_succeeded_jobs": succeeded,
            "success_rate": succeeded / ended if ended else None,
        }


def percentile(values: Iterable[float | None], share: float) -> float | None:
    """Interpolate between the two values that the share of the way falls between."""
    # Without error: the hundredths of a microsecond are none of a float's.
    ordered = sorted(Decimal(str(value)) for value in values if value is not None)
    if not ordered:
        return None
    below, part = divmod(Decimal(str(share)) * (len(ordered) - 1), 1)
    at = int(below)
    above = ordered[min(at + 1, len(ordered) - 1)]
    return float(ordered[at] + (above - ordered[at]) * part)


def _rule_types(tables: Tables, jobs: list[Row], documents: list[Row]) -> Iterable[Row]:
    created = {(job["api_version"], job["job_id"]): job for job in jobs}
    offered = defaultdict(set)
    for version, table in (("v1", "classify_job_rules"), ("v2", "classify_v2_job_rules")):
        for row in tables[table].values():
            if row["type"] is not None:
                offered[row["type"]].add((version, row["job_id"]))
    found = _grouped(documents, lambda document: document["document_type"])
    for type_ in {*offered, *found} - {None}:
        of_type = found.get(type_, [])
        sure = [d["confidence"] for d in of_type if d["confidence"] is not None]
        times = [created[job]["created_at"] for job in offered[type_]] or [
            document["classified_at"] for document in of_type
        ]
        yield {
            "rule_type": type_,
            "jobs_offering": len(offered[type_]),
            "documents": len(of_type),
            "mean_confidence": fmean(sure) if sure else None,
            "first_used_at": min(filter(None, times), default=None),
            "last_used_at": max(filter(None, times), default=None),
        }


def _failures(jobs: list[Row], as_of: datetime) -> Iterable[Row]:
    names = ("api_version", "project_id", "error_message")
    groups = _grouped(_failed(jobs, as_of), lambda job: tuple(job[name] for name in names))
    for key, group in groups.items():
        times = [job["updated_at"] for job in group]
        yield {
            **dict(zip(names, key, strict=True)),
            "project_name": group[0]["project_name"],
            "jobs": len(group),
            "jobs_in_7_days": sum(time >= as_of - timedelta(days=7) for time in times),
            "first_failed_at": min(times),
            "last_failed_at": max(times),
            "last_job_id": min(j["job_id"] for j in group if j["updated_at"] == max(times)),
        }


def _failed(jobs: list[Row], as_of: datetime) -> list[Row]:
    return [
        job for job in jobs if job["status"] == "failed" and _is_recent(job["updated_at"], as_of)
    ]


def _attention(jobs: list[Row], documents: list[Row], as_of: datetime) -> Iterable[Row]:
    limits = {
        project: percentile((job["duration_seconds"] for job in group), 0.99)
        for project, group in _grouped(jobs, lambda job: job["project_id"]).items()
    }
    failed = [job for job in _failed(jobs, as_of) if job["error_message"] is not None]
    alike = _grouped(failed, lambda job: (job["project_id"], job["error_message"]))
    for job in jobs:
        limit, age = limits[job["project_id"]], job["age_seconds"]
        if job["status"] in {"pending", "running"} and limit and age and age > limit:
            yield _reason("pending_too_long", job, since=job["created_at"], limit_seconds=limit)
    for job in failed:
        times = len(alike[job["project_id"], job["error_message"]])
        if times > 2:
            words = {"error_message": job["error_message"], "jobs_with_same_error": times}
            yield _reason("repeated_error", job, since=job["updated_at"], **words)
    uncertain = [
        document
        for document in documents
        if document["confidence"] is not None
        and document["confidence"] < LOW
        and _is_recent(document["classified_at"], as_of)
    ]
    by_id = {(job["api_version"], job["job_id"]): job for job in jobs}
    of_jobs = _grouped(uncertain, lambda document: (document["api_version"], document["job_id"]))
    for key, group in of_jobs.items():
        least = min(group, key=lambda document: (document["confidence"], document["outcome_id"]))
        kept = {name: least[name] for name in ("document_type", "confidence")}
        yield _reason("low_confidence", by_id[key], since=least["classified_at"], **kept)


def _is_recent(time: datetime | None, as_of: datetime) -> bool:
    return time is not None and time >= as_of - RECENT


def _reason(reason: str, job: Row, **more: Any) -> Row:
    of_job = ("api_version", "job_id", "project_id", "project_name", "status", "age_seconds")
    others = ("limit_seconds", "error_message", "jobs_with_same_error", "document_type")
    empty = dict.fromkeys((*others, "confidence"))
    return {"reason": reason} | {name: job[name] for name in of_job} | empty | more


def _freshness(version: str, jobs: list[Row], as_of: datetime) -> Row:
    ours = [job for job in jobs if job["api_version"] == version]
    newest = {
        f"newest_{name}": max((job[name] for job in ours if job[name]), default=None)
        for name in ("created_at", "updated_at")
    }
    variables = {"attention_days": 30, "low_confidence": LOW, "stale_after_hours": 48}
    return {"api_version": version, "jobs": len(ours), "as_of": as_of} | newest | variables


def _grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(groups)
