-- What became of jobs: status, error, backend and seconds of their prompts. $1 job ids.
select
    jobs.id, jobs.status, jobs.error_message, jobs.owner_id, runs.backend_id, runs.seconds
from jobs
left join (
    select
        job_id,
        max(backend_id) as backend_id,
        sum(extract(epoch from completed_at - started_at)) as seconds
    from prompts
    where state = 'completed' and job_id = any($1::text[])
    group by job_id
) as runs on runs.job_id = jobs.id
where jobs.id = any($1::text[])
