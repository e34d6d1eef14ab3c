-- $1 ids, $2 times.
update prompts set state = 'queued', sent_at = v.sent
from (select unnest($1::text[]) as id, unnest($2::timestamptz[]) as sent) as v
where prompts.prompt_id = v.id and prompts.state = 'sending'
