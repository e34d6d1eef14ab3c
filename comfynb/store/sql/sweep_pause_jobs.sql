-- Jobs of a sweep that have not ended wait. $1 sweep id, $2 owner id.
update jobs set status = 'paused', rev = rev + 1
where status in ('pending', 'running') and owner_id = $2
    and id in (select job_id from points where sweep_id = $1 and not linked)
