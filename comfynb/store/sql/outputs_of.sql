-- The files of jobs' completed prompts, in the order of their nodes. $1: job ids.
select {columns of output_files}
from output_files
join prompts on prompts.prompt_id = output_files.prompt_id
where prompts.job_id = any($1::text[])
order by prompts.job_id, prompts.created_at, prompts.prompt_id,
    output_files.node_id, output_files.kind, output_files."index"
