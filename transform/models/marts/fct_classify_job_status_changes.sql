with versions as (
  select
    api_version,
    job_id,
    project_id,
    row_number() over each_job as version,
    lag(status) over each_job as previous_status,
    status,
    lag(api_status) over each_job as previous_api_status,
    api_status,
    updated_at,
    first_seen_at as seen_at,
    replaced_at,
    lag(updated_at) over each_job as previous_updated_at
  from {{ ref('classify_job_versions') }}
  window each_job as (partition by api_version, job_id order by first_seen_at, updated_at)
)

select
  api_version,
  job_id,
  project_id,
  version,
  previous_status,
  status,
  previous_api_status,
  api_status,
  updated_at,
  seen_at,
  replaced_at,
  replaced_at is null as is_current,
  {{ seconds_between('previous_updated_at', 'updated_at') }} as seconds_in_previous
from versions
