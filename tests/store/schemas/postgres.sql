CREATE INDEX alerts_backend ON public.alerts USING btree (backend_id, opened_at)
CREATE INDEX deployment_models_model ON public.deployment_models USING btree (model_id)
CREATE INDEX deployment_nodes_node ON public.deployment_nodes USING btree (custom_node_id)
CREATE INDEX deployments_user_created ON public.deployments USING btree (user_id, created_at DESC)
CREATE INDEX job_events_job ON public.job_events USING btree (job_id, happened_at)
CREATE INDEX jobs_created ON public.jobs USING btree (created_at)
CREATE INDEX jobs_project ON public.jobs USING btree (project_id)
CREATE INDEX jobs_status_created ON public.jobs USING btree (status, created_at)
CREATE INDEX locks_deployment ON public.locks USING btree (deployment_id, created_at DESC)
CREATE INDEX metrics_10s_backend ON public.metrics_10s USING btree (backend_id, taken_at)
CREATE INDEX metrics_1m_backend ON public.metrics_1m USING btree (backend_id, taken_at)
CREATE INDEX metrics_at ON public.metrics USING brin (taken_at)
CREATE INDEX metrics_backend ON public.metrics USING btree (backend_id, taken_at)
CREATE INDEX model_versions_model ON public.model_versions USING btree (model_id)
CREATE INDEX model_versions_sha256 ON public.model_versions USING btree (sha256)
CREATE INDEX models_source_id ON public.models USING btree (source, source_id)
CREATE INDEX models_type_source ON public.models USING btree (type, source)
CREATE INDEX node_executions_job ON public.node_executions USING btree (job_id)
CREATE INDEX node_versions_node ON public.node_versions USING btree (custom_node_id)
CREATE INDEX points_job ON public.points USING btree (job_id)
CREATE INDEX points_key ON public.points USING btree (key)
CREATE INDEX prompt_nodes_prompt ON public.prompt_nodes USING btree (prompt_id)
CREATE INDEX prompts_completed ON public.prompts USING btree (completed_at)
CREATE INDEX prompts_job ON public.prompts USING btree (job_id)
CREATE INDEX prompts_node_execution ON public.prompts USING btree (node_execution_id)
CREATE UNIQUE INDEX alerts_pkey ON public.alerts USING btree (id)
CREATE UNIQUE INDEX api_tokens_pkey ON public.api_tokens USING btree (id)
CREATE UNIQUE INDEX backends_pkey ON public.backends USING btree (id)
CREATE UNIQUE INDEX custom_nodes_github_url_key ON public.custom_nodes USING btree (github_url)
CREATE UNIQUE INDEX custom_nodes_pkey ON public.custom_nodes USING btree (id)
CREATE UNIQUE INDEX deployment_models_pkey ON public.deployment_models USING btree (deployment_id, model_id)
CREATE UNIQUE INDEX deployment_nodes_pkey ON public.deployment_nodes USING btree (deployment_id, custom_node_id)
CREATE UNIQUE INDEX deployment_usage_pkey ON public.deployment_usage USING btree (id)
CREATE UNIQUE INDEX deployment_workflows_pkey ON public.deployment_workflows USING btree (deployment_id)
CREATE UNIQUE INDEX deployments_pkey ON public.deployments USING btree (id)
CREATE UNIQUE INDEX job_events_pkey ON public.job_events USING btree (id)
CREATE UNIQUE INDEX jobs_pkey ON public.jobs USING btree (id)
CREATE UNIQUE INDEX locks_pkey ON public.locks USING btree (id)
CREATE UNIQUE INDEX metrics_last_pkey ON public.metrics_last USING btree (backend_id, gpu)
CREATE UNIQUE INDEX metrics_settings_pkey ON public.metrics_settings USING btree (name)
CREATE UNIQUE INDEX metrics_state_pkey ON public.metrics_state USING btree (backend_id)
CREATE UNIQUE INDEX model_download_stats_model_id_key ON public.model_download_stats USING btree (model_id)
CREATE UNIQUE INDEX model_download_stats_pkey ON public.model_download_stats USING btree (id)
CREATE UNIQUE INDEX model_versions_pkey ON public.model_versions USING btree (id)
CREATE UNIQUE INDEX models_pkey ON public.models USING btree (id)
CREATE UNIQUE INDEX node_executions_pkey ON public.node_executions USING btree (id)
CREATE UNIQUE INDEX node_facts_pkey ON public.node_facts USING btree (custom_node_id)
CREATE UNIQUE INDEX node_versions_pkey ON public.node_versions USING btree (id)
CREATE UNIQUE INDEX object_infos_pkey ON public.object_infos USING btree (backend_id)
CREATE UNIQUE INDEX output_files_pkey ON public.output_files USING btree (prompt_id, node_id, kind, index)
CREATE UNIQUE INDEX owners_pkey ON public.owners USING btree (id)
CREATE UNIQUE INDEX points_pkey ON public.points USING btree (sweep_id, index)
CREATE UNIQUE INDEX presets_pkey ON public.presets USING btree (workflow_id, name)
CREATE UNIQUE INDEX projects_pkey ON public.projects USING btree (id)
CREATE UNIQUE INDEX prompt_metrics_pkey ON public.prompt_metrics USING btree (prompt_id)
CREATE UNIQUE INDEX prompts_pkey ON public.prompts USING btree (prompt_id)
CREATE UNIQUE INDEX ratings_pkey ON public.ratings USING btree (prompt_id, node_id, kind, index)
CREATE UNIQUE INDEX schema_version_pkey ON public.schema_version USING btree (version)
CREATE UNIQUE INDEX sweeps_pkey ON public.sweeps USING btree (id)
CREATE UNIQUE INDEX sync_jobs_pkey ON public.sync_jobs USING btree (id)
CREATE UNIQUE INDEX system_packages_pkey ON public.system_packages USING btree (id)
CREATE UNIQUE INDEX url_validations_pkey ON public.url_validations USING btree (id)
CREATE UNIQUE INDEX url_validations_url_key ON public.url_validations USING btree (url)
CREATE UNIQUE INDEX users_email_key ON public.users USING btree (email)
CREATE UNIQUE INDEX users_pkey ON public.users USING btree (id)
CREATE UNIQUE INDEX workflow_versions_pkey ON public.workflow_versions USING btree (id)
CREATE UNIQUE INDEX workflows_pkey ON public.workflows USING btree (id)
alerts.backend_id text not null
alerts.closed_at timestamp with time zone
alerts.gpu bigint
alerts.id text not null
alerts.kind text not null
alerts.message text not null
alerts.opened_at timestamp with time zone not null
alerts.threshold double precision not null
alerts.value double precision
alerts: CHECK ((kind = ANY (ARRAY['temperature'::text, 'memory'::text, 'gone'::text, 'disk'::text])))
alerts: PRIMARY KEY (id)
alerts_open.backend text
alerts_open.backend_id text
alerts_open.gpu bigint
alerts_open.kind text
alerts_open.message text
alerts_open.opened_at timestamp with time zone
alerts_open.threshold double precision
alerts_open.value double precision
api_tokens.created_at timestamp with time zone not null
api_tokens.id text not null
api_tokens.is_active boolean not null
api_tokens.last_used timestamp with time zone
api_tokens.name text not null
api_tokens.service text not null
api_tokens.token text not null
api_tokens.updated_at timestamp with time zone not null
api_tokens.user_id text not null
api_tokens: FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
api_tokens: PRIMARY KEY (id)
backend_demand.backend text
backend_demand.backend_id text
backend_demand.busy_seconds double precision
backend_demand.eligible_prompts bigint
backend_demand.eligible_share double precision
backend_demand.eligible_wait_seconds double precision
backend_demand.observed_seconds double precision
backend_demand.score double precision
backend_demand.utilization double precision
backend_hours.backend text
backend_hours.backend_id text
backend_hours.busy_seconds double precision
backend_hours.completed bigint
backend_hours.energy_wh double precision
backend_hours.failed bigint
backend_hours.hour timestamp with time zone
backend_hours.lost bigint
backend_hours.prompts bigint
backend_hours.success_rate double precision
backend_hours.wait_seconds double precision
backends.agent_url text
backends.auth text
backends.capabilities text not null
backends.created_at timestamp with time zone not null
backends.enabled boolean not null
backends.host text not null
backends.id text not null
backends.max_concurrent_jobs bigint not null
backends.name text not null
backends.path_prefix text not null
backends.port bigint not null
backends.scheme text not null
backends.tags text not null
backends.updated_at timestamp with time zone not null
backends: PRIMARY KEY (id)
custom_nodes.author text
custom_nodes.branch text not null
custom_nodes.created_at timestamp with time zone not null
custom_nodes.description text
custom_nodes.github_url text not null
custom_nodes.id text not null
custom_nodes.install_type text not null
custom_nodes.is_active boolean not null
custom_nodes.is_verified boolean not null
custom_nodes.js_files text not null
custom_nodes.last_validated timestamp with time zone
custom_nodes.name text not null
custom_nodes.node_classes text not null
custom_nodes.pip_requirements text not null
custom_nodes.tags text not null
custom_nodes.updated_at timestamp with time zone not null
custom_nodes: PRIMARY KEY (id)
custom_nodes: UNIQUE (github_url) DEFERRABLE INITIALLY DEFERRED
deployment_models.created_at timestamp with time zone not null
deployment_models.custom_name text
deployment_models.deployment_id text not null
deployment_models.is_enabled boolean not null
deployment_models.model_id text not null
deployment_models.target_path text not null
deployment_models: FOREIGN KEY (deployment_id) REFERENCES deployments(id) ON DELETE CASCADE
deployment_models: FOREIGN KEY (model_id) REFERENCES models(id) ON DELETE CASCADE
deployment_models: PRIMARY KEY (deployment_id, model_id)
deployment_nodes.config text not null
deployment_nodes.created_at timestamp with time zone not null
deployment_nodes.custom_node_id text not null
deployment_nodes.deployment_id text not null
deployment_nodes.is_enabled boolean not null
deployment_nodes: FOREIGN KEY (custom_node_id) REFERENCES custom_nodes(id) ON DELETE CASCADE
deployment_nodes: FOREIGN KEY (deployment_id) REFERENCES deployments(id) ON DELETE CASCADE
deployment_nodes: PRIMARY KEY (deployment_id, custom_node_id)
deployment_usage.deployment_id text not null
deployment_usage.generated_at timestamp with time zone not null
deployment_usage.id text not null
deployment_usage.ip_address text
deployment_usage.script_type text not null
deployment_usage.user_agent text
deployment_usage: PRIMARY KEY (id)
deployment_workflows.api_json text not null
deployment_workflows.choices text not null
deployment_workflows.deployment_id text not null
deployment_workflows.name text not null
deployment_workflows.updated_at timestamp with time zone not null
deployment_workflows.workflow_json text not null
deployment_workflows: FOREIGN KEY (deployment_id) REFERENCES deployments(id) ON DELETE CASCADE
deployment_workflows: PRIMARY KEY (deployment_id)
deployments.created_at timestamp with time zone not null
deployments.custom_settings text not null
deployments.description text
deployments.environment_vars text not null
deployments.generated_script text
deployments.id text not null
deployments.is_public boolean not null
deployments.is_template boolean not null
deployments.last_generated timestamp with time zone
deployments.name text not null
deployments.script_type text not null
deployments.template_category text
deployments.updated_at timestamp with time zone not null
deployments.user_id text not null
deployments: FOREIGN KEY (user_id) REFERENCES users(id) ON DELETE CASCADE
deployments: PRIMARY KEY (id)
job_events.data text not null
job_events.happened_at timestamp with time zone not null
job_events.id text not null
job_events.job_id text not null
job_events.kind text not null
job_events.message text not null
job_events.node_execution_id text
job_events: FOREIGN KEY (job_id) REFERENCES jobs(id) ON DELETE CASCADE
job_events: PRIMARY KEY (id)
job_files.backend text
job_files.created_at timestamp with time zone
job_files.filename text
job_files.height bigint
job_files.index bigint
job_files.job_id text
job_files.kind text
job_files.media_type text
job_files.node_id text
job_files.path text
job_files.prompt_id text
job_files.sha256 text
job_files.size bigint
job_files.subfolder text
job_files.type text
job_files.width bigint
job_runs.attempt bigint
job_runs.backend text
job_runs.cached_nodes bigint
job_runs.canvas_node_id text
job_runs.completed_at timestamp with time zone
job_runs.created_at timestamp with time zone
job_runs.error_class text
job_runs.error_message text
job_runs.job_id text
job_runs.job_status text
job_runs.node_status text
job_runs.project_id text
job_runs.prompt_id text
job_runs.seconds numeric
job_runs.started_at timestamp with time zone
job_runs.state text
job_usage.attempts bigint
job_usage.cached_nodes numeric
job_usage.completed_at timestamp with time zone
job_usage.energy_joules double precision
job_usage.energy_known double precision
job_usage.energy_wh double precision
job_usage.gpu_memory_peak bigint
job_usage.job_id text
job_usage.model_loads numeric
job_usage.ready_at timestamp with time zone
job_usage.seconds double precision
job_usage.started_at timestamp with time zone
job_usage.status text
jobs.canvas_snapshot text not null
jobs.completed_at timestamp with time zone
jobs.created_at timestamp with time zone not null
jobs.error_message text
jobs.id text not null
jobs.outputs text not null
jobs.owner_id text
jobs.parameter_values text not null
jobs.project_id text not null
jobs.rev bigint not null
jobs.started_at timestamp with time zone
jobs.status text not null
jobs: CHECK ((status = ANY (ARRAY['pending'::text, 'running'::text, 'paused'::text, 'completed'::text, 'failed'::text, 'cancelled'::text, 'skipped'::text, 'lost'::text])))
jobs: PRIMARY KEY (id)
locks.content text not null
locks.created_at timestamp with time zone not null
locks.deployment_id text not null
locks.id text not null
locks.reason text
locks.sha256 text not null
locks: FOREIGN KEY (deployment_id) REFERENCES deployments(id) ON DELETE CASCADE
locks: PRIMARY KEY (id)
metrics.active_job_id text
metrics.backend_id text not null
metrics.began timestamp with time zone
metrics.cpu_utilization real
metrics.disk_free bigint
metrics.disk_total bigint
metrics.energy_joules double precision
metrics.gpu bigint not null
metrics.gpu_memory_total bigint
metrics.gpu_memory_used bigint
metrics.gpu_temperature bigint
metrics.gpu_utilization real
metrics.main boolean not null
metrics.online boolean not null
metrics.power_watts real
metrics.queue_depth bigint
metrics.ram_total bigint
metrics.ram_used bigint
metrics.taken_at timestamp with time zone not null
metrics_10s.backend_id text not null
metrics_10s.breaks bigint not null
metrics_10s.cpu_utilization real
metrics_10s.cpu_utilization_max real
metrics_10s.cpu_utilization_min real
metrics_10s.disk_free bigint
metrics_10s.disk_total bigint
metrics_10s.energy_joules double precision
metrics_10s.gpu bigint not null
metrics_10s.gpu_memory_total bigint
metrics_10s.gpu_memory_used real
metrics_10s.gpu_memory_used_max real
metrics_10s.gpu_memory_used_min real
metrics_10s.gpu_temperature real
metrics_10s.gpu_temperature_max real
metrics_10s.gpu_temperature_min real
metrics_10s.gpu_utilization real
metrics_10s.gpu_utilization_max real
metrics_10s.gpu_utilization_min real
metrics_10s.main boolean not null
metrics_10s.offline bigint not null
metrics_10s.power_watts real
metrics_10s.power_watts_max real
metrics_10s.power_watts_min real
metrics_10s.queue_depth real
metrics_10s.queue_depth_max real
metrics_10s.queue_depth_min real
metrics_10s.ram_total bigint
metrics_10s.ram_used real
metrics_10s.ram_used_max real
metrics_10s.ram_used_min real
metrics_10s.samples bigint not null
metrics_10s.seconds double precision not null
metrics_10s.taken_at timestamp with time zone not null
metrics_1m.backend_id text not null
metrics_1m.breaks bigint not null
metrics_1m.cpu_utilization real
metrics_1m.cpu_utilization_max real
metrics_1m.cpu_utilization_min real
metrics_1m.disk_free bigint
metrics_1m.disk_total bigint
metrics_1m.energy_joules double precision
metrics_1m.gpu bigint not null
metrics_1m.gpu_memory_total bigint
metrics_1m.gpu_memory_used real
metrics_1m.gpu_memory_used_max real
metrics_1m.gpu_memory_used_min real
metrics_1m.gpu_temperature real
metrics_1m.gpu_temperature_max real
metrics_1m.gpu_temperature_min real
metrics_1m.gpu_utilization real
metrics_1m.gpu_utilization_max real
metrics_1m.gpu_utilization_min real
metrics_1m.main boolean not null
metrics_1m.offline bigint not null
metrics_1m.power_watts real
metrics_1m.power_watts_max real
metrics_1m.power_watts_min real
metrics_1m.queue_depth real
metrics_1m.queue_depth_max real
metrics_1m.queue_depth_min real
metrics_1m.ram_total bigint
metrics_1m.ram_used real
metrics_1m.ram_used_max real
metrics_1m.ram_used_min real
metrics_1m.samples bigint not null
metrics_1m.seconds double precision not null
metrics_1m.taken_at timestamp with time zone not null
metrics_gaps.backend text
metrics_gaps.backend_id text
metrics_gaps.began timestamp with time zone
metrics_gaps.ended timestamp with time zone
metrics_gaps.reason text
metrics_gaps.seconds double precision
metrics_history.backend_id text
metrics_history.began timestamp with time zone
metrics_history.breaks bigint
metrics_history.cpu_utilization double precision
metrics_history.disk_free bigint
metrics_history.disk_total bigint
metrics_history.ended timestamp with time zone
metrics_history.energy_joules double precision
metrics_history.gpu bigint
metrics_history.gpu_memory_total bigint
metrics_history.gpu_memory_used double precision
metrics_history.gpu_memory_used_max double precision
metrics_history.gpu_temperature double precision
metrics_history.gpu_temperature_max double precision
metrics_history.gpu_utilization double precision
metrics_history.gpu_utilization_max double precision
metrics_history.main boolean
metrics_history.offline bigint
metrics_history.power_watts double precision
metrics_history.power_watts_max double precision
metrics_history.queue_depth double precision
metrics_history.ram_total bigint
metrics_history.ram_used double precision
metrics_history.samples bigint
metrics_history.seconds double precision
metrics_history.step_seconds bigint
metrics_last.active_job_id text
metrics_last.backend_id text not null
metrics_last.cpu_utilization real
metrics_last.disk_free bigint
metrics_last.disk_total bigint
metrics_last.gpu bigint not null
metrics_last.gpu_memory_total bigint
metrics_last.gpu_memory_used bigint
metrics_last.gpu_name text
metrics_last.gpu_temperature bigint
metrics_last.gpu_utilization real
metrics_last.main boolean not null
metrics_last.note text
metrics_last.online boolean not null
metrics_last.power_watts real
metrics_last.queue_depth bigint
metrics_last.ram_total bigint
metrics_last.ram_used bigint
metrics_last.source text
metrics_last.taken_at timestamp with time zone not null
metrics_last: PRIMARY KEY (backend_id, gpu)
metrics_now.active_job_id text
metrics_now.age_seconds double precision
metrics_now.backend text
metrics_now.backend_id text
metrics_now.cpu_utilization real
metrics_now.disk_free bigint
metrics_now.disk_total bigint
metrics_now.gpu bigint
metrics_now.gpu_memory_total bigint
metrics_now.gpu_memory_used bigint
metrics_now.gpu_name text
metrics_now.gpu_temperature bigint
metrics_now.gpu_utilization real
metrics_now.main boolean
metrics_now.note text
metrics_now.online boolean
metrics_now.power_watts real
metrics_now.queue_depth bigint
metrics_now.ram_total bigint
metrics_now.ram_used bigint
metrics_now.source text
metrics_now.taken_at timestamp with time zone
metrics_settings.name text not null
metrics_settings.value double precision not null
metrics_settings: PRIMARY KEY (name)
metrics_snapshots.active_job_id text
metrics_snapshots.backend_id text
metrics_snapshots.cpu_utilization double precision
metrics_snapshots.gpu_memory_total bigint
metrics_snapshots.gpu_memory_used bigint
metrics_snapshots.gpu_temperature bigint
metrics_snapshots.gpu_utilization double precision
metrics_snapshots.id text
metrics_snapshots.queue_depth bigint
metrics_snapshots.ram_total bigint
metrics_snapshots.ram_used bigint
metrics_snapshots.timestamp timestamp with time zone
metrics_state.backend_id text not null
metrics_state.dropped bigint not null
metrics_state.from_10s timestamp with time zone
metrics_state.owner_id text
metrics_state.raw_from timestamp with time zone
metrics_state.rolled_10s timestamp with time zone
metrics_state.rolled_1m timestamp with time zone
metrics_state: PRIMARY KEY (backend_id)
model_download_stats.download_count bigint not null
model_download_stats.id text not null
model_download_stats.last_download timestamp with time zone
model_download_stats.model_id text not null
model_download_stats: FOREIGN KEY (model_id) REFERENCES models(id) ON DELETE CASCADE
model_download_stats: PRIMARY KEY (id)
model_download_stats: UNIQUE (model_id) DEFERRABLE INITIALLY DEFERRED
model_versions.base_model text
model_versions.created_at timestamp with time zone not null
model_versions.download_url text not null
model_versions.file_size bigint
model_versions.filename text not null
model_versions.format text
model_versions.id text not null
model_versions.is_active boolean not null
model_versions.model_id text not null
model_versions.name text not null
model_versions.published_at timestamp with time zone
model_versions.revision text
model_versions.scan text
model_versions.sha256 text
model_versions.updated_at timestamp with time zone not null
model_versions: FOREIGN KEY (model_id) REFERENCES models(id) ON DELETE CASCADE
model_versions: PRIMARY KEY (id)
models.auth_required boolean not null
models.base_model text
models.category text
models.created_at timestamp with time zone not null
models.download_url text not null
models.file_size bigint
models.filename text
models.id text not null
models.is_active boolean not null
models.is_verified boolean not null
models.last_validated timestamp with time zone
models.metadata text not null
models.name text not null
models.source text not null
models.source_id text
models.source_url text
models.type text not null
models.updated_at timestamp with time zone not null
models: PRIMARY KEY (id)
node_executions.backend_id text
node_executions.canvas_node_id text not null
node_executions.comfy_prompt_id text
node_executions.completed_at timestamp with time zone
node_executions.current_step text
node_executions.error_message text
node_executions.error_traceback text
node_executions.id text not null
node_executions.input_data text not null
node_executions.job_id text not null
node_executions.output_data text
node_executions.position bigint not null
node_executions.progress double precision not null
node_executions.rev bigint not null
node_executions.started_at timestamp with time zone
node_executions.status text not null
node_executions: CHECK ((status = ANY (ARRAY['pending'::text, 'running'::text, 'paused'::text, 'completed'::text, 'failed'::text, 'cancelled'::text, 'skipped'::text, 'lost'::text])))
node_executions: FOREIGN KEY (job_id) REFERENCES jobs(id) ON DELETE CASCADE
node_executions: PRIMARY KEY (id)
node_facts.apt_packages text not null
node_facts.author_age_days bigint
node_facts.channel text
node_facts.custom_node_id text not null
node_facts.files text not null
node_facts.last_update timestamp with time zone
node_facts.latest_version text
node_facts.license text
node_facts.nodename_pattern text
node_facts.preempts text not null
node_facts.registry_id text
node_facts.sources text not null
node_facts.stars bigint
node_facts.status text
node_facts.updated_at timestamp with time zone not null
node_facts: FOREIGN KEY (custom_node_id) REFERENCES custom_nodes(id) ON DELETE CASCADE
node_facts: PRIMARY KEY (custom_node_id)
node_versions.commit text
node_versions.created_at timestamp with time zone not null
node_versions.custom_node_id text not null
node_versions.dependencies text not null
node_versions.download_url text
node_versions.id text not null
node_versions.status text
node_versions.version text not null
node_versions: FOREIGN KEY (custom_node_id) REFERENCES custom_nodes(id) ON DELETE CASCADE
node_versions: PRIMARY KEY (id)
object_infos.backend_id text not null
object_infos.data text not null
object_infos.fetched_at timestamp with time zone not null
object_infos.sha256 text not null
object_infos: FOREIGN KEY (backend_id) REFERENCES backends(id) ON DELETE CASCADE
object_infos: PRIMARY KEY (backend_id)
output_files.created_at timestamp with time zone not null
output_files.filename text not null
output_files.height bigint
output_files.index bigint not null
output_files.kind text not null
output_files.media_type text
output_files.node_id text not null
output_files.path text
output_files.prompt_id text not null
output_files.sha256 text
output_files.size bigint
output_files.subfolder text not null
output_files.type text not null
output_files.width bigint
output_files: FOREIGN KEY (prompt_id) REFERENCES prompts(prompt_id) ON DELETE CASCADE
output_files: PRIMARY KEY (prompt_id, node_id, kind, index)
owners.host text not null
owners.id text not null
owners.label text not null
owners.pid bigint not null
owners.started_at timestamp with time zone not null
owners: PRIMARY KEY (id)
points.index bigint not null
points.job_id text
points.key text
points.linked boolean not null
points.place bigint not null
points.score double precision
points.sweep_id text not null
points.target bigint not null
points.values text not null
points: FOREIGN KEY (job_id) REFERENCES jobs(id) ON DELETE SET NULL
points: FOREIGN KEY (sweep_id) REFERENCES sweeps(id) ON DELETE CASCADE
points: PRIMARY KEY (sweep_id, index)
presets.created_at timestamp with time zone not null
presets.name text not null
presets.parameter_values text not null
presets.updated_at timestamp with time zone not null
presets.workflow_id text not null
presets: FOREIGN KEY (workflow_id) REFERENCES workflows(id) ON DELETE CASCADE
presets: PRIMARY KEY (workflow_id, name)
projects.canvas_layout text not null
projects.created_at timestamp with time zone not null
projects.description text not null
projects.id text not null
projects.name text not null
projects.updated_at timestamp with time zone not null
projects: PRIMARY KEY (id)
prompt_metrics.backend_id text not null
prompt_metrics.completed_at timestamp with time zone not null
prompt_metrics.energy_joules double precision
prompt_metrics.energy_seconds double precision not null
prompt_metrics.gpu_memory_peak bigint
prompt_metrics.gpu_temperature_max bigint
prompt_metrics.gpu_utilization double precision
prompt_metrics.measured_seconds double precision not null
prompt_metrics.prompt_id text not null
prompt_metrics.samples bigint not null
prompt_metrics: PRIMARY KEY (prompt_id)
prompt_nodes.class_type text not null
prompt_nodes.completed_at timestamp with time zone not null
prompt_nodes.index bigint not null
prompt_nodes.model text
prompt_nodes.node_id text not null
prompt_nodes.prompt_id text not null
prompt_nodes.started_at timestamp with time zone not null
prompt_nodes.title text not null
prompt_usage.attempt bigint
prompt_usage.backend text
prompt_usage.backend_id text
prompt_usage.cached_nodes bigint
prompt_usage.canvas_node_id text
prompt_usage.completed_at timestamp with time zone
prompt_usage.energy_joules double precision
prompt_usage.energy_seconds double precision
prompt_usage.energy_wh double precision
prompt_usage.gpu_memory_peak bigint
prompt_usage.gpu_temperature_max bigint
prompt_usage.gpu_utilization double precision
prompt_usage.job_id text
prompt_usage.job_status text
prompt_usage.measured_seconds double precision
prompt_usage.model_loads bigint
prompt_usage.node_count bigint
prompt_usage.prompt_id text
prompt_usage.ready_at timestamp with time zone
prompt_usage.samples bigint
prompt_usage.seconds double precision
prompt_usage.started_at timestamp with time zone
prompt_usage.state text
prompt_usage.wait_seconds double precision
prompt_usage.workflow text
prompt_usage.workflow_id text
prompt_usage.workflow_version text
prompts.attempt bigint not null
prompts.backend_id text not null
prompts.cached_nodes bigint not null
prompts.client_id text
prompts.completed_at timestamp with time zone
prompts.created_at timestamp with time zone not null
prompts.error_class text
prompts.error_message text
prompts.job_id text not null
prompts.node_count bigint
prompts.node_execution_id text not null
prompts.prompt_id text not null
prompts.prompt_sha256 text
prompts.sent_at timestamp with time zone
prompts.started_at timestamp with time zone
prompts.state text not null
prompts.workflow_version text
prompts: CHECK ((state = ANY (ARRAY['sending'::text, 'queued'::text, 'running'::text, 'completed'::text, 'failed'::text, 'cancelled'::text, 'lost'::text])))
prompts: FOREIGN KEY (job_id) REFERENCES jobs(id) ON DELETE CASCADE
prompts: FOREIGN KEY (node_execution_id) REFERENCES node_executions(id) ON DELETE CASCADE
prompts: PRIMARY KEY (prompt_id)
ratings.index bigint not null
ratings.kind text not null
ratings.node_id text not null
ratings.prompt_id text not null
ratings.rated_at timestamp with time zone not null
ratings.rating double precision not null
ratings: FOREIGN KEY (prompt_id) REFERENCES prompts(prompt_id) ON DELETE CASCADE
ratings: PRIMARY KEY (prompt_id, node_id, kind, index)
schema_version.applied_at timestamp with time zone not null
schema_version.checksum text not null
schema_version.name text not null
schema_version.version bigint not null
schema_version: PRIMARY KEY (version)
sweep_points.backend text
sweep_points.completed_at timestamp with time zone
sweep_points.error text
sweep_points.index bigint
sweep_points.job_id text
sweep_points.key text
sweep_points.linked boolean
sweep_points.rating double precision
sweep_points.score double precision
sweep_points.seconds numeric
sweep_points.state text
sweep_points.sweep text
sweep_points.sweep_id text
sweep_points.values text
sweeps.again boolean not null
sweeps.axes text not null
sweeps.completed_at timestamp with time zone
sweeps.created_at timestamp with time zone not null
sweeps.id text not null
sweeps.kind text not null
sweeps.name text not null
sweeps.owner_id text
sweeps.seed bigint not null
sweeps.spec text not null
sweeps.status text not null
sweeps.targets text not null
sweeps.updated_at timestamp with time zone not null
sweeps: CHECK ((status = ANY (ARRAY['running'::text, 'paused'::text, 'completed'::text, 'cancelled'::text])))
sweeps: PRIMARY KEY (id)
sync_jobs.completed_at timestamp with time zone
sync_jobs.created_at timestamp with time zone not null
sync_jobs.error_log text
sync_jobs.failed_items bigint not null
sync_jobs.id text not null
sync_jobs.processed_items bigint not null
sync_jobs.results text not null
sync_jobs.started_at timestamp with time zone
sync_jobs.status text not null
sync_jobs.success_items bigint not null
sync_jobs.total_items bigint
sync_jobs.type text not null
sync_jobs: CHECK ((status = ANY (ARRAY['PENDING'::text, 'RUNNING'::text, 'COMPLETED'::text, 'FAILED'::text, 'CANCELLED'::text])))
sync_jobs: PRIMARY KEY (id)
system_packages.created_at timestamp with time zone not null
system_packages.deployment_id text not null
system_packages.id text not null
system_packages.install_url text
system_packages.name text not null
system_packages.package_type text not null
system_packages.version text
system_packages: FOREIGN KEY (deployment_id) REFERENCES deployments(id) ON DELETE CASCADE
system_packages: PRIMARY KEY (id)
url_validations.custom_node_id text
url_validations.error_message text
url_validations.id text not null
url_validations.is_valid boolean not null
url_validations.last_checked timestamp with time zone not null
url_validations.model_id text
url_validations.status_code bigint
url_validations.url text not null
url_validations: PRIMARY KEY (id)
url_validations: UNIQUE (url) DEFERRABLE INITIALLY DEFERRED
users.created_at timestamp with time zone not null
users.email text not null
users.id text not null
users.image text
users.is_active boolean not null
users.last_login_at timestamp with time zone
users.name text
users.role text not null
users.updated_at timestamp with time zone not null
users: PRIMARY KEY (id)
users: UNIQUE (email) DEFERRABLE INITIALLY DEFERRED
utilization_heatmap.backend text
utilization_heatmap.backend_id text
utilization_heatmap.gpu bigint
utilization_heatmap.gpu_utilization double precision
utilization_heatmap.hour_of_day bigint
utilization_heatmap.measured_seconds double precision
utilization_heatmap.weekday bigint
utilization_hours.backend text
utilization_hours.backend_id text
utilization_hours.energy_wh double precision
utilization_hours.gpu bigint
utilization_hours.gpu_memory_peak double precision
utilization_hours.gpu_temperature_max double precision
utilization_hours.gpu_utilization double precision
utilization_hours.hour timestamp with time zone
utilization_hours.measured_seconds double precision
utilization_hours.offline_samples numeric
workflow_usage.backend text
workflow_usage.backend_id text
workflow_usage.cache_hit_rate double precision
workflow_usage.completed bigint
workflow_usage.energy_joules_mean double precision
workflow_usage.energy_wh double precision
workflow_usage.failed bigint
workflow_usage.gpu_memory_peak bigint
workflow_usage.model_loads numeric
workflow_usage.prompts bigint
workflow_usage.seconds_p50 double precision
workflow_usage.seconds_p95 double precision
workflow_usage.success_rate double precision
workflow_usage.wait_seconds_p50 double precision
workflow_usage.wait_seconds_p95 double precision
workflow_usage.workflow text
workflow_usage.workflow_id text
workflow_versions.api_json text not null
workflow_versions.created_at timestamp with time zone not null
workflow_versions.exposed_parameters text
workflow_versions.id text not null
workflow_versions.version bigint not null
workflow_versions.workflow_id text not null
workflow_versions.workflow_json text not null
workflow_versions: FOREIGN KEY (workflow_id) REFERENCES workflows(id) ON DELETE CASCADE
workflow_versions: PRIMARY KEY (id)
workflows.api_json text not null
workflows.created_at timestamp with time zone not null
workflows.description text not null
workflows.exposed_parameters text not null
workflows.id text not null
workflows.name text not null
workflows.required_capabilities text not null
workflows.required_custom_nodes text not null
workflows.thumbnail text
workflows.updated_at timestamp with time zone not null
workflows.workflow_json text not null
workflows: PRIMARY KEY (id)
