"""What the tap leans on in singer-sdk beyond what its documentation offers: the seams.

Documented are the names that singer-sdk exports (`EXPORTING`), and the public methods of the
classes among them. This imports nothing of the tap, so that it can tell what has moved where the
tap can no longer be imported.
"""

from __future__ import annotations

from dataclasses import dataclass

EXPORTING = (
    "singer_sdk",
    "singer_sdk.exceptions",
    "singer_sdk.helpers.types",
    "singer_sdk.singerlib",
    "singer_sdk.singerlib.encoding",
    "singer_sdk.typing",
)
"""The modules of singer-sdk that say in `__all__` what they are for."""


@dataclass(frozen=True)
class Seam:
    """Something of singer-sdk that its documentation does not offer.

    Attributes:
        name: Where singer-sdk has it: a module, and what is in it after a colon.
        by: The modules of ours that lean on it, with commas between.
        use: What it does there.
        takes: Parameters that are passed to it, or that an override of it takes.
        has: Attributes of it, or of its objects.
    """

    name: str
    by: str
    use: str
    takes: tuple[str, ...] = ()
    has: tuple[str, ...] = ()


STREAM, TAP = "singer_sdk:Stream", "singer_sdk:Tap"
STREAMS_PY, TAP_PY, BATCHES_PY = "singer/streams.py", "singer/tap.py", "singer/batches.py"
BATCH = "singer_sdk.helpers._batch"
MAPPER = "singer_sdk.mapper"
METRICS = "singer_sdk.metrics"
CATALOG = "singer_sdk.singerlib.catalog"

