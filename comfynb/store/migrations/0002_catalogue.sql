-- What the catalogue knows beyond the seed's tables, and the locks.

create table model_versions (
    id text primary key,
    model_id text not null,
    name text not null,
    revision text,
    filename text not null,
    download_url text not null,
    file_size bigint,
    sha256 text,
    format text,
    base_model text,
    scan text,
    is_active boolean not null,
    published_at timestamptz,
    created_at timestamptz not null,
    updated_at timestamptz not null
);

create table node_versions (
    id text primary key,
    custom_node_id text not null,
    version text not null,
    commit text,
    dependencies {json} not null,
    download_url text,
    status text,
    created_at timestamptz not null
);

create table node_facts (
    custom_node_id text primary key,
    registry_id text,
    latest_version text,
    status text,
    license text,
    channel text,
    stars bigint,
    author_age_days bigint,
    last_update timestamptz,
    nodename_pattern text,
    preempts {json} not null,
    apt_packages {json} not null,
    files {json} not null,
    sources {json} not null,
    updated_at timestamptz not null
);

create table locks (
    id text primary key,
    deployment_id text not null,
    content {json} not null,
    sha256 text not null,
    reason text,
    created_at timestamptz not null
);
