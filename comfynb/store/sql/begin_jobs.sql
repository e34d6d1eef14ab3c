-- $1 ids, $2 the time.
update jobs set
    status = 'running',
    started_at = coalesce(started_at, $2::timestamptz),
    rev = rev + 1
where id = any($1::text[]) and status = 'pending'
