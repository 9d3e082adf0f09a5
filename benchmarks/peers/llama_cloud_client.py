"""The vendor's client: iterate over its jobs and write their rows as JSON lines."""

import json
import sys
from typing import Any

from llama_cloud import LlamaCloud


def main(url: str, key: str, page_size: str, _: str) -> None:
    """Write the rows of three tables."""
    client = LlamaCloud(api_key=key, base_url=url)
    for found in client.classifier.jobs.list(page_size=int(page_size)):
        job: dict[str, Any] = found.to_dict(mode="json")
        rules, config = job.pop("rules"), job.pop("parsing_configuration")
        shared = {
            "job_id": job["id"],
            "project_id": job["project_id"],
            "updated_at": job["updated_at"],
        }
        write("classify_jobs", job | {"rule_count": len(rules)})
        for index, rule in enumerate(rules):
            write("classify_job_rules", {**shared, "rule_index": index, **rule})
        if config:
            write("classify_job_parsing_configs", {**shared, **config})


def write(stream: str, row: dict[str, Any]) -> None:
    """Write one row as a line."""
    sys.stdout.write(json.dumps({"stream": stream, "record": row}) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
