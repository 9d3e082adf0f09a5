"""All connections, side by side: what they bring, step by step, and what failed of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from tap_llamaclassify.concurrency import Rest, side_by_side
from tap_llamaclassify.config.settings import Settings
from tap_llamaclassify.errors import SettingsError
from tap_llamaclassify.replication.allowance import Allowance
from tap_llamaclassify.replication.readers import ConnectionReader, Failed
from tap_llamaclassify.replication.steps import Step
from tap_llamaclassify.replication.summary import Part
from tap_llamaclassify.tables.tables import Table


def check_allowed(tables: Iterable[Table], settings: Settings) -> None:
    """Make sure that tables which take many requests are allowed to.

    Raises:
        SettingsError: One is not.
    """
    for table in tables:
        setting = table.endpoint.setting
        if setting and not getattr(settings, setting):
            raise SettingsError(
                f"{table.name} takes a request a job, which {setting} allows: set it, or leave it "
                "out"
            )


def read_parts(
    parts: Sequence[Part],
    settings: Settings,
    *,
    limit: int | None = None,
    allowance: Allowance | None = None,
    rest: Rest | None = None,
) -> Iterator[tuple[Part, Step]]:
    """Read all that can be, `parallel_connections` at once, and note of each part what cannot.

    Args:
        parts: A part that is over when its step was worked on brings no more.
        settings: What the user set.
        limit: Read no further in an API when there are so many items, and keep nothing.
        allowance: Begin no more windows when it is used; None to read all.
        rest: Done now and then while nothing comes.
    """
    sources = [_steps(part, settings, limit, allowance) for part in parts]
    at_once: int = settings.parallel_connections
    for number, step in side_by_side(sources, at_once, rest):
        if isinstance(step, Failed):
            parts[number].failures.append(step)
        else:
            yield parts[number], step
        # Let go of it before the next one comes in.
        del step


def _steps(
    part: Part, settings: Settings, limit: int | None, allowance: Allowance | None
) -> Iterator[Step | Failed]:
    reader = ConnectionReader(part.client, settings, part.wanted, limit, allowance)
    for step in reader.steps():
        yield step
        del step
        if part.is_over:
            return
