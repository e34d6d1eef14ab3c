-- What decides whether a prompt may begin. $1: node execution ids.
select n.id, n.job_id, n.status, j.status, j.owner_id, p.prompt_id, p.state
from node_executions as n
join jobs as j on j.id = n.job_id
left join prompts as p on p.prompt_id = n.comfy_prompt_id
where n.id = any($1::text[])
{for update of n, j}
