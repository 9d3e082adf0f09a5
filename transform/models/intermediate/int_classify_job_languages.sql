select api_version, job_id, language from {{ ref('stg_classify_job_parsing_configs') }}
union all
select api_version, job_id, language from {{ ref('stg_classify_v2_job_parsing_configs') }}
