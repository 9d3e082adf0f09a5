"""`llamaclassify-report`: one HTML file from the marts."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from llamaclassify_report.figures import figures_of
from llamaclassify_report.links import JobPages, LinkError
from llamaclassify_report.marts import MartsError, opened
from llamaclassify_report.page import page_of


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the file and print its path. The exit code is 0, or 1 with one line that says why."""
    parser = argparse.ArgumentParser(
        prog="llamaclassify-report",
        description="Write one HTML file from the marts that dbt has built.",
        epilog="DBT_TARGET, DBT_SCHEMA, DBT_FILEPATH and libpq's PG* variables say where they are.",
    )
    parser.add_argument("--output", type=Path, default=Path("output", "report.html"))
    parser.add_argument(
        "--job-url",
        default=os.environ.get("LLAMACLASSIFY_JOB_URL"),
        metavar="PATTERN",
        help="the address of a job's page, with {job_id} and, where it is needed, {project_id} in "
        "it; jobs then link there (by default LLAMACLASSIFY_JOB_URL)",
    )
    given = parser.parse_args(arguments)
    output: Path = given.output
    try:
        pages = JobPages(given.job_url)
        with opened(os.environ) as marts:
            page = page_of(figures_of(marts), pages)
        _write(page, output)
    except LinkError as error:
        return _failed(f"LLAMACLASSIFY_JOB_URL, or --job-url, {error}")
    except MartsError as error:
        return _failed(str(error))
    except OSError as error:
        return _failed(f"{output} cannot be written: {error.strerror or error}")
    except KeyboardInterrupt:
        return 130
    sys.stdout.write(f"{output}\n")
    return 0


def _write(page: str, output: Path) -> None:
    """Replace the file as a whole: who has it open never sees a part."""
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = output.with_name(f".{output.name}.{os.getpid()}")
    try:
        beside.write_text(page, encoding="utf-8")
        beside.replace(output)
    finally:
        beside.unlink(missing_ok=True)


def _failed(why: str) -> int:
    sys.stderr.write(f"llamaclassify-report: {why}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
