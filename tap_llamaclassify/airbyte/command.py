"""The command `source-llamaclassify`: spec, check, discover and read.

What only one of them needs is imported when it is run: spec is asked for before each of the others.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from typing_extensions import override

from tap_llamaclassify.airbyte import messages
from tap_llamaclassify.command import signals, standard_output
from tap_llamaclassify.command.error_lines import one_line, text_of
from tap_llamaclassify.command.json_files import json_object, parsed, read_text
from tap_llamaclassify.errors import ApiError, OutputError, ReplyError, TapError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, or 1 after an error, which one line tells."""
    signals.obey()
    given = _parser().parse_args(arguments)
    logger = logging.getLogger("tap_llamaclassify")
    logger.setLevel(logging.INFO)
    logger.addHandler(messages.LogHandler())
    logger.propagate = False
    try:
        given.run(given)
    except Exception as error:  # noqa: BLE001 - whatever it is, the user gets one line
        _tell(error)
        return 1
    return 0


def _tell(error: Exception) -> None:
    text = one_line(text_of(error))
    try:
        messages.write(messages.error(text, _failure_type(error)))
    except OutputError:
        sys.stderr.write(f"ERROR: {text}\n")
        standard_output.let_go()


def _failure_type(error: Exception) -> str:
    if isinstance(error, ApiError) and error.is_transient:
        return "transient_error"
    is_users = isinstance(error, TapError) and not isinstance(error, OutputError | ReplyError)
    return "config_error" if is_users else "system_error"


class _Parser(argparse.ArgumentParser):
    @override
    def error(self, message: str) -> NoReturn:
        super().error(one_line(message))


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="source-llamaclassify", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, run, files in (
        ("spec", _spec, ()),
        ("check", _check, ("config",)),
        ("discover", _discover, ("config",)),
        ("read", _read, ("config", "catalog")),
    ):
        command = commands.add_parser(name)
        command.set_defaults(run=run)
        command.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
        for file in files:
            command.add_argument(f"--{file}", required=True)
        if run is _read:
            command.add_argument("--state")
    return parser


def _spec(_: argparse.Namespace) -> None:
    from tap_llamaclassify.airbyte.spec import spec  # noqa: PLC0415 - see the top

    messages.write({"type": "SPEC", "spec": spec()})


def _check(given: argparse.Namespace) -> None:
    from tap_llamaclassify.airbyte.connection import status_of  # noqa: PLC0415 - see the top

    messages.write({"type": "CONNECTION_STATUS", "connectionStatus": status_of(_config(given))})


def _discover(given: argparse.Namespace) -> None:
    from tap_llamaclassify.airbyte.catalog import streams  # noqa: PLC0415 - see the top

    _config(given)
    messages.write({"type": "CATALOG", "catalog": {"streams": streams()}})


def _read(given: argparse.Namespace) -> None:
    from tap_llamaclassify.airbyte.catalog import configured  # noqa: PLC0415 - see the top
    from tap_llamaclassify.airbyte.source import Read  # noqa: PLC0415 - see the top
    from tap_llamaclassify.config.settings import parse_settings  # noqa: PLC0415 - see the top

    settings = parse_settings(_config(given))
    streams = configured(json_object("--catalog", read_text("--catalog", given.catalog)))
    state = read_text("--state", given.state) if given.state else ""
    Read(settings, streams, (state.strip() and parsed("--state", state)) or []).run()


def _config(given: argparse.Namespace) -> dict[str, Any]:
    """Read the settings, less those that the platform adds for itself."""
    config = json_object("--config", read_text("--config", given.config))
    return {name: value for name, value in config.items() if not name.startswith("__")}


if __name__ == "__main__":
    sys.exit(main())
