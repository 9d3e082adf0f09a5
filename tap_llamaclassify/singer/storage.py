"""Where batch files go: each is seen under its name once it is whole, and not before."""

from __future__ import annotations

import logging
import os
import re
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

import fsspec
from fsspec.asyn import AsyncFileSystem
from fsspec.implementations.local import LocalFileSystem

from tap_llamaclassify.errors import OutputError, TapError

OLD = 24 * 3600
"""Seconds after which a file that was never finished is taken for a leftover."""
UPLOAD_SECONDS = 600
"""How long putting one file elsewhere may take: s3fs waits for a silent server for ever."""
_SPARING = {"chunksize": 8 * 2**20, "max_concurrency": 2}
"""How s3fs is to upload; its own ways hold files of up to 100 MiB whole, and twice."""
_WHOLE_AT_ONCE = {"abfs", "adl", "az", "gcs", "gs", "memory", "oss", "s3", "s3a"}
"""Where an upload is seen only when it is complete."""
TIME = "%Y%m%dT%H%M%S.%fZ"
"""How names of files say when the run began."""
_PART = ".part"
_is_scheme = re.compile(r"[a-z][a-z0-9+.-]*(::[a-z][a-z0-9+.-]*)*").fullmatch
_BINARY = getattr(os, "O_BINARY", 0)

_logger = logging.getLogger(__name__)


