"""Samples and spans into the store, many rows in one statement."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from comfynb.store.metrics.rows import NodeSpan, Reading
from comfynb.store.transaction import Transaction

__all__ = ["Batch", "write"]

# Handing values over holds Python's lock, and so the event loop: a few milliseconds at a time.
_CHUNK = 250

_TYPES: Final = {
    "backend_id": "text",
    "taken_at": "timestamptz",
    "began": "timestamptz",
    "gpu": "bigint",
    "main": "boolean",
    "online": "boolean",
    "gpu_utilization": "real",
    "gpu_memory_used": "bigint",
    "gpu_memory_total": "bigint",
    "gpu_temperature": "bigint",
    "power_watts": "real",
    "energy_joules": "double precision",
    "cpu_utilization": "real",
    "ram_used": "bigint",
    "ram_total": "bigint",
    "queue_depth": "bigint",
    "disk_free": "bigint",
    "disk_total": "bigint",
    "active_job_id": "text",
    "source": "text",
    "gpu_name": "text",
    "note": "text",
}
_ONLY_LAST: Final = ("source", "gpu_name", "note")
_RAW: Final = tuple(name for name in _TYPES if name not in _ONLY_LAST)
_LAST: Final = tuple(name for name in _TYPES if name not in {"began", "energy_joules"})
_SPAN_TYPES: Final = {
    "prompt_id": "text",
    "index": "bigint",
    "node_id": "text",
    "class_type": "text",
    "title": "text",
    "model": "text",
    "started_at": "timestamptz",
    "completed_at": "timestamptz",
}


def _insert(table: str, columns: Sequence[str], types: Mapping[str, str]) -> str:
    names = ", ".join(f'"{name}"' for name in columns)
    source = ", ".join(f"unnest(${i}::{types[name]}[])" for i, name in enumerate(columns, 1))
    return f"insert into {table} ({names}) select {source}"


_INSERT_RAW: Final = _insert("metrics", _RAW, _TYPES)
_INSERT_SPANS: Final = _insert("prompt_nodes", tuple(_SPAN_TYPES), _SPAN_TYPES)
_UPSERT_LAST: Final = (
    _insert("metrics_last", _LAST, _TYPES)
    + " on conflict (backend_id, gpu) do update set "
    + ", ".join(f"{n} = excluded.{n}" for n in _LAST if n not in {"backend_id", "gpu"})
)


def _columns(rows: Sequence[Any], names: Iterable[str]) -> list[list[Any]]:
    return [[getattr(row, name) for row in rows] for name in names]


@dataclass(slots=True)
class Batch:
    """What is written at a time: samples, spans, and how many samples were dropped by backend."""

    readings: Sequence[Reading]
    spans: Sequence[NodeSpan]
    dropped: Mapping[str, int] = field(default_factory=dict)


def write(tx: Transaction, batches: Sequence[Batch]) -> Sequence[None]:
    """Store batches together."""
    readings = [one for batch in batches for one in batch.readings]
    if readings:
        for start in range(0, len(readings), _CHUNK):
            chunk = readings[start : start + _CHUNK]
            tx.execute(_INSERT_RAW, _columns(chunk, _RAW))
        newest: dict[tuple[str, int], Reading] = {}
        for one in readings:
            known = newest.get((one.backend_id, one.gpu))
            if known is None or one.taken_at >= known.taken_at:
                newest[one.backend_id, one.gpu] = one
        tx.execute(_UPSERT_LAST, _columns(list(newest.values()), _LAST))
    spans = [one for batch in batches for one in batch.spans]
    if spans:
        tx.execute(_INSERT_SPANS, _columns(spans, _SPAN_TYPES))
    dropped: dict[str, int] = {}
    for batch in batches:
        for backend_id, number in batch.dropped.items():
            dropped[backend_id] = dropped.get(backend_id, 0) + number
    for backend_id, number in dropped.items():
        tx.execute(
            "update metrics_state set dropped = dropped + $2 where backend_id = $1",
            [backend_id, number],
        )
    return [None] * len(batches)
