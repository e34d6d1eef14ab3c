-- How far running node executions have come. $1 ids, $2 percent, $3 steps.
update node_executions set
    progress = v.progress,
    current_step = v.step,
    rev = node_executions.rev + 1
from (
    select
        unnest($1::text[]) as id,
        unnest($2::double precision[]) as progress,
        unnest($3::text[]) as step
) as v
where node_executions.id = v.id and node_executions.status = 'running'
