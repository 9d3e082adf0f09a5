{%- set columns = [
  'api_version', 'job_id', 'project_id', 'user_id', 'status', 'api_status', 'mode',
  'error_message', 'rule_count', 'configuration_id', 'created_at', 'updated_at',
] | join(', ') -%}

select
  {{ columns }},
  cast(null as text) as document_input_type,
  cast(null as text) as file_input,
  cast(null as text) as parse_job_id,
  cast(null as double precision) as usage_credits
from {{ ref('stg_classify_jobs') }}
union all
select {{ columns }}, document_input_type, file_input, parse_job_id, usage_credits
from {{ ref('stg_classify_v2_jobs') }}
