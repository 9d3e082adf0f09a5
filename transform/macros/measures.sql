{%- macro seconds_between(earlier, later) -%}
  cast(extract(epoch from ({{ later }} - {{ earlier }})) as double precision)
{%- endmacro -%}

{#- The same; null where the later is the earlier. -#}
{%- macro seconds_until(earlier, later) -%}
  case when {{ later }} >= {{ earlier }} then {{ seconds_between(earlier, later) }} end
{%- endmacro -%}

{#- The sum of what is not null, in whole billionths, so that all databases answer the same. -#}
{%- macro total(column) -%}
  cast(cast(sum({{ column }}) as decimal(38, 9)) as double precision)
{%- endmacro -%}

{#- By linear interpolation over the seconds that are not null. Between two microseconds lie their
    hundredths, and whole ones are the answer, so that all databases give the same. -#}
{%- macro percentile(column, share) -%}
  cast(cast(
    percentile_cont({{ share }}) within group (order by {{ column }}) as decimal(38, 8)
  ) as double precision)
{%- endmacro -%}
