"""What syncs put into DuckDB, as text for a terminal of 80 columns; it knows the tables only."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import date

import duckdb

TABLES = "SELECT table_name FROM information_schema.tables WHERE table_schema = 'llamacloud'"
MARTS = """
    SELECT table_name FROM information_schema.tables
    WHERE table_schema = 'llamaclassify' AND table_type = 'BASE TABLE' ORDER BY ALL
"""
JOBS_BY_DAY = """
    WITH jobs AS (
        SELECT 'v1' AS api, created_at, status FROM llamacloud.classify_jobs
        UNION ALL
        SELECT 'v2', created_at, status FROM llamacloud.classify_v2_jobs
    )
    SELECT created_at::date AS day, api, status, count(*) FROM jobs
    WHERE day > (SELECT max(created_at)::date - 7 FROM jobs)
    GROUP BY ALL ORDER BY ALL
"""
RULE_TYPES = """
    WITH named AS (
        SELECT type, 'v1 rule' AS as_what FROM llamacloud.classify_job_rules
        UNION ALL
        SELECT type, 'v2 rule' FROM llamacloud.classify_v2_job_rules
        UNION ALL
        SELECT type, 'found' FROM llamacloud.classify_job_results
        UNION ALL
        SELECT result_type, 'found' FROM llamacloud.classify_v2_jobs
    )
    SELECT
        type,
        count(*) FILTER (as_what = 'v1 rule') AS v1_rules,
        count(*) FILTER (as_what = 'v2 rule') AS v2_rules,
        count(*) FILTER (as_what = 'found')
    FROM named GROUP BY type HAVING v1_rules + v2_rules > 0
    ORDER BY v1_rules + v2_rules DESC, type LIMIT 8
"""

OUTCOMES = ("done", "failed", "cancelled", "unfinished")
OUTCOME_OF = {
    **dict.fromkeys(("SUCCESS", "PARTIAL_SUCCESS", "COMPLETED"), "done"),
    **dict.fromkeys(("ERROR", "FAILED"), "failed"),
    "CANCELLED": "cancelled",
    **dict.fromkeys(("PENDING", "RUNNING"), "unfinished"),
}
"""One vocabulary for the statuses of both APIs."""

LONGEST_BAR = 24

Line = Sequence[str | int | None]


def rows_of_tables(warehouse: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How many rows each table has."""
    names = [name for (name,) in warehouse.execute(TABLES).fetchall()]
    return {name: len(warehouse.table(f"llamacloud.{name}")) for name in names}


def jobs_by_day(warehouse: duckdb.DuckDBPyConnection) -> str:
    """A table of the last seven days: v1 and v2 jobs by the day of their creation and outcome."""
    days: defaultdict[date, Counter[tuple[str, str]]] = defaultdict(Counter)
    for day, api, status, jobs in warehouse.execute(JOBS_BY_DAY).fetchall():
        days[day][api, OUTCOME_OF.get(status, status)] += jobs
    rows = [
        [f"{day:%a %Y-%m-%d}", *(_beside(jobs["v1", o], jobs["v2", o]) for o in OUTCOMES)]
        for day, jobs in days.items()
    ]
    return table(["Jobs by day, UTC: v1 | v2", *OUTCOMES], rows)


def _beside(v1: int, v2: int) -> str:
    return f"{v1:,} | {v2:>3,}" if v1 or v2 else ""


def rule_types(warehouse: duckdb.DuckDBPyConnection) -> str:
    """A bar chart of the rule types that are used most, over both APIs."""
    counts = warehouse.execute(RULE_TYPES).fetchall()
    most = max((v1 + v2 for _, v1, v2, _ in counts), default=1)
    rows = [
        [type_, v1, v2, found, ("█" * ((v1 + v2) * LONGEST_BAR // most)).ljust(LONGEST_BAR)]
        for type_, v1, v2, found in counts
    ]
    return table(["Most used rule types", "v1 rules", "v2 rules", "documents", ""], rows)


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
