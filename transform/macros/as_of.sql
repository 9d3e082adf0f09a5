{#- The instant that is now, in UTC: ages are counted to it. LLAMACLASSIFY_AS_OF in the
    environment sets another, for data that is not of today. -#}
{%- macro as_of() -%}
  {%- set given = env_var('LLAMACLASSIFY_AS_OF', '') -%}
  {%- if given -%}
    cast('{{ given | replace("'", "''") }}' as timestamp)
  {%- else -%}
    (current_timestamp at time zone 'UTC')
  {%- endif -%}
{%- endmacro -%}
