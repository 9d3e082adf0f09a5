{#- The rows of a table of the tap's, with the columns asked for, whatever is there of it:
    a table that was never loaded has no rows, a column that was never loaded is null.
    Rows that the loader has marked as deleted are left out. -#}
{%- macro loaded(table, columns) -%}
  {%- set its_source = source('llamacloud', table) -%}
  {%- set relation = load_relation(its_source) if execute else none -%}
  {%- set found = {} -%}
  {%- if relation is not none -%}
    {%- for column in adapter.get_columns_in_relation(relation) -%}
      {%- do found.update({column.name | lower: column}) -%}
    {%- endfor -%}
  {%- endif -%}
  select
    {%- for name, type in columns.items() %}
    {{ _as_type(found.get(name), type) }} as {{ name }}{{ "," if not loop.last }}
    {%- endfor %}
  {%- if relation is not none %}
  from {{ relation }}
  {%- if '_sdc_deleted_at' in found %}
  where {{ found['_sdc_deleted_at'].quoted }} is null
  {%- endif %}
  {%- else %}
  where 1 = 0
  {%- endif -%}
{%- endmacro -%}

{%- macro _as_type(column, type) -%}
  {%- if column is none -%}
    cast(null as {{ 'text' if type == 'json' else type }})
  {%- elif type == 'timestamp' and ('with time zone' in column.dtype | lower or 'timestamptz' in column.dtype | lower) -%}
    {{ column.quoted }} at time zone 'UTC'
  {%- elif type == 'json' -%}
    nullif(cast({{ column.quoted }} as text), 'null')
  {%- else -%}
    cast({{ column.quoted }} as {{ type }})
  {%- endif -%}
{%- endmacro -%}
