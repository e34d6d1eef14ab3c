"""What runs inside a transaction: models in and out, SQL, and named statements."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

from comfynb.errors import StoreError, UsageError
from comfynb.models import Job, NodeExecution, StoredModel
from comfynb.store.database import Row, Session
from comfynb.store.integrity import check_parents, check_unique, delete_rows
from comfynb.store.schema import JSON, Column, Table, quote, table_of, tables
from comfynb.store.statements import statement

__all__ = ["Transaction", "View"]

M = TypeVar("M", bound=StoredModel)

_CONDITION = re.compile(r"(\w+)\s*(=|!=|<|<=|>|>=)?")

# Rows in one INSERT: enough to be fast, few enough to stay small in memory.
_CHUNK = 5000


class View:
    """Reading: all that a read and a transaction have in common."""

    def __init__(self, session: Session) -> None:
        self._session: Session | None = session
        self.dialect = session.dialect
        self.failed = False

    @property
    def session(self) -> Session:
        """The session below; raises UsageError once the transaction is over."""
        if self._session is None:
            raise UsageError("This transaction is over: use it only inside the function it is for.")
        return self._session

    def end(self) -> None:
        """Make this object unusable."""
        self._session = None

    def execute(self, sql: str, params: Sequence[Any] = ()) -> list[Row]:
        """Run one statement with ``$1, $2 ..``; returns its rows, all of them.

        A statement that changes rows and returns none gives one row with their number.
        """
        session = self.session
        try:
            return session.execute(sql, params)
        except BaseException:
            # Even if the caller goes on: nothing of this transaction can be kept any more, and
            # DuckDB's COMMIT would not say so.
            self.failed = True
            raise

    def columns(self, sql: str, params: Sequence[Any] = ()) -> list[Any]:
        """Run one statement that only reads; a NumPy array for each column, or none if no row."""
        session = self.session
        try:
            return session.columns(sql, params)
        except BaseException:
            self.failed = True
            raise

    def run(self, name: str, params: Sequence[Any] = ()) -> list[Row]:
        """Run the statement in ``comfynb/store/sql/NAME.sql``."""
        return self.execute(statement(name, self.dialect), params)

    def get(self, model: type[M], *key: Any) -> M | None:
        """Return the row with this primary key, or None."""
        table = table_of(model)
        if len(key) != len(table.key):
            names = ", ".join(table.model.primary_key)
            raise UsageError(f"{model.__name__} has the primary key ({names}): give all of it.")
        where = dict(zip(table.key, key, strict=True))
        found = self.find(model, where=where, limit=1)
        return found[0] if found else None

    def find(
        self,
        model: type[M],
        *,
        where: Mapping[str, Any] | None = None,
        order_by: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[M]:
        """Return rows as models.

        ``where`` maps a field, or a field and a comparison (``"created_at >="``), to a value; None
        means "is null", and a list, tuple or set "one of these". ``order_by`` is a field, with
        ``-`` in front for descending; without it the order is that of the primary key.
        """
        table = table_of(model)
        condition, params = _where(table, where)
        sql = f"select {table.select_list} from {quote(table.name)}{condition}"  # noqa: S608
        sql += f" order by {_order(table, order_by)}"
        for word, number in (("limit", limit), ("offset", offset or None)):
            if number is not None:
                if not isinstance(number, int) or isinstance(number, bool) or number < 0:
                    raise UsageError(f"{word} must be a whole number from 0, not {number!r:.40}.")
                sql += f" {word} {number}"
        return self.models(model, self.execute(sql, params))

    def models(self, model: type[M], rows: Iterable[Row]) -> list[M]:
        """Build models from rows that a statement gave, its columns in the model's order."""
        table = table_of(model)
        taken = list(rows)
        found = self._jobs(table, taken) if table.model is Job else map(table.to_model, taken)
        return [cast("M", one) for one in found]

    def count(self, model: type[StoredModel], where: Mapping[str, Any] | None = None) -> int:
        """Return how many rows there are; ``where`` as in find()."""
        table = table_of(model)
        condition, params = _where(table, where)
        sql = f"select count(*) from {quote(table.name)}{condition}"  # noqa: S608
        return int(self.execute(sql, params)[0][0])

    def _jobs(self, table: Table, rows: list[Row]) -> list[StoredModel]:
        ids = [row[0] for row in rows]
        executions = table_of(NodeExecution)
        found: dict[str, list[StoredModel]] = {job_id: [] for job_id in ids}
        if ids:
            sql = (
                f"select {executions.select_list} from node_executions "  # noqa: S608
                "where job_id = any($1::text[]) order by job_id, position, id"
            )
            for row in self.execute(sql, [ids]):
                found[row[1]].append(executions.to_model(row))
        return [table.to_model(row, node_executions=found[row[0]]) for row in rows]


