"""The rows that tables must hold, made from what the API shows; it knows nothing of the tap."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, date, datetime
from typing import Any

from llamacloud_sandbox.server import Sandbox

Row = dict[str, Any]
Tables = dict[str, dict[tuple[Any, ...], Row]]
Read = Callable[[str | None], Any]
"""Reads a timestamp as a table holds it."""

KEYS = {
    "classify_jobs": ("id",),
    "classify_job_rules": ("job_id", "rule_index"),
    "classify_job_parsing_configs": ("job_id",),
}
V2_KEYS = {name.replace("job", "v2_job", 1): key for name, key in KEYS.items()}
OTHERS = (
    "classify_job_results",
    "classify_files",
    "classify_projects",
    "classify_organizations",
    "classify_configurations",
    "classify_usage",
)
ALL_KEYS = KEYS | V2_KEYS | dict.fromkeys(OTHERS, ("id",)) | {"classify_job_timings": ("job_id",)}
EVENT_TYPES = ("pages_classified", "image_classified", "pages_parsed")

JOB_COLUMNS = ("id", "project_id", "user_id", "status", "mode", "error_message", "job_record_id")
V2_JOB_COLUMNS = (
    *("id", "project_id", "user_id", "status", "configuration_id", "document_input_type"),
    *("file_input", "parse_job_id", "transaction_id", "error_message"),
)
JOB_TIMES = ("created_at", "effective_at", "updated_at")
ITEM_TIMES = ("created_at", "updated_at")
TRANSITIONS = tuple(
    f"{name}_at" for name in ("pending", "throttled", "running", "completed", "failed", "cancelled")
)
FILE_TIMES = ("last_modified_at", "expires_at")
TIMES = (*JOB_TIMES, "job_updated_at", *TRANSITIONS, *FILE_TIMES)
FOUND = ("type", "confidence", "reasoning")


def utc(text: str | None) -> datetime | None:
    """Read a timestamp as a column without a zone holds it."""
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None) if text else None


def keyed_by(key: Sequence[str], rows: Sequence[Row]) -> dict[tuple[Any, ...], Row]:
    """Index rows by their key, which none may have twice."""
    by_key = {tuple(row[name] for name in key): row for row in rows}
    assert len(by_key) == len(rows)
    return by_key


def expected(jobs: Iterable[Row], read: Read = utc) -> Tables:
    """Make the rows of v1 jobs."""
    jobs = list(jobs)
    apart = ("rules", "parsing_configuration")
    rows = [
        _row(job, JOB_COLUMNS, JOB_TIMES, read, apart) | {"rule_count": len(job["rules"])}
        for job in jobs
    ]
    return _tables(KEYS, rows, jobs, read)


def expected_v2(jobs: Iterable[Row], read: Read = utc, *, with_usage: bool = True) -> Tables:
    """Make the rows of v2 jobs."""
    jobs = list(jobs)
    rows = [_v2_job_row(job, read, job["usage"] if with_usage else None) for job in jobs]
    return _tables(V2_KEYS, rows, [job | job["configuration"] for job in jobs], read)


def _v2_job_row(job: Row, read: Read, usage: Row | None) -> Row:
    asked, found = job["configuration"], job["result"] or {}
    known = {"rules", "mode", "parsing_configuration"}
    unknown = {name: value for name, value in asked.items() if name not in known}
    apart = ("result", "usage", *["configuration"] * (not unknown))
    return {
        **_row(job | {"configuration": unknown}, V2_JOB_COLUMNS, ITEM_TIMES, read, apart),
        "mode": asked["mode"],
        **{f"result_{name}": found.get(name) for name in FOUND},
        **{f"usage_{name}": (usage or {}).get(name) for name in ("credits", "parse_credits")},
        "rule_count": len(asked["rules"]),
    }


def _tables(
    keys: dict[str, tuple[str, ...]], rows: list[Row], jobs: list[Row], read: Read
) -> Tables:
    """Key the rows of jobs, and those of what they were asked to do, as v1 has it."""
    rules = [
        _part_row(job, rule, ("type", "description"), read) | {"rule_index": index}
        for job in jobs
        for index, rule in enumerate(job["rules"])
    ]
    configs = [
        _part_row(job, config, ("lang", "max_pages", "target_pages"), read)
        for job in jobs
        if (config := job["parsing_configuration"]) is not None
    ]
    return {
        name: keyed_by(key, its)
        for (name, key), its in zip(keys.items(), (rows, rules, configs), strict=True)
    }


def _part_row(job: Row, part: Row, columns: Sequence[str], read: Read) -> Row:
    shared = {"job_id": job["id"], "project_id": job["project_id"]}
    return _row(part, columns, (), read) | shared | {"updated_at": read(job["updated_at"])}


def _row(
    item: Row, columns: Sequence[str], times: Sequence[str], read: Read, apart: Sequence[str] = ()
) -> Row:
    """Make a row of an item's columns and times, and of all else that is not laid out apart."""
    moments = {name: read(item.get(name)) for name in times}
    unread = {name: item.get(name) for name, moment in moments.items() if moment is None}
    others = {
        name: value
        for name, value in item.items()
        if name not in {*columns, *times, *apart} or unread.get(name) is not None
    }
    return (
        {name: item.get(name) for name in columns} | moments | {"additional_fields": others or None}
    )


