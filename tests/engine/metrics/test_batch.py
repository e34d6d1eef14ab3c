"""The queue before the store: bounded, and every loss counted."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from comfynb.engine.metrics.batch import Batch
from comfynb.store.metrics import Reading

AT = datetime(2026, 11, 21, tzinfo=UTC)


def reading(number):
    return Reading(f"b{number % 3}", AT, None, queue_depth=number)


@given(st.lists(st.sampled_from(["put", "take", "fail", "write"]), max_size=60))
def test_nothing_is_lost_without_being_counted(steps):
    batch, number, taken, written = Batch(10), 0, None, []
    told = 0
    for step in steps:
        if step == "put":
            batch.put([reading(number), reading(number + 1), reading(number + 2)])
            number += 3
        elif step == "take" and taken is None:
            taken = batch.take()
        elif step == "fail" and taken is not None:
            batch.give_back(taken)
            taken = None
        elif step == "write" and taken is not None:
            written += [one.queue_depth for one in taken.readings]
            told += sum(taken.dropped.values())
            taken = None
        assert len(batch) <= 10
    if taken is not None:
        batch.give_back(taken)
    last = batch.take()
    written += [one.queue_depth for one in last.readings]
    told += sum(last.dropped.values())
    assert written == sorted(set(written)), "in order, none twice"
    assert len(written) + batch.dropped.total() == number
    assert told == batch.dropped.total()
