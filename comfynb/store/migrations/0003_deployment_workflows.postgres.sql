alter table deployment_workflows
    add foreign key (deployment_id) references deployments (id) on delete cascade;
