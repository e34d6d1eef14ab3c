"""Tables as the models describe them: columns, SQL types, keys, and values on their way in and out.

The tables themselves are made by the migrations, in hand-written SQL; tests hold the two together.
"""

import inspect
import json
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json

import comfynb.models
from comfynb.errors import StoreError, UsageError
from comfynb.models import ForeignKey, StoredModel, explain

__all__ = [
    "BULK_TABLES",
    "JSON",
    "STORE_COLUMNS",
    "Column",
    "Table",
    "clean_text",
    "json_text",
    "quote",
    "table_of",
    "tables",
]

JSON = "json"

# Columns that the store keeps for itself, with their SQL types: who works on a job, how often a
# row has changed (compare and swap), and where in its job a node execution stands.
STORE_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "jobs": {"owner_id": "text", "rev": "bigint"},
    "node_executions": {"position": "bigint", "rev": "bigint"},
}

# Tables without a model: numbers by the million, written many rows at a time.
BULK_TABLES = frozenset(
    {
        "metrics",
        "metrics_10s",
        "metrics_1m",
        "metrics_last",
        "metrics_state",
        "metrics_settings",
        "alerts",
        "prompt_metrics",
        "prompt_nodes",
    }
)

# Fields that are rows of a table of their own.
CHILD_FIELDS: Mapping[str, frozenset[str]] = {"jobs": frozenset({"node_executions"})}


def quote(name: str) -> str:
    """Return an SQL identifier in quotes."""
    return '"' + name.replace('"', '""') + '"'


def clean_text(value: str) -> str:
    """Return text that can be stored: halves of surrogate pairs become U+FFFD."""
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return value


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, Mapping):
        return {clean_text(str(key)): _clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_clean(item) for item in value]
    return value


def json_text(value: Any) -> str:
    """Return a value, with models in it or not, as JSON; NaN and infinities keep their names."""
    try:
        return to_json(value, inf_nan_mode="constants").decode()
    except PydanticSerializationError:
        plain = value.model_dump() if hasattr(value, "model_dump") else value
        return to_json(_clean(plain), inf_nan_mode="constants").decode()


def _identity(value: Any) -> Any:
    return value


def _in_text(value: Any) -> Any:
    return clean_text(value.value if isinstance(value, Enum) else value)


def _out_utc(value: datetime) -> datetime:
    return value.astimezone(UTC)


_WAYS: Mapping[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "text": (_in_text, _identity),
    "bigint": (int, _identity),
    "double precision": (float, _identity),
    "boolean": (bool, _identity),
    "timestamptz": (_identity, _out_utc),
    JSON: (json_text, json.loads),
}

_PLAIN: Mapping[type, str] = {
    str: "text",
    bool: "boolean",
    int: "bigint",
    float: "double precision",
    datetime: "timestamptz",
}


