-- All points of a sweep and what became of them. $1 sweep id.
select
    points."index", points.place, points.target, points."values", points.key, points.job_id,
    points.linked, points.score, jobs.status, jobs.error_message, runs.backend_id, runs.seconds,
    jobs.owner_id
from points
left join jobs on jobs.id = points.job_id
left join (
    select
        prompts.job_id,
        max(prompts.backend_id) as backend_id,
        sum(extract(epoch from prompts.completed_at - prompts.started_at)) as seconds
    from prompts
    where prompts.state = 'completed'
        and prompts.job_id in (select job_id from points where sweep_id = $1)
    group by prompts.job_id
) as runs on runs.job_id = points.job_id
where points.sweep_id = $1
order by points."index"
