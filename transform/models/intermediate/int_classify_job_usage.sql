with ids as (
  select api_version, job_id, created_at, job_id as metric_key, 1 as preference
  from {{ ref('int_classify_jobs') }}
  union all
  -- A parse job of the user's own is billed for itself, and several jobs may use it.
  select api_version, job_id, created_at, parse_job_id, 2
  from {{ ref('int_classify_jobs') }}
  where parse_job_id is not null and coalesce(document_input_type, '') <> 'parse_job_id'
),

-- What several jobs could claim counts for one of them only.
claims as (
  select
    *,
    row_number() over (
      partition by metric_key
      order by preference, created_at nulls last, api_version, job_id
    ) as nth
  from ids
)

select
  claims.api_version,
  claims.job_id,
  {{ total('metrics.credits') }} as credits,
  cast(sum(
    case when metrics.event_type in ('pages_classified', 'image_classified') then metrics.value end
  ) as bigint) as pages
from claims
inner join {{ ref('stg_classify_usage') }} as metrics
  on metrics.event_aggregation_key = claims.metric_key
where claims.nth = 1
group by claims.api_version, claims.job_id
