-- A lost prompt leaves its node as it was before, ready for another attempt. $1: ids.
update node_executions set
    status = 'pending',
    comfy_prompt_id = null,
    backend_id = null,
    started_at = null,
    progress = 0,
    current_step = null,
    rev = rev + 1
where id = any($1::text[]) and status in ('pending', 'running', 'paused')
