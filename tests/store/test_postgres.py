"""What only a server does: addresses with passwords, restarts, several kernels at the same time."""

import os
from collections.abc import Callable
from typing import Any

import pytest

from comfynb.errors import StoreError, StoreTooNew, UsageError
from comfynb.models import JobStatus, Project, PromptStatus
from comfynb.store import Store, open_store
from comfynb.store.statements import migrations

pytest.importorskip("psycopg")

SECRET = "s3cr3t-pa55"


@pytest.fixture
def url(postgres_server: Any, postgres_template: str) -> str:
    return str(postgres_server.new(postgres_template))


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://me:{0}@/nowhere?host=/nonexistent",
        "postgresql://me@/nowhere?host=/nonexistent&password={0}",
        "postgres://me:{0}@127.0.0.1:9/db",
        "postgresql://me:{0}@127.0.0.1:port:x/db",
    ],
)
def test_a_password_is_never_shown(address: str, opened: Callable[..., Store]) -> None:
    store = opened(address.format(SECRET))
    with pytest.raises(StoreError, match="cannot be reached") as caught:
        store.ready().result(30)
    shown = [repr(store), store.path, str(caught.value), caught.value.path, repr(caught.value)]
    error: BaseException | None = caught.value
    while error is not None:
        shown += [str(error), repr(error)]
        error = error.__cause__ or error.__context__
    assert not any(SECRET in text for text in shown)
    assert store.path.startswith("postgresql://me@")


def test_an_address_that_is_none_is_not_quoted() -> None:
    with pytest.raises(UsageError, match="not an address") as caught:
        open_store(f"postgresql://[{SECRET}")
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_two_programs_that_meet_an_empty_database_fill_it_once(
    postgres_server: Any, opened: Callable[..., Store]
) -> None:
    address = postgres_server.new()
    stores = [opened(address) for _ in range(4)]
    pending = [
        store.put(Project(id=f"p{i}", name="x")) for i, store in enumerate(stores) for _ in range(3)
    ]
    for one in pending:
        one.result(60)
    assert stores[0].count(Project).result(30) == 4
    versions = stores[1].sql("select version from schema_version").result(30).rows
    assert versions == [(step.version,) for step in migrations("postgres")]


def test_a_newer_database_is_refused(url: str, opened: Callable[..., Store]) -> None:
    store = opened(url)
    store.transact(
        lambda tx: tx.execute("insert into schema_version values (99, 'x', 'x', now())")
    ).result(30)
    later = opened(url)
    with pytest.raises(StoreTooNew, match="upgrade comfynb"):
        later.count(Project).result(30)


def test_several_kernels_write_at_the_same_time(url: str, opened: Callable[..., Store]) -> None:
    stores = [opened(url) for _ in range(3)]
    stores[0].transact(lambda tx: tx.execute("create table n (n bigint)")).result(30)
    stores[0].transact(lambda tx: tx.execute("insert into n values (0)")).result(30)

    def count(tx: Any) -> None:
        # Read, then write: only one writer at a time makes this right.
        ((n,),) = tx.execute("select n from n")
        tx.execute("update n set n = $1", [n + 1])

    pending = [store.transact(count) for _ in range(40) for store in stores]
    for one in pending:
        one.result(60)
    assert stores[0].sql("select n from n").result(30).rows == [(120,)]


def test_a_killed_kernel_is_dead_at_once(
    url: str, opened: Callable[..., Store], nursery: Any
) -> None:
    store = opened(url)
    pid = nursery.start("write", url)
    while not nursery.next().startswith(f"{pid} begun"):
        pass
    (other,) = store.live_owners().result(30) - {store.owner_id}
    assert store.journal.adopt().result(30) == []
    nursery.kill(pid)
    # The server notices when the system has closed the connection.
    while other in store.live_owners().result(30):
        pass
    adopted = store.journal.adopt().result(30)
    assert [store.journal.owner_of(a.job.id).result(30) for a in adopted] == [
        store.owner_id for _ in adopted
    ]


def test_a_restarted_server_is_waited_for(
    url: str, postgres_server: Any, opened: Callable[..., Store], make: Any
) -> None:
    store = opened(url)
    job = make.job()
    prompt = make.prompt(job)
    store.journal.create_jobs([job]).result(30)
    assert store.journal.begin_prompt(prompt).result(30)
    postgres_server.restart()
    assert store.journal.finish_prompt(prompt.prompt_id, PromptStatus.FAILED).result(30)
    assert store.journal.finish_job(job.id, JobStatus.FAILED).result(30)
    postgres_server.restart()
    stored = store.journal.load_job(job.id).result(30)
    assert stored is not None
    assert stored.status is JobStatus.FAILED
    assert store.live_owners().result(30) == {store.owner_id}
    assert store.check().result(30) == []


def test_text_with_a_nul_is_stored_without_it(url: str, opened: Callable[..., Store]) -> None:
    store = opened(url)
    store.put(Project(id="p", name="x", description="a\x00b")).result(30)
    project = store.get(Project, "p").result(30)
    assert project is not None
    assert project.description == "a\ufffdb"


def test_without_psycopg_the_sentence_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "comfynb.store.postgres", raising=False)
    with pytest.raises(UsageError, match=r"comfynb\[postgres\]"):
        open_store("postgresql:///x")


def test_connections_say_what_they_are_for(url: str, opened: Callable[..., Store]) -> None:
    store = opened(url, label="comfynb in a.ipynb")
    names = store.sql(
        "select distinct application_name from pg_stat_activity where pid = pg_backend_pid()"
    ).result(30)
    assert names.rows == [("comfynb in a.ipynb",)]
    assert os.getpid() == store.owner.pid
