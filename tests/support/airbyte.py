"""The command `source-llamaclassify` in a process of its own, and what it wrote."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.commands import ended

Message = dict[str, Any]
MODULE = "tap_llamaclassify.airbyte.command"


@dataclass(frozen=True)
class Said:
    """What one run of the command wrote, and its exit code."""

    code: int
    messages: Sequence[Message]
    stderr: str

    def of_type(self, kind: str) -> list[Message]:
        """Return what the messages of a type hold, in order."""
        names = {"CONNECTION_STATUS": "connectionStatus"}
        inner = names.get(kind, kind.lower())
        return [message[inner] for message in self.messages if message["type"] == kind]

    def rows(self, stream: str) -> list[Message]:
        """Return a stream's records."""
        return [each["data"] for each in self.of_type("RECORD") if each["stream"] == stream]

    @property
    def states(self) -> list[Message]:
        """The last state message of each stream, as a platform hands them in again."""
        last = {s["stream"]["stream_descriptor"]["name"]: s for s in self.of_type("STATE")}
        return [*last.values()]

    def kept(self, stream: str) -> Message:
        """Return the last state of a stream."""
        found = {s["stream"]["stream_descriptor"]["name"]: s for s in self.states}[stream]
        kept: Message = found["stream"]["stream_state"]
        return kept

    def statuses(self, stream: str) -> list[str]:
        """Return what became of a stream, step by step."""
        told = [each["stream_status"] for each in self.of_type("TRACE") if "stream_status" in each]
        return [each["status"] for each in told if each["stream_descriptor"] == {"name": stream}]

    @property
    def error(self) -> Message:
        """The one error that it ended with."""
        (found,) = [each["error"] for each in self.of_type("TRACE") if "error" in each]
        assert (self.code, self.messages[-1]["type"]) == (1, "TRACE")
        error: Message = found
        return error


def source(
    folder: Path,
    *words: str,
    env: Mapping[str, str] | None = None,
    command: Sequence[Any] = (sys.executable, "-m", MODULE),
    **files: Any,
) -> Said:
    """Run the command; what is named becomes a file, and its option."""
    arguments = [*words]
    for name, content in files.items():
        path = folder / f"{name}.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        arguments += [f"--{name}", str(path)]
    done = ended([*command, *arguments], cwd=folder, env=os.environ | (env or {}))
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    return Said(done.code, messages, done.stderr)


def states_of(bookmarks: Mapping[str, Any]) -> list[Message]:
    """Make state messages of what a Singer state has in its bookmarks."""
    return [
        {
            "type": "STREAM",
            "stream": {"stream_descriptor": {"name": name}, "stream_state": entry},
        }
        for name, entry in bookmarks.items()
    ]


def configured(*streams: str, mode: str = "incremental", **more: Any) -> Message:
    """Make a configured catalog."""
    return {
        "streams": [
            {
                "stream": {"name": name, "json_schema": {}},
                "sync_mode": mode,
                "destination_sync_mode": "append_dedup",
                **more,
            }
            for name in streams
        ]
    }
