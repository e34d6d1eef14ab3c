-- The pictures of jobs, with their ratings: those that were saved before those that were only
-- previewed, what the last prompt made first. $1 job ids.
select
    prompts.job_id, output_files.prompt_id, output_files.node_id, output_files.kind,
    output_files."index", output_files.filename, output_files.path, output_files.media_type,
    output_files.width, output_files.height, ratings.rating
from output_files
join prompts on prompts.prompt_id = output_files.prompt_id
left join ratings on ratings.prompt_id = output_files.prompt_id
    and ratings.node_id = output_files.node_id
    and ratings.kind = output_files.kind
    and ratings."index" = output_files."index"
where prompts.job_id = any($1::text[])
order by prompts.job_id, output_files.type = 'temp', prompts.created_at desc,
    output_files.prompt_id, output_files.node_id, output_files.kind, output_files."index"
