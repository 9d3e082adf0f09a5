"""The command `source-llamaclassify`: spec, check, discover and read."""

from __future__ import annotations

import argparse
import json
import logging
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tap_llamaclassify.airbyte import messages
from tap_llamaclassify.errors import SettingsError, TapError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is 0, or 1 after an error, which one line tells."""
    given = _parser().parse_args(arguments)
    logger = logging.getLogger("tap_llamaclassify")
    logger.setLevel(logging.INFO)
    logger.addHandler(messages.LogHandler())
    logger.propagate = False
    try:
        given.run(given)
    except TapError as error:
        from tap_llamaclassify.airbyte.source import failure_of  # noqa: PLC0415 - spec needs it not

        messages.write(messages.error(str(error), failure_of(error)))
    except Exception as error:  # noqa: BLE001 - whatever it is, the user gets one line
        # Its own text may hold anything, a document's among it.
        at = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(at.filename).name}, line {at.lineno}"
        text = f"this is a defect of the source: {type(error).__name__} in {where}"
        messages.write(messages.error(text, "system_error"))
    else:
        return 0
    return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="source-llamaclassify", description=__doc__)
    parser.add_argument("--debug", action="store_true", help=argparse.SUPPRESS)
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
    from tap_llamaclassify.airbyte.spec import spec  # noqa: PLC0415 - pydantic takes its time

    messages.write({"type": "SPEC", "spec": spec()})


def _check(given: argparse.Namespace) -> None:
    from tap_llamaclassify.airbyte.connection import status_of  # noqa: PLC0415 - as above

    messages.write({"type": "CONNECTION_STATUS", "connectionStatus": status_of(_config(given))})


def _discover(given: argparse.Namespace) -> None:
    from tap_llamaclassify.airbyte.catalog import streams  # noqa: PLC0415 - as above

    _config(given)
    messages.write({"type": "CATALOG", "catalog": {"streams": streams()}})


def _read(given: argparse.Namespace) -> None:
    from tap_llamaclassify.airbyte.catalog import configured  # noqa: PLC0415 - as above
    from tap_llamaclassify.airbyte.source import Read  # noqa: PLC0415 - as above
    from tap_llamaclassify.config.settings import parse_settings  # noqa: PLC0415 - as above

    settings = parse_settings(_config(given))
    streams = configured(_object("--catalog", given.catalog))
    state = _json("--state", given.state) if given.state else []
    Read(settings, streams, state or []).run()


def _config(given: argparse.Namespace) -> dict[str, Any]:
    """Read the settings, less those that the platform adds for itself."""
    config = _object("--config", given.config)
    return {name: value for name, value in config.items() if not name.startswith("__")}


def _object(option: str, path: str) -> dict[str, Any]:
    content = _json(option, path)
    if not isinstance(content, dict):
        raise SettingsError(f"{option}: the file holds no JSON object")
    return content


def _json(option: str, path: str) -> Any:
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{option}: cannot read {path}: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise SettingsError(f"{option}: the file is no JSON") from None


if __name__ == "__main__":
    sys.exit(main())
