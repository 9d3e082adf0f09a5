{#- An empty table is not stale: there may be no jobs yet. -#}
{% test fresh(model, column_name) %}
{{ config(severity='warn') }}
select max({{ column_name }}) as newest
from {{ model }}
having max({{ column_name }}) < {{ as_of() }} - interval '{{ var("stale_after_hours") }} hours'
{% endtest %}
