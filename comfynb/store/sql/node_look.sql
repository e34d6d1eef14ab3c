-- Whether nodes may be ended without a prompt. $1: node execution ids.
select n.id, n.status, p.state
from node_executions as n
left join prompts as p on p.prompt_id = n.comfy_prompt_id
where n.id = any($1::text[])
{for update of n}
