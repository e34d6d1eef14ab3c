-- $1 ids, $2 prompt ids, $3 backend ids, $4 times.
update node_executions set
    status = 'running',
    comfy_prompt_id = v.prompt_id,
    backend_id = v.backend_id,
    started_at = coalesce(node_executions.started_at, v.begun),
    completed_at = null,
    error_message = null,
    error_traceback = null,
    rev = node_executions.rev + 1
from (
    select
        unnest($1::text[]) as id,
        unnest($2::text[]) as prompt_id,
        unnest($3::text[]) as backend_id,
        unnest($4::timestamptz[]) as begun
) as v
where node_executions.id = v.id