class Storage:
    """A folder for files, on this machine or wherever fsspec can write.

    A file is written on this machine first: beside its final place when that is here.

    Args:
        root: A path, or a URL such as `s3://bucket/folder`.
        prefix: What the names of all files begin with.
        params: What fsspec wants to know of the place.

    Raises:
        OutputError: The place cannot be used.
    """

    def __init__(self, root: str, prefix: str, params: Mapping[str, Any]) -> None:
        self._prefix = prefix
        with _named(root):
            self._fs, self._root = fsspec.core.url_to_fs(root, **params)
            self._is_here = isinstance(self._fs, LocalFileSystem)
            if self._is_here:
                self._fs.makedirs(self._root, exist_ok=True)
        for name in ("aiobotocore", "botocore"):
            # At level DEBUG they show every header, a session token among them.
            logging.getLogger(name).setLevel(logging.INFO)
        self._url = root
        self._begun: dict[str, BinaryIO | None] = {}
        self._workshop = Path(self._root if self._is_here else tempfile.gettempdir())

    def begin(self, name: str) -> BinaryIO:
        """Open the file that will be called so, for writing.

        Raises:
            OutputError: It cannot be made.
        """
        # In a folder for everybody's temporary files, only its owner may look into it.
        mode = 0o666 if self._is_here else 0o600
        with _named(self._url):
            self._begun[name] = None
            number = os.open(self.path(name), os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, mode)
            file = os.fdopen(number, "wb")
            self._begun[name] = file
            return file

    def path(self, name: str) -> Path:
        """Return where a file is until it is finished."""
        return self._workshop / self._unfinished(name)

    def finish(self, name: str) -> str:
        """Let a whole file be seen under its name; return its URL.

        Raises:
            OutputError: It cannot be put there.
        """
        path = self.path(name)
        final = f"{self._root}/{self._prefix}{name}"
        with _named(self._url):
            if self._is_here:
                with path.open("rb") as file:
                    os.fsync(file.fileno())
                path.replace(final)
                _write_through(self._workshop)
            else:
                self._upload(path, final, f"{self._root}/{self._unfinished(name)}")
                path.unlink()
            del self._begun[name]
            return str(self._fs.unstrip_protocol(final))

    def discard(self) -> None:
        """Remove what was begun and is not finished."""
        for name, file in self._begun.items():
            if file is not None:
                # What it still holds may find no room.
                with suppress(OSError):
                    file.close()
            with suppress(OSError):
                self.path(name).unlink()
        self._begun.clear()

    def _upload(self, path: Path, final: str, unfinished: str) -> None:
        protocols = self._fs.protocol
        known = {*([protocols] if isinstance(protocols, str) else protocols)}
        options: dict[str, Any] = {**_SPARING} if "s3" in known else {}
        if isinstance(self._fs, AsyncFileSystem):
            options["timeout"] = UPLOAD_SECONDS
        if _WHOLE_AT_ONCE & known:
            self._fs.put_file(str(path), final, **options)
            return
        self._fs.makedirs(self._root, exist_ok=True)
        self._fs.put_file(str(path), unfinished, **options)
        self._fs.mv(unfinished, final)

    @contextmanager
    def guarded(self) -> Iterator[None]:
        """Say of what fails within that it is the place's fault."""
        try:
            yield
        except OSError as error:
            raise OutputError(f"batch_config.storage.root: {_reason(error, 'file')}") from None

    def remove_leftovers(self, streams: Collection[str]) -> None:
        """Remove what runs of these streams that were killed have left here, if it is old."""
        before = time.time() - OLD
        for path, _ in self._files_of(streams):
            if path.name.startswith(f".{self._prefix}") and path.name.endswith(_PART):
                with suppress(OSError):
                    if path.stat().st_mtime < before:
                        path.unlink()
                        _logger.info("Removed %s, which a run that was killed has left", path.name)

    def newest(self, streams: Collection[str]) -> datetime | None:
        """Return the latest time in the names of these streams' files, if they are here.

        A file that is not finished counts, too.
        """
        times: list[datetime] = []
        for _, text in self._files_of(streams) if self._is_here else ():
            # Somebody else's name may look like one of ours.
            with suppress(ValueError):
                times.append(datetime.strptime(text, TIME).replace(tzinfo=UTC))
        return max(times, default=None)

    def _files_of(self, streams: Collection[str]) -> list[tuple[Path, str]]:
        """Return these streams' files on this machine, finished or not, and the time each says."""
        names = "|".join(map(re.escape, sorted(streams)))
        ours = re.compile(
            rf"\.?{re.escape(self._prefix)}(?:{names})-([0-9T.]+Z)-[0-9]+\.[a-z.]+"
        ).fullmatch
        paths: list[Path] = []
        with suppress(OSError):
            paths = [*self._workshop.iterdir()]
        return [(path, match[1]) for path in paths if (match := ours(path.name))]

    def _unfinished(self, name: str) -> str:
        # Hidden, and with an ending of its own: no pattern that lists files finds it.
        return f".{self._prefix}{name}{_PART}"


def _write_through(folder: Path) -> None:
    """Let the disk have a folder's names: a file that was renamed may else have none after all."""
    if os.name == "posix":
        number = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(number)
        finally:
            os.close(number)


@contextmanager
def _named(root: str) -> Iterator[None]:
    try:
        yield
    except TapError:
        raise
    except Exception as error:  # noqa: BLE001 - each kind of storage raises what it likes
        # Its own text may hold whatever was sent, credentials among it.
        scheme, found, _ = root.partition("://")
        if not found or not _is_scheme(scheme):
            scheme = "file"
        raise OutputError(f"batch_config.storage.root: {_reason(error, scheme)}") from None


def _reason(error: Exception, scheme: str) -> str:
    number = getattr(error, "errno", None)
    if isinstance(error, ImportError):
        extra = " (the extra s3)" if scheme == "s3" else ""
        return f"{scheme}:// needs a package that is not installed{extra}"
    if isinstance(error, ValueError) and "rotocol" in str(error):
        return f"nothing is known of {scheme}://"
    if isinstance(error, PermissionError):
        return "no permission to write there"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, FileNotFoundError):
        return "there is no such bucket or folder"
    what = os.strerror(number) if isinstance(error, OSError) and number else type(error).__name__
    return f"cannot write there ({what}); check it, its space, and its credentials"
