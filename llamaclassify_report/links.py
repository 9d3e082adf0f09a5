"""Where a job's page is, by a pattern that the user gives; the only addresses that the page has."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

JOB, PROJECT = "{job_id}", "{project_id}"
LONGEST_ID = 200
STEPS_IN_PATHS = {".", ".."}
"""Browsers take these for steps, however they are encoded."""


class LinkError(ValueError):
    """The pattern makes no address; the text is one line for the user, without the pattern."""


class JobPages:
    """Addresses of jobs, such as `https://host/project/{project_id}/classify/{job_id}`."""

    def __init__(self, pattern: str | None = None) -> None:
        self._pattern = pattern or ""
        if self._pattern and not _is_good(self._pattern):
            raise LinkError(
                "must be an http or https address with {job_id} in it, and {project_id} where it "
                "is needed, both behind the host"
            )

    def address_of(self, job_id: str | None, project_id: str | None) -> str:
        """Return the address of a job's page; `""` without a pattern, or where an id cannot be."""
        ids = {JOB: job_id or "", PROJECT: project_id or ""}
        used = {name: id_ for name, id_ in ids.items() if name in self._pattern}
        if not all(map(_can_stand, used.values())):
            return ""
        address = self._pattern
        for name, id_ in used.items():
            # Braces are encoded, too, so that no id becomes a placeholder.
            address = address.replace(name, quote(id_, safe=""))
        return address


def _can_stand(id_: str) -> bool:
    return 0 < len(id_) <= LONGEST_ID and id_ not in STEPS_IN_PATHS


def _is_good(pattern: str) -> bool:
    try:
        parts = urlsplit(pattern)
        host = parts.hostname
    except ValueError:
        return False
    others = pattern.replace(JOB, "").replace(PROJECT, "")
    return (
        parts.scheme in {"http", "https"}
        and bool(host)
        and JOB in pattern
        and not {*"{} "} & {*others, *parts.netloc}
        and pattern.isprintable()
    )
