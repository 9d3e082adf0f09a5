with statuses as (
  select
    cast(created_at as date) as day,
    project_id,
    max(project_name) as project_name,
    status,
    count(*) as jobs,
    {{ percentile('duration_seconds', 0.5) }} as median_duration_seconds,
    {{ percentile('duration_seconds', 0.95) }} as p95_duration_seconds,
    {{ percentile('queue_seconds', 0.5) }} as median_queue_seconds,
    {{ percentile('queue_seconds', 0.95) }} as p95_queue_seconds,
    {{ percentile('run_seconds', 0.5) }} as median_run_seconds,
    {{ percentile('run_seconds', 0.95) }} as p95_run_seconds,
    {{ total('credits') }} as credits
  from {{ ref('fct_classify_jobs') }}
  group by cast(created_at as date), project_id, status
),

days as (
  select
    *,
    sum(jobs) over each_day as all_jobs,
    sum(case when status in ('succeeded', 'partly_succeeded', 'failed') then jobs else 0 end)
      over each_day as finished_jobs,
    sum(case when status = 'succeeded' then jobs else 0 end) over each_day as succeeded_jobs
  from statuses
  window each_day as (partition by day, project_id)
)

select
  day,
  project_id,
  project_name,
  status,
  jobs,
  median_duration_seconds,
  p95_duration_seconds,
  median_queue_seconds,
  p95_queue_seconds,
  median_run_seconds,
  p95_run_seconds,
  credits,
  cast(all_jobs as bigint) as day_jobs,
  cast(finished_jobs as bigint) as day_finished_jobs,
  cast(succeeded_jobs as bigint) as day_succeeded_jobs,
  cast(succeeded_jobs as double precision) / nullif(finished_jobs, 0) as success_rate
from days
