"""What v2 jobs cost: only the call for one job is sure to tell."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from tap_llamaclassify.api.endpoints import V2_JOB
from tap_llamaclassify.api.models import MISFITS, Json
from tap_llamaclassify.api.pagination import page_of, scope_of
from tap_llamaclassify.concurrency import in_order
from tap_llamaclassify.errors import GoneError
from tap_llamaclassify.http.client import Client
from tap_llamaclassify.http.request import Request
from tap_llamaclassify.replication.unfinished import is_finished

MOST_KNOWN = 10_000
"""How many jobs' usage is remembered: a job may be listed twice where two windows meet."""


class Usage:
    """Fills in the usage of finished jobs, asking for each once."""

    def __init__(self, client: Client, at_once: int) -> None:
        self._client = client
        self._at_once = at_once
        self._known: dict[str, Any] = {}

    def fill(self, jobs: Sequence[Json]) -> bool:
        """Give finished jobs their usage; one that is deleted meanwhile has none.

        Returns:
            Whether any values of it do not fit.

        Raises:
            ApiError: The API refuses, or cannot be reached.
        """
        missing = [job for job in jobs if is_finished(job) and not _has_usage(job)]
        new = {job["id"]: None for job in missing if job["id"] not in self._known}
        for id_, usage in zip(
            new, in_order([partial(self._ask, id_) for id_ in new], self._at_once), strict=True
        ):
            self._known[id_] = usage
        for job in missing:
            usage = self._known[job["id"]]
            if isinstance(usage, dict):
                job["usage"] = usage
            elif usage is not None:
                job.setdefault(MISFITS, {})["usage"] = usage
        while len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return any(MISFITS in {*job} | {*(job.get("usage") or ())} for job in missing)

    def _ask(self, id_: str) -> Any:
        request = Request(
            self._client,
            V2_JOB.path_of(id_),
            params={**scope_of(self._client, V2_JOB), "expand": "usage"},
            read=partial(page_of, endpoint=V2_JOB),
            shown=V2_JOB.path,
        )
        try:
            (job,) = request.answer().items
        except GoneError:
            return None
        return job.get("usage") or job.get(MISFITS, {}).get("usage")


def _has_usage(job: Json) -> bool:
    return job.get("usage") is not None or "usage" in job.get(MISFITS, ())
