-- $1 ids, $2 the owner.
update jobs set owner_id = $2::text, rev = rev + 1 where id = any($1::text[])
