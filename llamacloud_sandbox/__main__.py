"""The sandbox on the command line: `python -m llamacloud_sandbox --jobs 5000 --port 8080`."""

import argparse
import signal
import sys
import threading
from datetime import UTC, datetime
from typing import get_args

from llamacloud_sandbox.server import Sandbox
from llamacloud_sandbox.settings import Order, Settings, Tokens
from llamacloud_sandbox.wire.faults import FAULTS, OUTLASTABLE
from llamacloud_sandbox.wire.plan import FaultPlan
from llamacloud_sandbox.world.clock import Clock
from llamacloud_sandbox.world.history import History
from llamacloud_sandbox.world.world import World


def main(arguments: list[str] | None = None) -> int:
    """Serve until Ctrl-C. The exit code is 0, or 2 for options that cannot be."""
    options = _parser().parse_args(arguments)
    try:
        _serve(options)
    except KeyboardInterrupt:
        return 0
    except (OSError, ValueError) as error:
        sys.stderr.write(f"sandbox: {error}\n")
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
        latency_ms=options.latency_ms,
        requests_per_minute=options.requests_per_minute,
        retry_after=options.retry_after,
        token_seconds=options.token_seconds,
    )
    clock = Clock(options.start or datetime.now(UTC), speed=options.speed)
    return Sandbox(World(history, clock=clock), settings, port=options.port)


def _greeting(sandbox: Sandbox) -> str:
    world = sandbox.world
    lines = [f"LlamaCloud classify sandbox: {sandbox.url}", ""]
    for project_id, key in sandbox.keys.items():
        jobs, v2_jobs = (len(kind.entries(project_id)) for kind in (world.v1, world.v2))
        lines.append(f"project {project_id}  key {key}  {jobs} jobs, {v2_jobs} v2 jobs")
    lines += [
        f"organization {world.organization_id}",
        "",
        f"export LLAMA_CLOUD_BASE_URL={sandbox.url}",
        f"export LLAMA_CLOUD_API_KEY={sandbox.key}",
        "",
        "Ctrl-C stops it.",
        "",
    ]
    return "\n".join(lines)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="llamacloud-sandbox",
        description="A LlamaCloud classify API on this machine, with a made-up history of jobs.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    option = parser.add_argument
    option("--jobs", type=int, default=5000, help="v1 jobs created before now, all projects")
    option("--v2-jobs", type=int, default=1000, help="v2 jobs created before now, all projects")
    option("--projects", type=int, default=3, help="each with a key of its own")
    option("--days", type=float, default=90.0, help="days over which they were created")
    option("--seed", type=int, default=1, help="the same seed makes the same jobs")
    option("--unknown-fields", type=float, default=0.01, help="share with undocumented fields")
    option("--port", type=int, default=8080, help="0 for any free one")
    option("--speed", type=float, default=60.0, help="world seconds per real second")
    option("--order", choices=get_args(Order), default="newest", help="of the listing")
    option("--tokens", choices=get_args(Tokens), default="cursor", help="kind of page token")
    option("--page-size-limit", type=int, default=500, help="largest page_size of v1")
    option("--latency-ms", type=float, default=0.0, help="milliseconds before each reply")
    option("--start", type=datetime.fromisoformat, help="world's now, with its zone; or real now")
    option(
        "--prerender",
        type=int,
        default=0,
        metavar="PAGE_SIZE",
        help="encode the first project's v1 pages once, for clients that send only this page_size",
    )
    _add_trouble(parser)
    return parser


def _add_trouble(parser: argparse.ArgumentParser) -> None:
    option = parser.add_argument_group(
        "trouble", f"The faults are: {', '.join(FAULTS)}. Minutes are the world's: see --speed."
    ).add_argument
    option("--requests-per-minute", type=int, default=0, help="more are answered 429; 0: no limit")
    option("--retry-after", action="store_true", help="such a 429 says when to come again")
    option("--token-seconds", type=float, default=0.0, help="a listing's tokens end so soon")
    option("--faults", type=float, default=0.0, metavar="SHARE", help="of requests, 0 to 1")
    option("--fault-seed", type=int, default=1, help="the same seed brings the same faults")
    option(
        "--fault-kinds",
        type=lambda text: tuple(text.split(",")),
        default=",".join(OUTLASTABLE),
        metavar="A,B,C",
        help="which faults; by default all that a client can outlast",
    )


if __name__ == "__main__":
    sys.exit(main())
