"""singer-python: a loop by hand over the pages, a message a row, and the state at the end."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests
import singer

SCHEMAS = Path(__file__).parents[2] / "schemas"
KEYS = {
    "classify_jobs": ["id"],
    "classify_job_rules": ["job_id", "rule_index"],
    "classify_job_parsing_configs": ["job_id"],
}


def main(url: str, key: str, page_size: str, _: str) -> None:
    """Write the messages of three streams."""
    for stream, keys in KEYS.items():
        schema = json.loads((SCHEMAS / f"{stream}.json").read_text(encoding="utf-8"))
        singer.write_schema(stream, schema, keys, ["updated_at"])
    newest = ""
    for job in jobs_of(url, key, page_size):
        write(job)
        newest = max(newest, job["updated_at"])
    state: dict[str, Any] = {}
    for stream in KEYS:
        state = singer.write_bookmark(state, stream, "updated_at", newest)
    singer.write_state(state)


def jobs_of(url: str, key: str, page_size: str) -> Iterator[dict[str, Any]]:
    """List the jobs."""
    session = requests.Session()
    session.headers["Authorization"] = f"Bearer {key}"
    params = {"page_size": page_size}
    while True:
        response = session.get(f"{url}/api/v1/classifier/jobs", params=params, timeout=60)
        response.raise_for_status()
        page = response.json()
        yield from page["items"]
        if not page["next_page_token"]:
            return
        params["page_token"] = page["next_page_token"]


def write(job: dict[str, Any]) -> None:
    """Write the rows of one job."""
    rules, config = job.pop("rules"), job.pop("parsing_configuration")
    shared = {
        "job_id": job["id"],
        "project_id": job["project_id"],
        "updated_at": job["updated_at"],
    }
    singer.write_record("classify_jobs", job | {"rule_count": len(rules)})
    for index, rule in enumerate(rules):
        singer.write_record("classify_job_rules", {**shared, "rule_index": index, **rule})
    if config:
        singer.write_record("classify_job_parsing_configs", {**shared, **config})


if __name__ == "__main__":
    main(*sys.argv[1:])
