with versions as (
  select 'v1' as api_version
  union all
  select 'v2'
)

select
  versions.api_version,
  count(jobs.job_id) as jobs,
  max(jobs.created_at) as newest_created_at,
  max(jobs.updated_at) as newest_updated_at,
  {{ as_of() }} as as_of,
  cast({{ var('attention_days') }} as bigint) as attention_days,
  cast({{ var('low_confidence') }} as double precision) as low_confidence,
  cast({{ var('stale_after_hours') }} as bigint) as stale_after_hours
from versions
left join {{ ref('fct_classify_jobs') }} as jobs on jobs.api_version = versions.api_version
group by versions.api_version
