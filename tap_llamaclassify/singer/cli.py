"""How the command ends: one line for an error, the right exit code, and nothing after a signal."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NoReturn

import click
from singer_sdk.exceptions import MappingError
from singer_sdk.plugin_base import SingerCommand
from typing_extensions import override

from tap_llamaclassify.errors import SettingsError, TapError
from tap_llamaclassify.nesting import is_too_deep
from tap_llamaclassify.singer import signals
from tap_llamaclassify.standard_output import LOADER_GONE

LONGEST_LINE = 1000
_KEY = re.compile(r"llx-\S+")
"""What a LlamaCloud key looks like: it may stand where the name of a setting should."""


CHECK = click.Option(
    ["--check"],
    is_flag=True,
    help="Try each key and each API once, and show what came of it.",
)


class Terminated(SystemExit):
    """A signal asks the process to end; what was not written yet is dropped."""

    def __init__(self, signum: int) -> None:
        super().__init__(signals.EXIT + signum)
        self.signum = signum


class OneLineCommand(SingerCommand):
    """A Singer command that says in one ERROR line why it failed."""

    @override
    def main(  # type: ignore[override] # always ends the process, so it never returns a value
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **extra: Any
    ) -> NoReturn:
        try:
            code = super().main(args, prog_name, **extra | {"standalone_mode": False})
            if sys.stdout is not None:
                sys.stdout.flush()
        except Terminated as end:
            # No flush and no waiting for the thread that fetches the next page.
            signals.end(end.signum)
        except click.Abort:
            signals.end(signal.SIGINT)
        except SystemExit as end:
            code = end.code
        except Exception as error:  # noqa: BLE001 - whatever it is, the user gets one line
            code = self._report(error)
        sys.exit(code if isinstance(code, int) else 0)

    def _report(self, error: Exception) -> int:
        if sys.stdout is not None and not _can_flush():
            _discard_output()
        if self.logger.isEnabledFor(logging.ERROR):
            self.logger.error(_one_line(error))
        else:
            sys.stderr.write(f"ERROR: {_one_line(error)}\n")
        self.logger.debug("Raised at\n%s", "".join(traceback.format_tb(error.__traceback__)))
        return error.exit_code if isinstance(error, click.ClickException) else 1


def _one_line(error: Exception) -> str:
    match error:
        case TapError():
            text = str(error)
        case BrokenPipeError():
            text = LOADER_GONE
        case click.ClickException():
            text = error.format_message()
        case MappingError():
            text = f"stream_maps: {error}"
        case OSError():
            text = f"cannot read or write a file: {error.strerror}"
        case _:
            # Its own text may hold anything, a document's among it.
            at = traceback.extract_tb(error.__traceback__)[-1]
            text = (
                f"this is a defect of the tap: {type(error).__name__} in "
                f"{Path(at.filename).name}, line {at.lineno}; TAP_LLAMACLASSIFY_LOGLEVEL=DEBUG "
                "shows the way there"
            )
    return _KEY.sub("llx-***", " ".join(text.split()))[:LONGEST_LINE]


def _can_flush() -> bool:
    try:
        sys.stdout.flush()
    except OSError:
        return False
    return True


def _discard_output() -> None:
    """Let the interpreter flush into nothing, instead of failing once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def json_object(option: str, text: str) -> dict[str, Any]:
    """Read the JSON object in a file that was named on the command line.

    Raises:
        SettingsError: It holds something else.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise SettingsError(f"{option}: the file is no JSON{where}") from None
    except RecursionError:
        raise SettingsError(f"{option}: the file is nested too deeply") from None
    if not isinstance(content, dict):
        raise SettingsError(f"{option}: the file holds no JSON object")
    if is_too_deep(content):
        raise SettingsError(f"{option}: the file is nested too deeply")
    return content


def checked_file(option: str, file: IO[str] | None) -> IO[str] | None:
    """Make sure that a file holds a JSON object; returns one to read it from once more.

    An empty state file is what many a first run is started with.
    """
    if file is None:
        return None
    try:
        text = file.read()
    except (OSError, ValueError):
        raise SettingsError(f"{option}: the file cannot be read as text") from None
    if option == "--state" and not text.strip():
        text = "{}"
    return io.StringIO(json.dumps(json_object(option, text)))


def read_config_file(path: str) -> dict[str, Any]:
    """Read a configuration file.

    Raises:
        SettingsError: It is missing, cannot be read, or holds no JSON object.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"--config: cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise SettingsError(f"--config: {path} is no text") from None
    return json_object(f"--config {path}", text)
