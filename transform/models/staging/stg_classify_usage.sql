with metrics as (
  {{ loaded('classify_usage', {
    'id': 'text', 'organization_id': 'text', 'project_id': 'text', 'user_id': 'text',
    'day': 'date', 'event_type': 'text', 'event_aggregation_key': 'text',
    'event_aggregation_type': 'text', 'value': 'bigint', 'credits': 'double precision',
    'usage_tags': 'json', 'properties': 'json', 'additional_fields': 'json',
  }) }}
)

select
  id as metric_id,
  organization_id,
  project_id,
  user_id,
  day,
  event_type,
  event_aggregation_key,
  event_aggregation_type,
  value,
  credits,
  usage_tags,
  properties,
  additional_fields
from metrics