def api_shows(sandbox: Sandbox, *project_ids: str) -> Tables:
    """Make all tables from what the API shows the keys of some projects; else of the first."""
    ids, world = project_ids or (sandbox.project_id,), sandbox.world
    jobs = [job for id_ in ids for job in world.jobs(id_)]
    project = ("id", "name", "organization_id", "is_default")
    results = [_result_row(job, result) for job in jobs for result in world.results(job["id"])]
    v2_jobs = [job for id_ in ids for job in world.v2_jobs(id_)]
    others: dict[str, list[Row]] = {
        "classify_job_results": results,
        "classify_files": files_of(sandbox, results, v2_jobs),
        "classify_projects": [_row(each, project, ITEM_TIMES, utc) for each in world.projects()],
        "classify_organizations": [
            _row(each, ("id", "name"), ITEM_TIMES, utc) for each in world.organizations()
        ],
        "classify_configurations": [
            _configuration_row(each)
            for each in {c["id"]: c for id_ in ids for c in world.configurations(id_)}.values()
            if each["product_type"] == "classify_v2"
        ],
        "classify_job_timings": [
            timing_row(each) for id_ in ids for each in world.data_points(id_)
        ],
        "classify_usage": [
            usage_row(each)
            for id_ in ids
            for each in world.usage_metrics(id_)
            if each["event_type"] in EVENT_TYPES
        ],
    }
    return {
        **expected(jobs),
        **expected_v2(v2_jobs),
        **{name: keyed_by(ALL_KEYS[name], rows) for name, rows in others.items()},
    }


def files_of(
    sandbox: Sandbox, results: Iterable[Row], v2_jobs: Iterable[Row], read: Read = utc
) -> list[Row]:
    """Make the rows of the files that results and jobs name."""
    named = {result["file_id"] for result in results}
    named |= {job["file_input"] for job in v2_jobs if job["document_input_type"] == "file_id"}
    columns = ("id", "name", "external_file_id", "file_type", "project_id", "purpose")
    return [
        _row(file, columns, FILE_TIMES, read, ("download_url",))
        for file in sandbox.world.files()
        if file["id"] in named
    ]


def _configuration_row(configuration: Row) -> Row:
    parameters = configuration["parameters"]
    columns = ("id", "name", "version", "product_type")
    parsing = parameters["parsing_configuration"] or {}
    return {
        **_row(configuration, columns, ITEM_TIMES, utc, ("parameters",)),
        "mode": parameters["mode"],
        "rule_count": len(parameters["rules"]),
        **{name: parsing.get(name) for name in ("lang", "max_pages", "target_pages")},
        "additional_fields": {"parameters": {"rules": parameters["rules"]}},
    }


def timing_row(point: Row, read: Read = utc) -> Row:
    """Make the row of a data point."""
    transitions = point["state_transitions"]
    columns = ("project_id", "status", "custom_tag", "error_message")
    return {
        **_row(point, columns, ITEM_TIMES, read, ("id", "state_transitions")),
        **{name: read(transitions[name]) for name in TRANSITIONS},
        "job_id": point["id"],
    }


def usage_row(metric: Row) -> Row:
    """Make the row of a usage metric."""
    return metric | {"day": date.fromisoformat(metric["day"]), "additional_fields": None}


def _result_row(job: Row, result: Row) -> Row:
    found = result["result"] or {}
    apart = ("result", "classify_job_id")
    return {
        **_row(result, ("id", "file_id"), ITEM_TIMES, utc, apart),
        **{name: found.get(name) for name in FOUND},
        "job_id": job["id"],
        "project_id": job["project_id"],
        "job_updated_at": utc(job["updated_at"]),
    }
