with rules as (
  {{ loaded('classify_job_rules', {
    'job_id': 'text', 'rule_index': 'bigint', 'project_id': 'text', 'type': 'text',
    'description': 'text', 'updated_at': 'timestamp', 'additional_fields': 'json',
  }) }}
)

select
  'v1' as api_version,
  job_id,
  rule_index,
  project_id,
  type as rule_type,
  description,
  updated_at,
  additional_fields
from rules
