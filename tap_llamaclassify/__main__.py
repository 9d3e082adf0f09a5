"""The command, from its first moment on: a signal ends it with the right code, and no traceback."""

import gc
import os
import signal
import socket
import sys
import threading
import time
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
GRACE = 3.0
"""How many seconds a run has after a signal to remove what it has not finished."""


def main() -> None:
    """Run the command line."""
    _watch_for_signals()
    for number in SIGNALS:
        signal.signal(number, _end)
    for name in ("LOGLEVEL", "TAP_LLAMACLASSIFY_LOGLEVEL"):
        if os.environ.get(name) == "":
            del os.environ[name]
    # Only now, because importing singer-sdk takes longer than many a run of the command.
    from tap_llamaclassify.tap import TapLlamaClassify  # noqa: PLC0415

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


def _watch_for_signals() -> None:
    """End the process some time after a signal, even where its handler cannot.

    Python runs a handler in the main thread. A signal that comes just before that thread waits for
    a lock does not wake it, and what the handler raises may leave a lock held that the end needs.
    """
    told, tell = socket.socketpair()
    tell.setblocking(False)  # noqa: FBT003 - named by nobody
    signal.set_wakeup_fd(tell.detach(), warn_on_full_buffer=False)

    def wait() -> None:
        while (number := told.recv(1)[0]) not in SIGNALS:
            pass
        time.sleep(GRACE)
        os._exit(128 + number)

    threading.Thread(target=wait, name="signals", daemon=True).start()


def _end(number: int, _: FrameType | None) -> None:
    os._exit(128 + number)


if __name__ == "__main__":
    main()
