with offered as (
  select
    rule_type,
    count(distinct api_version || ' ' || job_id) as jobs_offering,
    min(created_at) as first_used_at,
    max(created_at) as last_used_at
  from {{ ref('int_classify_job_rules') }}
  where rule_type is not null
  group by rule_type
),

found as (
  select
    document_type as rule_type,
    count(*) as documents,
    avg(confidence) as mean_confidence,
    min(classified_at) as first_used_at,
    max(classified_at) as last_used_at
  from {{ ref('fct_classify_outcomes') }}
  where document_type is not null
  group by document_type
)

select
  coalesce(offered.rule_type, found.rule_type) as rule_type,
  coalesce(offered.jobs_offering, 0) as jobs_offering,
  coalesce(found.documents, 0) as documents,
  found.mean_confidence,
  coalesce(offered.first_used_at, found.first_used_at) as first_used_at,
  coalesce(offered.last_used_at, found.last_used_at) as last_used_at
from offered
full outer join found on found.rule_type = offered.rule_type
