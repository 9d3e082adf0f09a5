with results as (
  {{ loaded('classify_job_results', {
    'id': 'text', 'job_id': 'text', 'project_id': 'text', 'file_id': 'text', 'type': 'text',
    'confidence': 'double precision', 'reasoning': 'text', 'created_at': 'timestamp',
    'updated_at': 'timestamp', 'job_updated_at': 'timestamp', 'additional_fields': 'json',
  }) }}
)

select
  'v1' as api_version,
  id as result_id,
  job_id,
  project_id,
  file_id,
  type as document_type,
  confidence,
  reasoning,
  created_at,
  updated_at,
  job_updated_at,
  additional_fields
from results
