-- $1 job ids, $2 now.
update node_executions set status = 'cancelled', completed_at = $2::timestamptz, rev = rev + 1
where job_id = any($1::text[]) and status in ('pending', 'running', 'paused')