SEAMS = [
    Seam(
        f"{STREAM}._sync_records",
        STREAMS_PY,
        "is overridden: the one pass takes its place",
        takes=("context", "write_messages"),
    ),
    Seam(
        f"{STREAM}._sync_batches",
        STREAMS_PY,
        "is overridden: the one pass takes its place",
        takes=("batch_config", "context"),
    ),
    Seam(
        f"{STREAM}._write_schema_message",
        STREAMS_PY,
        "is overridden and called: SCHEMA comes before the one pass, and once",
    ),
    Seam(
        f"{STREAM}._generate_schema_messages",
        STREAMS_PY,
        "is overridden: SCHEMA says what is in files that have a schema of their own",
    ),
    Seam(
        f"{STREAM}._write_activate_version_message",
        STREAMS_PY,
        "is overridden: ACTIVATE_VERSION comes after the rows",
        takes=("full_table_version",),
    ),
    Seam(
        f"{STREAM}.log",
        STREAMS_PY,
        "is overridden: an error is told once, where it ends up",
        takes=("message", "args", "level", "kwargs"),
    ),
    Seam(
        STREAM,
        "singer/writers.py, singer/sync.py, singer/run.py",
        "is read during the one pass",
        has=(
            *("ABORT_AT_RECORD_COUNT", "emit_activate_version_messages", "get_record_counter"),
            *("get_sync_timer", "replication_method", "stream_maps", "stream_state"),
        ),
    ),
    Seam(f"{STREAM}.selected", STREAMS_PY, "is a property that can be set", has=("fget", "fset")),
    Seam(
        f"{TAP}._handle_termination",
        TAP_PY,
        "is overridden: a signal ends the process at once, and not with exit code 0",
        takes=("signum", "frame"),
    ),
    Seam(f"{TAP}.catalog", TAP_PY, "is overridden: stream maps know the streams that are chosen"),
    Seam(f"{TAP}.setup_mapper", TAP_PY, "is overridden: deselected streams have no stream maps"),
    Seam(
        f"{TAP}.cb_config",
        TAP_PY,
        "is overridden: a file is read by the tap",
        takes=("ctx", "param", "value"),
    ),
    Seam(
        f"{TAP}.invoke",
        TAP_PY,
        "is overridden: --check, and files that are wrong",
        takes=("config", "state", "catalog"),
    ),
    Seam(
        TAP,
        "singer/tap.py, singer/run.py",
        "is read during the one pass",
        has=("initialized_at", "mapper", "message_writer", "state", "state_writer", "streams"),
    ),
    Seam(
        "singer_sdk.plugin_base:_ConfigInput",
        TAP_PY,
        "is what Tap.cb_config returns",
        has=("config", "parse_env"),
    ),
    Seam(
        "singer_sdk.plugin_base:SingerCommand",
        "singer/cli.py",
        "is the command, whose `main` is overridden",
        takes=("logger",),
        has=("logger", "main"),
    ),
    Seam(
        "singer_sdk.helpers._state:StateWriter.write_state",
        "singer/run.py",
        "writes STATE when it has changed",
        takes=("state",),
    ),
    Seam(
        "singer_sdk.helpers.capabilities:EMIT_ACTIVATE_VERSION_CONFIG",
        TAP_PY,
        "is the schema of a setting that singer-sdk 0.54 reads and does not declare",
    ),
    Seam(
        f"{MAPPER}:StreamMap",
        "singer/record_mapper.py",
        "gives rows their shape",
        has=(
            *("flattening_enabled", "raw_schema", "stream_alias", "transform"),
            *("transformed_key_properties", "transformed_schema"),
        ),
    ),
    Seam(
        f"{MAPPER}:SameRecordTransform",
        "singer/tap.py, singer/record_mapper.py, singer/batches.py",
        "is the stream map that changes nothing but what flattening does",
        takes=("stream_alias", "raw_schema", "key_properties", "flattening_options"),
    ),
    Seam(f"{MAPPER}:RemoveRecordTransform", "singer/record_mapper.py", "leaves out all rows"),
    Seam(f"{MAPPER}:PluginMapper", TAP_PY, "has the stream maps by name", has=("stream_maps",)),
    Seam(
        f"{BATCH}:BatchConfig",
        "config/batch_config.py, config/json_schema.py, singer/batches.py",
        "is what `batch_config` consists of",
        takes=("encoding", "storage", "batch_size"),
        has=("from_dict", "encoding", "storage", "batch_size"),
    ),
    Seam(
        f"{BATCH}:BaseBatchFileEncoding",
        "config/batch_config.py",
        "is a part of BatchConfig",
        has=("format", "compression"),
    ),
    Seam(
        f"{BATCH}:StorageTarget",
        "config/batch_config.py",
        "is a part of BatchConfig",
        has=("root", "prefix", "params"),
    ),
    Seam(
        f"{BATCH}:SDKBatchMessage",
        BATCHES_PY,
        "is a BATCH message",
        takes=("stream", "encoding", "manifest", "version"),
        has=("to_dict",),
    ),
    Seam(f"{CATALOG}:REPLICATION_FULL_TABLE", STREAMS_PY, "is the name of a replication method"),
    Seam(f"{CATALOG}:REPLICATION_INCREMENTAL", STREAMS_PY, "is the name of a replication method"),
    Seam(
        METRICS,
        "singer/sync.py",
        "logs metrics",
        has=("Metric", "Point", "Status", "Tag", "get_metrics_logger", "http_request_counter"),
    ),
    Seam(
        f"{METRICS}:Point",
        "singer/sync.py",
        "is one line of metrics",
        takes=("metric_type", "metric", "value", "tags"),
    ),
    Seam(
        f"{METRICS}:http_request_counter",
        "singer/sync.py",
        "counts requests",
        takes=("stream", "endpoint"),
    ),
    Seam(
        f"{METRICS}:Tag",
        "singer/sync.py",
        "says what a line of metrics is of",
        has=("ENDPOINT", "HTTP_STATUS_CODE", "STATUS", "STREAM"),
    ),
    Seam(
        f"{METRICS}:Metric",
        "singer/sync.py",
        "says what a line of metrics measures",
        has=("HTTP_REQUEST_DURATION",),
    ),
    Seam(
        f"{METRICS}:Status",
        "singer/sync.py",
        "says whether a request succeeded",
        has=("FAILED", "SUCCEEDED"),
    ),
]

CALLS = [
    (f"{STREAM}.sync", "self.log(log_msg, *log_args)"),
    (f"{STREAM}.sync", "self._write_schema_message()"),
    (f"{STREAM}.sync", "self._write_activate_version_message(self._stream_version)"),
    (f"{STREAM}.sync", "self._sync_batches(batch_config, context=context)"),
    (f"{STREAM}.sync", "for _ in self._sync_records(context=context):"),
    (f"{STREAM}.sync", "level=logging.ERROR"),
    (f"{STREAM}._write_schema_message", "self._generate_schema_messages()"),
    (f"{TAP}.run_sync_dry_run", "stream.ABORT_AT_RECORD_COUNT = dry_run_record_limit"),
    (f"{TAP}.run_sync_dry_run", "stream.selected = True"),
    (f"{TAP}.write_schemas", "stream._write_schema_message()"),
    (f"{TAP}.setup_mapper", "self.mapper.register_raw_streams_from_catalog(self.catalog)"),
    (f"{TAP}._setup_signal_handlers", "signal.SIGTERM, self._handle_termination"),
]
"""Where singer-sdk calls what the tap overrides."""

OWNERS = (
    STREAM,
    TAP,
    "singer_sdk.plugin_base:SingerCommand",
    f"{MAPPER}:StreamMap",
    f"{MAPPER}:PluginMapper",
    "singer_sdk.singerlib.encoding:GenericSingerWriter",
)
"""The classes of singer-sdk whose objects the tap has in hand."""
