-- All points of a sweep. $1 sweep id.
select "index", place, target, "values", key, job_id, linked, score
from points
where sweep_id = $1
order by "index"
