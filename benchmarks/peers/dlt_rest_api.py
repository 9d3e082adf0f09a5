"""dlt: its REST API source into JSON Lines files, the cheapest of its destinations, or into DuckDB.

The rules become a table of their own, as dlt makes one of every list; a parsing configuration
becomes columns of its job.
"""

import os
import sys

import dlt
from dlt.sources.rest_api import rest_api_source
from dlt.sources.rest_api.typing import EndpointResource, RESTAPIConfig


def main(url: str, key: str, page_size: str, folder: str, warehouse: str = "") -> None:
    """Load the listing of v1 jobs into files, or merge that of v2 jobs into a DuckDB file."""
    os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
    os.environ["NORMALIZE__DATA_WRITER__DISABLE_COMPRESSION"] = "true"
    pipeline = dlt.pipeline(
        "classify",
        pipelines_dir=f"{folder}/pipelines",
        destination=dlt.destinations.duckdb(warehouse)
        if warehouse
        else dlt.destinations.filesystem(f"{folder}/loaded"),
        dataset_name="llamacloud",
    )
    if warehouse:
        pipeline.run(rest_api_source(listing(url, key, v2_jobs(page_size))))
    else:
        source = rest_api_source(listing(url, key, v1_jobs(page_size)))
        pipeline.run(source, loader_file_format="jsonl")


def listing(url: str, key: str, jobs: EndpointResource) -> RESTAPIConfig:
    """Tell how the API lists."""
    return {
        "client": {
            "base_url": url,
            "auth": {"type": "bearer", "token": key},
            "paginator": {
                "type": "cursor",
                "cursor_path": "next_page_token",
                "cursor_param": "page_token",
            },
        },
        "resources": [jobs],
    }


def v1_jobs(page_size: str) -> EndpointResource:
    """Tell of v1 jobs."""
    return {
        "name": "classify_jobs",
        "primary_key": "id",
        "columns": {"parsing_configuration__target_pages": {"data_type": "json"}},
        "endpoint": {
            "path": "api/v1/classifier/jobs",
            "params": {"page_size": page_size},
            "data_selector": "items",
        },
    }


def v2_jobs(page_size: str) -> EndpointResource:
    """Tell of v2 jobs, which replace those of their ids."""
    return {
        "name": "classify_v2_jobs",
        "primary_key": "id",
        "write_disposition": "merge",
        "endpoint": {
            "path": "api/v2/classify",
            "params": {"page_size": page_size},
            "data_selector": "items",
        },
    }


if __name__ == "__main__":
    main(*sys.argv[1:])
