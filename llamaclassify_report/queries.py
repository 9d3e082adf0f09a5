"""The questions that the page asks of the marts, in SQL that DuckDB and PostgreSQL share."""

from __future__ import annotations

DAYS = 90
WEEK = 7
MOST_BARS = 12
MOST_PROJECTS = 12
MOST_FAILURES = 8
MOST_LINES = 5
MOST_SERIES = 4
MOST_LISTED = 8
COST_WEEKS = 13

AS_OF = "(SELECT max(as_of) AS as_of FROM classify_freshness) AS now"
RECENT = f"created_at > as_of - INTERVAL '{DAYS} days' AND created_at <= as_of"
THIS_WEEK = f"created_at > as_of - INTERVAL '{WEEK} days'"
# In whole billionths, so that all databases say the same.
SPENT = "CAST(CAST(sum(credits) AS decimal(38, 9)) AS double precision)"
ENDED = "status IN ('succeeded', 'partly_succeeded', 'failed')"

FRESHNESS = "SELECT * FROM classify_freshness ORDER BY api_version"
OLDEST = "SELECT min(created_at) AS created_at FROM fct_classify_jobs"
WEEKS = f"""
    SELECT
        CASE WHEN {THIS_WEEK} THEN 0 ELSE 1 END AS weeks_ago,
        count(*) AS jobs,
        count(CASE WHEN status = 'succeeded' THEN 1 END) AS succeeded,
        count(CASE WHEN {ENDED} THEN 1 END) AS ended
    FROM fct_classify_jobs, {AS_OF}
    WHERE created_at > as_of - INTERVAL '{2 * WEEK} days' AND created_at <= as_of
    GROUP BY 1
"""  # noqa: S608 - no value from outside is among these words
UNFINISHED = """
    SELECT api_version, job_id, project_id, project_name, status, age_seconds
    FROM fct_classify_jobs
    WHERE status IN ('pending', 'running') AND age_seconds IS NOT NULL
    ORDER BY age_seconds DESC, job_id LIMIT 1
"""

# What needs attention.
FAILURES = f"""
    SELECT
        *,
        sum(jobs_in_7_days) OVER (PARTITION BY project_id) AS of_project_in_7_days,
        sum(jobs) OVER (PARTITION BY project_id) AS of_project
    FROM agg_classify_failures
    ORDER BY of_project_in_7_days DESC, of_project DESC, project_id, jobs_in_7_days DESC,
        jobs DESC, last_failed_at DESC, error_message, api_version
    LIMIT {MOST_FAILURES}
"""  # noqa: S608 - as above
FAILED = """
    SELECT count(*) AS kinds, sum(jobs) AS jobs, sum(jobs_in_7_days) AS jobs_in_7_days
    FROM agg_classify_failures
"""
PENDING = f"""
    SELECT * FROM jobs_needing_attention WHERE reason = 'pending_too_long'
    ORDER BY age_seconds DESC NULLS LAST, job_id LIMIT {MOST_LINES}
"""  # noqa: S608 - as above
UNCERTAIN = f"""
    SELECT * FROM jobs_needing_attention WHERE reason = 'low_confidence'
    ORDER BY confidence, since DESC NULLS LAST, job_id LIMIT {MOST_LINES}
"""  # noqa: S608 - as above
REASONS = "SELECT reason, count(*) AS jobs FROM jobs_needing_attention GROUP BY reason"

