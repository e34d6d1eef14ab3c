-- Jobs that had ended go on. $1: job ids, $2: the owner.
update jobs set
    status = 'running',
    completed_at = null,
    error_message = null,
    outputs = '{}',
    owner_id = $2::text,
    rev = rev + 1
where id = any($1::text[])
