-- $1 id, $2 host, $3 process id, $4 time, $5 label.
insert into owners (id, host, pid, started_at, label)
values ($1::text, $2::text, $3::bigint, $4::timestamptz, $5::text)
on conflict (id) do nothing
