{%- set columns = [
  'api_version', 'job_id', 'project_id', 'user_id', 'status', 'api_status', 'mode',
  'error_message', 'rule_count', 'configuration_id', 'created_at', 'updated_at',
] | join(', ') -%}

select {{ columns }} from {{ ref('stg_classify_jobs') }}
union all
select {{ columns }} from {{ ref('stg_classify_v2_jobs') }}
