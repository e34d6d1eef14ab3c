"""What prompts that have ended had of their machines: energy, peaks and means, as one row each."""

from datetime import datetime, timedelta
from typing import Final

from comfynb.store.metrics.upkeep import Keeping, Upkeep
from comfynb.store.transaction import Transaction

__all__ = ["measure"]

_MOST: Final = 200
"""Prompts in one transaction."""

# A prompt is measured once the sample that covers its end is there, or will not come any more.
_UNMEASURED: Final = """
select p.prompt_id, p.started_at, p.completed_at
from prompts as p
join metrics_state as s on s.backend_id = p.backend_id and s.owner_id = $1
left join metrics_last as l on l.backend_id = p.backend_id and l.main
left join prompt_metrics as done on done.prompt_id = p.prompt_id
where p.completed_at >= $2 and p.started_at is not null and p.completed_at >= p.started_at
    and done.prompt_id is null
    and (l.taken_at >= p.completed_at or p.completed_at < $4::timestamptz - interval '60 seconds')
order by p.completed_at
limit $3
"""
_OVERLAP: Final = (
    "case when m.began is not null then extract(epoch from "
    "least(m.taken_at, p.completed_at) - greatest(m.began, p.started_at)) end"
)
_MEASURE: Final = f"""
insert into prompt_metrics (prompt_id, backend_id, completed_at, samples, measured_seconds,
    energy_joules, energy_seconds, gpu_memory_peak, gpu_utilization, gpu_temperature_max)
select
    p.prompt_id, p.backend_id, p.completed_at, count(m.taken_at), coalesce(sum({_OVERLAP}), 0),
    sum(m.energy_joules * {_OVERLAP} / extract(epoch from m.taken_at - m.began)),
    coalesce(sum(case when m.energy_joules is not null then {_OVERLAP} end), 0),
    max(m.gpu_memory_used),
    sum(m.gpu_utilization * {_OVERLAP})
        / nullif(sum(case when m.gpu_utilization is not null then {_OVERLAP} end), 0),
    max(m.gpu_temperature)
from prompts as p
left join (
    select * from metrics where main and taken_at >= $2 and taken_at <= $3 and began < taken_at
) as m on m.backend_id = p.backend_id
    and m.taken_at > p.started_at and m.began < p.completed_at
where p.prompt_id = any($1::text[])
group by p.prompt_id, p.backend_id, p.completed_at
"""  # noqa: S608 - our own text


def measure(tx: Transaction, owner: str, *, now: datetime, keeping: Keeping) -> Upkeep:
    """Measure some prompts of an owner's backends."""
    found = tx.execute(_UNMEASURED, [owner, now - keeping.raw, _MOST, now])
    if not found:
        return Upkeep()
    ids = [row[0] for row in found]
    first = min(row[1] for row in found)
    # A sample may begin long before a prompt ends and be taken long after.
    last = max(row[2] for row in found) + timedelta(minutes=2)
    tx.execute(_MEASURE, [ids, first, last])
    return Upkeep(measured=len(ids), more=len(ids) == _MOST)
