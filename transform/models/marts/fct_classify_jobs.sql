with timings as (
  select
    job_id,
    coalesce(pending_at, created_at) as waiting_at,
    running_at,
    -- A job that is tried again may have several ends.
    greatest(completed_at, failed_at, cancelled_at) as ended_at
  from {{ ref('stg_classify_job_timings') }}
),

jobs as (
  select
    jobs.*,
    {{ is_finished('jobs.status') }} as is_finished,
    case when {{ is_finished('jobs.status') }} then timings.ended_at end as ended_at,
    {{ seconds_until('coalesce(timings.waiting_at, jobs.created_at)', 'timings.running_at') }}
      as queue_seconds,
    {{ seconds_until('timings.running_at', 'timings.ended_at') }} as run_seconds
  from {{ ref('int_classify_jobs') }} as jobs
  left join timings on timings.job_id = jobs.job_id
),

finished as (
  select
    *,
    -- A job has no time of its end; where no timing has it, its last change is taken for it.
    case when is_finished then coalesce(ended_at, updated_at) end as finished_at
  from jobs
)

select
  jobs.api_version,
  jobs.job_id,
  jobs.project_id,
  projects.project_name,
  jobs.user_id,
  jobs.status,
  jobs.api_status,
  jobs.mode,
  languages.language,
  jobs.rule_count,
  jobs.configuration_id,
  configurations.configuration_name,
  files.file_name,
  jobs.error_message,
  jobs.created_at,
  jobs.updated_at,
  jobs.is_finished,
  jobs.finished_at,
  {{ seconds_between('jobs.created_at', as_of()) }} as age_seconds,
  {{ seconds_until('jobs.created_at', 'jobs.finished_at') }} as duration_seconds,
  jobs.queue_seconds,
  jobs.run_seconds,
  case when jobs.ended_at is null then 'job' else 'timings' end as times_from,
  usage.pages,
  coalesce(usage.credits, jobs.usage_credits) as credits,
  case
    when usage.credits is not null then 'usage'
    when jobs.usage_credits is not null then 'job'
  end as credits_from
from finished as jobs
left join {{ ref('int_classify_job_languages') }} as languages
  on languages.api_version = jobs.api_version and languages.job_id = jobs.job_id
left join {{ ref('int_classify_job_usage') }} as usage
  on usage.api_version = jobs.api_version and usage.job_id = jobs.job_id
left join {{ ref('stg_classify_configurations') }} as configurations
  on configurations.configuration_id = jobs.configuration_id
left join {{ ref('int_classify_files') }} as files
  on jobs.document_input_type = 'file_id'
  and files.bare_file_id = {{ bare_file_id('jobs.file_input') }}
left join {{ ref('stg_classify_projects') }} as projects
  on projects.project_id = jobs.project_id
