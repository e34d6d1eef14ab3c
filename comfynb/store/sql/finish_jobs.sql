-- $1 ids, $2 states, $3 times, $4 error messages, $5 outputs.
update jobs set
    status = v.status,
    completed_at = v.completed,
    error_message = v.error_message,
    outputs = coalesce(v.outputs, jobs.outputs),
    rev = jobs.rev + 1
from (
    select
        unnest($1::text[]) as id,
        unnest($2::text[]) as status,
        unnest($3::timestamptz[]) as completed,
        unnest($4::text[]) as error_message,
        unnest($5::text[]) as outputs
) as v
where jobs.id = v.id and jobs.status in ('pending', 'running', 'paused')
