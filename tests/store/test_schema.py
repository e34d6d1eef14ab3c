import re
from pathlib import Path

import pytest

from comfynb.errors import UsageError
from comfynb.models import (
    ComfynbModel,
    Job,
    JobStatus,
    NodeExecution,
    PromptStatus,
    StoredModel,
    SyncStatus,
)
from comfynb.store import Store
from comfynb.store.schema import CHILD_FIELDS, JSON, STORE_COLUMNS, table_of, tables

GOLDEN = Path(__file__).parent / "schemas"

SQL_TYPES = {
    "VARCHAR": "text",
    "BIGINT": "bigint",
    "DOUBLE": "double precision",
    "BOOLEAN": "boolean",
    "TIMESTAMP WITH TIME ZONE": "timestamptz",
    "JSON": JSON,
}


def stored_models(base: type = StoredModel) -> set[type]:
    found: set[type] = set()
    for model in base.__subclasses__():
        found |= {model} | stored_models(model)
    return found


def columns_of(store: Store) -> dict[str, dict[str, tuple[str, bool]]]:
    rows = store.sql(
        "select c.table_name, c.column_name, c.data_type, c.is_nullable "
        "from information_schema.columns as c join information_schema.tables as t "
        "on t.table_schema = c.table_schema and t.table_name = c.table_name "
        "where c.table_schema = current_schema() and t.table_type = 'BASE TABLE' "
        "order by c.table_name, c.ordinal_position"
    ).result(30)
    found: dict[str, dict[str, tuple[str, bool]]] = {}
    for table, column, kind, nullable in rows.rows:
        found.setdefault(table, {})[column] = (SQL_TYPES[kind], nullable == "YES")
    return found


def test_tables_and_models_agree_both_ways(store: Store) -> None:
    there = columns_of(store)
    assert set(there) - {"schema_version"} == set(tables())
    assert {table.model for table in tables().values()} == stored_models()
    for name, table in tables().items():
        described = {column.name: (column.type, column.nullable) for column in table.columns}
        assert there[name] == described, name
        fields = {column.field for column in table.own}
        assert fields | CHILD_FIELDS.get(name, frozenset()) == set(table.model.model_fields), name
        own = {column.name for column in table.columns if column.field is None}
        assert own == set(STORE_COLUMNS.get(name, {})), name


def test_every_table_of_the_seeds_is_there(store: Store, shared: Path) -> None:
    there = columns_of(store)
    orchestrator = (shared / "seeds" / "orchestrator-data-models.md").read_text("utf-8")
    found = 0
    for table, body in re.findall(r"CREATE TABLE (\w+) \((.*?)\n\);", orchestrator, re.DOTALL):
        for column in re.findall(r"^ {4}(\w+) ", body, re.MULTILINE):
            if (table, column) == ("jobs", "node_executions"):
                continue  # a table of its own here
            assert column in there[table], (table, column)
            found += 1
    assert found > 40
    builder = (shared / "seeds" / "deployment-builder-schema.md").read_text("utf-8")
    names = re.findall(r'@@map\("(\w+)"\)', builder)
    assert len(names) > 10
    assert set(names) <= set(there)


def test_the_schema_is_the_golden_one(store: Store) -> None:
    """A change of the schema needs a new migration; then this file is made anew on purpose."""
    dump = store.sql(
        "select sql from duckdb_tables() where not internal union all "
        "select sql from duckdb_views() where not internal order by 1"
    ).result(30)
    text = "\n".join(" ".join(row[0].split()) for row in dump.rows) + "\n"
    assert text == (GOLDEN / "duckdb.sql").read_text("utf-8")


def test_status_checks_list_every_status(store: Store) -> None:
    rows = store.sql(
        "select table_name, constraint_text from duckdb_constraints() "
        "where constraint_type = 'CHECK'"
    ).result(30)
    listed = {table: set(re.findall(r"'(\w+)'", text)) for table, text in rows.rows}
    every = {status.value for status in JobStatus}
    assert listed == {
        "jobs": every,
        "node_executions": every,
        "prompts": {state.value for state in PromptStatus},
        "sync_jobs": {status.value for status in SyncStatus},
    }


def test_duckdb_has_neither_foreign_keys_nor_secondary_indexes(store: Store) -> None:
    assert store.sql("select count(*) from duckdb_indexes()").result(30).rows == [(0,)]
    kinds = store.sql("select distinct constraint_type from duckdb_constraints()").result(30)
    assert {row[0] for row in kinds.rows} == {"PRIMARY KEY", "NOT NULL", "CHECK"}


def test_parents_come_before_their_children() -> None:
    seen: set[str] = set()
    for table in tables().values():
        assert {target.table for target in table.parents.values()} <= seen
        seen.add(table.name)


def test_unknown_names_are_answered_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"jobs has no column 'nope'.*parameter_values"):
        table_of(Job).column("nope")
    for wrong in (ComfynbModel, StoredModel, int):
        with pytest.raises(UsageError, match="not stored"):
            table_of(wrong)  # type: ignore[arg-type]
    assert table_of(NodeExecution).name == "node_executions"
