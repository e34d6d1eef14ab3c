-- $1 ids, $2 owner id.
update sweeps set owner_id = $2::text where id = any($1::text[])
