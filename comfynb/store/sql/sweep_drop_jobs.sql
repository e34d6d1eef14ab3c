-- Jobs of a sweep that no server has a prompt of end as cancelled. $1 sweep id, $2 owner id, $3 now.
update jobs set status = 'cancelled', completed_at = $3::timestamptz, rev = rev + 1
where status in ('pending', 'running', 'paused') and owner_id = $2
    and id in (select job_id from points where sweep_id = $1 and not linked)
    and not exists (
        select 1 from prompts
        where prompts.job_id = jobs.id and prompts.state in ('sending', 'queued', 'running')
    )
returning id
