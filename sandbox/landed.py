"""What syncs put into DuckDB, as text for a terminal of 80 columns; it knows the tables only."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date

import duckdb

ROWS = """
    SELECT 'classify_jobs', count(*) FROM llamacloud.classify_jobs
    UNION ALL
    SELECT 'classify_job_rules', count(*) FROM llamacloud.classify_job_rules
    UNION ALL
    SELECT 'classify_job_parsing_configs', count(*) FROM llamacloud.classify_job_parsing_configs
"""
STATUSES = """
    SELECT status FROM llamacloud.classify_jobs GROUP BY status ORDER BY count(*) DESC, status
"""
JOBS_BY_DAY = """
    SELECT created_at::date AS day, status, count(*) FROM llamacloud.classify_jobs
    WHERE day > (SELECT max(created_at)::date - 7 FROM llamacloud.classify_jobs)
    GROUP BY day, status ORDER BY day
"""
RULE_TYPES = """
    SELECT type, count(*) AS rules FROM llamacloud.classify_job_rules
    GROUP BY type ORDER BY rules DESC, type LIMIT 8
"""

LONGEST_BAR = 40

Line = Sequence[str | int | None]


def rows_of_tables(warehouse: duckdb.DuckDBPyConnection) -> dict[str, int]:
    """How many rows each table has."""
    return dict(warehouse.execute(ROWS).fetchall())


def jobs_by_day(warehouse: duckdb.DuckDBPyConnection) -> str:
    """A table of the last seven days: jobs by the day of their creation and by status."""
    statuses = [status for (status,) in warehouse.execute(STATUSES).fetchall()]
    days: defaultdict[date, dict[str, int]] = defaultdict(dict)
    for day, status, jobs in warehouse.execute(JOBS_BY_DAY).fetchall():
        days[day][status] = jobs
    rows = [[f"{day:%a %Y-%m-%d}", *map(days[day].get, statuses)] for day in days]
    return table(["Jobs by day, UTC", *map(str, statuses)], rows)


def rule_types(warehouse: duckdb.DuckDBPyConnection) -> str:
    """A bar chart of the most used rule types."""
    counts = warehouse.execute(RULE_TYPES).fetchall()
    most = max((rules for _, rules in counts), default=1)
    bars = ["█" * (rules * LONGEST_BAR // most) for _, rules in counts]
    rows = [
        [type_, rules, bar.ljust(LONGEST_BAR)]
        for (type_, rules), bar in zip(counts, bars, strict=True)
    ]
    return table(["Most used rule types", "rules", ""], rows)


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
