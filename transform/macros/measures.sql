{%- macro seconds_between(earlier, later) -%}
  cast(extract(epoch from ({{ later }} - {{ earlier }})) as double precision)
{%- endmacro -%}

{#- By linear interpolation over the values that are not null, in whole billionths, so that
    all databases answer the same. -#}
{%- macro percentile(column, share) -%}
  cast(cast(
    percentile_cont({{ share }}) within group (order by {{ column }}) as decimal(38, 9)
  ) as double precision)
{%- endmacro -%}
