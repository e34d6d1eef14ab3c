-- Prompts of a job that ended without waiting for them. $1 ids, $2 state, $3 time, $4 message.
update prompts set state = $2::text, completed_at = $3::timestamptz, error_message = $4::text
where prompt_id = any($1::text[]) and state in ('sending', 'queued', 'running')
