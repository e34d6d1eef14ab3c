-- The workflow that a deployment was made from.

create table deployment_workflows (
    deployment_id text primary key,
    name text not null,
    workflow_json {json} not null,
    api_json {json} not null,
    choices {json} not null,
    updated_at timestamptz not null
);
