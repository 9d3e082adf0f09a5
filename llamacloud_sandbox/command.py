"""The sandbox as a command: its options, and what it says once it serves."""

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, get_args

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import DataPointsReach, FileIds, Order, Settings, Tokens
from llamacloud_sandbox.wire.faults import FAULTS, OUTLASTABLE
from llamacloud_sandbox.wire.plan import FaultPlan
from llamacloud_sandbox.world.clock import Clock
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World

COMMAND = "llamacloud-sandbox"


def run(arguments: Sequence[str] | None = None) -> int:
    """Serve until Ctrl-C. The exit code is 0, or 2 for options that cannot be."""
    options = _parser().parse_args(arguments)
    try:
        _serve(options)
    except KeyboardInterrupt:
        return 0
    except (OSError, ValueError) as error:
        sys.stderr.write(f"{COMMAND}: {error}\n")
    return 2


def _serve(options: argparse.Namespace) -> None:
    with _sandbox(options) as sandbox:
        sandbox.faults = FaultPlan(options.fault_seed, options.faults, options.fault_kinds)
        if options.prerender:
            sandbox.prerender(options.prerender)
        # A shell's background jobs ignore SIGINT, and SIGTERM would skip the clean end.
        for stop in (signal.SIGINT, signal.SIGTERM):
            signal.signal(stop, signal.default_int_handler)
        sys.stdout.write(_greeting(sandbox))
        sys.stdout.flush()
        threading.Event().wait()


def _sandbox(options: argparse.Namespace) -> Sandbox:
    history = History(
        seed=options.seed,
        jobs=options.jobs,
        v2_jobs=options.v2_jobs,
        days=options.days,
        projects=options.projects,
        unknown_fields=options.unknown_fields,
    )
    settings = Settings(
        order=options.order,
        tokens=options.tokens,
        page_size_limit=options.page_size_limit,
        data_points_reach=options.data_points_reach,
        file_ids=options.file_ids,
        longest_url=options.longest_url,
        latency_ms=options.latency_ms,
        requests_per_minute=options.requests_per_minute,
        retry_after=options.retry_after,
        token_seconds=options.token_seconds,
    )
    clock = Clock(options.start, speed=options.speed)
    return Sandbox(World(history, clock=clock), settings, port=options.port)


def _greeting(sandbox: Sandbox) -> str:
    world = sandbox.world
    lines = [f"LlamaCloud classify sandbox: {sandbox.url}", ""]
    for project_id, key in sandbox.keys.items():
        v2_jobs, jobs = (len(kind.entries(project_id)) for kind in (world.v2, world.v1))
        lines.append(f"project {project_id}  key {key}  {v2_jobs:,} v2 jobs, {jobs:,} v1 jobs")
    lines += [
        f"organization {world.organization_id}",
        "",
        "For another terminal, and whatever reads LlamaCloud there:",
        "",
        f"export LLAMA_CLOUD_BASE_URL={sandbox.url}",
        f"export LLAMA_CLOUD_API_KEY={sandbox.key}",
        "tap-llamaclassify --check",
        "tap-llamaclassify > messages.jsonl",
        "",
        "Ctrl-C stops it.",
        "",
    ]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=COMMAND,
        description="A LlamaCloud classify API on this machine, v2 and v1, with a made-up history "
        "of jobs that goes on while it is read. It says what to export, and serves until Ctrl-C.",
        epilog="In tests of your own: from llamacloud_sandbox.server import Sandbox.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8080, metavar="N", help="0 for any free one")
    _add_history(parser)
    _add_api(parser)
    _add_trouble(parser)
    return parser


def _add_history(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group(
        "history", "Jobs keep coming at the rate of the days before, and finish after a while."
    ).add_argument
    number: dict[str, Any] = {"type": int, "metavar": "N"}
    option("--v2-jobs", **number, default=5000, help="v2 jobs created before now, all projects")
    option("--jobs", **number, default=5000, help="v1 jobs created before now, all projects")
    option("--projects", **number, default=3, help="each with a key of its own")
    option("--days", type=float, default=90.0, help="days over which the jobs were created")
    option("--seed", **number, default=1, help="the same seed makes the same jobs")
    option(
        "--unknown-fields",
        type=float,
        default=0.01,
        metavar="SHARE",
        help="of jobs that have fields which are not documented, 0 to 1",
    )
    option(
        "--start", type=_instant, default="now", metavar="TIME", help="of the world, with a zone"
    )
    option("--speed", type=float, default=60.0, help="seconds of the world in a real second")


def _add_api(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group(
        "API", "What LlamaCloud's documentation leaves open."
    ).add_argument
    option("--order", choices=get_args(Order), default="newest", help="of the listing")
    option("--tokens", choices=get_args(Tokens), default="cursor", help="kind of page token")
    option("--page-size-limit", type=int, default=500, metavar="N", help="of v1; that of v2 is 100")
    option(
        "--data-points-reach",
        choices=get_args(DataPointsReach),
        default="hours",
        help="what says how far back data points are listed",
    )
    option(
        "--file-ids",
        choices=get_args(FileIds),
        default="any",
        help="what a listing of files makes of them",
    )
    option(
        "--longest-url",
        type=int,
        default=8192,
        metavar="BYTES",
        help="of a path and its query; longer ones are answered 414; 0 for no limit",
    )
    option("--latency-ms", type=float, default=0.0, metavar="MS", help="before each reply")
    option(
        "--prerender",
        type=int,
        default=0,
        metavar="PAGE_SIZE",
        help="encode the first project's v1 pages once, for clients that send only this page_size",
    )


def _add_trouble(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group(
        "trouble", f"The faults are: {', '.join(FAULTS)}. Minutes are the world's: see --speed."
    ).add_argument
    option(
        "--requests-per-minute",
        type=int,
        default=0,
        metavar="N",
        help="more are answered 429; 0 for no limit",
    )
    option("--retry-after", action="store_true", help="such a 429 says when to come again")
    option(
        "--token-seconds",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="after which a listing's page tokens are no longer taken; 0 for never",
    )
    option("--faults", type=float, default=0.0, metavar="SHARE", help="of requests, 0 to 1")
    option(
        "--fault-seed",
        type=int,
        default=1,
        metavar="N",
        help="the same seed brings the same faults",
    )
    option(
        "--fault-kinds",
        type=_kinds,
        default="outlastable",
        metavar="A,B,C",
        help="which faults; outlastable stands for all that asking again can mend",
    )


def _instant(text: str) -> datetime:
    try:
        return datetime.now(UTC) if text == "now" else datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"no time such as 2026-11-23T12:00:00Z: {text!r}"
        ) from None


def _kinds(text: str) -> tuple[str, ...]:
    return OUTLASTABLE if text == "outlastable" else tuple(text.split(","))
