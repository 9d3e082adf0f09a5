with projects as (
  {{ loaded('classify_projects', {
    'id': 'text', 'name': 'text', 'organization_id': 'text', 'is_default': 'boolean',
    'created_at': 'timestamp', 'updated_at': 'timestamp', 'additional_fields': 'json',
  }) }}
)

select
  id as project_id,
  name as project_name,
  organization_id,
  is_default,
  created_at,
  updated_at,
  additional_fields
from projects