# The last days, and the days before them that their first mean needs.
DAILY = f"""
    SELECT day, status, sum(jobs) AS jobs FROM agg_classify_daily, {AS_OF}
    WHERE day > CAST(as_of - INTERVAL '{DAYS + WEEK - 1} days' AS date)
        AND day <= CAST(as_of AS date)
    GROUP BY day, status ORDER BY day, status
"""  # noqa: S608 - as above
DURATIONS = f"""
    SELECT
        CAST(created_at AS date) AS day,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_seconds) AS median,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_seconds) AS p95
    FROM fct_classify_jobs, {AS_OF}
    WHERE {RECENT} AND duration_seconds IS NOT NULL
        AND CAST(created_at AS date) > CAST(as_of - INTERVAL '{DAYS} days' AS date)
    GROUP BY 1 ORDER BY 1
"""  # noqa: S608 - as above
CREDITS = f"""
    SELECT CAST(created_at AS date) AS day, {SPENT} AS credits, count(*) AS jobs
    FROM fct_classify_jobs, {AS_OF}
    WHERE credits IS NOT NULL AND {RECENT}
        AND CAST(created_at AS date) > CAST(as_of - INTERVAL '{DAYS} days' AS date)
    GROUP BY 1 ORDER BY 1
"""  # noqa: S608 - as above
_MEASURES = f"""
    count(*) AS jobs,
    count(CASE WHEN {THIS_WEEK} THEN 1 END) AS jobs_in_7_days,
    count(CASE WHEN status = 'succeeded' THEN 1 END) AS succeeded,
    count(CASE WHEN {ENDED} THEN 1 END) AS ended,
    count(CASE WHEN {THIS_WEEK} AND status = 'succeeded' THEN 1 END) AS succeeded_in_7_days,
    count(CASE WHEN {THIS_WEEK} AND {ENDED} THEN 1 END) AS ended_in_7_days,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_seconds) AS median,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_seconds) AS p95,
    {SPENT} AS credits
"""
APIS = f"""
    SELECT api_version, count(DISTINCT project_id) AS projects, {_MEASURES}
    FROM fct_classify_jobs, {AS_OF} WHERE {RECENT} GROUP BY api_version
    ORDER BY api_version
"""  # noqa: S608 - as above
_PROJECTS = f"""
    groups AS (
        SELECT api_version, project_id, max(project_name) AS project_name, {_MEASURES}
        FROM fct_classify_jobs, {AS_OF} WHERE {RECENT} GROUP BY api_version, project_id
    ),
    ranked AS (
        SELECT *, sum(jobs) OVER (PARTITION BY project_id) AS of_project, count(*) OVER () AS kinds
        FROM groups
    ),
    shown AS (
        SELECT * FROM ranked ORDER BY of_project DESC, project_id, api_version
        LIMIT {MOST_PROJECTS}
    )
"""  # noqa: S608 - as above
PROJECTS = f"""
    WITH {_PROJECTS}
    SELECT * FROM shown ORDER BY of_project DESC, project_id, api_version
"""  # noqa: S608 - as above
WEEKLY = f"""
    WITH {_PROJECTS}
    SELECT
        jobs.api_version,
        jobs.project_id,
        CAST(floor(extract(epoch FROM (as_of - created_at)) / {WEEK * 86_400}) AS integer)
            AS weeks_ago,
        count(*) AS jobs,
        count(CASE WHEN jobs.status = 'failed' THEN 1 END) AS failed
    FROM {AS_OF}, fct_classify_jobs AS jobs
    INNER JOIN shown ON shown.api_version = jobs.api_version
        AND shown.project_id IS NOT DISTINCT FROM jobs.project_id
    WHERE {RECENT}
    GROUP BY 1, 2, 3
"""  # noqa: S608 - as above

# All that is loaded.
RULE_TYPES = f"""
    SELECT rule_type AS name, jobs_offering, documents, mean_confidence, count(*) OVER () AS kinds
    FROM agg_rule_types
    ORDER BY jobs_offering DESC, documents DESC, rule_type LIMIT {MOST_BARS}
"""  # noqa: S608 - as above
UNMATCHED = """
    SELECT count(*) AS documents, avg(confidence) AS mean_confidence
    FROM fct_classify_outcomes WHERE outcome = 'unmatched'
"""
LANGUAGES = f"""
    SELECT language AS name, count(*) AS jobs, count(*) OVER () AS kinds FROM fct_classify_jobs
    GROUP BY language ORDER BY jobs DESC, language LIMIT {MOST_BARS}
"""  # noqa: S608 - as above
MODES = f"""
    SELECT mode AS name, count(*) AS jobs, count(*) OVER () AS kinds FROM fct_classify_jobs
    GROUP BY mode ORDER BY jobs DESC, mode LIMIT {MOST_BARS}
"""  # noqa: S608 - as above
CONFIDENCE = """
    SELECT
        CAST(CASE WHEN confidence >= 1 THEN 9 ELSE floor(confidence * 10) END AS integer) AS tenth,
        count(*) AS documents
    FROM fct_classify_outcomes WHERE confidence >= 0
    GROUP BY 1 ORDER BY 1
"""

