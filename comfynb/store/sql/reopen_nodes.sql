-- Node executions as they were before they ran. $1: ids.
update node_executions set
    status = 'pending',
    comfy_prompt_id = null,
    backend_id = null,
    output_data = null,
    started_at = null,
    completed_at = null,
    error_message = null,
    error_traceback = null,
    progress = 0,
    current_step = null,
    rev = rev + 1
where id = any($1::text[])
