"""The writer: calls of one kind travel together, and what fails fails alone."""

import contextlib
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.errors import StoreError, UsageError
from comfynb.models import BackendConfig, JobEvent, Project
from comfynb.store import Pending, Store
from comfynb.store.transaction import Transaction
from comfynb.store.worker import Op, arrange


class Registers:
    """Numbers that calls read and write: a stand-in for rows, to see what each call saw."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}

    def add(self, _: Transaction, args: Sequence[tuple[list[str], int]]) -> list[Any]:
        """Each call adds to its registers and answers what they were before."""
        return [self._one(names, lambda old, n=n: old + n) for names, n in args]

    def double(self, _: Transaction, args: Sequence[tuple[list[str], int]]) -> list[Any]:
        return [self._one(names, lambda old: 2 * old + 1) for names, _ in args]

    def _one(self, names: list[str], change: Any) -> list[int]:
        before = [self.values.get(name, 0) for name in names]
        for name, old in zip(names, before, strict=True):
            self.values[name] = change(old)
        return before


calls = st.lists(
    st.tuples(
        st.sampled_from(["add", "double"]),
        st.lists(st.sampled_from("abcd"), unique=True, max_size=3),
        st.integers(1, 9),
        st.booleans(),
    ),
    max_size=12,
)


@given(calls)
def test_putting_calls_together_changes_nothing_that_any_of_them_sees(made: Any) -> None:
    tx: Any = None
    plain = Registers()
    expected = [getattr(plain, kind)(tx, [(names, n)])[0] for kind, names, n, _ in made]
    together = Registers()
    ops = [
        Op(
            Pending(),
            getattr(together, kind),
            (names, n),
            keys=None if anything else frozenset(names),
        )
        for kind, names, n, anything in made
    ]
    groups = arrange(ops)
    assert sorted(id(op) for group in groups for op in group.ops) == sorted(map(id, ops))
    for group in groups:
        results = group.bulk(tx, [op.arg for op in group.ops])
        for op, result in zip(group.ops, results, strict=True):
            op.pending.set_result(result)
    assert [op.pending.result() for op in ops] == expected
    assert together.values == plain.values


def test_calls_about_different_things_share_a_group() -> None:
    registers = Registers()
    ops = []
    for name in "abcdefgh":
        ops.append(Op(Pending(), registers.add, ([name], 1), frozenset(name)))
        ops.append(Op(Pending(), registers.double, ([name], 1), frozenset(name)))
    assert len(arrange(ops)) == 2
    barrier = Op(Pending(), registers.add, (["a"], 1), None)
    assert len(arrange([*ops[:4], barrier, *ops[4:]])) == 5


def held(store: Store) -> tuple[threading.Event, Pending[None]]:
    """Keep the writer busy until the event is set, so that what follows makes one batch."""
    go, began = threading.Event(), threading.Event()

    def wait(tx: Transaction) -> None:
        began.set()
        go.wait(30)

    pending = store.transact(wait)
    assert began.wait(30)
    return go, pending


def test_what_is_queued_is_one_commit(store: Store) -> None:
    store.ready().result(30)
    commits: list[int] = []
    worker = store._worker
    original = worker._database.writer.commit

    def commit() -> None:
        commits.append(1)
        original()

    worker._database.writer.commit = commit  # type: ignore[method-assign]
    go, first = held(store)
    pending = [store.put(Project(id=f"x{i}", name="x")) for i in range(50)]
    pending += [store.transact(lambda tx: None) for _ in range(10)]
    assert not any(one.done() for one in pending)
    go.set()
    for one in (first, *pending):
        one.result(30)
    assert len(commits) == 2
    assert store.count(Project).result(30) == 51  # and that of the fixture


def test_one_failing_call_fails_alone_wherever_it_stands(store: Store) -> None:
    go, first = held(store)
    good = [store.put(Project(id=f"p{i}", name="x")) for i in range(3)]
    orphan = store.put(Project(id="p9", name="x"), JobEvent(job_id="nobody", kind="x"))
    broken = store.transact(lambda tx: tx.execute("select no_such_column from jobs"))
    raising = store.transact(lambda tx: (tx.put(Project(id="no", name="x")), 1 / 0))
    good += [store.put(Project(id=f"q{i}", name="x")) for i in range(3)]
    go.set()
    for pending, kind in (
        (orphan, StoreError),
        (broken, StoreError),
        (raising, ZeroDivisionError),
    ):
        with pytest.raises(kind):
            pending.result(30)
    for pending in (first, *good):
        pending.result(30)
    ids = {project.id for project in store.find(Project).result(30)}
    assert ids == {"p0", "p1", "p2", "q0", "q1", "q2"} | {"p1"}


def test_an_error_that_is_swallowed_keeps_nothing_and_is_reported(store: Store) -> None:
    def swallow(tx: Transaction) -> str:
        tx.put(Project(id="half", name="x"))
        with contextlib.suppress(StoreError):
            tx.execute("insert into projects (id) values (null)")
        return "all is well"

    with pytest.raises(StoreError, match="ignored"):
        store.transact(swallow).result(30)
    assert store.get(Project, "half").result(30) is None


def test_a_transaction_is_over_when_its_function_is(store: Store) -> None:
    kept = store.transact(lambda tx: tx).result(30)
    with pytest.raises(UsageError, match="is over"):
        kept.execute("select 1")
    view = store.read(lambda view: view).result(30)
    with pytest.raises(UsageError, match="is over"):
        view.count(Project)


def test_a_transaction_sees_its_own_writes(store: Store, make) -> None:
    def work(tx: Transaction) -> tuple[int, bool, list[tuple[Any, ...]]]:
        before = tx.count(BackendConfig)
        tx.put(BackendConfig(id="b2", name="PC2", host="gpu2"))
        found = tx.get(BackendConfig, "b2")
        changed = tx.execute("update backends set enabled = $1", [False])
        assert tx.delete(BackendConfig, "b2") == 1
        return tx.count(BackendConfig) - before, found is not None, changed

    assert store.transact(work).result(30) == (0, True, [(2,)])
    with pytest.raises(UsageError, match="no statement named"):
        store.transact(lambda tx: tx.run("../migrations/0001_initial")).result(30)


def test_many_threads_lose_nothing(store: Store) -> None:
    def work(i: int) -> None:
        for j in range(25):
            store.put(Project(id=f"{i}-{j}", name="x")).result(30)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert store.count(Project).result(30) == 101


def test_what_was_submitted_before_closing_is_done_and_later_calls_are_refused(
    place: str, opened
) -> None:
    store = opened(place)
    pending = [store.put(Project(id=f"p{i}", name="x")) for i in range(20)]
    closing = store.close()
    assert store.close() is closing
    closing.result(30)
    for one in pending:
        one.result(0)
    assert "(closed)" in repr(store)
    for call in (store.put(Project(id="late", name="x")), store.count(Project), store.ready()):
        with pytest.raises(UsageError, match="closed: open it again"):
            call.result(30)
    assert opened(place).count(Project).result(30) == 20


def test_what_can_wait_travels_with_what_cannot_but_does_not_wait_for_ever(
    store: Store, make
) -> None:
    journal = store.journal
    job = make.job()
    prompt = make.prompt(job)
    journal.create_jobs([job]).result(30)
    journal.begin_prompt(prompt).result(30)
    sent = journal.prompts_sent([prompt.prompt_id])
    hasty = store.put(Project(id="now", name="x"))
    hasty.result(30)
    assert sent.done(), "it was in the same commit"
    journal.prompts_started([prompt.prompt_id]).result(30)
    # A read sees it without waiting for its time.
    worker = store._worker
    late = Op(Pending("late"), lambda tx, args: [None], patience=600.0)
    store.submit(late)
    assert store.count(Project).result(30) == 2
    assert late.pending.done()
    later = Op(Pending("later"), lambda tx, args: [None], patience=600.0)
    store.submit(later)
    assert not later.pending.done()
    assert worker.submitted > 0
    store.close().result(30)
    assert later.pending.done(), "and neither does the end of the program"


def test_what_may_wait_is_carried_out_when_somebody_hurries(store: Store) -> None:
    done: list[int] = []

    def work(_: Transaction, args: Sequence[int]) -> Sequence[None]:
        done.append(len(args))
        return [None] * len(args)

    pendings: list[Pending[None]] = [Pending() for _ in range(3)]
    store.hurry()  # with nothing to do: what comes later may wait all the same
    for number, pending in enumerate(pendings):
        store.submit(Op(pending, work, number, frozenset({number}), patience=3600.0))
    assert done == []
    store.hurry()
    for pending in pendings:
        pending.result(30)
    assert done == [3], "in one transaction"
