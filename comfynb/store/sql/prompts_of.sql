-- $1 job ids, $2 states.
select {columns of prompts}
from prompts
where prompts.job_id = any($1::text[]) and prompts.state = any($2::text[])
order by prompts.created_at, prompts.attempt, prompts.prompt_id
