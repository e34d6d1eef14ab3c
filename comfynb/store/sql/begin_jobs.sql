-- $1 ids, $2 times.
update jobs set
    status = 'running',
    started_at = coalesce(jobs.started_at, v.begun),
    rev = jobs.rev + 1
from (
    select unnest($1::text[]) as id, unnest($2::timestamptz[]) as begun
) as v
where jobs.id = v.id and jobs.status = 'pending'
