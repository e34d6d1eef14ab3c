-- The first schema: every table of the two seeds, and what comfynb records besides.
-- Portable: the words in braces are filled in for each database. Ids are text and made by comfynb.
-- DuckDB gets neither foreign keys nor secondary indexes: with them, rows that have children can
-- no longer be updated there. The code keeps what they would keep, and `comfynb store check` tests it.

-- What backends there are, what runs on them, and the graphs that people draw.

create table backends (
    id text primary key,
    name text not null,
    host text not null,
    port bigint not null,
    enabled boolean not null,
    capabilities {json} not null,
    max_concurrent_jobs bigint not null,
    tags {json} not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    scheme text not null,
    path_prefix text not null,
    auth {json},
    agent_url text
);

create table object_infos (
    backend_id text primary key,
    sha256 text not null,
    fetched_at timestamptz not null,
    data {json} not null
);

create table workflows (
    id text primary key,
    name text not null,
    description text not null,
    workflow_json {json} not null,
    api_json {json} not null,
    exposed_parameters {json} not null,
    required_capabilities {json} not null,
    required_custom_nodes {json} not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    thumbnail text
);

create table workflow_versions (
    id text primary key,
    workflow_id text not null,
    version bigint not null,
    created_at timestamptz not null,
    workflow_json {json} not null,
    api_json {json} not null
);

create table presets (
    workflow_id text not null,
    name text not null,
    parameter_values {json} not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    primary key (workflow_id, name)
);

