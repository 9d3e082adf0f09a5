with jobs as (
  {{ loaded('classify_v2_jobs', {
    'id': 'text', 'project_id': 'text', 'user_id': 'text', 'status': 'text', 'mode': 'text',
    'configuration_id': 'text', 'document_input_type': 'text', 'file_input': 'text',
    'parse_job_id': 'text', 'transaction_id': 'text', 'error_message': 'text',
    'result_type': 'text', 'result_confidence': 'double precision', 'result_reasoning': 'text',
    'usage_credits': 'double precision', 'usage_parse_credits': 'double precision',
    'rule_count': 'bigint', 'created_at': 'timestamp', 'updated_at': 'timestamp',
    'additional_fields': 'json',
  }) }}
)

select
  'v2' as api_version,
  id as job_id,
  project_id,
  user_id,
  {{ status_of('status') }} as status,
  status as api_status,
  mode,
  error_message,
  rule_count,
  configuration_id,
  created_at,
  updated_at,
  document_input_type,
  file_input,
  parse_job_id,
  transaction_id,
  result_type,
  result_confidence,
  result_reasoning,
  usage_credits,
  usage_parse_credits,
  additional_fields
from jobs