class Transaction(View):
    """Reading and writing: all of it becomes durable together, or none of it."""

    def put(self, *models: StoredModel) -> None:
        """Insert models, or replace the rows that have the same primary key.

        A Job brings its node executions, and those that it no longer has go, unless they were
        run. Rows that refer to one another may be given in any order.
        """
        by_table: dict[str, list[StoredModel]] = {name: [] for name in tables()}
        known: set[tuple[str, str]] = set()
        jobs = _last_of_each(table_of(Job), [one for one in models if isinstance(one, Job)])
        placed = _placed(jobs)
        for model in (*models, *(execution for execution, _ in placed)):
            table = table_of(type(model))
            if table.model.is_view:
                raise UsageError(f"{table.name} is a view: its rows are made from other tables.")
            by_table[table.name].append(model)
            if len(table.key) == 1:
                known.add((table.name, table.key_of(model)[0]))
        work = [
            (table, _last_of_each(table, by_table[table.name]))
            for table in tables().values()
            if by_table[table.name]
        ]
        # Everything is looked at before anything is written.
        for table, rows in work:
            check_parents(self, table, rows, known)
            check_unique(self, table, rows)
        self._check_children(jobs)
        for table, rows in work:
            self.upsert(table, rows)
        if placed:
            self.execute(
                "update node_executions set position = v.position "
                "from (select unnest($1::text[]) as id, unnest($2::bigint[]) as position) as v "
                "where node_executions.id = v.id and node_executions.position <> v.position",
                [[execution.id for execution, _ in placed], [place for _, place in placed]],
            )

    def upsert(self, table: Table, models: Sequence[StoredModel]) -> None:
        """Insert or replace rows of one table, without looking at any other."""
        for start in range(0, len(models), _CHUNK):
            chunk = models[start : start + _CHUNK]
            self.execute(upsert_sql(table), table.to_rows(chunk))

    def insert(
        self,
        table: Table,
        models: Sequence[StoredModel],
        own: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:
        """Insert rows that are not there yet; raises StoreError if one is.

        ``own`` gives the store's own columns, one value for each row.
        """
        columns = [table.column(name) for name in own or {}]
        for start in range(0, len(models), _CHUNK):
            end = start + _CHUNK
            extra = [list(values[start:end]) for values in (own or {}).values()]
            rows = table.to_rows(models[start:end])
            self.execute(insert_sql(table, columns), [*rows, *extra])

    def delete(self, model: type[StoredModel], *key: Any) -> int:
        """Delete one row and what hangs on it (a job's prompts, their files); returns 0 or 1."""
        table = table_of(model)
        if len(key) != len(table.key):
            names = ", ".join(table.model.primary_key)
            raise UsageError(f"{model.__name__} has the primary key ({names}): give all of it.")
        return delete_rows(self, table, [tuple(key)])

    def _check_children(self, jobs: Sequence[Job]) -> None:
        """Drop node executions that a job no longer has; those that were run stay or nothing is."""
        if not jobs:
            return
        kept = [execution.id for job in jobs for execution in job.node_executions]
        stale = self.execute(
            "select id, job_id, (select count(*) from prompts where node_execution_id = n.id) "
            "from node_executions as n where job_id = any($1::text[]) and not id = any($2::text[])",
            [[job.id for job in jobs], kept],
        )
        for execution_id, job_id, prompts in stale:
            if prompts:
                raise StoreError(
                    f"Job {job_id} was given without its node execution {execution_id}, which has "
                    "been run: load the job anew and change that."
                )
        delete_rows(self, table_of(NodeExecution), [(row[0],) for row in stale])


def _placed(jobs: Sequence[Job]) -> list[tuple[NodeExecution, int]]:
    placed = []
    for job in jobs:
        for position, execution in enumerate(job.node_executions):
            if execution.job_id != job.id:
                raise UsageError(
                    f"Node execution {execution.id} names job {execution.job_id}, "
                    f"but is in job {job.id}."
                )
            placed.append((execution, position))
    return placed


def _last_of_each(table: Table, models: Sequence[M]) -> list[M]:
    """One INSERT must not name a row twice: the last one given counts."""
    return list({table.key_of(model): model for model in models}.values())


def source_sql(columns: Iterable[Column]) -> str:
    """Return the SELECT list that takes one list of values, ``$1`` and on, for each column."""
    # Unnested lists are by far the fastest way in that both databases know.
    return ", ".join(
        f"unnest(${i}::{'text' if column.type == JSON else column.type}[])"
        for i, column in enumerate(columns, start=1)
    )


def insert_sql(table: Table, own: Sequence[Column] = ()) -> str:
    """Return an INSERT that takes one list for each of the model's columns, and for ``own``."""
    columns = (*table.own, *own)
    names = ", ".join(quote(column.name) for column in columns)
    source = source_sql(columns)
    return f"insert into {quote(table.name)} ({names}) select {source}"


def upsert_sql(table: Table) -> str:
    """Return an INSERT that replaces rows with the same key and counts their revision up."""
    keys = ", ".join(quote(name) for name in table.key)
    sets = [
        f"{quote(column.name)} = excluded.{quote(column.name)}"
        for column in table.own
        if column.name not in table.key
    ]
    if any(column.name == "rev" for column in table.columns):
        sets.append(f"rev = {quote(table.name)}.rev + 1")
    return f"{insert_sql(table)} on conflict ({keys}) do update set {', '.join(sets)}"


def _where(table: Table, where: Mapping[str, Any] | None) -> tuple[str, list[Any]]:
    parts, params = [], []
    for key, value in (where or {}).items():
        match = _CONDITION.fullmatch(key.strip())
        if match is None:
            raise UsageError(f"{key!r:.80} is not a field with a comparison, like 'created_at >='.")
        column, operator = table.column(match[1]), match[2] or "="
        name = f"{quote(table.name)}.{quote(column.name)}"
        if value is None or isinstance(value, list | tuple | set | frozenset):
            if operator not in {"=", "!="}:
                raise UsageError(f"{key!r:.80}: None and lists go with = and != only.")
            negated = "not " if operator == "!=" else ""
            if value is None:
                parts.append(f"{name} is {negated}null")
                continue
            params.append([_stored(column, item) for item in value])
            kind = "text" if column.type == JSON else column.type
            parts.append(f"{negated}({name} = any(${len(params)}::{kind}[]))")
        else:
            params.append(_stored(column, value))
            parts.append(f"{name} {operator} ${len(params)}")
    return (f" where {' and '.join(parts)}" if parts else ""), params


def _stored(column: Column, value: Any) -> Any:
    try:
        return column.to_db(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{column.field}: {value!r:.80} is not a {column.type}.") from error


def _order(table: Table, order_by: str | None) -> str:
    keys = [f"{quote(table.name)}.{quote(name)}" for name in table.key]
    if order_by is None:
        return ", ".join(keys)
    column = table.column(order_by.removeprefix("-"))
    direction = " desc" if order_by.startswith("-") else ""
    # The key decides between equals, so that pages do not overlap.
    return ", ".join([f"{quote(table.name)}.{quote(column.name)}{direction}", *keys])
