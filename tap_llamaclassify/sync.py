"""One pass over one listing for every selected stream: rows first, then bookmarks, then STATE.

The order of the listing is unknown, so a bookmark moves only when the listing is at its end and
all rows are written. A run that is broken off leaves the bookmarks where they were.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime

from singer_sdk import Tap, metrics
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL

from tap_llamaclassify.batch_config import read_batch_config
from tap_llamaclassify.batches import Batches
from tap_llamaclassify.bookmarks import Bookmark
from tap_llamaclassify.census import Census
from tap_llamaclassify.client import Client, Exchange
from tap_llamaclassify.connection import connect
from tap_llamaclassify.listing import V1_JOBS_PATH, Listing, Page
from tap_llamaclassify.messages import MessageWriter
from tap_llamaclassify.models import Json
from tap_llamaclassify.outlets import Outlet, RecordSink, Sink, version_of
from tap_llamaclassify.rows import Row, due
from tap_llamaclassify.settings import Settings
from tap_llamaclassify.state import read_entry, write_entry
from tap_llamaclassify.streams import STREAMS, ClassifyStream
from tap_llamaclassify.timestamps import from_datetime
from tap_llamaclassify.waits import Clock

PROGRESS_SECONDS = 10
"""How often progress is logged at the end of a page, at most."""

_logger = logging.getLogger(__name__)


class OnePass:
    """Takes all selected streams of a tap through one listing, whichever is synced first."""

    def __init__(
        self, tap: Tap, settings: Settings, writer: MessageWriter, clock: Clock | None = None
    ) -> None:
        self._tap = tap
        self._settings = settings
        self._writer = writer
        self._clock = clock or Clock()
        self._served: set[str] = set()

    def serves(self, stream: ClassifyStream) -> bool:
        """Answer whether a stream's part was done while another stream was synced."""
        return stream.name in self._served

    def rows(self, stream: ClassifyStream) -> Iterable[Row]:
        """Read one stream's rows from a listing of its own."""
        for page in self._listing(None).pages():
            yield from stream.table.rows_of(page.jobs)

    def run(self, driver: ClassifyStream) -> None:
        """Sync all selected streams, or nothing when the driver was served already.

        Raises:
            TapError: The state cannot be read, the API not be listed, or rows not be written.
        """
        if self.serves(driver):
            self._served.discard(driver.name)
            return
        ours = [s for s in self._tap.streams.values() if isinstance(s, ClassifyStream)]
        streams = sorted((s for s in ours if s.selected), key=lambda s: STREAMS.index(type(s)))
        run = Run(streams, self._tap, self._settings, self._writer)
        for stream in streams:
            if stream is not driver:
                stream.write_schema()
                self._served.add(stream.name)
        try:
            self._take_through(run, driver)
        except BaseException:
            self._served.clear()
            run.discard()
            raise

    def _take_through(self, run: Run, driver: ClassifyStream) -> None:
        with run.measured(driver.name) as note_exchange:
            listing = self._listing(note_exchange)
            limit = driver.ABORT_AT_RECORD_COUNT
            progress = Progress(listing, self._clock)
            for page in listing.pages(ahead=limit is None):
                run.take(page)
                progress.at_page_end(page)
                if limit is not None and listing.activity.jobs >= limit:
                    break
            run.finish(whole=limit is None)
            _logger.info("Listed %s", str(listing.activity))

    def _listing(self, on_exchange: Callable[[Exchange], None] | None) -> Listing:
        connection = connect(self._settings, os.environ)
        if connection.insecure:
            _logger.warning("allow_insecure_http: the key travels unencrypted over the network")
        return Listing(Client(connection, clock=self._clock, on_exchange=on_exchange), connection)


