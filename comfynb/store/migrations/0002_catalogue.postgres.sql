alter table model_versions add foreign key (model_id) references models (id) on delete cascade;
alter table node_versions
    add foreign key (custom_node_id) references custom_nodes (id) on delete cascade;
alter table node_facts
    add foreign key (custom_node_id) references custom_nodes (id) on delete cascade;
alter table locks add foreign key (deployment_id) references deployments (id) on delete cascade;

create index model_versions_model on model_versions (model_id);
create index model_versions_sha256 on model_versions (sha256);
create index node_versions_node on node_versions (custom_node_id);
create index locks_deployment on locks (deployment_id, created_at desc);
