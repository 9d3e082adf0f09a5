"""The vendor's client of v2 agrees with the sandbox, page by page and field by field.

The development environment has an older one, which still knows v1: this one is installed beside
it, and runs in processes of its own.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Tokens
from llamacloud_sandbox.world.history import History, Job
from llamacloud_sandbox.world.world import World
from tests.support.commands import ROOT, ran

REQUIREMENT = "llama-cloud==2.19.0"
TIMESTAMPS = ("created_at", "updated_at")

PROGRAM = """
import json, sys
from datetime import datetime
from llama_cloud import APIStatusError, LlamaCloud

def answer(client, call, given, wanted):
    owner, _, method = call.rpartition(".")
    for name in given.keys() & {"created_at_on_or_after", "created_at_on_or_before"}:
        given[name] = datetime.fromisoformat(given[name])
    try:
        answered = getattr(getattr(client, owner), method)(*wanted, **given)
        many = method == "list"
        return [a.model_dump(mode="json") for a in (answered if many else [answered])]
    except APIStatusError as error:
        return [error.status_code]

url, key, calls = json.load(sys.stdin)
with LlamaCloud(api_key=key, base_url=url, max_retries=0) as client:
    print(json.dumps([answer(client, *call) for call in calls]))
"""


@pytest.fixture(scope="module")
def library() -> Path:
    """Install the client, once, without what it needs: the development environment has that."""
    folder = ROOT / ".venvs" / "llama-cloud-2.19"
    stamp = folder / "requirements.txt"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != REQUIREMENT:
        uv = Path(sys.executable).with_name("uv")
        options = ["--no-deps", "--python", sys.executable, "--target", folder]
        environment = os.environ | {"UV_SYSTEM_CERTS": "1"}
        ran([uv, "pip", "install", *options, REQUIREMENT], env=environment)
        stamp.write_text(REQUIREMENT, encoding="utf-8")
    return folder


@pytest.fixture
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(World(History(jobs=0, v2_jobs=300, unknown_fields=0.05))) as running:
        yield running


class Vendor:
    """The client, in a process for each round of calls."""

    def __init__(self, library: Path, sandbox: Sandbox) -> None:
        self._library = library
        self._sandbox = sandbox

    def calls(self, *calls: Any, key: str = "") -> list[list[Any]]:
        """Return each call of a method, its keyword and other arguments; else the HTTP status."""
        stdin = json.dumps([self._sandbox.url, key or self._sandbox.key, calls])
        command = [sys.executable, "-W", "error", "-c", PROGRAM]
        environment = os.environ | {"PYTHONPATH": str(self._library)}
        answers: list[list[Any]] = json.loads(ran(command, stdin, env=environment))
        return answers


@pytest.fixture
def vendor(library: Path, sandbox: Sandbox) -> Vendor:
    return Vendor(library, sandbox)


def typed(items: list[Job], times: tuple[str, ...] = TIMESTAMPS) -> list[Job]:
    """Read the timestamps, for the client writes them in a form of its own."""
    return [
        {n: datetime.fromisoformat(v) if n in times and v else v for n, v in item.items()}
        for item in items
    ]


def newest_first(jobs: list[Job]) -> list[Job]:
    """Say what a listing has of some jobs."""
    return typed([job | {"usage": None} for job in reversed(jobs)])


@pytest.mark.parametrize("tokens", ["cursor", "position"])
def test_vendor_client_lists_every_v2_job_across_pages(
    sandbox: Sandbox, vendor: Vendor, tokens: Tokens
) -> None:
    sandbox.settings.tokens = tokens
    organization_id = sandbox.world.organization_id
    query = {"project_id": sandbox.project_id, "organization_id": organization_id}
    (jobs,) = vendor.calls(("classify.list", query | {"page_size": 30}, []))

    expected = sandbox.world.v2_jobs(sandbox.project_id)
    assert typed(jobs) == newest_first(expected)
    assert len(sandbox.requests) == -(-len(expected) // 30) > 5


def test_vendor_client_filters_v2_jobs_as_the_sandbox_understands_it(
    sandbox: Sandbox, vendor: Vendor
) -> None:
    jobs = sandbox.world.v2_jobs(sandbox.project_id)
    saved = next(job["configuration_id"] for job in jobs if job["configuration_id"])
    ids = [job["id"] for job in jobs[::5]]
    window = {
        "created_at_on_or_after": jobs[20]["created_at"],
        "created_at_on_or_before": jobs[90]["created_at"],
    }
    queries: list[dict[str, Any]] = [
        {"status": "FAILED"},
        {"configuration_id": saved},
        {"job_ids": ids},
        window,
        {"status": "COMPLETED", "job_ids": ids} | window,
    ]
    answers = vendor.calls(*(("classify.list", query | {"page_size": 4}, []) for query in queries))

    expected = [
        [job for job in jobs if job["status"] == "FAILED"],
        [job for job in jobs if job["configuration_id"] == saved],
        jobs[::5],
        jobs[20:91],
        [job for job in jobs[20:91:5] if job["status"] == "COMPLETED"],
    ]
    assert [typed(answer) for answer in answers] == [newest_first(each) for each in expected]
    assert all(expected)
    assert sandbox.requests[-1].values("job_ids") == ids


def test_vendor_client_gets_a_v2_job_with_its_usage_if_it_asks(
    sandbox: Sandbox, vendor: Vendor
) -> None:
    jobs = sandbox.world.v2_jobs(sandbox.project_id)[-40:]
    asked = {"expand": ["usage"]}
    calls = [("classify.get", how, [job["id"]]) for job in jobs for how in (asked, {})]
    answers = [answer for (answer,) in vendor.calls(*calls)]

    assert typed(answers[::2]) == typed(jobs)
    assert typed(answers[1::2]) == typed([job | {"usage": None} for job in jobs])
    assert any(job["usage"] for job in jobs)


def test_vendor_client_lists_the_projects(sandbox: Sandbox, vendor: Vendor) -> None:
    (projects,) = vendor.calls(("projects.list", {}, []))

    assert typed(projects) == typed(sandbox.world.projects())


def test_vendor_client_lists_files_by_their_ids_and_all(sandbox: Sandbox, vendor: Vendor) -> None:
    files = sandbox.world.files(sandbox.project_id)[::-1]
    some = [file["id"] for file in files[::4]]
    whole, found, expanded, named = vendor.calls(
        ("files.list", {"page_size": 100}, []),
        ("files.list", {"file_ids": some, "page_size": 7}, []),
        ("files.list", {"expand": ["download_url"]}, []),
        ("files.list", {"file_name": files[3]["name"]}, []),
    )

    times = (*TIMESTAMPS, "last_modified_at", "expires_at")
    assert typed(whole, times) == typed(files, times)
    assert typed(found, times) == typed(files[::4], times)
    assert all("X-Amz-Signature" in file["download_url"]["url"] for file in expanded)
    assert {file["name"] for file in named} == {files[3]["name"]}


def test_vendor_client_lists_configurations_of_every_product(
    sandbox: Sandbox, vendor: Vendor
) -> None:
    saved = sandbox.world.configurations(sandbox.project_id)[::-1]
    whole, latest, some = vendor.calls(
        ("configurations.list", {"page_size": 5}, []),
        ("configurations.list", {"latest_only": True}, []),
        ("configurations.list", {"product_type": ["classify_v2"]}, []),
    )

    of_classify = [each for each in saved if each["product_type"] == "classify_v2"]
    assert [each["id"] for each in whole] == [each["id"] for each in saved]
    assert typed(some) == typed(of_classify)
    assert 0 < len(latest) < len(saved)
    for told, each in zip(whole, saved, strict=True):
        assert told["parameters"].items() >= each["parameters"].items()


def test_vendor_client_knows_the_refusals_of_v2(sandbox: Sandbox, vendor: Vendor) -> None:
    answers = vendor.calls(
        ("classify.list", {"page_size": 101}, []),
        ("classify.list", {"organization_id": str(UUID(int=1))}, []),
        ("classify.get", {}, ["clj-none"]),
    )
    sandbox.revoke(sandbox.key)
    answers += vendor.calls(("classify.list", {}, []))

    assert answers == [[422], [403], [404], [401]]
