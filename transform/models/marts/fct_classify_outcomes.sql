with documents as (
  select
    api_version,
    result_id as outcome_id,
    job_id,
    project_id,
    file_id as document,
    document_type,
    reasoning,
    confidence,
    cast(null as double precision) as credits,
    cast(null as double precision) as parse_credits,
    updated_at as classified_at
  from {{ ref('stg_classify_job_results') }}
  union all
  select
    api_version,
    job_id,
    job_id,
    project_id,
    file_input,
    result_type,
    result_reasoning,
    result_confidence,
    usage_credits,
    usage_parse_credits,
    updated_at
  from {{ ref('stg_classify_v2_jobs') }}
  where coalesce(result_type, result_reasoning) is not null
    or coalesce(result_confidence, usage_credits, usage_parse_credits) is not null
)

select
  documents.api_version,
  documents.outcome_id,
  documents.job_id,
  documents.project_id,
  projects.project_name,
  documents.document,
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
