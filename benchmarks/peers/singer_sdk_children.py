"""singer-sdk: a parent that lists the jobs, and two children that yield the rows of one each."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from singer_sdk import RESTStream, SchemaDirectory, Stream, StreamSchema, Tap
from singer_sdk import typing as th
from singer_sdk.authenticators import BearerTokenAuthenticator
from singer_sdk.helpers.types import Context
from typing_extensions import override

SCHEMAS = SchemaDirectory(Path(__file__).parents[2] / "schemas")


class Jobs(RESTStream[str]):
    """The jobs."""

    name = "classify_jobs"
    path = "/api/v1/classifier/jobs"
    primary_keys = ("id",)
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

    @override
    def post_process(self, row: dict[str, Any], context: Context | None = None) -> dict[str, Any]:
        return row | {"rule_count": len(row["rules"])}

    @override
    def get_child_context(self, record: dict[str, Any], context: Context | None) -> dict[str, Any]:
        shared = {name: record[name] for name in ("project_id", "updated_at")}
        return {
            "job": {"job_id": record["id"], **shared},
            "rules": record["rules"],
            "config": record["parsing_configuration"],
        }


class Rules(Stream):
    """The rules of a job."""

    name = "classify_job_rules"
    parent_stream_type = Jobs
    primary_keys = ("job_id", "rule_index")
    schema = StreamSchema(SCHEMAS)
    state_partitioning_keys = ()

    @override
    def get_records(self, context: Context | None) -> Iterable[dict[str, Any]]:
        assert context
        for index, rule in enumerate(context["rules"]):
            yield {**context["job"], "rule_index": index, **rule}


class ParsingConfigs(Stream):
    """The parsing configuration of a job."""

    name = "classify_job_parsing_configs"
    parent_stream_type = Jobs
    primary_keys = ("job_id",)
    schema = StreamSchema(SCHEMAS)
    state_partitioning_keys = ()

    @override
    def get_records(self, context: Context | None) -> Iterable[dict[str, Any]]:
        assert context
        if context["config"]:
            yield {**context["job"], **context["config"]}


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