# How long jobs waited, and how long they ran.
_TIMES = """
    percentile_cont(0.5) WITHIN GROUP (ORDER BY queue_seconds) AS waiting,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY queue_seconds) AS p95_waiting,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY run_seconds) AS running,
    percentile_cont(0.95) WITHIN GROUP (ORDER BY run_seconds) AS p95_running
"""
_TIMED = f"{RECENT} AND (queue_seconds IS NOT NULL OR run_seconds IS NOT NULL)"
WAITS = f"""
    SELECT CAST(created_at AS date) AS day, {_TIMES}
    FROM fct_classify_jobs, {AS_OF}
    WHERE {_TIMED} AND CAST(created_at AS date) > CAST(as_of - INTERVAL '{DAYS} days' AS date)
    GROUP BY 1 ORDER BY 1
"""  # noqa: S608 - as above
PROJECT_WAITS = f"""
    WITH groups AS (
        SELECT project_id, max(project_name) AS project_name, count(*) AS jobs, {_TIMES}
        FROM fct_classify_jobs, {AS_OF} WHERE {_TIMED} GROUP BY project_id
    )
    SELECT *, count(*) OVER () AS kinds FROM groups
    ORDER BY p95_waiting DESC NULLS LAST, project_id LIMIT {MOST_LISTED}
"""  # noqa: S608 - as above

# What jobs and documents cost.
COST = f"SELECT count(credits) AS jobs, {SPENT} AS credits FROM fct_classify_jobs"  # noqa: S608 - as above
SPENDING = f"""
    WITH spent AS (
        SELECT
            project_id,
            CAST(date_trunc('week', created_at) AS date) AS week,
            max(project_name) AS project_name,
            sum(credits) AS credits
        FROM fct_classify_jobs, {AS_OF}
        WHERE credits IS NOT NULL AND created_at <= as_of
            AND created_at >= date_trunc('week', as_of) - INTERVAL '{(COST_WEEKS - 1) * WEEK} days'
        GROUP BY 1, 2
    ),
    ranked AS (
        SELECT project_id, row_number() OVER (ORDER BY {SPENT} DESC, project_id) AS nth
        FROM spent GROUP BY project_id
    ),
    placed AS (
        SELECT spent.*, CASE WHEN nth > {MOST_SERIES} THEN {MOST_SERIES + 1} ELSE nth END AS place
        FROM spent INNER JOIN ranked ON ranked.project_id IS NOT DISTINCT FROM spent.project_id
    )
    SELECT week, place, max(project_id) AS project_id, max(project_name) AS project_name,
        {SPENT} AS credits
    FROM placed GROUP BY week, place ORDER BY week, place
"""  # noqa: S608 - as above
_BILLED = f"""
    sum(documents) AS documents, sum(billed_documents) AS billed_documents,
    CAST(CAST(sum(pages) AS decimal(38, 9)) AS double precision) AS pages, {SPENT} AS credits,
    sum(credits_per_document * billed_documents) / nullif(sum(billed_documents), 0) AS each
"""
CONFIGURATIONS = f"""
    WITH groups AS (
        SELECT configuration_id, max(configuration_name) AS configuration_name, {_BILLED}
        FROM agg_classify_cost GROUP BY configuration_id HAVING sum(credits) IS NOT NULL
    )
    SELECT *, count(*) OVER () AS kinds FROM groups
    ORDER BY credits DESC, configuration_id LIMIT {MOST_LISTED}
"""  # noqa: S608 - as above
TYPE_COSTS = f"""
    WITH groups AS (
        SELECT rule_type AS name, {_BILLED}
        FROM agg_classify_cost GROUP BY rule_type HAVING sum(credits) IS NOT NULL
    )
    SELECT *, count(*) OVER () AS kinds FROM groups
    ORDER BY each DESC NULLS LAST, name LIMIT {MOST_BARS}
"""  # noqa: S608 - as above
