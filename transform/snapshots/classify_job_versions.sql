{% snapshot classify_job_versions %}
{{ config(
  unique_key=['api_version', 'job_id'],
  strategy='check',
  check_cols=['api_status', 'updated_at'],
  updated_at='seen_at',
  snapshot_meta_column_names={
    'dbt_valid_from': 'first_seen_at',
    'dbt_valid_to': 'replaced_at',
    'dbt_scd_id': 'version_id',
    'dbt_updated_at': 'version_seen_at',
  },
) }}
select api_version, job_id, project_id, status, api_status, updated_at, {{ as_of() }} as seen_at
from {{ ref('int_classify_jobs') }}
{% endsnapshot %}
