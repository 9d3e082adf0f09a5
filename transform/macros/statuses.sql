{#- One vocabulary for the statuses of both versions of the API; what is unknown is `other`. -#}
{%- macro status_of(api_status) -%}
  case upper({{ api_status }})
    when 'PENDING' then 'pending'
    when 'RUNNING' then 'running'
    when 'SUCCESS' then 'succeeded'
    when 'COMPLETED' then 'succeeded'
    when 'PARTIAL_SUCCESS' then 'partly_succeeded'
    when 'ERROR' then 'failed'
    when 'FAILED' then 'failed'
    when 'CANCELLED' then 'cancelled'
    else 'other'
  end
{%- endmacro -%}

{%- macro is_finished(status) -%}
  {{ status }} in ('succeeded', 'partly_succeeded', 'failed', 'cancelled')
{%- endmacro -%}
