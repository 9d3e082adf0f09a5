"""The vendor's own client agrees with the sandbox, page by page and field by field."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from llama_cloud import AuthenticationError, LlamaCloud, UnprocessableEntityError
from llama_cloud.types.classifier import ClassifyJob

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Settings
from llamacloud_sandbox.world.clock import stamp
from llamacloud_sandbox.world.history import History, Job
from llamacloud_sandbox.world.world import World

TIMESTAMPS = ("created_at", "updated_at", "effective_at")

# The vendor calls its list call deprecated in favour of another API.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Please use `client.classify.list:DeprecationWarning"
)


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(World(History(jobs=250, unknown_fields=0.05))) as running:
        yield running


def client_of(sandbox: Sandbox, key: str = "") -> LlamaCloud:
    return LlamaCloud(api_key=key or sandbox.key, base_url=sandbox.url, max_retries=0)


def listed(sandbox: Sandbox, **query: Any) -> list[ClassifyJob]:
    with client_of(sandbox) as client:
        return list(client.classifier.jobs.list(**query))


def typed(job: Job) -> dict[str, Any]:
    return {
        name: datetime.fromisoformat(value) if name in TIMESTAMPS else value
        for name, value in job.items()
    }


@pytest.mark.parametrize("tokens", ["cursor", "position"])
def test_vendor_client_lists_every_job_across_pages(sandbox: Sandbox, tokens: Any) -> None:
    sandbox.settings.tokens = tokens
    organization_id = sandbox.world.organization_id
    jobs = listed(
        sandbox, page_size=30, project_id=sandbox.project_id, organization_id=organization_id
    )

    expected = sandbox.world.jobs(sandbox.project_id)[::-1]
    assert [job.model_dump() for job in jobs] == [typed(job) for job in expected]
    assert len(sandbox.requests) == -(-len(expected) // 30) > 5


@pytest.mark.parametrize("at_end", ["null", "empty", "absent"])
def test_vendor_client_stops_at_every_form_of_the_end(sandbox: Sandbox, at_end: Any) -> None:
    sandbox.settings.at_end = at_end

    assert len(listed(sandbox)) == len(sandbox.world.jobs(sandbox.project_id))


def test_vendor_models_accept_every_job_of_the_world(sandbox: Sandbox) -> None:
    for job in sandbox.world.jobs():
        assert ClassifyJob.model_validate(job).model_dump() == typed(job)


def test_vendor_client_takes_an_empty_page_for_the_end() -> None:
    # The reason why the tap does not go by the vendor's client: jobs would be missing unnoticed.
    with Sandbox(World(History(jobs=200)), Settings(empty_pages=2)) as sandbox:
        assert len(listed(sandbox, page_size=10)) == 20
        assert len(sandbox.world.jobs(sandbox.project_id)) > 100


def test_vendor_client_lists_the_data_points_of_the_hours_it_asks_for(sandbox: Sandbox) -> None:
    world = sandbox.world
    since = stamp(world.now() - timedelta(hours=168))
    with client_of(sandbox) as client:
        points = list(
            client.job_data_points.list(
                job_type="classify", hours=168, status=["completed", "failed"], page_size=5
            )
        )

    expected = [
        point
        for point in world.data_points(sandbox.project_id)[::-1]
        if point["created_at"] >= since and point["status"] in {"completed", "failed"}
    ]
    assert len(expected) > 5
    for point, each in zip(points, expected, strict=True):
        told = point.model_dump()
        assert told.pop("state_transitions") == {
            name: value and datetime.fromisoformat(value)
            for name, value in each["state_transitions"].items()
        }
        assert told == typed({n: v for n, v in each.items() if n != "state_transitions"})


def test_vendor_client_knows_the_refusals(sandbox: Sandbox) -> None:
    with pytest.raises(UnprocessableEntityError, match="page_size"):
        listed(sandbox, page_size=501)
    with client_of(sandbox, "llx-wrong") as client, pytest.raises(AuthenticationError):
        client.classifier.jobs.list()
