-- Jobs of a sweep that were paused go on. $1 sweep id.
update jobs set
    status = case when started_at is null then 'pending' else 'running' end,
    rev = rev + 1
where status = 'paused'
    and id in (select job_id from points where sweep_id = $1 and not linked)
