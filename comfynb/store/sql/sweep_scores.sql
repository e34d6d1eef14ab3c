-- $1 sweep id, $2 indexes, $3 scores.
update points set score = v.score
from (
    select unnest($2::bigint[]) as place, unnest($3::double precision[]) as score
) as v
where points.sweep_id = $1 and points."index" = v.place
