"""`make bench-peers`: the tap and the plain loop beside the ways people do this job today.

All read the same pages, in turn, round after round, each in an environment of its own. Before the
rounds each runs once with its output read: its rows are counted by stream, and its requests by
the server. In the rounds the output is thrown away. A way that fails is named, and left out.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.figures import machine
from benchmarks.measure import Cost, cost_of
from benchmarks.peers.environments import InstallError, python_of
from benchmarks.runs import PAGE_SIZE, STREAMS, median, plain, tap
from benchmarks.server import Served, serving

RESULT = Path("output", "bench-peers.json")
PLAIN, TAP = "plain loop", "tap-llamaclassify"
COLUMNS = ("wall s", "x plain", "jobs/s", "MiB", "requests", "rows")
LONGEST_LINE = 240


@dataclass(frozen=True)
class Peer:
    """A way people do this job today.

    Attributes:
        script: Its module in `benchmarks.peers`.
        pins: What its environment is made of, the library that it is about first.
    """

    name: str
    script: str
    pins: tuple[str, ...]


PEERS = (
    Peer("singer-python, by hand", "singer_python", ("singer-python==6.8.0", "requests==2.34.2")),
    Peer("LlamaCloud's client", "llama_cloud_client", ("llama-cloud==2.15.0",)),
    Peer("dlt, REST API source", "dlt_rest_api", ("dlt==1.31.0",)),
    Peer("singer-sdk, three listings", "singer_sdk_roots", ("singer-sdk==0.54.9",)),
    Peer("singer-sdk, parent and children", "singer_sdk_children", ("singer-sdk==0.54.9",)),
    Peer("airbyte-cdk, low-code", "airbyte_low_code", ("airbyte-cdk==7.39.1",)),
)


@dataclass(frozen=True)
class Way:
    """What is measured.

    Attributes:
        command: Makes the command from the server and from an empty folder.
    """

    name: str
    version: str
    command: Callable[[Served, str], list[str]]


@dataclass(frozen=True)
class Seen:
    """What a way did in the run in which its output was read: rows by stream, and requests."""

    rows: Counter[str]
    requests: int


@dataclass(frozen=True)
class Result:
    """What is told of a way.

    Attributes:
        wall: Seconds, the median of the rounds, as all that follow but the last three.
        ratio: To the plain loop of the same round.
        complete: Whether it has as many rows of each stream as the tap.
    """

    name: str
    version: str
    wall: float
    ratio: float
    jobs_per_second: float
    peak_mib: float
    requests: int
    rows: dict[str, int]
    complete: bool


class FailedError(Exception):
    """A way failed; the text is the last line it said."""


def main() -> int:
    """Measure, print the table and write the JSON. The exit code is 1 when a way failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=50_000)
    options = parser.parse_args()
    failed: dict[str, str] = {}
    ways = list(ready(failed))
    with serving(options.jobs, PAGE_SIZE) as served:
        seen = dict(looked_at(ways, served, failed))
        rounds = [in_turn(ways, served, failed) for _ in range(options.rounds)]
    told = [] if {PLAIN, TAP} & set(failed) else [way for way in ways if way.name not in failed]
    results = [result(way, served, seen, rounds=rounds) for way in told]
    results.sort(key=lambda r: r.wall)
    head = {
        "machine": machine(),
        "jobs": served.jobs,
        "pages": served.pages,
        "page_size": PAGE_SIZE,
        "rounds": options.rounds,
    }
    sys.stdout.write(table(head, results, failed))
    if results:
        content = {**head, "ways": [asdict(r) for r in results]}
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    return int(bool(failed))


def ready(failed: dict[str, str]) -> Iterator[Way]:
    """Make the environments, and tell what can be measured."""
    libraries = ", ".join(f"{name} {version(name)}" for name in ("requests", "msgspec"))
    yield Way(PLAIN, libraries, lambda served, _: plain(served))
    yield Way(TAP, version(TAP), lambda served, _: tap(served))
    for peer in PEERS:
        library, _, its_version = peer.pins[0].partition("==")
        say(f"{peer.name}: {library} {its_version} ...")
        try:
            python = python_of(library, peer.pins)
        except InstallError as error:
            failed[peer.name] = str(error)
            continue
        start = [str(python), "-m", f"benchmarks.peers.{peer.script}"]
        yield Way(peer.name, its_version, starting(start))


def starting(start: Sequence[str]) -> Callable[[Served, str], list[str]]:
    """Add the arguments that each peer's script takes."""
    return lambda served, folder: [*start, served.url, served.key, str(PAGE_SIZE), folder]


