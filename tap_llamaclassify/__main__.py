"""The command, from its first moment on: a signal ends it with the right code, and no traceback."""

import gc
import os
import sys

from tap_llamaclassify.command import signals


def main() -> None:
    """Run the command line."""
    signals.obey()
    for name in ("LOGLEVEL", "TAP_LLAMACLASSIFY_LOGLEVEL"):
        if os.environ.get(name) == "":
            del os.environ[name]
    # Only now, because importing singer-sdk takes longer than many a run of the command.
    from tap_llamaclassify.singer.tap import TapLlamaClassify  # noqa: PLC0415

    try:
        command = TapLlamaClassify.cli
    except Exception:  # noqa: BLE001 - a user's logging file may raise anything
        sys.exit(
            "ERROR: logging cannot be set up: LOGLEVEL must be DEBUG, INFO, WARNING or ERROR, and "
            "SINGER_SDK_LOG_CONFIG, if set, the path of a YAML file that logging.config accepts"
        )
    _spare_the_collector()
    command()


def _spare_the_collector() -> None:
    """Let Python look for cycles seldom: rows have none, and each look costs as much as they do."""
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)


if __name__ == "__main__":
    main()
