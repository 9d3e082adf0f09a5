with jobs as (
  select * from {{ ref('fct_classify_jobs') }}
),

usual as (
  select project_id, {{ percentile('duration_seconds', 0.99) }} as limit_seconds
  from jobs
  group by project_id
),

pending as (
  select
    'pending_too_long' as reason,
    jobs.api_version,
    jobs.job_id,
    jobs.created_at as since,
    usual.limit_seconds,
    cast(null as bigint) as jobs_with_same_error,
    cast(null as text) as document_type,
    cast(null as double precision) as confidence
  from jobs
  inner join usual on usual.project_id = jobs.project_id
  where jobs.status in ('pending', 'running') and jobs.age_seconds > usual.limit_seconds
),

recently_failed as (
  select
    api_version,
    job_id,
    updated_at,
    count(*) over (partition by project_id, error_message) as jobs_with_same_error
  from jobs
  where status = 'failed'
    and error_message is not null
    and updated_at >= {{ as_of() }} - interval '{{ var("attention_days") }} days'
),

repeated as (
  select
    'repeated_error' as reason,
    api_version,
    job_id,
    updated_at as since,
    cast(null as double precision) as limit_seconds,
    jobs_with_same_error,
    cast(null as text) as document_type,
    cast(null as double precision) as confidence
  from recently_failed
  where jobs_with_same_error > 2
),

documents as (
  select
    *,
    row_number() over (
      partition by api_version, job_id order by confidence, outcome_id
    ) as nth_least_certain
  from {{ ref('fct_classify_outcomes') }}
  where confidence < {{ var('low_confidence') }}
    and classified_at >= {{ as_of() }} - interval '{{ var("attention_days") }} days'
),

uncertain as (
  select
    'low_confidence' as reason,
    api_version,
    job_id,
    classified_at as since,
    cast(null as double precision) as limit_seconds,
    cast(null as bigint) as jobs_with_same_error,
    document_type,
    confidence
  from documents
  where nth_least_certain = 1
),

all_reasons as (
  select * from pending
  union all
  select * from repeated
  union all
  select * from uncertain
)

select
  all_reasons.reason,
  all_reasons.api_version,
  all_reasons.job_id,
  jobs.project_id,
  jobs.project_name,
  jobs.status,
  all_reasons.since,
  jobs.age_seconds,
  all_reasons.limit_seconds,
  case when all_reasons.reason = 'repeated_error' then jobs.error_message end as error_message,
  all_reasons.jobs_with_same_error,
  all_reasons.document_type,
  all_reasons.confidence
from all_reasons
left join jobs
  on jobs.api_version = all_reasons.api_version and jobs.job_id = all_reasons.job_id
