-- $1 sweep id, $2 status, $3 owner id, $4 now, $5 when it ended (null: it has not).
update sweeps set status = $2::text, owner_id = $3::text, updated_at = $4::timestamptz,
    completed_at = $5::timestamptz
where id = $1
