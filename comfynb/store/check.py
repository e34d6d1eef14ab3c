"""What `comfynb store check` looks for: everything in the store that contradicts something else."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from comfynb.models import ForeignKey, explain
from comfynb.store.migrate import applied
from comfynb.store.rules import RULES, Finding, Severity
from comfynb.store.schema import JSON, Table, quote, tables
from comfynb.store.statements import migrations
from comfynb.store.transaction import View

__all__ = ["Finding", "check"]

# Rows that are read at a time when each has to be looked at.
_PAGE = 500


def check(view: View) -> list[Finding]:
    """Return every inconsistency of a store, worst first."""
    found: list[Finding] = list(_schema(view))
    for table in tables().values():
        for column, target in table.parents.items():
            found += _orphans(view, table, column, target)
        found += _twice(view, table)
    for rule in RULES:
        found += rule(view)
    for table in tables().values():
        if not table.model.is_view:
            found += _unreadable(view, table)
    found += _files(view)
    return sorted(found, key=lambda finding: finding.severity != "error")


def _schema(view: View) -> Iterator[Finding]:
    known = migrations(view.dialect)
    seen = applied(view.session)
    for step in known:
        checksum = seen.get(step.version)
        if checksum is None:
            yield Finding(
                "error",
                "schema_version",
                str(step.version),
                f"migration {step.version} ({step.name}) is not recorded",
                "put the last copy (.bak-v...) back in its place and open it again",
            )
        elif checksum != step.checksum:
            yield Finding(
                "error",
                "schema_version",
                str(step.version),
                f"migration {step.version} ({step.name}) was another one when it was applied",
                "use the comfynb that made this store, or move its rows into a new one",
            )


def _orphans(view: View, table: Table, column: str, target: ForeignKey) -> Iterator[Finding]:
    keys = _key_sql(table)
    # What stays when its parent goes is expected to lose it: that is history, not damage.
    severity: Severity = "warning" if target.on_delete is None else "error"
    rows = view.execute(
        f"select {keys}, c.{quote(column)} from {quote(table.name)} as c "  # noqa: S608
        f"left join {quote(target.table)} as p on p.{quote(target.column)} = c.{quote(column)} "
        f"where c.{quote(column)} is not null and p.{quote(target.column)} is null"
    )
    for *key, missing in rows:
        yield Finding(
            severity,
            table.name,
            _key_text(key),
            f"{column} names {missing!r:.100}, and {target.table} has no such row",
            "leave it as history, or delete the row"
            if target.on_delete is None
            else "delete the row",
        )


def _twice(view: View, table: Table) -> Iterator[Finding]:
    for group in table.unique:
        column = quote(group[0])
        rows = view.execute(
            f"select {column}, count(*) from {quote(table.name)} "  # noqa: S608
            f"group by {column} having count(*) > 1"
        )
        for value, number in rows:
            yield Finding(
                "error",
                table.name,
                str(value)[:200],
                f"{number} rows have this {group[0]}, which must be unique",
                "delete all but one of them",
            )


def _key_sql(table: Table) -> str:
    return ", ".join(f"c.{quote(name)}" for name in table.key)


def _key_text(key: list[Any]) -> str:
    return " ".join(str(part) for part in key)[:300]


def _unreadable(view: View, table: Table) -> Iterator[Finding]:
    """Find rows whose JSON or other values their model refuses."""
    names = [column.name for column in table.own]
    at: list[Any] = []
    while True:
        after = " and ".join(f"c.{quote(name)} = ${i}" for i, name in enumerate(table.key, 1))
        if at:
            after = _after(table, len(at))
        sql = (
            f"select {', '.join(f'c.{quote(name)}' for name in names)} "  # noqa: S608
            f"from {quote(table.name)} as c{f' where {after}' if at else ''} "
            f"order by {_key_sql(table)} limit {_PAGE}"
        )
        rows = view.execute(sql, at)
        for row in rows:
            yield from _row(table, dict(zip(names, row, strict=True)))
        if len(rows) < _PAGE:
            return
        last = dict(zip(names, rows[-1], strict=True))
        at = [last[name] for name in table.key]


def _after(table: Table, number: int) -> str:
    left = ", ".join(f"c.{quote(name)}" for name in table.key)
    right = ", ".join(f"${i}" for i in range(1, number + 1))
    return f"({left}) > ({right})"


def _row(table: Table, row: dict[str, Any]) -> Iterator[Finding]:
    key = _key_text([row[name] for name in table.key])
    fields: dict[str, Any] = {}
    for column in table.own:
        try:
            fields[column.field or ""] = column.from_db(row[column.name])
        except ValueError as error:
            yield Finding(
                "error",
                table.name,
                key,
                f"{column.name} is not {'JSON' if column.type == JSON else column.type} ({error})",
                "put the row's last good value back, or delete the row",
            )
            return
    try:
        table.model.model_validate(fields)
    except ValidationError as error:
        yield Finding(
            "error",
            table.name,
            key,
            f"is not what comfynb stores: {explain(error)}".rstrip("."),
            "put the row's last good value back, or delete the row",
        )


def _files(view: View) -> Iterator[Finding]:
    rows = view.execute(
        "select prompt_id || ' ' || filename, path, size from output_files where path is not null"
    )
    for key, path, size in rows:
        try:
            here = Path(path).stat().st_size
        except (OSError, ValueError):
            yield Finding(
                "warning",
                "output_files",
                key,
                f"its file {path!r:.300} is not on this machine",
                "download it again while the backend has it, or put it back",
            )
            continue
        if size is not None and here != size:
            yield Finding(
                "warning",
                "output_files",
                key,
                f"its file {path!r:.300} has {here} bytes instead of {size}",
                "download it again while the backend has it",
            )
