with files as (
  select
    {{ bare_file_id('file_id') }} as bare_file_id,
    file_name,
    -- The same file may have been read under its id with the prefix, and without.
    row_number() over (
      partition by {{ bare_file_id('file_id') }}
      order by last_modified_at desc nulls last, length(file_id) desc
    ) as nth_newest
  from {{ ref('stg_classify_files') }}
)

select bare_file_id, file_name
from files
where nth_newest = 1
