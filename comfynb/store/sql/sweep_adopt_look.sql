-- Sweeps that have not ended, and who hands their points out.
select id, owner_id from sweeps where status in ('running', 'paused')
{for update of sweeps}