create table projects (
    id text primary key,
    name text not null,
    description text not null,
    canvas_layout {json} not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

-- Jobs: one run of a canvas, one row for each of its nodes, and each attempt to run one of those.

create table owners (
    id text primary key,
    host text not null,
    pid bigint not null,
    started_at timestamptz not null,
    label text not null
);

create table jobs (
    id text primary key,
    project_id text not null,
    status text not null
        check (status in ('pending', 'running', 'paused', 'completed', 'failed', 'cancelled', 'skipped', 'lost')),
    canvas_snapshot {json} not null,
    parameter_values {json} not null,
    created_at timestamptz not null,
    started_at timestamptz,
    completed_at timestamptz,
    error_message text,
    outputs {json} not null,
    owner_id text,
    rev bigint not null default 1
);

create table node_executions (
    id text primary key,
    job_id text not null,
    canvas_node_id text not null,
    backend_id text,
    status text not null
        check (status in ('pending', 'running', 'paused', 'completed', 'failed', 'cancelled', 'skipped', 'lost')),
    comfy_prompt_id text,
    progress double precision not null,
    current_step text,
    input_data {json} not null,
    output_data {json},
    started_at timestamptz,
    completed_at timestamptz,
    error_message text,
    error_traceback text,
    position bigint not null default 0,
    rev bigint not null default 1
);

create table prompts (
    prompt_id text primary key,
    job_id text not null,
    node_execution_id text not null,
    backend_id text not null,
    attempt bigint not null,
    state text not null
        check (state in ('sending', 'queued', 'running', 'completed', 'failed', 'cancelled', 'lost')),
    client_id text,
    prompt_sha256 text,
    created_at timestamptz not null,
    sent_at timestamptz,
    started_at timestamptz,
    completed_at timestamptz,
    error_class text,
    error_message text,
    cached_nodes bigint not null,
    workflow_version text,
    node_count bigint
);

create table output_files (
    prompt_id text not null,
    node_id text not null,
    kind text not null,
    "index" bigint not null,
    filename text not null,
    subfolder text not null,
    type text not null,
    path text,
    media_type text,
    size bigint,
    sha256 text,
    width bigint,
    height bigint,
    created_at timestamptz not null,
    primary key (prompt_id, node_id, kind, "index")
);

create table job_events (
    id text primary key,
    job_id text not null,
    node_execution_id text,
    happened_at timestamptz not null,
    kind text not null,
    message text not null,
    data {json} not null
);

-- Sweeps: many points of one workflow, each run by a job, and what people thought of the pictures.

create table sweeps (
    id text primary key,
    name text not null,
    kind text not null,
    status text not null check (status in ('running', 'paused', 'completed', 'cancelled')),
    axes {json} not null,
    seed bigint not null,
    again boolean not null,
    spec {json} not null,
    targets {json} not null,
    owner_id text,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    completed_at timestamptz
);

create table points (
    sweep_id text not null,
    "index" bigint not null,
    place bigint not null,
    target bigint not null,
    "values" {json} not null,
    key text,
    job_id text,
    linked boolean not null,
    score double precision,
    primary key (sweep_id, "index")
);

create table ratings (
    prompt_id text not null,
    node_id text not null,
    kind text not null,
    "index" bigint not null,
    rating double precision not null,
    rated_at timestamptz not null,
    primary key (prompt_id, node_id, kind, "index")
);

-- What the machines did: one row for each sample and GPU, stamped with our own clock, not the machine's.
-- A value that nobody knows is null. `began` is when the sample before it was taken; null after a
-- gap, so that nothing is made up for the time of an outage. Values of the whole machine (processor,
-- memory, queue, disk) stand in the row of its main GPU only. No keys: they would double the file.

create table metrics (
    backend_id text not null,
    taken_at timestamptz not null,
    began timestamptz,
    gpu bigint not null,
    main boolean not null,
    online boolean not null,
    gpu_utilization real,
    gpu_memory_used bigint,
    gpu_memory_total bigint,
    gpu_temperature bigint,
    power_watts real,
    energy_joules double precision,
    cpu_utilization real,
    ram_used bigint,
    ram_total bigint,
    queue_depth bigint,
    disk_free bigint,
    disk_total bigint,
    active_job_id text
);

-- The same in steps of ten seconds and of a minute, for when the samples themselves are gone.

create table metrics_10s (
    backend_id text not null,
    taken_at timestamptz not null,
    gpu bigint not null,
    main boolean not null,
    samples bigint not null,
    breaks bigint not null,
    offline bigint not null,
    seconds double precision not null,
    energy_joules double precision,
    gpu_utilization real,
    gpu_utilization_min real,
    gpu_utilization_max real,
    gpu_memory_used real,
    gpu_memory_used_min real,
    gpu_memory_used_max real,
    gpu_temperature real,
    gpu_temperature_min real,
    gpu_temperature_max real,
    power_watts real,
    power_watts_min real,
    power_watts_max real,
    cpu_utilization real,
    cpu_utilization_min real,
    cpu_utilization_max real,
    ram_used real,
    ram_used_min real,
    ram_used_max real,
    queue_depth real,
    queue_depth_min real,
    queue_depth_max real,
    gpu_memory_total bigint,
    ram_total bigint,
    disk_free bigint,
    disk_total bigint
);

create table metrics_1m (
    backend_id text not null,
    taken_at timestamptz not null,
    gpu bigint not null,
    main boolean not null,
    samples bigint not null,
    breaks bigint not null,
    offline bigint not null,
    seconds double precision not null,
    energy_joules double precision,
    gpu_utilization real,
    gpu_utilization_min real,
    gpu_utilization_max real,
    gpu_memory_used real,
    gpu_memory_used_min real,
    gpu_memory_used_max real,
    gpu_temperature real,
    gpu_temperature_min real,
    gpu_temperature_max real,
    power_watts real,
    power_watts_min real,
    power_watts_max real,
    cpu_utilization real,
    cpu_utilization_min real,
    cpu_utilization_max real,
    ram_used real,
    ram_used_min real,
    ram_used_max real,
    queue_depth real,
    queue_depth_min real,
    queue_depth_max real,
    gpu_memory_total bigint,
    ram_total bigint,
    disk_free bigint,
    disk_total bigint
);

-- The newest sample of each GPU, so that a table of them does not search millions of rows.

create table metrics_last (
    backend_id text not null,
    gpu bigint not null,
    main boolean not null,
    taken_at timestamptz not null,
    online boolean not null,
    source text,
    gpu_name text,
    gpu_utilization real,
    gpu_memory_used bigint,
    gpu_memory_total bigint,
    gpu_temperature bigint,
    power_watts real,
    cpu_utilization real,
    ram_used bigint,
    ram_total bigint,
    queue_depth bigint,
    disk_free bigint,
    disk_total bigint,
    active_job_id text,
    note text,
    primary key (backend_id, gpu)
);

-- Who collects from a backend, how far its samples are summed up, and what of them is still there.

create table metrics_state (
    backend_id text primary key,
    owner_id text,
    raw_from timestamptz,
    from_10s timestamptz,
    rolled_10s timestamptz,
    rolled_1m timestamptz,
    dropped bigint not null default 0
);

create table metrics_settings (
    name text primary key,
    value double precision not null
);

create table alerts (
    id text primary key,
    backend_id text not null,
    kind text not null check (kind in ('temperature', 'memory', 'gone', 'disk')),
    gpu bigint,
    opened_at timestamptz not null,
    closed_at timestamptz,
    value double precision,
    threshold double precision not null,
    message text not null
);

-- What the machine did while a prompt ran on it, and which of its nodes ran when.

create table prompt_metrics (
    prompt_id text primary key,
    backend_id text not null,
    completed_at timestamptz not null,
    samples bigint not null,
    measured_seconds double precision not null,
    energy_joules double precision,
    energy_seconds double precision not null,
    gpu_memory_peak bigint,
    gpu_utilization double precision,
    gpu_temperature_max bigint
);

create table prompt_nodes (
    prompt_id text not null,
    "index" bigint not null,
    node_id text not null,
    class_type text not null,
    title text not null,
    model text,
    started_at timestamptz not null,
    completed_at timestamptz not null
);

-- Deployments: who builds them, and from which nodes and models.

create table users (
    id text primary key,
    email text not null,
    name text,
    image text,
    role text not null,
    is_active boolean not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    last_login_at timestamptz
);

create table api_tokens (
    id text primary key,
    name text not null,
    service text not null,
    token text not null,
    is_active boolean not null,
    last_used timestamptz,
    user_id text not null,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create table custom_nodes (
    id text primary key,
    name text not null,
    github_url text not null,
    branch text not null,
    description text,
    author text,
    install_type text not null,
    pip_requirements {json} not null,
    js_files {json} not null,
    tags {json} not null,
    node_classes {json} not null,
    is_active boolean not null,
    is_verified boolean not null,
    last_validated timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create table models (
    id text primary key,
    source text not null,
    source_id text,
    source_url text,
    name text not null,
    filename text,
    type text not null,
    category text,
    base_model text,
    download_url text not null,
    file_size bigint,
    auth_required boolean not null,
    metadata {json} not null,
    is_active boolean not null,
    is_verified boolean not null,
    last_validated timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create table model_download_stats (
    id text primary key,
    model_id text not null,
    download_count bigint not null,
    last_download timestamptz
);

create table deployments (
    id text primary key,
    name text not null,
    description text,
    user_id text not null,
    is_template boolean not null,
    is_public boolean not null,
    template_category text,
    generated_script text,
    script_type text not null,
    environment_vars {json} not null,
    custom_settings {json} not null,
    created_at timestamptz not null,
    updated_at timestamptz not null,
    last_generated timestamptz
);

create table deployment_nodes (
    deployment_id text not null,
    custom_node_id text not null,
    is_enabled boolean not null,
    config {json} not null,
    created_at timestamptz not null,
    primary key (deployment_id, custom_node_id)
);

create table deployment_models (
    deployment_id text not null,
    model_id text not null,
    target_path text not null,
    custom_name text,
    is_enabled boolean not null,
    created_at timestamptz not null,
    primary key (deployment_id, model_id)
);

create table system_packages (
    id text primary key,
    deployment_id text not null,
    package_type text not null,
    name text not null,
    version text,
    install_url text,
    created_at timestamptz not null
);

create table deployment_usage (
    id text primary key,
    deployment_id text not null,
    generated_at timestamptz not null,
    script_type text not null,
    user_agent text,
    ip_address text
);

create table sync_jobs (
    id text primary key,
    type text not null,
    status text not null
        check (status in ('PENDING', 'RUNNING', 'COMPLETED', 'FAILED', 'CANCELLED')),
    total_items bigint,
    processed_items bigint not null,
    success_items bigint not null,
    failed_items bigint not null,
    results {json} not null,
    error_log text,
    started_at timestamptz,
    completed_at timestamptz,
    created_at timestamptz not null
);

create table url_validations (
    id text primary key,
    url text not null,
    last_checked timestamptz not null,
    is_valid boolean not null,
    status_code bigint,
    error_message text,
    model_id text,
    custom_node_id text
);

-- For people: one row for each attempt, with names instead of ids, and one for each file.

create view job_runs as
select
    prompts.job_id,
    jobs.project_id,
    jobs.status as job_status,
    node_executions.canvas_node_id,
    node_executions.status as node_status,
    backends.name as backend,
    prompts.prompt_id,
    prompts.attempt,
    prompts.state,
    prompts.created_at,
    prompts.started_at,
    prompts.completed_at,
    extract(epoch from prompts.completed_at - prompts.started_at) as seconds,
    prompts.cached_nodes,
    prompts.error_class,
    prompts.error_message
from prompts
left join jobs on jobs.id = prompts.job_id
left join node_executions on node_executions.id = prompts.node_execution_id
left join backends on backends.id = prompts.backend_id;

create view job_files as
select
    prompts.job_id,
    backends.name as backend,
    output_files.*
from output_files
left join prompts on prompts.prompt_id = output_files.prompt_id
left join backends on backends.id = prompts.backend_id;

create view sweep_points as
select
    sweeps.name as sweep,
    points."index",
    points."values",
    coalesce(jobs.status, case sweeps.status when 'cancelled' then 'cancelled' else 'pending' end)
        as state,
    points.linked,
    runs.backend,
    runs.seconds,
    points.score,
    rated.rating,
    jobs.error_message as error,
    jobs.completed_at,
    points.job_id,
    points.sweep_id,
    points.key
from points
join sweeps on sweeps.id = points.sweep_id
left join jobs on jobs.id = points.job_id
left join (
    select
        prompts.job_id,
        max(backends.name) as backend,
        sum(extract(epoch from prompts.completed_at - prompts.started_at)) as seconds
    from prompts
    left join backends on backends.id = prompts.backend_id
    where prompts.state = 'completed'
    group by prompts.job_id
) as runs on runs.job_id = points.job_id
left join (
    select prompts.job_id, avg(ratings.rating) as rating
    from ratings
    join prompts on prompts.prompt_id = ratings.prompt_id
    group by prompts.job_id
) as rated on rated.job_id = points.job_id;

-- Analytics: what docs/analytics.md explains, view by view.

-- The shape of the seed: complete samples only, since it has no word for unknown.
create view metrics_snapshots as
select
    cast(cast(md5(backend_id || '/' || extract(epoch from taken_at)) as uuid) as text) as id,
    backend_id,
    taken_at as "timestamp",
    gpu_memory_used,
    gpu_memory_total,
    cast(gpu_utilization as double precision) as gpu_utilization,
    gpu_temperature,
    cast(cpu_utilization as double precision) as cpu_utilization,
    ram_used,
    ram_total,
    queue_depth,
    active_job_id
from metrics
where
    main
    and gpu_memory_used is not null
    and gpu_memory_total is not null
    and gpu_utilization is not null
    and gpu_temperature is not null
    and cpu_utilization is not null
    and ram_used is not null
    and ram_total is not null
    and queue_depth is not null;

-- All levels in one: samples as long as they are kept, then steps of 10 s, then of a minute.
create view metrics_history as
select
    backend_id, gpu, main, began, taken_at as ended, cast(0 as bigint) as step_seconds,
    cast(1 as bigint) as samples,
    cast(coalesce(extract(epoch from taken_at - began), 0) as double precision) as seconds,
    case when online then 0 else 1 end as offline,
    case when began is null then 1 else 0 end as breaks,
    cast(gpu_utilization as double precision) as gpu_utilization,
    cast(gpu_utilization as double precision) as gpu_utilization_max,
    cast(gpu_memory_used as double precision) as gpu_memory_used,
    cast(gpu_memory_used as double precision) as gpu_memory_used_max,
    gpu_memory_total,
    cast(gpu_temperature as double precision) as gpu_temperature,
    cast(gpu_temperature as double precision) as gpu_temperature_max,
    cast(power_watts as double precision) as power_watts,
    cast(power_watts as double precision) as power_watts_max,
    energy_joules,
    cast(cpu_utilization as double precision) as cpu_utilization,
    cast(ram_used as double precision) as ram_used,
    ram_total,
    cast(queue_depth as double precision) as queue_depth,
    disk_free,
    disk_total
from metrics
union all
select
    s.backend_id, s.gpu, s.main, s.taken_at, s.taken_at + interval '10 seconds', 10,
    s.samples, s.seconds, s.offline, s.breaks,
    s.gpu_utilization, s.gpu_utilization_max, s.gpu_memory_used, s.gpu_memory_used_max,
    s.gpu_memory_total, s.gpu_temperature, s.gpu_temperature_max, s.power_watts,
    s.power_watts_max, s.energy_joules, s.cpu_utilization, s.ram_used, s.ram_total,
    s.queue_depth, s.disk_free, s.disk_total
from metrics_10s as s
join metrics_state as state on state.backend_id = s.backend_id
where s.taken_at < state.raw_from
union all
select
    s.backend_id, s.gpu, s.main, s.taken_at, s.taken_at + interval '60 seconds', 60,
    s.samples, s.seconds, s.offline, s.breaks,
    s.gpu_utilization, s.gpu_utilization_max, s.gpu_memory_used, s.gpu_memory_used_max,
    s.gpu_memory_total, s.gpu_temperature, s.gpu_temperature_max, s.power_watts,
    s.power_watts_max, s.energy_joules, s.cpu_utilization, s.ram_used, s.ram_total,
    s.queue_depth, s.disk_free, s.disk_total
from metrics_1m as s
join metrics_state as state on state.backend_id = s.backend_id
where s.taken_at < state.from_10s;

create view metrics_now as
select
    backends.name as backend,
    newest.backend_id,
    newest.gpu,
    newest.main,
    newest.gpu_name,
    newest.taken_at,
    cast(extract(epoch from now() - newest.taken_at) as double precision) as age_seconds,
    newest.online,
    newest.source,
    newest.gpu_utilization,
    newest.gpu_memory_used,
    newest.gpu_memory_total,
    newest.gpu_temperature,
    newest.power_watts,
    newest.cpu_utilization,
    newest.ram_used,
    newest.ram_total,
    newest.queue_depth,
    newest.disk_free,
    newest.disk_total,
    newest.active_job_id,
    newest.note
from metrics_last as newest
join backends on backends.id = newest.backend_id;

create view metrics_gaps as
select
    coalesce(backends.name, found.backend_id) as backend,
    found.backend_id,
    found.before as began,
    found.taken_at as ended,
    cast(extract(epoch from found.taken_at - found.before) as double precision) as seconds,
    case when found.reached then 'not collected' else 'no answer' end as reason
from (
    select
        backend_id, taken_at, began,
        lag(taken_at) over (partition by backend_id order by taken_at) as before,
        lag(online) over (partition by backend_id order by taken_at) and online as reached
    from metrics
    where main
) as found
left join backends on backends.id = found.backend_id
where found.began is null and found.before is not null;

create view alerts_open as
select
    backends.name as backend,
    alerts.backend_id,
    alerts.kind,
    alerts.gpu,
    alerts.opened_at,
    alerts.value,
    alerts.threshold,
    alerts.message
from alerts
join backends on backends.id = alerts.backend_id
where alerts.closed_at is null;

-- One row for each attempt: when it waited, when it ran, and what that cost. The bars of a plot.
create view prompt_usage as
select
    prompts.prompt_id,
    prompts.job_id,
    jobs.status as job_status,
    node_executions.canvas_node_id,
    coalesce(workflows.name, 'unknown') as workflow,
    workflow_versions.workflow_id,
    prompts.workflow_version,
    coalesce(backends.name, prompts.backend_id) as backend,
    prompts.backend_id,
    prompts.attempt,
    prompts.state,
    case when prompts.attempt = 1 and alone.executions = 1 then jobs.created_at
        else prompts.created_at end as ready_at,
    prompts.started_at,
    prompts.completed_at,
    cast(extract(epoch from prompts.started_at
        - case when prompts.attempt = 1 and alone.executions = 1 then jobs.created_at
            else prompts.created_at end) as double precision) as wait_seconds,
    cast(extract(epoch from prompts.completed_at - prompts.started_at) as double precision)
        as seconds,
    prompts.node_count,
    prompts.cached_nodes,
    loads.model_loads,
    measured.samples,
    measured.measured_seconds,
    measured.gpu_memory_peak,
    measured.gpu_utilization,
    measured.gpu_temperature_max,
    measured.energy_joules,
    measured.energy_joules / 3600 as energy_wh,
    measured.energy_seconds
from prompts
left join jobs on jobs.id = prompts.job_id
left join node_executions on node_executions.id = prompts.node_execution_id
left join (
    select job_id, count(*) as executions from node_executions group by job_id
) as alone on alone.job_id = prompts.job_id
left join workflow_versions on workflow_versions.id = prompts.workflow_version
left join workflows on workflows.id = workflow_versions.workflow_id
left join backends on backends.id = prompts.backend_id
left join prompt_metrics as measured on measured.prompt_id = prompts.prompt_id
left join (
    select prompt_id, count(model) as model_loads from prompt_nodes group by prompt_id
) as loads on loads.prompt_id = prompts.prompt_id;

create view job_usage as
select
    job_id,
    max(job_status) as status,
    count(*) as attempts,
    min(ready_at) as ready_at,
    min(started_at) as started_at,
    max(completed_at) as completed_at,
    sum(seconds) as seconds,
    max(gpu_memory_peak) as gpu_memory_peak,
    sum(energy_joules) as energy_joules,
    sum(energy_joules) / 3600 as energy_wh,
    case when sum(seconds) > 0 then least(1, sum(energy_seconds) / sum(seconds)) end
        as energy_known,
    sum(cached_nodes) as cached_nodes,
    sum(model_loads) as model_loads
from prompt_usage
group by job_id;

create view workflow_usage as
select
    workflow,
    workflow_id,
    backend,
    backend_id,
    count(*) as prompts,
    sum(case when state = 'completed' then 1 else 0 end) as completed,
    sum(case when state = 'failed' then 1 else 0 end) as failed,
    cast(sum(case when state = 'completed' then 1 else 0 end) as double precision)
        / nullif(sum(case when state in ('completed', 'failed', 'lost') then 1 else 0 end), 0)
        as success_rate,
    percentile_cont(0.5) within group (order by case when state = 'completed' then seconds end)
        as seconds_p50,
    percentile_cont(0.95) within group (order by case when state = 'completed' then seconds end)
        as seconds_p95,
    percentile_cont(0.5) within group (order by wait_seconds) as wait_seconds_p50,
    percentile_cont(0.95) within group (order by wait_seconds) as wait_seconds_p95,
    max(gpu_memory_peak) as gpu_memory_peak,
    avg(energy_joules) as energy_joules_mean,
    sum(energy_joules) / 3600 as energy_wh,
    cast(sum(case when node_count is not null then cached_nodes end) as double precision)
        / nullif(sum(node_count), 0) as cache_hit_rate,
    sum(model_loads) as model_loads
from prompt_usage
where state in ('completed', 'failed', 'cancelled', 'lost')
group by workflow, workflow_id, backend, backend_id;

-- Counted in the hour in which a prompt ended.
create view backend_hours as
select
    backend,
    backend_id,
    date_trunc('hour', completed_at) as hour,
    count(*) as prompts,
    sum(case when state = 'completed' then 1 else 0 end) as completed,
    sum(case when state = 'failed' then 1 else 0 end) as failed,
    sum(case when state = 'lost' then 1 else 0 end) as lost,
    cast(sum(case when state = 'completed' then 1 else 0 end) as double precision)
        / nullif(sum(case when state in ('completed', 'failed', 'lost') then 1 else 0 end), 0)
        as success_rate,
    sum(seconds) as busy_seconds,
    avg(wait_seconds) as wait_seconds,
    sum(energy_joules) / 3600 as energy_wh
from prompt_usage
where completed_at is not null
group by backend, backend_id, date_trunc('hour', completed_at);

create view utilization_hours as
select
    coalesce(backends.name, m.backend_id) as backend,
    m.backend_id,
    m.gpu,
    date_trunc('hour', m.ended) as hour,
    sum(m.seconds) as measured_seconds,
    sum(m.gpu_utilization * m.seconds)
        / nullif(sum(case when m.gpu_utilization is not null then m.seconds end), 0)
        as gpu_utilization,
    max(m.gpu_memory_used_max) as gpu_memory_peak,
    max(m.gpu_temperature_max) as gpu_temperature_max,
    sum(m.energy_joules) / 3600 as energy_wh,
    sum(m.offline) as offline_samples
from metrics_history as m
left join backends on backends.id = m.backend_id
group by coalesce(backends.name, m.backend_id), m.backend_id, m.gpu, date_trunc('hour', m.ended);

create view utilization_heatmap as
select
    backend,
    backend_id,
    gpu,
    cast(extract(isodow from hour) as bigint) as weekday,
    cast(extract(hour from hour) as bigint) as hour_of_day,
    sum(measured_seconds) as measured_seconds,
    sum(gpu_utilization * measured_seconds)
        / nullif(sum(case when gpu_utilization is not null then measured_seconds end), 0)
        as gpu_utilization
from utilization_hours
group by backend, backend_id, gpu, extract(isodow from hour), extract(hour from hour);

-- Which backend to buy more of: the work of the last 30 days that waited for machines like it.
create view backend_demand as
select
    coalesce(backends.name, able.backend_id) as backend,
    able.backend_id,
    count(*) as eligible_prompts,
    cast(count(*) as double precision) / nullif(max(whole.prompts), 0) as eligible_share,
    avg(able.wait_seconds) as eligible_wait_seconds,
    max(busy.busy_seconds) as busy_seconds,
    max(watched.measured_seconds) as observed_seconds,
    least(1, max(busy.busy_seconds) / nullif(max(watched.measured_seconds), 0)) as utilization,
    avg(able.wait_seconds) * cast(count(*) as double precision) / nullif(max(whole.prompts), 0)
        * least(1, max(busy.busy_seconds) / nullif(max(watched.measured_seconds), 0)) as score
from (
    select ran.backend_id, p.wait_seconds
    from prompt_usage as p
    join (
        select distinct backend_id, workflow_id from prompt_usage where state = 'completed'
    ) as ran on ran.workflow_id = p.workflow_id
    where p.started_at >= now() - interval '30 days'
) as able
cross join (
    select count(*) as prompts from prompt_usage
    where started_at >= now() - interval '30 days'
) as whole
left join (
    select backend_id, sum(seconds) as busy_seconds from prompt_usage
    where started_at >= now() - interval '30 days' group by backend_id
) as busy on busy.backend_id = able.backend_id
left join (
    select backend_id, sum(seconds) as measured_seconds from metrics_history
    where main and ended >= now() - interval '30 days' group by backend_id
) as watched on watched.backend_id = able.backend_id
left join backends on backends.id = able.backend_id
group by coalesce(backends.name, able.backend_id), able.backend_id;
