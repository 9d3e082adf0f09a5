"""The tap: what singer-sdk needs to know, and nothing of how jobs are read."""

from __future__ import annotations

import copy
import os
import sys
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import IO, Any, cast

import click
from singer_sdk import Stream, Tap
from singer_sdk.helpers.capabilities import EMIT_ACTIVATE_VERSION_CONFIG
from singer_sdk.singerlib import Catalog
from typing_extensions import override

from tap_llamaclassify import cli
from tap_llamaclassify.bookmarks import check_state
from tap_llamaclassify.config import check_config, config_jsonschema, read_environment
from tap_llamaclassify.connection import connect
from tap_llamaclassify.errors import CatalogError
from tap_llamaclassify.messages import MessageWriter
from tap_llamaclassify.settings import Settings
from tap_llamaclassify.streams import STREAMS
from tap_llamaclassify.sync import OnePass

ENVIRONMENT_PREFIX = "TAP_LLAMACLASSIFY_"


class TapLlamaClassify(Tap):
    """Singer tap for the history of LlamaCloud classify jobs."""

    name = "tap-llamaclassify"
    config_jsonschema = config_jsonschema()
    message_writer_class = MessageWriter

    def __init__(
        self,
        *,
        config: Mapping[str, Any] | None = None,
        catalog: Mapping[str, Any] | Catalog | None = None,
        parse_env_config: bool = False,
        validate_config: bool = True,
        **rest: Any,
    ) -> None:
        """Take up settings and a catalog.

        Raises:
            SettingsError: A setting is missing, unknown or wrong.
            CatalogError: The catalog is none, or asks for what the streams cannot do.
            StateError: The state cannot be read.
        """
        given = dict(config or {})
        self._settings = Settings()
        if validate_config:
            schema = copy.deepcopy(self.config_jsonschema)
            self.append_builtin_config(schema)
            if parse_env_config:
                given |= read_environment(schema, ENVIRONMENT_PREFIX, os.environ)
            self._settings = check_config(given, schema)
            connect(self._settings, os.environ)
        super().__init__(
            config=given, catalog=_catalog(catalog), validate_config=validate_config, **rest
        )

    @override
    def discover_streams(self) -> Sequence[Stream]:
        one_pass = OnePass(self, self._settings, cast("MessageWriter", self.message_writer))
        return [stream(self, one_pass) for stream in STREAMS]

    @override
    def setup_mapper(self) -> None:
        # The streams complete the catalog, from which the stream maps take keys and columns.
        if not any(stream.selected for stream in self.streams.values()):
            self.logger.warning("The catalog selects no stream: there is nothing to sync")
        super().setup_mapper()

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        check_state(state)
        super().load_state(state)

    @classmethod
    @override
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        super().append_builtin_config(config_jsonschema)
        for name, schema in EMIT_ACTIVATE_VERSION_CONFIG["properties"].items():
            config_jsonschema["properties"].setdefault(name, schema)

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        raise cli.Terminated(signum)

    @classmethod
    @override
    def invoke(
        cls,
        *,
        state: IO[str] | None = None,
        catalog: IO[str] | None = None,
        **rest: Any,
    ) -> None:
        super().invoke(
            state=cli.checked_file("--state", state),
            catalog=cli.checked_file("--catalog", catalog),
            **rest,
        )

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> Any:
        config = super().cb_config(ctx, param, tuple(path for path in value if path == "ENV"))
        for path in value:
            if path != "ENV":
                config.config |= cli.read_config_file(path)
        return config

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        return cli.OneLineCommand(
            name=command.name,
            callback=command.callback,
            params=command.params,
            context_settings=command.context_settings,
            help=command.help,
            logger=cls.logger,
        )


def main() -> None:
    """Run the command line."""
    try:
        command = TapLlamaClassify.cli
    except ValueError:
        sys.exit("ERROR: LOGLEVEL is no log level: use DEBUG, INFO, WARNING or ERROR")
    command()


def _catalog(catalog: Mapping[str, Any] | Catalog | None) -> Catalog | None:
    if catalog is None or isinstance(catalog, Catalog):
        return catalog
    try:
        return Catalog.from_dict(cast("dict[str, Any]", catalog))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CatalogError(
            f"catalog: it is no Singer catalog ({type(error).__name__}); make one with --discover"
        ) from None
