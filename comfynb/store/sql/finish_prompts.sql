-- $1 ids, $2 states, $3 times, $4 error classes, $5 error messages, $6 cached nodes, $7 starts.
update prompts set
    state = v.state,
    started_at = coalesce(v.started, prompts.started_at),
    completed_at = v.completed,
    error_class = v.error_class,
    error_message = v.error_message,
    cached_nodes = v.cached_nodes
from (
    select
        unnest($1::text[]) as id,
        unnest($2::text[]) as state,
        unnest($3::timestamptz[]) as completed,
        unnest($4::text[]) as error_class,
        unnest($5::text[]) as error_message,
        unnest($6::bigint[]) as cached_nodes,
        unnest($7::timestamptz[]) as started
) as v
where prompts.prompt_id = v.id and prompts.state in ('sending', 'queued', 'running')
