-- $1: a job id.
select {columns of job_events}
from job_events
where job_events.job_id = $1
order by job_events.happened_at, job_events.id
