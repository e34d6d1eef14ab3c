"""What `comfynb store check` looks for: everything in the store that contradicts something else."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from comfynb.models import ForeignKey, JobStatus, PromptStatus, explain
from comfynb.store.migrate import applied
from comfynb.store.schema import JSON, Table, quote, tables
from comfynb.store.statements import migrations
from comfynb.store.transaction import View

__all__ = ["Finding", "check"]

Severity = Literal["error", "warning"]

# Rows that are read at a time when each has to be looked at.
_PAGE = 500


# Millions of rows, and nothing in them that a column's type does not check.
_NUMBERS_ONLY = frozenset({"metrics_snapshots"})


@dataclass(frozen=True, slots=True)
class Finding:
    """One inconsistency: where, what, and what to do."""

    severity: Severity
    table: str
    id: str
    message: str
    cure: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.table} {self.id}: {self.message}; {self.cure}"


def check(view: View) -> list[Finding]:
    """Return every inconsistency of a store, worst first."""
    found: list[Finding] = list(_schema(view))
    for table in tables().values():
        for column, target in table.parents.items():
            found += _orphans(view, table, column, target)
        found += _twice(view, table)
    for rule in _RULES:
        found += rule(view)
    for table in tables().values():
        if table.name not in _NUMBERS_ONLY:
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


def _rule(
    table: str, message: str, cure: str, sql: str, severity: Severity = "error"
) -> Callable[[View], Iterator[Finding]]:
    """Make a check from a query that gives an id and, to fill the message in, other columns."""

    def look(view: View) -> Iterator[Finding]:
        for key, *details in view.execute(sql):
            yield Finding(severity, table, str(key), message.format(*details), cure)

    return look


def _values(values: list[str]) -> str:
    return ", ".join(f"'{value}'" for value in values)


_ALL = _values([status.value for status in JobStatus])
_OVER = _values([status.value for status in JobStatus if status.is_terminal])
_LIVE = _values([status.value for status in PromptStatus if not status.is_terminal])
_ENDED = _values([status.value for status in PromptStatus if status.is_terminal])
_EVERY = _values([status.value for status in PromptStatus])

_RULES: list[Callable[[View], Iterator[Finding]]] = [
    _rule(
        "jobs",
        "has the status {0!r:.60}, which comfynb does not know",
        "set it to 'failed', or upgrade comfynb",
        f"select id, status from jobs where status not in ({_ALL})",  # noqa: S608
    ),
    _rule(
        "node_executions",
        "has the status {0!r:.60}, which comfynb does not know",
        "set it to 'failed', or upgrade comfynb",
        f"select id, status from node_executions where status not in ({_ALL})",  # noqa: S608
    ),
    _rule(
        "prompts",
        "has the state {0!r:.60}, which comfynb does not know",
        "set it to 'lost', or upgrade comfynb",
        f"select prompt_id, state from prompts where state not in ({_EVERY})",  # noqa: S608
    ),
    _rule(
        "node_executions",
        "is {0} although its job {1} ended as {2}",
        "set it to 'cancelled' or 'skipped'",
        "select n.id, n.status, j.id, j.status from node_executions as n "  # noqa: S608
        f"join jobs as j on j.id = n.job_id where j.status in ({_OVER}) "
        "and n.status in ('pending', 'running', 'paused')",
    ),
    _rule(
        "jobs",
        "is {0} although all of its {1} node executions have ended",
        "resume it (wb.resume()), or set it to what they say",
        "select j.id, j.status, count(n.id) from jobs as j "  # noqa: S608
        "join node_executions as n on n.job_id = j.id "
        "where j.status in ('pending', 'running', 'paused') group by j.id, j.status "
        f"having count(*) = sum(case when n.status in ({_OVER}) then 1 else 0 end)",
        "warning",
    ),
    _rule(
        "jobs",
        "completed although node execution {0} is {1}",
        "set the job to what became of that node",
        "select j.id, n.id, n.status from jobs as j "
        "join node_executions as n on n.job_id = j.id "
        "where j.status = 'completed' and n.status in ('failed', 'lost', 'cancelled')",
    ),
    _rule(
        "prompts",
        "belongs to job {0}, but its node execution {1} belongs to job {2}",
        "delete the prompt",
        "select p.prompt_id, p.job_id, n.id, n.job_id from prompts as p "
        "join node_executions as n on n.id = p.node_execution_id where n.job_id <> p.job_id",
    ),
    _rule(
        "node_executions",
        "has {0} prompts out at the same time",
        "let one kernel resume the job: it keeps the one that the node names",
        "select node_execution_id, count(*) from prompts "  # noqa: S608
        f"where state in ({_LIVE}) group by node_execution_id having count(*) > 1",
    ),
    _rule(
        "prompts",
        "is {0} although its node execution {1} is {2}",
        "set the prompt to 'lost'",
        "select p.prompt_id, p.state, n.id, n.status from prompts as p "  # noqa: S608
        "join node_executions as n on n.id = p.node_execution_id "
        f"where p.state in ({_LIVE}) and n.status in ({_OVER})",
    ),
    _rule(
        "prompts",
        "is {0}, but its node execution {1} does not name it",
        "set the prompt to 'lost'",
        "select p.prompt_id, p.state, n.id from prompts as p "  # noqa: S608
        "join node_executions as n on n.id = p.node_execution_id "
        f"where p.state in ({_LIVE}) and n.status in ('pending', 'running', 'paused') "
        "and (n.comfy_prompt_id is null or n.comfy_prompt_id <> p.prompt_id)",
    ),
    _rule(
        "node_executions",
        "completed, but its prompt {0} is {1}",
        "set the node execution to 'lost', and run the job again",
        "select n.id, p.prompt_id, p.state from node_executions as n "
        "join prompts as p on p.prompt_id = n.comfy_prompt_id "
        "where n.status = 'completed' and p.state <> 'completed'",
    ),
    _rule(
        "node_executions",
        "is running, but its prompt {0} has ended as {1}",
        "resume the job (wb.resume())",
        "select n.id, p.prompt_id, p.state from node_executions as n "  # noqa: S608
        "join prompts as p on p.prompt_id = n.comfy_prompt_id "
        f"where n.status = 'running' and p.state in ({_ENDED})",
    ),
    _rule(
        "node_executions",
        "names prompt {0}, which is not there",
        "run the job again",
        "select n.id, n.comfy_prompt_id from node_executions as n "
        "left join prompts as p on p.prompt_id = n.comfy_prompt_id "
        "where n.comfy_prompt_id is not null and p.prompt_id is null",
    ),
    _rule(
        "prompts",
        "completed, but it left neither files nor data",
        "look at the backend's history, and run the job again if something is missing",
        "select p.prompt_id from prompts as p "
        "join node_executions as n on n.id = p.node_execution_id "
        "left join output_files as f on f.prompt_id = p.prompt_id "
        "where p.state = 'completed' and f.prompt_id is null and n.output_data is null",
        "warning",
    ),
    _rule(
        "output_files",
        "belongs to a prompt that is {0}",
        "delete the row, or set the prompt to 'completed'",
        "select f.prompt_id || ' ' || f.filename, p.state from output_files as f "
        "join prompts as p on p.prompt_id = f.prompt_id "
        "where p.state in ('sending', 'queued', 'lost')",
    ),
    _rule(
        "prompts",
        "has ended as {0} without a time",
        "set completed_at",
        "select prompt_id, state from prompts "  # noqa: S608
        f"where state in ({_ENDED}) and completed_at is null",
        "warning",
    ),
    _rule(
        "jobs",
        "has ended as {0} without a time",
        "set completed_at",
        "select id, status from jobs "  # noqa: S608
        f"where status in ({_OVER}) and completed_at is null",
        "warning",
    ),
    _rule(
        "jobs",
        "belongs to the owner {0}, which is not recorded",
        "resume it (wb.resume())",
        "select j.id, j.owner_id from jobs as j left join owners as o on o.id = j.owner_id "
        "where j.owner_id is not null and o.id is null",
        "warning",
    ),
]


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
