"""Rows as plain dicts on their way through a merge: read, compared, checked, written in bulk."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from comfynb.errors import InvalidValue
from comfynb.models import StoredModel, explain
from comfynb.store import Transaction
from comfynb.store.schema import table_of
from comfynb.store.transaction import View, insert_sql, upsert_sql

__all__ = ["Rows", "blank", "fetch"]

M = TypeVar("M", bound=StoredModel)

Values = dict[str, Any]


def fetch(view: View, model: type[StoredModel], where: str, params: Sequence[Any]) -> list[Values]:
    """Return rows as dicts by field; ``where`` is SQL of ours with ``$1, $2 ..``."""
    table = table_of(model)
    columns = table.own
    rows = view.execute(
        f"select {table.select_list} from {table.name} where {where}",  # noqa: S608
        params,
    )
    return [
        {
            column.field or "": column.from_db(value)
            for column, value in zip(columns, row, strict=True)
        }
        for row in rows
    ]


@dataclass
class Rows(Generic[M]):
    """Rows of one table, changed as dicts; only what differs in the end is checked and written."""

    model: type[M]
    by_key: dict[str, Values] = field(default_factory=dict)
    """By primary key."""
    _before: dict[str, Values | None] = field(default_factory=dict)

    @property
    def _key(self) -> str:
        return self.model.primary_key[0]

    def load(self, view: View, where: str, params: Sequence[Any]) -> list[Values]:
        """Read rows that were not read before; returns those that the condition gives, all."""
        found = []
        for row in fetch(view, self.model, where, params):
            key = row[self._key]
            found.append(self.by_key.setdefault(key, row))
        return found

    def prepare(self, key: str, values: Values, now: datetime) -> Values | None:
        """Check a row's new values; None if they are the same as the old ones.

        Raises InvalidValue where the model refuses them. ``updatedAt`` is set where there is one.
        """
        old = self.by_key.get(key)
        if old == values:
            return None
        if "updatedAt" in self.model.model_fields:
            values = {**values, "updatedAt": now}
        try:
            checked = self.model.model_validate(values)
        except ValidationError as error:
            raise InvalidValue(explain(error)) from None
        # As the model has it: times are in UTC, what was not given has its default.
        plain = {name: getattr(checked, name) for name in self.model.model_fields}
        return None if old is not None and _same(old, plain) else plain

    def take(self, key: str, plain: Values) -> None:
        """Put what ``prepare`` gave in place of what was there."""
        self._before.setdefault(key, self.by_key.get(key))
        self.by_key[key] = plain

    def write(self, tx: Transaction) -> None:
        """Write what was changed or added, column by column: no model is built for it."""
        new: list[Values] = []
        changed: list[Values] = []
        for key, before in self._before.items():
            values = self.by_key[key]
            if before is None:
                new.append(values)
            elif not _same(before, values):
                changed.append(values)
        table = table_of(self.model)
        for rows, sql in ((new, insert_sql(table)), (changed, upsert_sql(table))):
            if rows:
                columns = [
                    [column.to_db(values[column.field or ""]) for values in rows]
                    for column in table.own
                ]
                tx.execute(sql, columns)
        self._before.clear()


def blank(model: type[StoredModel], **given: Any) -> Values:
    """Return a new row: what is given, and the model's defaults for the rest."""
    values = {
        name: default if factory is None else factory()
        for name, default, factory in _defaults(model)
        if name not in given
    }
    return {**values, **given}


@cache
def _defaults(model: type[StoredModel]) -> tuple[tuple[str, Any, Any], ...]:
    """Each field with its default; pydantic would look at a factory's signature for each row."""
    return tuple(
        (name, info.default, info.default_factory)
        for name, info in model.model_fields.items()
        if not info.is_required()
    )


def _same(one: Values, other: Values) -> bool:
    return all(one[name] == value for name, value in other.items() if name != "updatedAt")
