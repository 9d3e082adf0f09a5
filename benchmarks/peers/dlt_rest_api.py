"""dlt: its REST API source into JSON Lines files, the cheapest of its destinations.

The rules become a table of their own, as dlt makes one of every list; a parsing configuration
becomes columns of its job.
"""

import os
import sys

import dlt
from dlt.sources.rest_api import rest_api_source
from dlt.sources.rest_api.typing import RESTAPIConfig


def main(url: str, key: str, page_size: str, folder: str) -> None:
    """Load the listing."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION"] = "true"
    config: RESTAPIConfig = {
        "client": {
            "base_url": url,
            "auth": {"type": "bearer", "token": key},
            "paginator": {
                "type": "cursor",
                "cursor_path": "next_page_token",
                "cursor_param": "page_token",
            },
        },
        "resources": [
            {
                "name": "classify_jobs",
                "primary_key": "id",
                "columns": {"parsing_configuration__target_pages": {"data_type": "json"}},
                "endpoint": {
                    "path": "api/v1/classifier/jobs",
                    "params": {"page_size": page_size},
                    "data_selector": "items",
                },
            }
        ],
    }
    pipeline = dlt.pipeline(
        "classify",
        pipelines_dir=f"{folder}/pipelines",
        destination=dlt.destinations.filesystem(f"{folder}/loaded"),
        dataset_name="llamacloud",
    )
    pipeline.run(rest_api_source(config), loader_file_format="jsonl")


if __name__ == "__main__":
    main(*sys.argv[1:])
