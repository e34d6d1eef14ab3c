"""What the store remembers of how fast backends were, compared with one another."""

import statistics
from collections import defaultdict
from collections.abc import Iterable
from typing import Final

from comfynb.store import Store

__all__ = ["compare", "recorded"]

LATEST: Final = 1000
"""So many of the newest prompts are looked at."""
QUERY: Final = """
    select n.canvas_node_id as node, p.backend_id as backend,
           extract(epoch from (p.completed_at - p.started_at)) as seconds
    from prompts p join node_executions n on n.id = p.node_execution_id
    where p.state = 'completed' and p.started_at is not null and p.cached_nodes > 0
    order by p.created_at desc
"""


async def recorded(store: Store) -> dict[str, float]:
    """How many times longer than usual things took on each backend, by id.

    Only prompts that had something in the cache count: the others measure disks.
    """
    rows = await store.sql(QUERY, limit=LATEST)
    return compare((row["node"], row["backend"], float(row["seconds"])) for row in rows)


def compare(runs: Iterable[tuple[str, str, float]]) -> dict[str, float]:
    """The same from (node of a canvas, backend, seconds): like is compared with like.

    A node of a canvas is one workflow version with one set of parameters, the same for all points
    of a sweep. Backends that never ran what another one ran are left out.
    """
    times: defaultdict[str, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for node, backend, seconds in runs:
        if seconds > 0:
            times[node][backend].append(seconds)
    ratios: defaultdict[str, list[float]] = defaultdict(list)
    for by_backend in times.values():
        if len(by_backend) < 2:
            continue
        medians = {backend: statistics.median(each) for backend, each in by_backend.items()}
        usual = statistics.median(medians.values())
        for backend, median in medians.items():
            ratios[backend].append(median / usual)
    return {backend: statistics.median(each) for backend, each in ratios.items()}
