"""singer-sdk: three streams of which each lists all jobs, and takes its own rows from them."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import requests
from singer_sdk import RESTStream, SchemaDirectory, Stream, StreamSchema, Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import BearerTokenAuthenticator
from singer_sdk.helpers.types import Context
from typing_extensions import override

SCHEMAS = SchemaDirectory(Path(__file__).parents[2] / "schemas")


class Listing(RESTStream[str]):
    """What the three have in common."""

    path = "/api/v1/classifier/jobs"
    replication_key = "updated_at"
    schema = StreamSchema(SCHEMAS)
    records_jsonpath = "$.items[*]"
    next_page_token_jsonpath = "$.next_page_token"  # noqa: S105 - where the token is, not a token

    @property
    @override
    def url_base(self) -> str:
        return str(self.config["api_url"])

    @property
    @override
    def authenticator(self) -> BearerTokenAuthenticator:
        return BearerTokenAuthenticator(token=self.config["api_key"])

    @override
    def get_url_params(
        self, context: Context | None, next_page_token: str | None
    ) -> dict[str, Any]:
        params = {"page_size": self.config["page_size"]}
        return params | ({"page_token": next_page_token} if next_page_token else {})


class Jobs(Listing):
    """The jobs."""

    name = "classify_jobs"
    primary_keys = ("id",)

    @override
    def post_process(self, row: dict[str, Any], context: Context | None = None) -> dict[str, Any]:
        return row | {"rule_count": len(row["rules"])}


class Rules(Listing):
    """The rules of all jobs."""

    name = "classify_job_rules"
    primary_keys = ("job_id", "rule_index")

    @override
    def parse_response(self, response: requests.Response) -> Iterable[dict[str, Any]]:
        for job in super().parse_response(response):
            for index, rule in enumerate(job["rules"]):
                yield {**shared(job), "rule_index": index, **rule}


class ParsingConfigs(Listing):
    """The parsing configurations of all jobs."""

    name = "classify_job_parsing_configs"
    primary_keys = ("job_id",)

    @override
    def parse_response(self, response: requests.Response) -> Iterable[dict[str, Any]]:
        for job in super().parse_response(response):
            if job["parsing_configuration"]:
                yield {**shared(job), **job["parsing_configuration"]}


def shared(job: dict[str, Any]) -> dict[str, Any]:
    """Take what the rows of a job have of the job."""
    return {
        "job_id": job["id"],
        "project_id": job["project_id"],
        "updated_at": job["updated_at"],
    }


class TapClassify(Tap):
    """The tap."""

    name = "tap-classify"
    config_jsonschema = th.PropertiesList(
        th.Property("api_url", th.StringType, required=True),
        th.Property("api_key", th.StringType, required=True, secret=True),
        th.Property("page_size", th.IntegerType, required=True),
    ).to_dict()

    @override
    def discover_streams(self) -> list[Stream]:
        return [Jobs(self), Rules(self), ParsingConfigs(self)]


def main(url: str, key: str, page_size: str, folder: str) -> None:
    """Sync all three streams."""
    config = Path(folder, "config.json")
    settings = {"api_url": url, "api_key": key, "page_size": int(page_size)}
    config.write_text(json.dumps(settings), encoding="utf-8")
    TapClassify.cli(["--config", str(config)])


if __name__ == "__main__":
    main(*sys.argv[1:])
