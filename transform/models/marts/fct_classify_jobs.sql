with jobs as (
  select
    *,
    {{ is_finished('status') }} as is_finished,
    -- The API has no time of the end; a finished job's last change is taken for it.
    case when {{ is_finished('status') }} then updated_at end as finished_at
  from {{ ref('int_classify_jobs') }}
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
  jobs.error_message,
  jobs.created_at,
  jobs.updated_at,
  jobs.is_finished,
  jobs.finished_at,
  {{ seconds_between('jobs.created_at', as_of()) }} as age_seconds,
  case
    when jobs.finished_at >= jobs.created_at
    then {{ seconds_between('jobs.created_at', 'jobs.finished_at') }}
  end as duration_seconds
from jobs
left join {{ ref('int_classify_job_languages') }} as languages
  on languages.api_version = jobs.api_version and languages.job_id = jobs.job_id
left join {{ ref('stg_classify_projects') }} as projects
  on projects.project_id = jobs.project_id
