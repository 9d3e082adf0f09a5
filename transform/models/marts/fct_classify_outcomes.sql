with documents as (
  select
    results.api_version,
    results.result_id as outcome_id,
    results.job_id,
    results.project_id,
    results.file_id as document,
    files.file_name,
    results.document_type,
    results.reasoning,
    results.confidence,
    cast(null as double precision) as credits,
    cast(null as double precision) as parse_credits,
    results.updated_at as classified_at
  from {{ ref('stg_classify_job_results') }} as results
  left join {{ ref('int_classify_files') }} as files
    on files.bare_file_id = {{ bare_file_id('results.file_id') }}
  union all
  select
    jobs.api_version,
    jobs.job_id,
    jobs.job_id,
    jobs.project_id,
    jobs.file_input,
    facts.file_name,
    jobs.result_type,
    jobs.result_reasoning,
    jobs.result_confidence,
    facts.credits,
    jobs.usage_parse_credits,
    jobs.updated_at
  from {{ ref('stg_classify_v2_jobs') }} as jobs
  inner join {{ ref('fct_classify_jobs') }} as facts
    on facts.api_version = jobs.api_version and facts.job_id = jobs.job_id
  where coalesce(jobs.result_type, jobs.result_reasoning) is not null
    or coalesce(jobs.result_confidence, facts.credits, jobs.usage_parse_credits) is not null
)

select
  documents.api_version,
  documents.outcome_id,
  documents.job_id,
  documents.project_id,
  projects.project_name,
  documents.document,
  documents.file_name,
  documents.document_type,
  case
    when documents.document_type is not null then 'matched'
    when documents.confidence is not null or documents.reasoning is not null then 'unmatched'
    else 'none'
  end as outcome,
  documents.confidence,
  documents.credits,
  documents.parse_credits,
  documents.classified_at
from documents
left join {{ ref('stg_classify_projects') }} as projects
  on projects.project_id = documents.project_id
