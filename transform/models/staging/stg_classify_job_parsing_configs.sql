with parsing_configs as (
  {{ loaded('classify_job_parsing_configs', {
    'job_id': 'text', 'project_id': 'text', 'lang': 'text', 'max_pages': 'bigint',
    'target_pages': 'text', 'updated_at': 'timestamp', 'additional_fields': 'json',
  }) }}
)

select
  'v1' as api_version,
  job_id,
  project_id,
  lang as language,
  max_pages,
  target_pages,
  updated_at,
  additional_fields
from parsing_configs
