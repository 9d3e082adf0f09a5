{#- Stop a build that would make marts of nothing: none of the tap's tables is there, and models
    of this project are to be built. It raises, for dbt 1.11 goes on after a hook that fails. -#}
{%- macro require_tables() -%}
  {%- if execute and _builds_ours() -%}
    {%- set sources = graph.sources.values()
        | selectattr('package_name', 'equalto', 'llamaclassify')
        | selectattr('source_name', 'equalto', 'llamacloud') | list -%}
    {%- set found = [] -%}
    {%- for its in sources if adapter.get_relation(its.database, its.schema, its.identifier) -%}
      {%- do found.append(its.name) -%}
    {%- endfor -%}
    {%- if not found -%}
      {%- do exceptions.raise_compiler_error(
        "None of the tap's tables is in schema '" ~ sources[0].schema ~ "' of "
        ~ _database(sources[0]) ~ ". No mart was touched. Set dbt's variable loaded_into to the "
        ~ "schema that the loader writes into, or " ~ _way_to_database() ~ " to its database."
      ) -%}
    {%- endif -%}
  {%- endif -%}
{%- endmacro -%}

{#- Another project may run this one's hook and build only models of its own. -#}
{%- macro _builds_ours() -%}
  {%- for id in selected_resources if id.split('.')[:2] in
      [['model', 'llamaclassify'], ['snapshot', 'llamaclassify']] -%}
    {{ 'yes' if loop.first }}
  {%- endfor -%}
{%- endmacro -%}

{%- macro _database(its_source) -%}
  {%- if target.get('path') -%}
    DuckDB file {{ target.path }}
  {%- else -%}
    database {{ its_source.database }}{{ ' at ' ~ target.host if target.get('host') }}
  {%- endif -%}
{%- endmacro -%}

{%- macro _way_to_database() -%}
  {%- if project_name != 'llamaclassify' -%}
    dbt's profile
  {%- elif target.type == 'duckdb' -%}
    DBT_FILEPATH
  {%- else -%}
    PGHOST, PGPORT and PGDATABASE
  {%- endif -%}
{%- endmacro -%}
