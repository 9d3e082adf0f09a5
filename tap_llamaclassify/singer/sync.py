"""One pass over all that is to be read, for every selected stream, whichever is synced first."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import chain, repeat

from singer_sdk import Tap, metrics

from tap_llamaclassify.config.json_schema import Configuration
from tap_llamaclassify.errors import ApiError
from tap_llamaclassify.http.client import Client, Exchange
from tap_llamaclassify.http.pacing import Clock
from tap_llamaclassify.replication.readers import ConnectionReader, Failed, named_by
from tap_llamaclassify.replication.reading import read_parts
from tap_llamaclassify.replication.state import State
from tap_llamaclassify.replication.steps import Step
from tap_llamaclassify.replication.summary import (
    Part,
    activity_of,
    error_of,
    summed_up,
    warn_of_insecure,
    warn_of_nothing,
    warn_of_the_unmissed,
)
from tap_llamaclassify.singer.run import Run
from tap_llamaclassify.singer.streams import ClassifyStream
from tap_llamaclassify.tables.rows import Row
from tap_llamaclassify.tables.tables import TABLES

PROGRESS_SECONDS = 10
"""How often progress is logged at the end of a step, at most."""
MOST_POINTS = 100
"""How many requests of a run have a line of metrics at level INFO; the others have it at DEBUG."""

_logger = logging.getLogger(__name__)


class OnePass:
    """Takes all selected streams of a tap through one pass, whichever is synced first."""

    def __init__(
        self,
        tap: Tap,
        state: State,
        configuration: Configuration,
        clock: Clock | None = None,
    ) -> None:
        self._tap = tap
        self._state = state
        self._configuration = configuration
        self._settings = configuration.settings
        self._clock = clock or Clock()
        self._served: set[str] = set()

    def serves(self, stream: ClassifyStream) -> bool:
        """Return whether a stream's part was done while another stream was synced."""
        return stream.name in self._served

    def rows(self, stream: ClassifyStream) -> Iterable[Row]:
        """Read one stream's rows from listings of its own.

        Raises:
            ApiError: They cannot be read.
        """
        wanted = dict.fromkeys([stream.name, *named_by(stream.name)])
        for client in self._clients(None):
            for step in ConnectionReader(client, self._settings, wanted).steps():
                if isinstance(step, Failed):
                    raise step.error
                yield from stream.table.rows(step.items.get(stream.name, ()))

    def run(self, driver: ClassifyStream) -> None:
        """Sync all selected streams, or nothing when the driver was served already.

        Raises:
            TapError: The state cannot be read, the API not be listed, or rows not be written.
        """
        if self.serves(driver):
            self._served.discard(driver.name)
            return
        if not driver.selected:
            return
        ours = [s for s in self._tap.streams.values() if isinstance(s, ClassifyStream)]
        streams = sorted((s for s in ours if s.selected), key=lambda s: TABLES.index(s.table))
        run = Run(streams, self._tap, self._state, self._configuration, self._clock)
        others = [stream for stream in streams if stream is not driver]
        for stream in others:
            stream.announce()
        for stream in others:
            stream.write_schema()
            self._served.add(stream.name)
        try:
            self._take_through(run, driver)
        except BaseException:
            self._served.clear()
            run.discard()
            raise

    def _take_through(self, run: Run, driver: ClassifyStream) -> None:
        parts: list[Part] = []
        with (
            summed_up(parts, run.rows, self._clock),
            _measured(run, driver.name) as note_exchange,
        ):
            clients = self._clients(note_exchange)
            require_all = self._settings.require_all
            parts += [
                Part(each, run.wanted(each.connection.name), require_all=require_all)
                for each in clients
            ]
            limit = driver.ABORT_AT_RECORD_COUNT
            self._read(run, parts, limit)
            warn_of_the_unmissed(parts)
            if error := error_of(parts):
                run.break_off()
                raise error
            left_out = {name for part in parts for name in part.unread}
            run.finish(whole=limit is None, left_out=left_out)
            warn_of_nothing(parts, self._settings)

    def _read(self, run: Run, parts: Sequence[Part], limit: int | None) -> None:
        """Take all that can be read, and note of each part what cannot."""
        progress = Progress(parts, self._clock)
        for part, step in read_parts(parts, self._settings, limit=limit, rest=run.rest):
            try:
                run.write_step(part.client.connection.name, step)
            except ApiError as error:
                # Its next steps would let the state pass over what could not be written.
                part.failures.append(Failed(error))
                part.is_over = True
            progress.at_end(step)
            del step

    def _clients(self, on_exchange: Callable[[Exchange], None] | None) -> list[Client]:
        connections = self._configuration.connections
        warn_of_insecure(connections)
        return [Client(each, clock=self._clock, on_exchange=on_exchange) for each in connections]


class Progress:
    """Logs how far a sync has come, now and then."""

    def __init__(self, parts: Sequence[Part], clock: Clock) -> None:
        self._parts = parts
        self._clock = clock
        self._said_at = clock.monotonic()

    def at_end(self, step: Step) -> None:
        """Log progress if the last time was long enough ago."""
        now = self._clock.monotonic()
        if now - self._said_at >= PROGRESS_SECONDS:
            self._said_at = now
            _logger.info("So far %s%s", str(activity_of(self._parts)), self._of_all(step))

    def _of_all(self, step: Step) -> str:
        page = step.pages[-1] if step.pages else None
        if len(self._parts) > 1 or page is None or not page.total_size:
            return ""
        return f"; of this listing {page.listed:,} of about {page.total_size:,}"


@contextmanager
def _measured(run: Run, driver: str) -> Iterator[Callable[[Exchange], None]]:
    """Log singer-sdk's metrics: records and time of each stream, requests and their time."""
    requests = metrics.http_request_counter(driver, endpoint="/api")
    levels = chain(repeat(logging.INFO, MOST_POINTS), repeat(logging.DEBUG))
    turn = threading.Lock()

    def note(exchange: Exchange) -> None:
        with turn:
            requests.increment()
            logger, level = metrics.get_metrics_logger(), next(levels)
            if logger.isEnabledFor(level):
                # As singer-sdk does it, which has no other level than INFO.
                logger.log(level, "METRIC: %s", _point(driver, exchange))

    with ExitStack() as stack:
        for writer in run.writers:
            stack.enter_context(writer.stream.get_sync_timer())
            stack.enter_context(writer.counter)
        stack.enter_context(requests)
        yield note


def _point(stream: str, exchange: Exchange) -> metrics.Point[float]:
    succeeded = exchange.status < 400  # noqa: PLR2004 - the statuses of errors begin there
    return metrics.Point(
        "timer",
        metrics.Metric.HTTP_REQUEST_DURATION,
        exchange.seconds,
        {
            metrics.Tag.STREAM: stream,
            metrics.Tag.ENDPOINT: exchange.path,
            metrics.Tag.HTTP_STATUS_CODE: exchange.status,
            metrics.Tag.STATUS: (metrics.Status.SUCCEEDED if succeeded else metrics.Status.FAILED),
        },
    )
