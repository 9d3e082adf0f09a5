"""What syncs put into DuckDB, as text for a terminal of 80 columns; it knows the tables only."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date

import duckdb

TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'llamacloud'"
MARTS = """
    SELECT table_name FROM information_schema.tables
    WHERE table_schema = 'llamaclassify' AND table_type = 'BASE TABLE'
        AND table_name <> 'classify_job_versions'
    ORDER BY ALL
"""
JOBS_BY_DAY = """
    WITH jobs AS (
        SELECT 'v2' AS api, created_at, status FROM llamacloud.classify_v2_jobs
        UNION ALL
        SELECT 'v1', created_at, status FROM llamacloud.classify_jobs
    )
    SELECT created_at::date AS day, api, status, count(*) FROM jobs
    WHERE day > (SELECT max(created_at)::date - 7 FROM jobs)
    GROUP BY ALL ORDER BY ALL
"""
APIS = ("v2", "v1")
DIGITS = 4
"""How wide a number of jobs by day is."""
OUTCOMES = ("done", "failed", "cancelled", "unfinished")
OUTCOME_OF = {
    **dict.fromkeys(("COMPLETED", "SUCCESS", "PARTIAL_SUCCESS"), "done"),
    **dict.fromkeys(("FAILED", "ERROR"), "failed"),
    "CANCELLED": "cancelled",
    **dict.fromkeys(("PENDING", "RUNNING"), "unfinished"),
}
"""One vocabulary for the statuses of both APIs."""

Line = Sequence[str | int | None]


def rows_of_tables(warehouse: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How many rows each table has."""
    names = [name for (name,) in warehouse.execute(TABLES).fetchall()]
    return {name: len(warehouse.table(f"llamacloud.{name}")) for name in names}


def jobs_by_day(warehouse: duckdb.DuckDBPyConnection) -> str:
    """A table of the last seven days: jobs of each API by the day of their creation and outcome."""
    days: defaultdict[date, Counter[tuple[str, str]]] = defaultdict(Counter)
    for day, api, status, jobs in warehouse.execute(JOBS_BY_DAY).fetchall():
        days[day][OUTCOME_OF.get(status, status), api] += jobs
    # A column without anything sets each outcome apart from the next.
    columns = [(outcome, api) for outcome in OUTCOMES for api in (*APIS, "")]
    header = ["", *(f"{api:>{DIGITS}}" if api else "" for _, api in columns)]
    rows = [
        [f"{day:%a %Y-%m-%d}", *(jobs[outcome, api] if api else None for outcome, api in columns)]
        for day, jobs in days.items()
    ]
    above = "".join(f"  {outcome:>{2 * DIGITS + 2}}  " for outcome in OUTCOMES)
    return f"Jobs by day, UTC{above.rstrip()}\n{table(header, rows)}"


def marts(warehouse: duckdb.DuckDBPyConnection) -> str:
    """A table of the marts and of how many rows each has."""
    names = [name for (name,) in warehouse.execute(MARTS).fetchall()]
    return table(
        ["Marts", "rows"], [[name, len(warehouse.table(f"llamaclassify.{name}"))] for name in names]
    )


def table(header: Sequence[str], rows: Iterable[Line]) -> str:
    """Lay out rows under a header: the first column to the left, all others to the right."""
    lines = [header, *([f"  {first}", *others] for first, *others in rows)]
    texts = [[_text(value) for value in line] for line in lines]
    first_width, *widths = (max(map(len, column)) for column in zip(*texts, strict=True))
    laid_out = [
        "  ".join([first.ljust(first_width), *map(str.rjust, others, widths)]).rstrip()
        for first, *others in texts
    ]
    return "\n".join(laid_out)


def _text(value: str | int | None) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return value or ""
