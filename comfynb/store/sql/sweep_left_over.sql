-- Jobs of cancelled sweeps that have not ended. $1 owner id.
select jobs.id
from points
join sweeps on sweeps.id = points.sweep_id
join jobs on jobs.id = points.job_id
where sweeps.status = 'cancelled'
    and not points.linked
    and jobs.status in ('pending', 'running', 'paused')
    and jobs.owner_id = $1
