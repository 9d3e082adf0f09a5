"""The tap: what singer-sdk needs to know, and nothing of how jobs are read.

What only a sync needs is imported when there is one: pydantic alone takes a fifth of the time in
which `--version` and `--help` answer.
"""

from __future__ import annotations

import copy
import json
import os
import sys
from collections.abc import Mapping, Sequence
from functools import cache, cached_property
from types import FrameType
from typing import IO, TYPE_CHECKING, Any, cast

import click
from singer_sdk import Stream, Tap
from singer_sdk.helpers.capabilities import EMIT_ACTIVATE_VERSION_CONFIG
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.singerlib import Catalog
from typing_extensions import override

from tap_llamaclassify.command.json_files import json_object, read_text
from tap_llamaclassify.config.batch_config import COMPRESSIONS, FORMATS
from tap_llamaclassify.errors import CatalogError, CheckError
from tap_llamaclassify.replication.shared_state import spelled_out
from tap_llamaclassify.replication.state import State
from tap_llamaclassify.singer import cli
from tap_llamaclassify.singer.messages import MessageWriter

if TYPE_CHECKING:
    from tap_llamaclassify.config.json_schema import Configuration
    from tap_llamaclassify.singer.streams import ClassifyStream

ENVIRONMENT_PREFIX = "TAP_LLAMACLASSIFY_"


class _ConfigSchema:
    """The settings' JSON Schema, made when it is first asked for; singer-sdk adds to it."""

    def __get__(self, tap: object, kind: type) -> dict[str, Any]:
        return _config_jsonschema()


@cache
def _config_jsonschema() -> dict[str, Any]:
    from tap_llamaclassify.config.settings_schema import config_jsonschema  # noqa: PLC0415 - see the top

    return config_jsonschema()


