"""BATCH messages: rows in compressed JSON Lines files instead of RECORD messages."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from singer_sdk.batch import Batcher
from singer_sdk.helpers._batch import BatchConfig, SDKBatchMessage
from singer_sdk.singerlib.encoding.base import GenericSingerWriter

from tap_llamaclassify.errors import OutputError, SettingsError

FORMAT = "jsonl"
COMPRESSION = "gzip"


def read_batch_config(raw: Mapping[str, Any] | None) -> BatchConfig | None:
    """Read the setting `batch_config`; None when rows are to be RECORD messages.

    Raises:
        SettingsError: It is incomplete, or files cannot be written as it wants them.
    """
    if not raw:
        return None
    try:
        config = BatchConfig.from_dict(copy.deepcopy(dict(raw)))
        _ = config.encoding.format, config.storage.root
    except (AttributeError, TypeError):
        raise SettingsError(
            "batch_config is not valid: it has encoding.format, storage.root, and perhaps "
            "encoding.compression, storage.prefix, storage.params and batch_size"
        ) from None
    if config.encoding.format != FORMAT:
        raise SettingsError(f"batch_config.encoding.format must be {FORMAT}")
    if config.encoding.compression not in {COMPRESSION, None}:
        raise SettingsError(f"batch_config.encoding.compression must be {COMPRESSION}")
    if type(config.batch_size) is not int or config.batch_size < 1:
        raise SettingsError("batch_config.batch_size must be a whole number, at least 1")
    config.encoding.compression = COMPRESSION
    return config


class BatchSink:
    """Holds rows until a file is full; each file's BATCH message follows it at once."""

    def __init__(
        self,
        stream: str,
        config: BatchConfig,
        writer: GenericSingerWriter[Any, Any],
        version: int | None,
    ) -> None:
        self._stream = stream
        self._config = config
        self._writer = writer
        self._version = version
        self._held: dict[str, list[dict[str, Any]]] = {}

    def write(self, alias: str, rows: Sequence[dict[str, Any]]) -> None:
        """Take a page's rows; whole files are written."""
        held = self._held.setdefault(alias, [])
        held.extend(rows)
        size = self._config.batch_size
        while len(held) >= size:
            self._write_file(alias, held[:size])
            del held[:size]

    def close(self) -> None:
        """Write what is left as one more file."""
        for alias, held in self._held.items():
            if held:
                self._write_file(alias, held)
        self._held.clear()

    def _write_file(self, alias: str, rows: list[dict[str, Any]]) -> None:
        batcher = Batcher("tap-llamaclassify", alias, self._config)
        try:
            manifests = list(batcher.get_batches(iter(rows)))
        except (OSError, ValueError, ImportError) as error:
            raise OutputError(
                f"cannot write a batch file of {self._stream} ({type(error).__name__}): check "
                "batch_config.storage.root, its permissions and free space, and that the package "
                "for its kind of storage is installed"
            ) from None
        for manifest in manifests:
            self._writer.write_message(
                SDKBatchMessage(alias, self._config.encoding, manifest, self._version)
            )
