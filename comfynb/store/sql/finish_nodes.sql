-- $1 ids, $2 states, $3 times, $4 output data, $5 error messages, $6 tracebacks.
update node_executions set
    status = v.status,
    progress = case when v.status = 'completed' then 100 else node_executions.progress end,
    completed_at = v.completed,
    output_data = coalesce(v.output_data, node_executions.output_data),
    error_message = v.error_message,
    error_traceback = v.error_traceback,
    rev = node_executions.rev + 1
from (
    select
        unnest($1::text[]) as id,
        unnest($2::text[]) as status,
        unnest($3::timestamptz[]) as completed,
        unnest($4::text[]) as output_data,
        unnest($5::text[]) as error_message,
        unnest($6::text[]) as error_traceback
) as v
where node_executions.id = v.id
    and node_executions.status in ('pending', 'running', 'paused')
