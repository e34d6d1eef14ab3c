import os
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
    SweepStatus,
    SyncStatus,
)
from comfynb.store import Store
from comfynb.store.schema import (
    BULK_TABLES,
    CHILD_FIELDS,
    JSON,
    STORE_COLUMNS,
    table_of,
    tables,
)

GOLDEN = Path(__file__).parent / "schemas"

SQL_TYPES = {
    "varchar": "text",
    "text": "text",
    "bigint": "bigint",
    "double": "double precision",
    "double precision": "double precision",
    "real": "real",
    "float": "real",
    "boolean": "boolean",
    "timestamp with time zone": "timestamptz",
    "json": JSON,
}


def stored_models(base: type = StoredModel) -> set[type]:
    found: set[type] = set()
    for model in base.__subclasses__():
        # What several tables share has none itself.
        found |= ({model} if "table_name" in vars(model) else set()) | stored_models(model)
    return found


def columns_of(store: Store) -> dict[str, dict[str, tuple[str, bool]]]:
    rows = store.sql(
        "select c.table_name, c.column_name, c.data_type, c.is_nullable "
        "from information_schema.columns as c join information_schema.tables as t "
        "on t.table_schema = c.table_schema and t.table_name = c.table_name "
        "where c.table_schema = current_schema() "
        "and (t.table_type = 'BASE TABLE' or c.table_name = 'metrics_snapshots') "
        "order by c.table_name, c.ordinal_position"
    ).result(30)
    found: dict[str, dict[str, tuple[str, bool]]] = {}
    for table, column, kind, nullable in rows.rows:
        found.setdefault(table, {})[column] = (SQL_TYPES[kind.lower()], nullable == "YES")
    return found


def test_tables_and_models_agree_both_ways(store: Store, kind: str) -> None:
    there = columns_of(store)
    json_type = JSON if kind == "duckdb" else "text"  # PostgreSQL's own refuses NaN
    assert set(there) - {"schema_version"} == set(tables()) | BULK_TABLES
    assert {table.model for table in tables().values()} == stored_models()
    for name, table in tables().items():
        described = {
            column.name: (
                json_type if column.type == JSON else column.type,
                # What a view gives may be null for all that the database knows.
                column.nullable or table.model.is_view,
            )
            for column in table.columns
        }
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


DUMPS = {
    "duckdb": "select sql from duckdb_tables() where not internal union all "
    "select sql from duckdb_views() where not internal order by 1",
    "postgres": """
        select format('%s.%s %s%s', table_name, column_name, data_type,
            case is_nullable when 'NO' then ' not null' else '' end)
        from information_schema.columns where table_schema = current_schema()
        union all
        select format('%s: %s', conrelid::regclass, pg_get_constraintdef(oid))
        from pg_constraint where connamespace = current_schema()::regnamespace
        union all
        select indexdef from pg_indexes where schemaname = current_schema()
        order by 1
    """,
}


def test_the_schema_is_the_golden_one(store: Store, kind: str) -> None:
    """A change of the schema needs a new migration; then COMFYNB_NEW_GOLDEN=1 makes the file anew
    on purpose."""
    dump = store.sql(DUMPS[kind]).result(30)
    text = "\n".join(sorted(" ".join(row[0].split()) for row in dump.rows)) + "\n"
    golden = GOLDEN / f"{kind}.sql"
    if os.environ.get("COMFYNB_NEW_GOLDEN"):
        golden.write_text(text, "utf-8")
    assert text == golden.read_text("utf-8")


CHECKS = {
    "duckdb": "select table_name, constraint_text from duckdb_constraints() "
    "where constraint_type = 'CHECK'",
    "postgres": "select conrelid::regclass::text, pg_get_constraintdef(oid) from pg_constraint "
    "where contype = 'c' and connamespace = current_schema()::regnamespace",
}


def test_status_checks_list_every_status(store: Store, kind: str) -> None:
    rows = store.sql(CHECKS[kind]).result(30)
    listed = {table: set(re.findall(r"'(\w+)'", text)) for table, text in rows.rows}
    every = {status.value for status in JobStatus}
    assert listed == {
        "alerts": {"temperature", "memory", "gone", "disk"},
        "jobs": every,
        "node_executions": every,
        "prompts": {state.value for state in PromptStatus},
        "sweeps": {status.value for status in SweepStatus},
        "sync_jobs": {status.value for status in SyncStatus},
    }


def test_duckdb_has_neither_foreign_keys_nor_secondary_indexes(file_store: Store) -> None:
    assert file_store.sql("select count(*) from duckdb_indexes()").result(30).rows == [(0,)]
    kinds = file_store.sql("select distinct constraint_type from duckdb_constraints()").result(30)
    assert {row[0] for row in kinds.rows} == {"PRIMARY KEY", "NOT NULL", "CHECK"}


def test_postgresql_keeps_what_the_code_keeps(store: Store, kind: str) -> None:
    if kind == "duckdb":
        return
    rows = store.sql(
        "select conrelid::regclass::text, pg_get_constraintdef(oid) from pg_constraint "
        "where contype in ('f', 'u') and connamespace = current_schema()::regnamespace"
    ).result(30)
    there = {(table, " ".join(text.split())) for table, text in rows.rows}
    expected = set()
    for name, table in tables().items():
        for group in table.unique:
            expected.add((name, f"UNIQUE ({', '.join(group)}) DEFERRABLE INITIALLY DEFERRED"))
        for column, target in table.parents.items():
            if target.on_delete is not None:
                parent = f"{target.table}({target.column})"
                clause = f"FOREIGN KEY ({column}) REFERENCES {parent} ON DELETE "
                expected.add((name, clause + target.on_delete.upper()))
    assert there == expected


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
