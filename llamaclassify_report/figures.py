"""What the page shows, as numbers: queries over the marts that run on DuckDB and PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from llamaclassify_report.marts import Marts, Row

DAYS = 90
MOST_BARS = 12
MOST_LINES = 10

AS_OF = "(SELECT max(as_of) AS as_of FROM classify_freshness) AS now"
RECENT = f"created_at > as_of - INTERVAL '{DAYS} days' AND created_at <= as_of"

FRESHNESS = "SELECT * FROM classify_freshness ORDER BY api_version"
WEEKS = f"""
    SELECT
        CASE WHEN created_at > as_of - INTERVAL '7 days' THEN 0 ELSE 1 END AS weeks_ago,
        count(*) AS jobs,
        sum(CASE WHEN status = 'succeeded' THEN 1 ELSE 0 END) AS succeeded,
        sum(CASE WHEN status IN ('succeeded', 'partly_succeeded', 'failed') THEN 1 ELSE 0 END)
            AS ended
    FROM fct_classify_jobs, {AS_OF}
    WHERE created_at > as_of - INTERVAL '14 days' AND created_at <= as_of
    GROUP BY 1
"""  # noqa: S608 - no value from outside is among these words
UNFINISHED = """
    SELECT api_version, job_id, project_id, project_name, status, age_seconds
    FROM fct_classify_jobs
    WHERE status IN ('pending', 'running') AND age_seconds IS NOT NULL
    ORDER BY age_seconds DESC, job_id LIMIT 1
"""
DAILY = f"""
    SELECT day, status, sum(jobs) AS jobs FROM agg_classify_daily, {AS_OF}
    WHERE day > CAST(as_of - INTERVAL '{DAYS} days' AS date) AND day <= CAST(as_of AS date)
    GROUP BY day, status ORDER BY day, status
"""  # noqa: S608 - as above
DURATIONS = f"""
    SELECT
        CAST(created_at AS date) AS day,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY duration_seconds) AS median,
        percentile_cont(0.95) WITHIN GROUP (ORDER BY duration_seconds) AS p95
    FROM fct_classify_jobs, {AS_OF}
    WHERE {RECENT} AND duration_seconds IS NOT NULL
    GROUP BY 1 ORDER BY 1
"""  # noqa: S608 - as above
RULE_TYPES = f"""
    SELECT rule_type AS name, jobs_offering, documents, mean_confidence FROM agg_rule_types
    ORDER BY jobs_offering DESC, documents DESC, rule_type LIMIT {MOST_BARS}
"""  # noqa: S608 - as above
LANGUAGES = f"""
    SELECT language AS name, count(*) AS jobs FROM fct_classify_jobs
    GROUP BY language ORDER BY jobs DESC, language LIMIT {MOST_BARS}
"""  # noqa: S608 - as above
MODES = f"""
    SELECT mode AS name, count(*) AS jobs FROM fct_classify_jobs
    GROUP BY mode ORDER BY jobs DESC, mode LIMIT {MOST_BARS}
"""  # noqa: S608 - as above
OUTCOMES = f"""
    SELECT document_type AS name, count(*) AS documents, avg(confidence) AS confidence
    FROM fct_classify_outcomes WHERE outcome <> 'none'
    GROUP BY document_type ORDER BY documents DESC, document_type LIMIT {MOST_BARS}
"""  # noqa: S608 - as above
CONFIDENCE = """
    SELECT
        CAST(CASE WHEN confidence >= 1 THEN 9 ELSE floor(confidence * 10) END AS integer) AS tenth,
        count(*) AS documents
    FROM fct_classify_outcomes WHERE confidence >= 0
    GROUP BY 1 ORDER BY 1
"""
CREDITS = """
    SELECT sum(credits) AS credits, count(credits) AS documents
    FROM fct_classify_outcomes
"""
PENDING = f"""
    SELECT * FROM jobs_needing_attention WHERE reason = 'pending_too_long'
    ORDER BY age_seconds DESC NULLS LAST, job_id LIMIT {MOST_LINES}
"""  # noqa: S608 - as above
ERRORS = f"""
    SELECT project_id, project_name, error_message, count(*) AS jobs, max(since) AS since
    FROM jobs_needing_attention WHERE reason = 'repeated_error'
    GROUP BY project_id, project_name, error_message
    ORDER BY jobs DESC, since DESC NULLS LAST, error_message LIMIT {MOST_LINES}
"""  # noqa: S608 - as above
UNCERTAIN = f"""
    SELECT * FROM jobs_needing_attention WHERE reason = 'low_confidence'
    ORDER BY confidence, since DESC NULLS LAST, job_id LIMIT {MOST_LINES}
"""  # noqa: S608 - as above
REASONS = "SELECT reason, count(*) AS jobs FROM jobs_needing_attention GROUP BY reason"


@dataclass(frozen=True, kw_only=True)
class Figures:
    """All that the page shows, bounded whatever the history's length."""

    freshness: list[Row]
    weeks: dict[int, Row]
    oldest_unfinished: Row | None
    daily: list[Row]
    durations: list[Row]
    rule_types: list[Row]
    languages: list[Row]
    modes: list[Row]
    outcomes: list[Row]
    confidence: list[Row]
    credits: Row
    pending: list[Row]
    errors: list[Row]
    uncertain: list[Row]
    reasons: dict[str, int]

    @property
    def as_of(self) -> datetime:
        """The instant that the marts were built for, UTC."""
        instant: datetime = max(row["as_of"] for row in self.freshness)
        return instant

    @property
    def jobs(self) -> int:
        """How many jobs are loaded, of both versions of the API."""
        return sum(row["jobs"] for row in self.freshness)


def figures_of(marts: Marts) -> Figures:
    """Read all figures.

    Raises:
        MartsError: The marts are not there, or cannot be read.
    """
    return Figures(
        freshness=marts.rows(FRESHNESS),
        weeks={row["weeks_ago"]: row for row in marts.rows(WEEKS)},
        oldest_unfinished=next(iter(marts.rows(UNFINISHED)), None),
        daily=marts.rows(DAILY),
        durations=marts.rows(DURATIONS),
        rule_types=marts.rows(RULE_TYPES),
        languages=marts.rows(LANGUAGES),
        modes=marts.rows(MODES),
        outcomes=marts.rows(OUTCOMES),
        confidence=marts.rows(CONFIDENCE),
        credits=marts.rows(CREDITS)[0],
        pending=marts.rows(PENDING),
        errors=marts.rows(ERRORS),
        uncertain=marts.rows(UNCERTAIN),
        reasons={row["reason"]: row["jobs"] for row in marts.rows(REASONS)},
    )
