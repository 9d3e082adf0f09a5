"""The setting `batch_config`: whether rows go to files, in which format, and where."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from singer_sdk.helpers._batch import BatchConfig

from tap_llamaclassify.errors import SettingsError

TYPED = ("parquet", "arrow")
"""The formats whose files have a schema of their own."""
FORMATS = {
    "jsonl": ("gzip", "none"),
    "parquet": ("zstd", "snappy", "gzip", "none"),
    # singer-sdk 0.55 reads them with nanoarrow, which knows zstd longer than lz4.
    "arrow": ("zstd", "lz4", "none"),
}
"""How files of each format can be compressed; the first is how they are unless told."""
COMPRESSIONS = tuple(sorted({each for allowed in FORMATS.values() for each in allowed}))
"""How files can be compressed."""


def read_batch_config(raw: Mapping[str, Any] | None) -> BatchConfig | None:
    """Read the setting `batch_config`; None when rows are to be RECORD messages.

    Raises:
        SettingsError: It is incomplete, or files cannot be written as it wants them.
    """
    if not raw:
        return None
    try:
        config = BatchConfig.from_dict(copy.deepcopy(dict(raw)))
        encoding, _ = config.encoding, config.storage.root
        compressions = FORMATS.get(encoding.format)
    except (AttributeError, TypeError):
        raise SettingsError(
            "batch_config is not valid: it has encoding.format, storage.root, and perhaps "
            "encoding.compression, storage.prefix, storage.params and batch_size"
        ) from None
    if compressions is None:
        raise SettingsError(f"batch_config.encoding.format must be {' or '.join(FORMATS)}")
    encoding.compression = encoding.compression or compressions[0]
    if encoding.compression not in compressions:
        raise SettingsError(
            f"batch_config.encoding.compression must be {' or '.join(compressions)}"
        )
    if type(config.storage.root) is not str or not config.storage.root:
        raise SettingsError("batch_config.storage.root must be a path or a URL")
    if "/" in (config.storage.prefix or ""):
        raise SettingsError("batch_config.storage.prefix must not hold a /: it begins file names")
    if type(config.batch_size) is not int or config.batch_size < 1:
        raise SettingsError("batch_config.batch_size must be a whole number, at least 1")
    return config
