-- $1 job ids, $2 the time.
insert into job_events (id, job_id, node_execution_id, happened_at, kind, message, data)
select cast(gen_random_uuid() as text), v.id, null, $2::timestamptz, 'created', '', '{}'
from (select unnest($1::text[]) as id) as v
