with timings as (
  {{ loaded('classify_job_timings', {
    'job_id': 'text', 'project_id': 'text', 'status': 'text', 'custom_tag': 'text',
    'error_message': 'text', 'pending_at': 'timestamp', 'throttled_at': 'timestamp',
    'running_at': 'timestamp', 'completed_at': 'timestamp', 'failed_at': 'timestamp',
    'cancelled_at': 'timestamp', 'created_at': 'timestamp', 'updated_at': 'timestamp',
    'additional_fields': 'json',
  }) }}
)

select
  job_id,
  project_id,
  status as api_status,
  custom_tag,
  error_message,
  pending_at,
  throttled_at,
  running_at,
  completed_at,
  failed_at,
  cancelled_at,
  created_at,
  updated_at,
  additional_fields
from timings
