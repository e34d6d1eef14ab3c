-- Points of a sweep that shall run again lose their jobs. $1 sweep id, $2 statuses of jobs.
update points set job_id = null, linked = false, score = null
where sweep_id = $1
    and job_id in (select id from jobs where status = any($2::text[]))