def looked_at(
    ways: Iterable[Way], served: Served, failed: dict[str, str]
) -> Iterator[tuple[str, Seen]]:
    """Run each way once, and count."""
    for way in ways:
        say(f"{way.name}: counting ...")
        served.requests()
        try:
            rows = rows_of(way, served)
        except FailedError as error:
            failed[way.name] = str(error)
        else:
            yield way.name, Seen(rows, served.requests())


def rows_of(way: Way, served: Served) -> Counter[str]:
    """Run a way and count its rows by stream.

    Raises:
        FailedError: It ended with a code other than 0.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        command = way.command(served, folder)
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log) as process:
            assert process.stdout
            last = b""
            rows: Counter[str] = Counter()
            for last in process.stdout:
                rows.update(streams_of(msgspec.json.decode(last)))
        if process.returncode:
            log.seek(0)
            raise FailedError(last_line(log.readlines() or [last]))
        for path in Path(folder).glob("loaded/*/*/*.jsonl"):
            rows.update(streams_in(path))
    return rows


def streams_of(message: dict[str, Any]) -> list[str]:
    """Tell which stream a message has a row of: Singer's, Airbyte's, or one without a type."""
    if "record" not in message:
        return []
    return [message["stream"] if "stream" in message else message["record"]["stream"]]


def streams_in(path: Path) -> Iterator[str]:
    """Tell the same of a file that dlt loaded; its folder is the table."""
    jobs, rules, configs = STREAMS
    for line in path.read_bytes().splitlines():
        if path.parent.name == f"{jobs}__rules":
            yield rules
        elif path.parent.name == jobs:
            yield jobs
            if "parsing_configuration__lang" in msgspec.json.decode(line):
                yield configs


def last_line(lines: Iterable[bytes]) -> str:
    """Take the last line that has anything in it."""
    told = [line.decode(errors="replace").strip() for line in lines]
    return next((line for line in reversed(told) if line), "it said nothing")[:LONGEST_LINE]


def in_turn(ways: Iterable[Way], served: Served, failed: dict[str, str]) -> dict[str, Cost]:
    """Run each way that has not failed once."""
    costs: dict[str, Cost] = {}
    for way in ways:
        if way.name in failed:
            continue
        say(f"{way.name} ...")
        try:
            costs[way.name] = cost(way, served)
        except FailedError as error:
            failed[way.name] = str(error)
    return costs


def cost(way: Way, served: Served) -> Cost:
    """Measure a way. Its log goes to a file: to read it along the way would take from its time.

    Raises:
        FailedError: It ended with a code other than 0.
    """
    with tempfile.TemporaryDirectory() as folder, tempfile.NamedTemporaryFile() as log:
        command = ["/bin/sh", "-c", 'log=$1; shift; exec "$@" 2>"$log"', "sh", log.name]
        try:
            return cost_of([*command, *way.command(served, folder)])
        except RuntimeError as error:
            raise FailedError(last_line(log.readlines() or [str(error).encode()])) from error


def result(
    way: Way, served: Served, seen: dict[str, Seen], *, rounds: Sequence[dict[str, Cost]]
) -> Result:
    """Put together what was measured of a way."""
    wall = median(costs[way.name].wall for costs in rounds)
    rows = seen[way.name].rows
    return Result(
        name=way.name,
        version=way.version,
        wall=round(wall, 3),
        ratio=round(median(costs[way.name].wall / costs[PLAIN].wall for costs in rounds), 2),
        jobs_per_second=round(served.jobs / wall),
        peak_mib=round(median(costs[way.name].peak for costs in rounds), 1),
        requests=seen[way.name].requests,
        rows={stream: rows[stream] for stream in STREAMS},
        complete=all(rows[stream] == seen[TAP].rows[stream] for stream in STREAMS),
    )


def table(head: dict[str, Any], results: Iterable[Result], failed: dict[str, str]) -> str:
    """Write what each took, and which failed."""
    lines = [
        f"{head['machine']}; {head['jobs']:,} jobs in {head['pages']:,} pages",
        "",
        " ".join([" " * 32, *(f"{name:>8}" for name in COLUMNS)]),
    ]
    lines += [
        f"{r.name:32} {r.wall:8.2f} {r.ratio:8.2f} {r.jobs_per_second:8,.0f} {r.peak_mib:8,.0f}"
        f" {r.requests:8,} {sum(r.rows.values()):8,}{'' if r.complete else ' incomplete'}"
        for r in results
    ]
    lines += [f"{name:32} failed: {line}" for name, line in failed.items()]
    return "\n".join([*lines, ""])


def say(line: str) -> None:
    """Tell what is going on."""
    sys.stderr.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