class TapLlamaClassify(Tap):
    """Singer tap for the history of LlamaCloud classify jobs."""

    name = "tap-llamaclassify"
    config_jsonschema = _ConfigSchema()
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
        given = copy.deepcopy(dict(config or {}))
        self.configuration = self._parsed(
            given, parse_env_config=parse_env_config, validate_config=validate_config
        )
        super().__init__(
            config=given, catalog=_catalog(catalog), validate_config=validate_config, **rest
        )

    def _parsed(
        self, config: dict[str, Any], *, parse_env_config: bool, validate_config: bool
    ) -> Configuration:
        """Parse a configuration, with the environment's settings added to it."""
        from tap_llamaclassify.config.json_schema import (  # noqa: PLC0415 - see the top
            Configuration,
            parse_configuration,
            read_environment,
        )

        if not validate_config:
            return Configuration()
        # A setting of singer-sdk's may be null by its schema, and fail by its code.
        for name in [name for name, value in config.items() if value is None]:
            del config[name]
        schema = copy.deepcopy(self.config_jsonschema)
        self.append_builtin_config(schema)
        if parse_env_config:
            config |= read_environment(schema, ENVIRONMENT_PREFIX, os.environ)
        return parse_configuration(config, schema, os.environ)

    @override
    def discover_streams(self) -> Sequence[Stream]:
        from tap_llamaclassify.singer.streams import ClassifyStream  # noqa: PLC0415 - see the top
        from tap_llamaclassify.singer.sync import OnePass  # noqa: PLC0415 - see the top
        from tap_llamaclassify.tables.tables import TABLES  # noqa: PLC0415 - see the top

        one_pass = OnePass(self, self._kept, self.configuration)
        is_typed = self.configuration.is_typed
        return [ClassifyStream(self, one_pass, table, is_typed=is_typed) for table in TABLES]

    @cached_property
    def _kept(self) -> State:
        """What the state keeps; the streams are not discovered yet when the first asks for it."""
        from tap_llamaclassify.tables.tables import TABLES  # noqa: PLC0415 - see the top

        start_date = self.configuration.settings.start_date
        return State({table.name: table.replication_key for table in TABLES}, start_date)

    @property
    def _own_streams(self) -> Sequence[ClassifyStream]:
        return cast("Sequence[ClassifyStream]", [*self.streams.values()])

    @property
    @override
    def catalog(self) -> Catalog:
        """The entries of the streams that are chosen; only the mapper asks for them.

        To singer-sdk a deselected stream has no columns, and a map for all streams fails on it.
        """
        chosen = {stream.name for stream in self._own_streams if stream.is_chosen}
        return Catalog({name: each for name, each in super().catalog.items() if name in chosen})

    @override
    def setup_mapper(self) -> None:
        # The streams complete the catalog, from which the stream maps take keys and columns.
        for stream in self._own_streams:
            if stream.is_held_back and stream.is_chosen:
                self.logger.warning(
                    "%s is selected and left out: it takes a request a job, which %s allows",
                    stream.name,
                    stream.table.endpoint.setting,
                )
        if not any(stream.selected for stream in self.streams.values()):
            self.logger.warning("The catalog selects no stream: there is nothing to sync")
        self._tell_what_the_catalog_lacks()
        super().setup_mapper()
        for stream in self._own_streams:
            if not stream.is_chosen:
                unmapped = SameRecordTransform(
                    stream.name, stream.schema, stream.primary_keys, flattening_options=None
                )
                self.mapper.stream_maps[stream.name] = [unmapped]

    def _tell_what_the_catalog_lacks(self) -> None:
        """Name what an older version may have made the catalog without."""
        if columns := [
            f"{stream.name}.{name}"
            for stream in self._own_streams
            if stream.selected
            for name in stream.unknown_columns
        ]:
            self.logger.warning(
                "The catalog does not have %s: left out of the rows; make it anew with --discover",
                ", ".join(columns),
            )
        if names := [stream.name for stream in self._own_streams if stream.is_unknown]:
            self.logger.info(
                "The catalog does not have %s: not synced; a catalog that is made anew with "
                "--discover has all streams",
                ", ".join(names),
            )

    @override
    def load_state(self, state: dict[str, Any]) -> None:
        state = spelled_out(state) if isinstance(state, dict) else state
        for stream in self._kept.load(state):
            self.logger.warning("The state's bookmarks.%s is of no stream of this tap", stream)
        settings = self.configuration.settings
        names = [connection.name for connection in settings.connections or ()]
        for text in self._kept.unused(names, settings.adopt_state):
            self.logger.warning(text)
        super().load_state(state)

    @classmethod
    @override
    def append_builtin_config(cls, config_jsonschema: dict[str, Any]) -> None:
        super().append_builtin_config(config_jsonschema)
        properties = config_jsonschema["properties"]
        for name, schema in EMIT_ACTIVATE_VERSION_CONFIG["properties"].items():
            properties.setdefault(name, schema)
        # What singer-sdk has put there is its own, and is every plugin's in this process.
        batches = properties["batch_config"] = copy.deepcopy(properties["batch_config"])
        encoding = batches["properties"]["encoding"]["properties"]
        encoding["format"] |= {"enum": list(FORMATS)}
        encoding["compression"] |= {"enum": list(COMPRESSIONS)}
        # singer-sdk 0.55 takes a folder for temporary files where none is given.
        batches["dependentRequired"] = {"encoding": ["storage"]}
        batches["properties"]["storage"]["required"] = ["root"]

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
        check: bool = False,
        **rest: Any,
    ) -> None:
        catalog = cli.checked_file("--catalog", catalog)
        if not check:
            super().invoke(state=cli.checked_file("--state", state), catalog=catalog, **rest)
            return
        config = rest["config"]
        tap = cls(
            config=config.config if config else {},
            catalog=json.load(catalog) if catalog else None,
            parse_env_config=bool(config and config.parse_env),
        )
        tap.check()

    def check(self) -> None:
        """Try each key and each API once, and show what came of it on standard output.

        Raises:
            CheckError: A selected stream cannot be read.
        """
        from tap_llamaclassify.replication.check import check  # noqa: PLC0415 - see the top
        from tap_llamaclassify.singer.check_table import table_of  # noqa: PLC0415 - see the top

        at_once = self.configuration.settings.parallel_connections
        checked = check(self.configuration.connections, at_once)
        sys.stdout.write(table_of(checked))
        tables = [stream.table for stream in self._own_streams if stream.selected]
        require_all = self.configuration.settings.require_all
        unreadable = [each.unreadable(tables, require_all=require_all) for each in checked]
        if left_out := [text for _, texts in unreadable for text in texts]:
            self.logger.warning("Left out by a sync: %s", "; ".join(left_out))
        if reasons := [text for texts, _ in unreadable for text in texts]:
            raise CheckError("; ".join(reasons))

    @classmethod
    @override
    def cb_config(cls, ctx: click.Context, param: click.Option, value: tuple[str, ...]) -> Any:
        config = super().cb_config(ctx, param, tuple(path for path in value if path == "ENV"))
        for path in value:
            if path != "ENV":
                text = read_text("--config", path)
                config.config |= json_object(f"--config {path}", text)
        return config

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        return cli.OneLineCommand(
            name=command.name,
            callback=command.callback,
            params=[*command.params, cli.CHECK],
            context_settings=command.context_settings,
            help=command.help,
            logger=cls.logger,
        )


def _catalog(catalog: Mapping[str, Any] | Catalog | None) -> Catalog | None:
    if catalog is None or isinstance(catalog, Catalog):
        return catalog
    if not isinstance(catalog.get("streams"), list):
        raise CatalogError("catalog: it has no list of streams; make one with --discover")
    try:
        return Catalog.from_dict(cast("dict[str, Any]", catalog))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CatalogError(
            f"catalog: it is no Singer catalog ({type(error).__name__}); make one with --discover"
        ) from None
