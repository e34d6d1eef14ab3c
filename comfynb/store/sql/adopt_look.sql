-- Jobs that have not ended, and who works on them.
select j.id, j.owner_id from jobs as j
where j.status in ('pending', 'running', 'paused')
order by j.created_at, j.id
{for update of j}
