-- $1 sweep id.
select sweeps.status, sweeps.owner_id from sweeps where id = $1
{for update of sweeps}
