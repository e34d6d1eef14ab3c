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
    auth {json}
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
    cached_nodes bigint not null
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

-- What the machines did.

create table metrics_snapshots (
    id text primary key,
    backend_id text not null,
    "timestamp" timestamptz not null,
    gpu_memory_used bigint not null,
    gpu_memory_total bigint not null,
    gpu_utilization double precision not null,
    gpu_temperature bigint not null,
    cpu_utilization double precision not null,
    ram_used bigint not null,
    ram_total bigint not null,
    queue_depth bigint not null,
    active_job_id text
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
