-- Jobs that computed points with these keys: any that completed, and those of the same sweep that
-- go on or are about to. $1 keys, $2 sweep id.
select points.key, min(points.job_id)
from points
join jobs on jobs.id = points.job_id
where points.key = any($1::text[])
    and (
        jobs.status = 'completed'
        or (points.sweep_id = $2 and jobs.status in ('pending', 'running', 'paused'))
    )
group by points.key
