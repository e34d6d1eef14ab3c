-- $1 ids, $2 input data (null leaves it), $3 when they began (null leaves it).
update node_executions set
    input_data = coalesce(v.input_data, node_executions.input_data),
    started_at = coalesce(node_executions.started_at, v.began),
    rev = node_executions.rev + 1
from (
    select
        unnest($1::text[]) as id,
        unnest($2::text[]) as input_data,
        unnest($3::timestamptz[]) as began
) as v
where node_executions.id = v.id
    and node_executions.status in ('pending', 'running', 'paused')
