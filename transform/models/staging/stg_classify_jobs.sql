with jobs as (
  {{ loaded('classify_jobs', {
    'id': 'text', 'project_id': 'text', 'user_id': 'text', 'status': 'text', 'mode': 'text',
    'error_message': 'text', 'job_record_id': 'text', 'rule_count': 'bigint',
    'created_at': 'timestamp', 'effective_at': 'timestamp', 'updated_at': 'timestamp',
    'additional_fields': 'json',
  }) }}
)

select
  'v1' as api_version,
  id as job_id,
  project_id,
  user_id,
  {{ status_of('status') }} as status,
  status as api_status,
  mode,
  error_message,
  rule_count,
  cast(null as text) as configuration_id,
  created_at,
  updated_at,
  effective_at,
  job_record_id,
  additional_fields
from jobs
