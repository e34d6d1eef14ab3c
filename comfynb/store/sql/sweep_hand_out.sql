-- $1 sweep id, $2 indexes, $3 keys, $4 job ids, $5 whether the job was made for another point.
update points set key = v.key, job_id = v.job_id, linked = v.linked
from (
    select
        unnest($2::bigint[]) as place,
        unnest($3::text[]) as key,
        unnest($4::text[]) as job_id,
        unnest($5::boolean[]) as linked
) as v
where points.sweep_id = $1 and points."index" = v.place
