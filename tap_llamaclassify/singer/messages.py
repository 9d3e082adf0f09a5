"""Singer messages on standard output: encoded many at a time, written whole and at once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from singer_sdk.singerlib import Message, StateMessage
from singer_sdk.singerlib.encoding import GenericSingerWriter
from typing_extensions import override

from tap_llamaclassify.command import standard_output
from tap_llamaclassify.json_text import encoder
from tap_llamaclassify.replication.shared_state import shared
from tap_llamaclassify.timestamps import from_datetime


class MessageWriter(GenericSingerWriter[bytes, Message]):
    """Writes lines to standard output; none waits in a buffer, so none can overtake another."""

    @override
    def serialize_message(self, message: Message) -> bytes:
        return encoder.encode(message.to_dict()) + b"\n"

    @override
    def write_message(self, message: Message) -> None:
        if isinstance(message, StateMessage):
            message = StateMessage(shared(message.value))
        standard_output.write(self.format_message(message))

    def write_records(
        self,
        stream: str,
        rows: Sequence[dict[str, Any]],
        *,
        version: int | None,
        extracted_at: datetime,
    ) -> None:
        """Write a RECORD message for each of the rows."""
        if rows:
            standard_output.write(
                _record_lines(stream, rows, version=version, extracted_at=extracted_at)
            )


def _record_lines(
    stream: str, rows: Sequence[dict[str, Any]], *, version: int | None, extracted_at: datetime
) -> bytes:
    """Encode all rows in one go, then put what all messages share where the lines meet.

    No line break can stand inside a row's JSON.
    """
    head = b'{"type":"RECORD","stream":' + encoder.encode(stream) + b',"record":'
    tail = b',"time_extracted":' + encoder.encode(from_datetime(extracted_at)) + b"}\n"
    if version is not None:
        tail = b',"version":' + encoder.encode(version) + tail
    return head + encoder.encode_lines(rows)[:-1].replace(b"\n", tail + head) + tail
