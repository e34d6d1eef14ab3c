-- $1: a job id.
select owner_id from jobs where id = $1
