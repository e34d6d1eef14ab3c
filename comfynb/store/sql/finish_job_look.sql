-- Jobs, and what is still open in each. $1: job ids.
select j.id, j.status, n.id, n.comfy_prompt_id
from jobs as j
left join node_executions as n
    on n.job_id = j.id and n.status in ('pending', 'running', 'paused')
where j.id = any($1::text[])
{for update of j}
