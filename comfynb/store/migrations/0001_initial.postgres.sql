-- PostgreSQL keeps by itself what the code keeps on DuckDB. Deferred: two rows may swap a value.

alter table object_infos add foreign key (backend_id) references backends (id) on delete cascade;
alter table workflow_versions
    add foreign key (workflow_id) references workflows (id) on delete cascade;
alter table presets add foreign key (workflow_id) references workflows (id) on delete cascade;
alter table node_executions add foreign key (job_id) references jobs (id) on delete cascade;
alter table prompts
    add foreign key (job_id) references jobs (id) on delete cascade,
    add foreign key (node_execution_id) references node_executions (id) on delete cascade;
alter table output_files
    add foreign key (prompt_id) references prompts (prompt_id) on delete cascade;
alter table points
    add foreign key (sweep_id) references sweeps (id) on delete cascade,
    add foreign key (job_id) references jobs (id) on delete set null;
alter table ratings
    add foreign key (prompt_id) references prompts (prompt_id) on delete cascade;
alter table job_events add foreign key (job_id) references jobs (id) on delete cascade;
alter table api_tokens add foreign key (user_id) references users (id) on delete cascade;
alter table deployments add foreign key (user_id) references users (id) on delete cascade;
alter table deployment_nodes
    add foreign key (deployment_id) references deployments (id) on delete cascade,
    add foreign key (custom_node_id) references custom_nodes (id) on delete cascade;
alter table deployment_models
    add foreign key (deployment_id) references deployments (id) on delete cascade,
    add foreign key (model_id) references models (id) on delete cascade;
alter table system_packages
    add foreign key (deployment_id) references deployments (id) on delete cascade;
alter table model_download_stats add foreign key (model_id) references models (id) on delete cascade;

alter table users add unique (email) deferrable initially deferred;
alter table custom_nodes add unique (github_url) deferrable initially deferred;
alter table url_validations add unique (url) deferrable initially deferred;
alter table model_download_stats add unique (model_id) deferrable initially deferred;

create index jobs_project on jobs (project_id);
create index jobs_status_created on jobs (status, created_at);
create index jobs_created on jobs (created_at);
create index node_executions_job on node_executions (job_id);
create index prompts_job on prompts (job_id);
create index prompts_node_execution on prompts (node_execution_id);
create index points_key on points (key);
create index points_job on points (job_id);
create index job_events_job on job_events (job_id, happened_at);
create index metrics_backend on metrics (backend_id, taken_at);
create index metrics_at on metrics using brin (taken_at);
create index metrics_10s_backend on metrics_10s (backend_id, taken_at);
create index metrics_1m_backend on metrics_1m (backend_id, taken_at);
create index alerts_backend on alerts (backend_id, opened_at);
create index prompts_completed on prompts (completed_at);
create index prompt_nodes_prompt on prompt_nodes (prompt_id);
create index models_type_source on models (type, source);
create index models_source_id on models (source, source_id);
create index deployments_user_created on deployments (user_id, created_at desc);
create index deployment_models_model on deployment_models (model_id);
create index deployment_nodes_node on deployment_nodes (custom_node_id);
