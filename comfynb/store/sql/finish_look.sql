-- What decides what the end of a prompt changes. $1: prompt ids.
select p.prompt_id, p.state, p.node_execution_id, n.comfy_prompt_id, n.status
from prompts as p
left join node_executions as n on n.id = p.node_execution_id
where p.prompt_id = any($1::text[])
{for update of p}
