"""The plain loop: read pages, write the same rows; no checks, no filters, no state, no retries.

`python -m benchmarks.plain_loop URL KEY PAGE_SIZE [--ahead] [--fetch-only]`
"""

import sys
import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Any

import msgspec
import requests

PATH = "/api/v1/classifier/jobs"
JOB = {
    *("id", "project_id", "user_id", "rules", "status", "mode", "parsing_configuration"),
    *("created_at", "effective_at", "updated_at", "error_message", "job_record_id"),
}
RULE = {"type", "description"}
CONFIG = {"lang", "max_pages", "target_pages"}


def main(url: str, key: str, page_size: str, *options: str) -> None:
    """Write a RECORD line for every row to standard output, a page at a time."""
    encode = msgspec.json.Encoder().encode_lines
    pages = pages_of(url, key, page_size)
    for page in ahead(pages) if "--ahead" in options else pages:
        if "--fetch-only" in options:
            continue
        sys.stdout.buffer.write(encode([line for job in page for line in lines_of(job)]))


def pages_of(url: str, key: str, page_size: str) -> Iterator[list[dict[str, Any]]]:
    """Read page after page."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {key}"
    decode = msgspec.json.Decoder().decode
    params = {"page_size": page_size}
    while True:
        page = decode(session.get(url + PATH, params=params, timeout=60).content)
        yield page["items"]
        if not page["next_page_token"]:
            return
        params["page_token"] = page["next_page_token"]


def ahead(pages: Iterator[list[dict[str, Any]]]) -> Iterator[list[dict[str, Any]]]:
    """Fetch the next page while one is worked on."""
    wanted: SimpleQueue[None] = SimpleQueue()
    fetched: SimpleQueue[list[dict[str, Any]] | None] = SimpleQueue()

    def fetch() -> None:
        while True:
            wanted.get()
            fetched.put(next(pages, None))

    threading.Thread(target=fetch, daemon=True).start()
    wanted.put(None)
    while (page := fetched.get()) is not None:
        wanted.put(None)
        yield page


def lines_of(job: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Make the messages of one job."""
    yield record("classify_jobs", job_row(job))
    for index, rule in enumerate(job["rules"]):
        yield record("classify_job_rules", rule_row(job, index, rule))
    if job["parsing_configuration"]:
        yield record("classify_job_parsing_configs", config_row(job, job["parsing_configuration"]))


def record(stream: str, row: dict[str, Any]) -> dict[str, Any]:
    """Make a RECORD message."""
    return {"type": "RECORD", "stream": stream, "record": row}


def job_row(job: dict[str, Any]) -> dict[str, Any]:
    """Make the row of a job."""
    return {
        "id": job["id"],
        "project_id": job["project_id"],
        "user_id": job["user_id"],
        "status": job["status"],
        "mode": job["mode"],
        "error_message": job["error_message"],
        "job_record_id": job["job_record_id"],
        "rule_count": len(job["rules"]),
        "created_at": job["created_at"],
        "effective_at": job["effective_at"],
        "updated_at": job["updated_at"],
        "additional_fields": {n: job[n] for n in job if n not in JOB} or None,
    }


def rule_row(job: dict[str, Any], index: int, rule: dict[str, Any]) -> dict[str, Any]:
    """Make the row of a rule."""
    return {
        "job_id": job["id"],
        "rule_index": index,
        "project_id": job["project_id"],
        "type": rule["type"],
        "description": rule["description"],
        "updated_at": job["updated_at"],
        "additional_fields": {n: rule[n] for n in rule if n not in RULE} or None,
    }


def config_row(job: dict[str, Any], config: dict[str, Any]) -> dict[str, Any]:
    """Make the row of a parsing configuration."""
    return {
        "job_id": job["id"],
        "project_id": job["project_id"],
        "lang": config["lang"],
        "max_pages": config["max_pages"],
        "target_pages": config["target_pages"],
        "updated_at": job["updated_at"],
        "additional_fields": {n: config[n] for n in config if n not in CONFIG} or None,
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
