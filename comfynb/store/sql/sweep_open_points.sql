-- Which of a sweep's points have a job already. $1 sweep id, $2 indexes.
select "index"
from points
where sweep_id = $1 and "index" = any($2::bigint[]) and job_id is not null
