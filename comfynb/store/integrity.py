"""What foreign keys and unique constraints would keep, kept in code: DuckDB's get in the way."""

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from comfynb.errors import StoreError
from comfynb.models import StoredModel
from comfynb.store.schema import Table, quote, tables

__all__ = ["check_parents", "check_unique", "delete_rows"]


class Executes(Protocol):
    """Whatever runs a statement."""

    def execute(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement."""


def check_parents(
    tx: Executes, table: Table, models: Sequence[StoredModel], known: Iterable[tuple[str, str]] = ()
) -> None:
    """Raise StoreError where a row would refer to a row that is not there.

    ``known`` are (table, id) pairs that the same transaction writes.
    """
    given = set(known)
    for name, target in table.parents.items():
        if target.on_delete is None:
            continue
        column = table.column(name)
        wanted = {getattr(model, column.field or "") for model in models} - {None}
        wanted = {value for value in wanted if (target.table, value) not in given}
        if not wanted:
            continue
        found = tx.execute(
            f"select {quote(target.column)} from {quote(target.table)} "  # noqa: S608
            f"where {quote(target.column)} = any($1::text[])",
            [sorted(wanted)],
        )
        missing = wanted - {row[0] for row in found}
        if missing:
            raise StoreError(
                f"{table.name}.{column.field} {min(missing)!r:.100} names no row of "
                f"{target.table}: put that one first, or in the same call."
            )


def check_unique(tx: Executes, table: Table, models: Sequence[StoredModel]) -> None:
    """Raise StoreError where two rows would share what must be unique."""
    for group in table.unique:
        column = table.column(group[0])
        field = column.field or ""
        taken: dict[Any, tuple[Any, ...]] = {}
        for model in models:
            value, key = getattr(model, field), table.key_of(model)
            if taken.setdefault(value, key) != key:
                raise _twice(table, field, value)
        keys = ", ".join(quote(name) for name in table.key)
        rows = tx.execute(
            f"select {quote(column.name)}, {keys} from {quote(table.name)} "  # noqa: S608
            f"where {quote(column.name)} = any($1::text[])",
            [sorted(taken)],
        )
        # A row that this very call gives another value does not stand in the way.
        given = {table.key_of(model): getattr(model, field) for model in models}
        for row in rows:
            value, key = row[0], tuple(row[1:])
            if taken[value] != key and given.get(key, value) == value:
                raise _twice(table, field, value)


def _twice(table: Table, field: str, value: object) -> StoreError:
    return StoreError(
        f"{table.name}.{field} {value!r:.200} is there already, and it must be unique: "
        "change that row instead."
    )


def delete_rows(tx: Executes, table: Table, keys: Sequence[tuple[Any, ...]]) -> int:
    """Delete rows by primary key, and what hangs on them; returns how many of the first went."""
    if not keys:
        return 0
    for child in tables().values():
        for name, target in child.parents.items():
            if target.table != table.name or target.on_delete is None:
                continue
            # Only one-column keys are referred to.
            ids = [key[0] for key in keys]
            if target.on_delete == "set null":
                tx.execute(
                    f"update {quote(child.name)} set {quote(name)} = null "  # noqa: S608
                    f"where {quote(name)} = any($1::text[])",
                    [ids],
                )
                continue
            columns = ", ".join(quote(part) for part in child.key)
            found = tx.execute(
                f"select {columns} from {quote(child.name)} "  # noqa: S608
                f"where {quote(name)} = any($1::text[])",
                [ids],
            )
            delete_rows(tx, child, found)
    gone = 0
    if len(table.key) == 1:
        rows = tx.execute(
            f"delete from {quote(table.name)} "  # noqa: S608
            f"where {quote(table.key[0])} = any($1::text[])",
            [[key[0] for key in keys]],
        )
        return int(rows[0][0])
    where = " and ".join(f"{quote(name)} = ${i}" for i, name in enumerate(table.key, start=1))
    for key in keys:
        rows = tx.execute(f"delete from {quote(table.name)} where {where}", key)  # noqa: S608
        gone += int(rows[0][0])
    return gone
