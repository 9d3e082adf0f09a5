with files as (
  {{ loaded('classify_files', {
    'id': 'text', 'name': 'text', 'external_file_id': 'text', 'file_type': 'text',
    'project_id': 'text', 'purpose': 'text', 'last_modified_at': 'timestamp',
    'expires_at': 'timestamp', 'additional_fields': 'json',
  }) }}
)

select
  id as file_id,
  name as file_name,
  external_file_id,
  file_type,
  project_id,
  purpose,
  last_modified_at,
  expires_at,
  additional_fields
from files