def _sql_type(annotation: Any) -> tuple[str, bool]:
    """Return the SQL type of an annotation and whether it admits None."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _sql_type(get_args(annotation)[0])
    if origin in {Union, types.UnionType}:
        members = [member for member in get_args(annotation) if member is not type(None)]
        optional = len(members) < len(get_args(annotation))
        if len(members) == 1:
            return _sql_type(members[0])[0], optional
        return JSON, optional
    if origin is Literal and all(isinstance(value, str) for value in get_args(annotation)):
        return "text", False
    if isinstance(annotation, type):
        if issubclass(annotation, Enum) and issubclass(annotation, str):
            return "text", False
        if annotation in _PLAIN:
            return _PLAIN[annotation], False
    return JSON, False


@dataclass(frozen=True, slots=True)
class Column:
    """One column and the field that it holds (none: the store's own)."""

    name: str
    type: str
    nullable: bool
    field: str | None

    def to_db(self, value: Any) -> Any:
        """Return a field's value as it is stored."""
        return None if value is None else _WAYS[self.type][0](value)

    def from_db(self, value: Any) -> Any:
        """Return a stored value as the model takes it."""
        return None if value is None else _WAYS[self.type][1](value)


@dataclass(frozen=True, eq=False)
class Table:
    """One table: the model whose rows it holds, and its columns."""

    model: type[StoredModel]
    name: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    """Columns of the primary key."""
    unique: tuple[tuple[str, ...], ...]
    parents: Mapping[str, ForeignKey]
    """Foreign keys by column; those with ``on_delete`` None are not enforced."""

    def column(self, name: str) -> Column:
        """Return a column by its own or its field's name; raises UsageError, listing them."""
        for column in self.columns:
            if name in {column.name, column.field}:
                return column
        known = ", ".join(column.field or column.name for column in self.columns)
        raise UsageError(f"{self.name} has no column {name!r:.80}: it has {known}.")

    @property
    def own(self) -> tuple[Column, ...]:
        """The columns that hold the model's fields."""
        return tuple(column for column in self.columns if column.field is not None)

    @property
    def select_list(self) -> str:
        """The model's columns for a SELECT, in order."""
        return ", ".join(f"{quote(self.name)}.{quote(column.name)}" for column in self.own)

    def key_of(self, row: StoredModel) -> tuple[Any, ...]:
        """Return the values of a model's primary key, as stored."""
        columns = [self.column(name) for name in self.key]
        return tuple(column.to_db(getattr(row, column.field or "")) for column in columns)

    def to_rows(self, models: Iterable[StoredModel]) -> list[list[Any]]:
        """Return one list of stored values for each of the model's columns, in order."""
        taken = list(models)
        return [
            [column.to_db(getattr(model, column.field or "")) for model in taken]
            for column in self.own
        ]

    def to_model(self, row: Sequence[Any], **children: Any) -> StoredModel:
        """Build the model from stored values in order; raises StoreError where it refuses them."""
        fields: dict[str, Any] = dict(children)
        try:
            for column, value in zip(self.own, row, strict=True):
                fields[column.field or ""] = column.from_db(value)
            return self.model.model_validate(fields)
        except (ValidationError, ValueError) as error:
            key = ", ".join(str(fields.get(self.column(name).field or "")) for name in self.key)
            reason = explain(error) if isinstance(error, ValidationError) else str(error)
            raise StoreError(
                f"{self.name} {key!r:.100} cannot be read ({reason}): run `comfynb store check`."
            ) from error


def _table(model: type[StoredModel]) -> Table:
    name = model.table_name
    names = model.columns()
    columns = []
    for field, info in model.model_fields.items():
        if field in CHILD_FIELDS.get(name, ()):
            continue
        sql_type, nullable = _sql_type(info.annotation)
        columns.append(Column(names[field], sql_type, nullable, field))
    for column, sql_type in STORE_COLUMNS.get(name, {}).items():
        columns.append(Column(column, sql_type, column == "owner_id", None))
    return Table(
        model=model,
        name=name,
        columns=tuple(columns),
        key=tuple(names[field] for field in model.primary_key),
        unique=tuple(tuple(names[field] for field in group) for group in model.unique_fields),
        parents={names[field]: target for field, target in model.foreign_keys.items()},
    )


@cache
def tables() -> Mapping[str, Table]:
    """Return every table by name, those that others refer to first."""
    found = {
        model.table_name: _table(model)
        for _, model in inspect.getmembers(comfynb.models, inspect.isclass)
        if issubclass(model, StoredModel) and model is not StoredModel
    }
    ordered: dict[str, Table] = {}

    def add(table: Table) -> None:
        if table.name not in ordered:
            for parent in table.parents.values():
                add(found[parent.table])
            ordered[table.name] = table

    for table in found.values():
        add(table)
    return ordered


def table_of(model: type[StoredModel]) -> Table:
    """Return a model's table; raises UsageError for a model that has none."""
    name = getattr(model, "table_name", None)
    table = tables().get(name) if isinstance(name, str) else None
    if table is None or not issubclass(model, table.model):
        raise UsageError(f"{getattr(model, '__name__', model)!r:.80} is not stored in any table.")
    return table
