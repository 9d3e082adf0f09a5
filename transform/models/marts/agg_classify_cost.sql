with documents as (
  select
    api_version,
    job_id,
    document_type,
    count(*) over (partition by api_version, job_id) as documents_of_job
  from {{ ref('fct_classify_outcomes') }}
),

-- A row a document, and one for each job without any.
shares as (
  select
    cast(date_trunc('month', jobs.created_at) as date) as month,
    jobs.project_id,
    jobs.project_name,
    jobs.configuration_id,
    jobs.configuration_name,
    documents.document_type as rule_type,
    case when documents.job_id is null then 0 else 1 end as documents,
    cast(jobs.pages as double precision) / coalesce(documents.documents_of_job, 1) as pages,
    jobs.credits / coalesce(documents.documents_of_job, 1) as credits
  from {{ ref('fct_classify_jobs') }} as jobs
  left join documents
    on documents.api_version = jobs.api_version and documents.job_id = jobs.job_id
),

costs as (
  select
    month,
    project_id,
    max(project_name) as project_name,
    configuration_id,
    max(configuration_name) as configuration_name,
    rule_type,
    cast(sum(documents) as bigint) as documents,
    cast(sum(case when credits is null then 0 else documents end) as bigint) as billed_documents,
    {{ total('pages') }} as pages,
    {{ total('credits') }} as credits,
    {{ total('case when documents > 0 then credits end') }} as document_credits
  from shares
  group by month, project_id, configuration_id, rule_type
)

select
  month,
  project_id,
  project_name,
  configuration_id,
  configuration_name,
  rule_type,
  documents,
  billed_documents,
  pages,
  credits,
  document_credits / nullif(billed_documents, 0) as credits_per_document
from costs
