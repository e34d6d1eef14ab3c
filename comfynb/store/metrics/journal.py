"""The store's record of machines: whose turn it is, samples in, alerts, settings, upkeep."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from comfynb.store.metrics.measuring import measure
from comfynb.store.metrics.rows import NodeSpan, Reading, floor_time
from comfynb.store.metrics.upkeep import Keeping, Upkeep, keep
from comfynb.store.metrics.writing import Batch, write
from comfynb.store.pending import Pending
from comfynb.store.transaction import Transaction
from comfynb.store.worker import Op

if TYPE_CHECKING:
    from comfynb.store.store import Store

__all__ = ["MetricsJournal"]

# A whole batch of samples waits so long for a commit that somebody else is in a hurry for.
_PATIENCE_S = 1.0


class MetricsJournal:
    """The store's record of what machines did, for who collects it and who asks."""

    def __init__(self, store: "Store") -> None:
        self._store = store

    # ---- whose turn it is

    def claim(self, backend_ids: Collection[str], now: datetime) -> Pending[set[str]]:
        """Become the one who collects from these backends, where no living store does already.

        Returns the ids of all of them that this store owns now. Backends that nobody knows any
        more, and whose collector is gone, are claimed too: their samples still grow old.
        """
        wanted = sorted(set(backend_ids))
        store = self._store

        def claim(tx: Transaction) -> set[str]:
            rows = tx.execute("select backend_id, owner_id from metrics_state")
            owners = {str(row[0]): row[1] for row in rows}
            alive: dict[str, bool] = {}
            for owner in {one for one in owners.values() if one is not None}:
                alive[owner] = store.is_alive(tx, owner)
            known = {row[0] for row in tx.execute("select id from backends")}
            new = [one for one in wanted if one not in owners]
            free = [
                one
                for one, owner in owners.items()
                if owner != store.owner_id
                and (owner is None or not alive[owner])
                and (one in wanted or one not in known)
            ]
            if new:
                tx.execute(
                    "insert into metrics_state (backend_id, owner_id, rolled_10s, rolled_1m) "
                    "select unnest($1::text[]), $2, $3, $3",
                    [new, store.owner_id, floor_time(now, 60)],
                )
            if free:
                tx.execute(
                    "update metrics_state set owner_id = $2 where backend_id = any($1::text[])",
                    [free, store.owner_id],
                )
            mine = {one for one, owner in owners.items() if owner == store.owner_id}
            return mine | set(new) | set(free)

        return store.transact(claim)

    def release(self) -> Pending[None]:
        """Let others collect from all backends that this store owned."""
        store = self._store

        def release(tx: Transaction) -> None:
            tx.execute(
                "update metrics_state set owner_id = null where owner_id = $1", [store.owner_id]
            )

        return store.transact(release)

    # ---- writing

    def write(
        self,
        readings: Sequence[Reading],
        spans: Sequence[NodeSpan] = (),
        dropped: Mapping[str, int] | None = None,
    ) -> Pending[None]:
        """Store samples; travels with the next commit that somebody waits for, or in a second."""
        pending: Pending[None] = Pending("write metrics")
        batch = Batch(readings, spans, dropped or {})
        self._store.submit(
            Op(pending, write, batch, frozenset(), repeatable=False, patience=_PATIENCE_S)
        )
        return pending

    def open_alert(self, **values: Any) -> Pending[None]:
        """Record that something is wrong: the columns of ``alerts``."""
        names = ("id", "backend_id", "kind", "gpu", "opened_at", "value", "threshold", "message")
        places = ", ".join(f"${i}" for i in range(1, len(names) + 1))
        sql = f"insert into alerts ({', '.join(names)}) values ({places})"  # noqa: S608
        row = [values[name] for name in names]
        return self._store.transact(lambda tx: _nothing(tx.execute(sql, row)))

    def close_alert(
        self, alert_id: str, closed_at: datetime | None, value: float | None
    ) -> Pending[None]:
        """Record the worst value that there was, and, with a time, that it is over."""
        return self._store.transact(
            lambda tx: _nothing(
                tx.execute(
                    "update alerts set closed_at = $2, value = $3 where id = $1",
                    [alert_id, closed_at, value],
                )
            )
        )

    def open_alerts(self) -> Pending[list[tuple[Any, ...]]]:
        """Return id, backend_id, kind, gpu, value and threshold of every open alert."""
        return self._store.read(
            lambda view: view.execute(
                "select id, backend_id, kind, gpu, value, threshold from alerts "
                "where closed_at is null"
            ),
            "open alerts",
        )

    def settings(self) -> Pending[dict[str, float]]:
        """Return what was set by somebody, by name."""
        return self._store.read(
            lambda view: dict(view.execute("select name, value from metrics_settings")),
            "metrics settings",
        )

    def set(self, values: Mapping[str, float | None]) -> Pending[None]:
        """Change settings; None takes one back to its default."""

        def change(tx: Transaction) -> None:
            tx.execute(
                "delete from metrics_settings where name = any($1::text[])", [sorted(values)]
            )
            for name, value in values.items():
                if value is not None:
                    tx.execute("insert into metrics_settings values ($1, $2)", [name, value])

        return self._store.transact(change)

    # ---- upkeep

    def keep(self, stored_until: datetime, now: datetime, keeping: Keeping) -> Pending[Upkeep]:
        """Do one small step of summing up and of deleting; nothing is lost if it is killed.

        ``stored_until``: every sample of this store's backends that is older is in the store.
        Each step is one transaction with the note of how far it came, so that none is done twice.
        """
        owner = self._store.owner_id
        return self._store.transact(
            lambda tx: keep(tx, owner, stored_until=stored_until, now=now, keeping=keeping)
        )

    def measure(self, now: datetime, keeping: Keeping) -> Pending[Upkeep]:
        """Note for prompts that have ended what their machines did meanwhile; a few at a time."""
        owner = self._store.owner_id
        return self._store.transact(lambda tx: measure(tx, owner, now=now, keeping=keeping))


def _nothing(_: object) -> None:
    return None
