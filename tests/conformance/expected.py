"""How the sandbox has to answer a request, by the OpenAPI and by what the sandbox has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from requests import codes

from llamacloud_sandbox.server import Sandbox
from tests.conformance.contract import REFUSABLE, Contract
from tests.conformance.wire import Asked, Verdict, verdicts

OWN = "own"
ANOTHERS = "another project's"
WRONG = "a wrong"
NO = "no"
SCOPES = {"project_id": codes.unauthorized, "organization_id": codes.forbidden}
"""What a request is refused with that is about what the key may not read."""


class Expected:
    """What to expect of one operation.

    Attributes:
        known: Values that find something, by the parameters that ask for them.
        given_out: The page tokens that there were in replies so far.
    """

    def __init__(self, sandbox: Sandbox, contract: Contract, path: str) -> None:
        self.known = known_values(sandbox)
        self.given_out: set[str] = set()
        self._sandbox = sandbox
        self._contract = contract
        self._path = path

    def verdicts(self, asked: Asked) -> dict[str, Verdict]:
        """Judge the parameters of a request."""
        return verdicts(self._contract, self._path, asked)

    def authorization(self, key: str) -> dict[str, str]:
        """Return the header for a key; none for no key."""
        own, other, *_ = self._sandbox.keys.values()
        keys = {OWN: own, ANOTHERS: other, WRONG: "llx-wrong"}
        return {"Authorization": f"Bearer {keys[key]}"} if key in keys else {}

    def statuses(self, asked: Asked, key: str) -> set[int]:
        """Return the statuses of which the reply must have one.

        Args:
            asked: The request.
            key: The first project's, another's, a wrong one or none.
        """
        if key not in {OWN, ANOTHERS}:
            return {codes.unauthorized}
        judged = self.verdicts(asked)
        refused = {
            status
            for name, status in SCOPES.items()
            if judged.get(name, False) is not False and not self._is_own(asked, name, key)
        }
        if False in judged.values():
            return refused | {codes.unprocessable_entity}
        is_doubtful = None in judged.values() or any(self._may_refuse(asked, n) for n in judged)
        found = refused or self._found(asked, key)
        return found | ({codes.unprocessable_entity} if is_doubtful else set())

    def _found(self, asked: Asked, key: str) -> set[int]:
        """Tell what becomes of a request that may ask what it asks."""
        if not asked.path:
            return {codes.ok}
        if key == ANOTHERS or not all(
            text in self.known[name] for name, text in asked.path.items()
        ):
            return {codes.not_found}
        is_pending_absent = self._sandbox.settings.pending_results == "404"
        return {codes.ok, codes.not_found} if is_pending_absent else {codes.ok}

    def _is_own(self, asked: Asked, name: str, key: str) -> bool:
        own, other, *_ = self._sandbox.keys
        scope = {
            "project_id": own if key == OWN else other,
            "organization_id": self._sandbox.world.organization_id,
        }
        return asked.last(name) in {None, scope[name]}

    def _may_refuse(self, asked: Asked, name: str) -> bool:
        """Tell whether a parameter may be refused, whatever its schema says."""
        if name == "page_token":
            return asked.last(name) not in self.given_out
        schema = self._contract.parameters(self._path).get(name, {}).get("schema", {})
        is_bounded = any("maximum" in each for each in schema.get("anyOf", [schema]))
        return name in REFUSABLE and not is_bounded


def known_values(sandbox: Sandbox) -> Mapping[str, list[Any]]:
    """Return values that find something in the first project, by the parameters that ask so."""
    world, project = sandbox.world, sandbox.project_id
    jobs, v2_jobs, files = world.jobs(project), world.v2_jobs(project), world.files(project)
    metrics, saved = world.usage_metrics(project), world.configurations(project)
    v2_ids = [job["id"] for job in v2_jobs]
    return {
        "project_id": [project],
        "organization_id": [world.organization_id],
        "classify_job_id": [job["id"] for job in jobs],
        "job_id": v2_ids,
        "job_ids": v2_ids,
        "job_type": ["classify"],
        "page_size": [1, 7, 20],
        "status": [*{job["status"]: None for job in v2_jobs}],
        "configuration_id": [each for job in v2_jobs if (each := job["configuration_id"])],
        "created_at_on_or_after": [jobs[0]["created_at"], v2_jobs[0]["created_at"]],
        "created_at_on_or_before": [jobs[-1]["created_at"], v2_jobs[-1]["created_at"]],
        "file_ids": [file["id"] for file in files if _is_uuid(file["id"])],
        "file_name": [file["name"] for file in files],
        "user_id": [metric["user_id"] for metric in metrics],
        "event_types": [*{metric["event_type"]: None for metric in metrics}],
        "days": [metric["day"] for metric in metrics],
        "day_on_or_after": [metrics[0]["day"]],
        "day_on_or_before": [metrics[-1]["day"]],
        "event_aggregation_key": [metric["event_aggregation_key"] for metric in metrics],
        "event_aggregation_type": [metric["event_aggregation_type"] for metric in metrics],
        "name": [each["name"] for each in saved],
        "product_type": ["classify_v2"],
    }


def _is_uuid(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
