with configurations as (
  {{ loaded('classify_configurations', {
    'id': 'text', 'name': 'text', 'version': 'text', 'product_type': 'text', 'mode': 'text',
    'rule_count': 'bigint', 'lang': 'text', 'max_pages': 'bigint', 'target_pages': 'text',
    'created_at': 'timestamp', 'updated_at': 'timestamp', 'additional_fields': 'json',
  }) }}
)

select
  id as configuration_id,
  name as configuration_name,
  version,
  product_type,
  mode,
  rule_count,
  lang as language,
  max_pages,
  target_pages,
  created_at,
  updated_at,
  additional_fields
from configurations
