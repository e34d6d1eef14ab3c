-- Whether jobs may move on, and how many executions they have. $1: job ids.
select
    j.id,
    j.status,
    j.owner_id,
    (select coalesce(max(n.position), -1) from node_executions as n where n.job_id = j.id)
from jobs as j
where j.id = any($1::text[])
{for update of j}
