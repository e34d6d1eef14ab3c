-- $1 ids, $2 input data.
update node_executions set
    input_data = v.input_data,
    rev = node_executions.rev + 1
from (
    select unnest($1::text[]) as id, unnest($2::text[]) as input_data
) as v
where node_executions.id = v.id
    and node_executions.status in ('pending', 'running', 'paused')
