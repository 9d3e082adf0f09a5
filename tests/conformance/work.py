"""The two checks side by side, an operation at a time, in as many processes as there are cores."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jsonschema_rs

from tap_llamaclassify.api.endpoints import ENDPOINTS
from tests.conformance import calls, replies
from tests.conformance.contract import Contract, unnamed


@dataclass(frozen=True)
class Wanted:
    """What is to be checked.

    Attributes:
        file: The OpenAPI.
        cases: How many calls of each operation.
        replies: How many replies, of all operations.
        seed: The same draws the same.
    """

    file: Path
    cases: int
    replies: int
    seed: int


@dataclass(frozen=True)
class Work:
    """What is under way, by the OpenAPI's paths, and which paths there are.

    Attributes:
        called: The sandbox's tallies.
        read: The tap's.
        not_served: Paths that the sandbox does not serve.
        not_described: Paths of the tap that the OpenAPI does not have.
    """

    called: Mapping[str, Future[calls.Tally]]
    read: Mapping[str, Future[replies.Tally]]
    not_served: list[str]
    not_described: list[str]


@contextmanager
def begun(wanted: Wanted) -> Iterator[Work]:
    """Begin to check.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is no OpenAPI, or one of something else.
    """
    contract = Contract.read(wanted.file)
    served = calls.served()
    called = [path for path in contract.paths if unnamed(path) in served]
    named = {each.path: contract.path_like(each.path) for each in ENDPOINTS}
    found = [path for path in named.values() if path]
    if not called or not found:
        raise ValueError(f"{wanted.file} has no path of the sandbox, or none of the tap")
    share = -(-wanted.replies // len(found))
    # A fork would take along the threads of this process.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(len(os.sched_getaffinity(0)), mp_context=context) as pool:
        yield Work(
            {
                path: pool.submit(call, wanted.file, path, wanted.cases, wanted.seed)
                for path in called
            },
            {path: pool.submit(read, wanted.file, path, share, wanted.seed) for path in found},
            [path for path in contract.paths if path not in called],
            [path for path, name in named.items() if not name],
        )


def call(file: Path, path: str, cases: int, seed: int) -> calls.Tally:
    """Call the sandbox, in a process of its own."""
    return calls.call_all(Contract.read(file), path, cases=cases, seed=seed)


def read(file: Path, path: str, wanted: int, seed: int) -> replies.Tally:
    """Let the tap read replies, in a process of its own."""
    contract = Contract.read(file)
    endpoint = next(each for each in ENDPOINTS if unnamed(each.path) == unnamed(path))
    schema = contract.standing_alone(contract.reply(path))
    allows = jsonschema_rs.Draft202012Validator(schema, validate_formats=True).is_valid
    return replies.read_all(contract, endpoint, path, replies=wanted, seed=seed, allows=allows)