class Run:
    """All selected streams during one listing.

    Args:
        streams: The selected streams, in the order in which a page's rows are written.
        tap: Holds the state, which is read now and moved at the end.
        settings: What the user set.
        writer: Writes the messages.

    Raises:
        StateError: A stream's bookmark cannot be read.
    """

    def __init__(
        self,
        streams: Sequence[ClassifyStream],
        tap: Tap,
        settings: Settings,
        writer: MessageWriter,
    ) -> None:
        self._tap = tap
        self._settings = settings
        self._writer = writer
        self._census = Census()
        self._versions = {s.name: version_of(s, tap.initialized_at) for s in streams}
        batches = read_batch_config(tap.config.get("batch_config"))
        names = {*tap.streams} | {m.stream_alias for s in streams for m in s.stream_maps}
        self._batches = Batches(batches, writer, names) if batches else None
        self._outlets = [Outlet(s, self._sink(s), self._census) for s in streams]
        self._kept = {
            s.name: read_entry(s.name, s.stream_state)
            for s in streams
            if s.replication_method == REPLICATION_INCREMENTAL
        }
        self._bookmarks: dict[str, Bookmark] | None = None
        self._newest: str | None = None
        self._has_shifted = False
        self._replaced = 0

    def _sink(self, stream: ClassifyStream) -> Sink:
        version = self._versions[stream.name]
        if self._batches is None:
            return RecordSink(self._writer, version)
        return self._batches.sink(stream, version)

    def discard(self) -> None:
        """Remove files that were not finished."""
        if self._batches is not None:
            self._batches.discard()

    def take(self, page: Page) -> None:
        """Write the rows of a page's jobs, less what a stream's bookmark leaves out."""
        if self._bookmarks is None:
            self._bookmarks = self._begin(page.asked_at)
        passed: dict[str | None, Sequence[Json]] = {}
        for outlet in self._outlets:
            bookmark = self._bookmarks.get(outlet.stream.name)
            since = bookmark.since() if bookmark else self._settings.start_date
            if since not in passed:
                passed[since] = due(page.jobs, since)
            outlet.take(passed[since])
        if page.has_misfits:
            # Each filter is an instant, so the longest of these holds all the others.
            self._census.note_misfits(max(passed.values(), key=len, default=()))
        self._newest = _newest(page.jobs, self._newest)
        self._has_shifted |= page.overlaps
        self._replaced += page.replaced

    def _begin(self, asked_at: datetime) -> dict[str, Bookmark]:
        begun = {
            name: Bookmark(
                kept,
                clock=from_datetime(asked_at),
                floor=self._settings.start_date,
                lookback_seconds=self._settings.value("lookback_seconds"),
            )
            for name, kept in self._kept.items()
        }
        if untrusted := [name for name, bookmark in begun.items() if not bookmark.is_trusted]:
            _logger.warning(
                "Bookmarks later than the server's clock cannot be right, and are not trusted: "
                "%s are read from %s",
                ", ".join(untrusted),
                self._settings.start_date or "their beginning",
            )
        for name, bookmark in begun.items():
            _logger.info("%s: emitting what was updated since %s", name, bookmark.since() or "ever")
        return begun

    def finish(self, *, whole: bool) -> None:
        """Write what is held back, then the new state.

        Args:
            whole: Whether the listing was read to its end. If not, nothing counts as done.
        """
        for outlet in self._outlets:
            version = self._versions[outlet.stream.name] if whole else None
            outlet.close(self._writer, version)
        if whole:
            for outlet in self._outlets:
                bookmark = (self._bookmarks or {}).get(outlet.stream.name)
                if bookmark:
                    kept = bookmark.after(self._newest, shifted=self._has_shifted)
                    write_entry(outlet.stream.stream_state, kept)
        self._tap.state_writer.write_state(self._tap.state)
        if self._has_shifted and not all(kept.shifts for kept in self._kept.values()):
            _logger.warning(
                "Jobs moved from page to page while they were listed, so some may have been passed "
                "over: the next run emits everything again, and later ones the changes of two runs"
            )
        self._census.warn()
        if self._replaced:
            _logger.warning("%d lone surrogates in the API's text became U+FFFD", self._replaced)

    @contextmanager
    def measured(self, driver: str) -> Iterator[Callable[[Exchange], None]]:
        """Log singer-sdk's metrics: records and time of each stream, requests and their time."""
        requests = metrics.http_request_counter(driver, endpoint=V1_JOBS_PATH)

        def note(exchange: Exchange) -> None:
            requests.increment()
            metrics.log(metrics.get_metrics_logger(), _point(driver, exchange))

        with ExitStack() as stack:
            for outlet in self._outlets:
                stack.enter_context(outlet.stream.get_sync_timer())
                stack.enter_context(outlet.counter)
            stack.enter_context(requests)
            yield note


class Progress:
    """Logs how far a listing has come, now and then."""

    def __init__(self, listing: Listing, clock: Clock) -> None:
        self._listing = listing
        self._clock = clock
        self._said_at = clock.monotonic()

    def at_page_end(self, page: Page) -> None:
        """Log progress if the last time was long enough ago."""
        now = self._clock.monotonic()
        if now - self._said_at >= PROGRESS_SECONDS:
            self._said_at = now
            of = f" of about {page.total_size:,} jobs" if page.total_size else ""
            _logger.info("So far %s%s", str(self._listing.activity), of)


def _newest(jobs: Sequence[Json], newest: str | None) -> str | None:
    updates = [update for job in jobs if (update := job.get("updated_at")) is not None]
    return max([*updates, newest] if newest is not None else updates, default=None)


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
