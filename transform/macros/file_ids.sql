{#- Some replies have a file's id with this prefix, some without. -#}
{%- macro bare_file_id(file_id) -%}
  regexp_replace({{ file_id }}, '^dfl-', '')
{%- endmacro -%}
