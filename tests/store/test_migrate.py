"""Schema steps: in order, each whole or not at all, and never on top of a newer one."""

import random
import re
import threading
from importlib import resources
from pathlib import Path
from typing import Any

import duckdb
import pytest

from comfynb.errors import StoreDamaged, StoreError, StoreTooNew
from comfynb.models import Project, User
from comfynb.store import Store
from comfynb.store.duck import DuckDatabase
from comfynb.store.migrate import applied, migrate
from comfynb.store.statements import WORDS, Migration, migrations, statement

RELEASED = migrations("duckdb")
LAST = len(RELEASED)

NEXT = Migration(
    LAST + 1, "next", "alter table jobs add column a bigint; create table t (x text)", "c2"
)
AFTER = Migration(
    LAST + 2, "after", "insert into t values ('x'); alter table t add column y text", "c3"
)
BROKEN = Migration(
    LAST + 2, "after", "create table u (x text); insert into nowhere values (1)", "c3"
)


def open_with(
    file: str, *more: Migration, released: tuple[Migration, ...] = RELEASED
) -> dict[int, str]:
    """Open with these steps beyond the released ones; what the database has seen then."""
    database = DuckDatabase(Path(file))
    steps = (*released, *more)
    database.open(lambda opened: migrate(opened, steps), 30, threading.Event())
    try:
        return applied(database.writer)
    finally:
        database.close()


def test_steps_are_applied_once_and_an_existing_store_is_copied_first(file: str, opened) -> None:
    assert open_with(file) == {step.version: step.checksum for step in RELEASED}
    assert not list(Path(file).parent.glob("*.bak*")), "there was nothing to keep"
    first = opened(file)
    first.put(Project(id="p", name="kept")).result(30)
    first.close().result(30)
    assert len(open_with(file, NEXT)) == LAST + 1
    assert len(open_with(file, NEXT)) == LAST + 1
    assert len(open_with(file, NEXT, AFTER)) == LAST + 2
    kept = Path(f"{file}.bak-v{LAST}")
    copy = opened(str(kept))
    assert [project.name for project in copy.find(Project).result(30)] == ["kept"]
    assert Path(f"{file}.bak-v{LAST + 1}").exists()
    assert not list(Path(file).parent.glob("*.part"))


@pytest.mark.parametrize("since", range(1, LAST))
def test_a_store_of_an_earlier_release_is_brought_up_to_date(file, opened, since) -> None:
    assert len(open_with(file, released=RELEASED[:since])) == since
    connection = duckdb.connect(file)
    connection.execute(
        "insert into users (id, email, role, is_active, created_at, updated_at) "
        "values ('u', 'ada@localhost', 'USER', true, now(), now())"
    )
    connection.close()
    store = opened(file)
    assert [user.email for user in store.find(User).result(30)] == ["ada@localhost"]
    store.close().result(30)
    assert len(open_with(file)) == LAST
    assert Path(f"{file}.bak-v{since}").exists()


def test_a_newer_store_is_refused_and_left_alone(file: str, opened) -> None:
    open_with(file, NEXT)
    before = Path(file).read_bytes()
    store: Store = opened(file)
    with pytest.raises(StoreTooNew, match=rf"has schema {LAST + 1}, .* only up to {LAST}: upgrade"):
        store.ready().result(30)
    with pytest.raises(StoreTooNew):
        store.put(Project(id="p", name="x")).result(30)
    with pytest.raises(StoreTooNew):
        store.count(Project).result(30)
    assert Path(file).read_bytes() == before


def test_a_step_that_fails_leaves_everything_as_it_was(file: str) -> None:
    open_with(file, NEXT)
    with pytest.raises(StoreError, match=rf"could not be brought to schema {LAST + 2} .*nowhere"):
        open_with(file, NEXT, BROKEN)
    assert len(open_with(file, NEXT)) == LAST + 1
    assert len(open_with(file, NEXT, AFTER)) == LAST + 2


def test_somebody_elses_database_is_not_taken_over(file: str, opened) -> None:
    connection = duckdb.connect(file)
    connection.execute("create table jobs (x int)")
    connection.close()
    store = opened(file)
    with pytest.raises(StoreError, match="could not be brought to schema 1"):
        store.ready().result(30)
    connection = duckdb.connect(file)
    assert connection.execute("show tables").fetchall() == [("jobs",)]
    connection.close()


@pytest.mark.parametrize("content", [b"not a database", b"\x00" * 20000, b"PK\x03\x04" * 5000])
def test_what_is_no_database_is_named(file: str, opened, content: bytes) -> None:
    Path(file).write_bytes(content)
    with pytest.raises(StoreDamaged, match=r"lab\.duckdb cannot be opened"):
        opened(file).ready().result(30)
    assert Path(file).read_bytes() == content


def test_places_where_no_store_can_be(tmp_path: Path, opened) -> None:
    with pytest.raises(StoreError, match=r"folder .*missing does not exist"):
        opened(str(tmp_path / "missing" / "lab.duckdb")).ready().result(30)
    for wrong in (tmp_path, "", ":memory:", "mysql://host/db"):
        with pytest.raises(StoreError.__mro__[1], match="file"):
            opened(wrong)


@pytest.mark.kill
def test_a_kill_during_migration_leaves_a_store_that_migrates(file: str, opened, nursery) -> None:
    store = opened(file)
    store.put(*(Project(id=f"p{i}", name="x") for i in range(200))).result(30)
    store.close().result(30)
    newest, chance = LAST, random.Random(7)
    for _ in range(10):
        newest += 20
        pid = nursery.start("migrate", file, newest)
        assert nursery.next() == f"{pid} ready"
        # Anywhere from before the first step to after the last one.
        threading.Event().wait(chance.random() * 0.3)
        nursery.kill(pid)
        nursery.heard.clear()
        seen = look_at(file)
        assert sorted(seen) == list(range(1, len(seen) + 1))
    pid = nursery.start("migrate", file, newest)
    assert [nursery.next() for _ in range(2)] == [f"{pid} ready", f"{pid} done"]
    assert len(look_at(file)) == newest
    assert not list(Path(file).parent.glob("*.part"))


def look_at(file: str) -> dict[int, str]:
    """What a database has seen; its columns must say the same."""
    seen: dict[int, str] = {}

    def look(opened: Any) -> None:
        seen.update(applied(opened.writer))
        columns = {row[0] for row in opened.writer.execute("select * from (describe jobs)")}
        extra = {int(name[6:]) for name in columns if name.startswith("extra_")}
        assert extra == set(seen) - set(range(1, LAST + 1)), "a column and its record come together"
        assert opened.writer.execute("select count(*) from projects") == [(200,)]

    database = DuckDatabase(Path(file))
    database.open(look, 30, threading.Event())
    database.close()
    return seen


def test_every_statement_is_known_in_both_dialects() -> None:
    folder = resources.files("comfynb.store") / "sql"
    names = sorted(file.name.removesuffix(".sql") for file in folder.iterdir())
    assert len(names) > 10
    for name in names:
        for dialect in WORDS:
            text = statement(name, dialect)
            assert text
            assert not text.endswith(";")
            assert not re.search(r"\{[a-z]", text)
    assert "for update" not in statement("begin_look", "duckdb")
    assert statement("begin_look", "postgres").endswith("for update of n, j")
