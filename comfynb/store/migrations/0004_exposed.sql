-- What a workflow's version lets people set: what they exposed, renamed, grouped, ordered and hid.

alter table workflow_versions add column exposed_parameters {json};
