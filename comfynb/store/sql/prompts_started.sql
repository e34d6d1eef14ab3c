-- $1 ids, $2 times.
update prompts set state = 'running', started_at = v.started
from (select unnest($1::text[]) as id, unnest($2::timestamptz[]) as started) as v
where prompts.prompt_id = v.id and prompts.state in ('sending', 'queued')
