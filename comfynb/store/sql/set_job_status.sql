-- $1 id, $2 status.
update jobs set status = $2::text, rev = rev + 1
where id = $1 and status in ('pending', 'running', 'paused')
