with failed as (
  select
    *,
    row_number() over (
      partition by api_version, project_id, error_message order by updated_at desc, job_id
    ) as nth_newest
  from {{ ref('fct_classify_jobs') }}
  where status = 'failed'
    and updated_at >= {{ as_of() }} - interval '{{ var("attention_days") }} days'
)

select
  api_version,
  project_id,
  max(project_name) as project_name,
  error_message,
  count(*) as jobs,
  count(case when updated_at >= {{ as_of() }} - interval '7 days' then 1 end) as jobs_in_7_days,
  min(updated_at) as first_failed_at,
  max(updated_at) as last_failed_at,
  max(case when nth_newest = 1 then job_id end) as last_job_id
from failed
group by api_version, project_id, error_message
