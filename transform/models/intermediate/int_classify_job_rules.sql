with rules as (
  select api_version, job_id, rule_index, rule_type from {{ ref('stg_classify_job_rules') }}
  union all
  select api_version, job_id, rule_index, rule_type from {{ ref('stg_classify_v2_job_rules') }}
)

-- A job that has lost rules leaves their rows behind.
select rules.api_version, rules.job_id, rules.rule_index, rules.rule_type, jobs.created_at
from rules
left join {{ ref('int_classify_jobs') }} as jobs
  on jobs.api_version = rules.api_version and jobs.job_id = rules.job_id
where jobs.rule_count is null or rules.rule_index < jobs.rule_count
