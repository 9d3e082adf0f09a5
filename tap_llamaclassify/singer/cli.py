"""How the command ends: one line for an error, the right exit code, and nothing after a signal."""

from __future__ import annotations

import io
import json
import logging
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import IO, Any, NoReturn

import click
from singer_sdk.exceptions import MappingError
from singer_sdk.plugin_base import SingerCommand
from typing_extensions import override

from tap_llamaclassify.command import signals, standard_output
from tap_llamaclassify.command.error_lines import one_line, text_of
from tap_llamaclassify.command.json_files import json_object
from tap_llamaclassify.errors import SettingsError, TapError

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
        standard_output.let_go()
        if self.logger.isEnabledFor(logging.ERROR):
            self.logger.error(_told(error))
        else:
            sys.stderr.write(f"ERROR: {_told(error)}\n")
        self.logger.debug("Raised at\n%s", "".join(traceback.format_tb(error.__traceback__)))
        return error.exit_code if isinstance(error, click.ClickException) else 1


def _told(error: Exception) -> str:
    match error:
        case click.ClickException():
            text = error.format_message()
        case MappingError():
            text = f"stream_maps: {error}"
        case _:
            text = text_of(error)
            if not isinstance(error, TapError | OSError):
                text += "; TAP_LLAMACLASSIFY_LOGLEVEL=DEBUG shows the way there"
    return one_line(text)


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
