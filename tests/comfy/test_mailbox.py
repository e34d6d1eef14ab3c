"""A slow consumer misses progress that newer progress made worthless, and nothing else."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.comfy import (
    Event,
    Executed,
    Executing,
    ExecutionStart,
    ExecutionSuccess,
    NodeProgress,
    NodeState,
    Preview,
    Progress,
    QueueStatus,
    Unknown,
)
from comfynb.comfy.mailbox import Mailbox


async def drain(mailbox: Mailbox) -> list[Event]:
    mailbox.close()
    taken = []
    while True:
        try:
            taken.append(await mailbox.get())
        except StopAsyncIteration:
            return taken


async def test_a_quick_consumer_gets_everything_in_order() -> None:
    mailbox = Mailbox(limit=8)
    events: list[Event] = [Progress("p", "1", value, 5) for value in range(5)]
    for event in events:
        mailbox.put(event)
    assert await drain(mailbox) == events
    assert mailbox.dropped == 0


async def test_newer_progress_replaces_older_when_it_is_crowded() -> None:
    mailbox = Mailbox(limit=4)
    mailbox.put(ExecutionStart("p"))
    for value in range(1000):
        mailbox.put(Progress("p", "1", value, 1000))
        mailbox.put(Progress("q", "1", value, 1000))
    mailbox.put(ExecutionSuccess("p"))
    taken = await drain(mailbox)
    assert len(taken) < 10
    assert taken[0] == ExecutionStart("p")
    assert taken[-3:] == [
        Progress("p", "1", 999, 1000),
        Progress("q", "1", 999, 1000),
        ExecutionSuccess("p"),
    ]
    assert mailbox.dropped == 2000 + 2 - len(taken)


async def test_pictures_in_progress_are_replaced_at_once_but_results_never() -> None:
    mailbox = Mailbox(limit=64)
    for number in range(5):
        mailbox.put(Preview("p", "1", "image/jpeg", bytes([number])))
        mailbox.put(Preview("p", "2", "image/png", bytes([number])))
    taken = [event.data for event in await drain(mailbox) if isinstance(event, Preview)]
    assert taken == [b"\0", b"\1", b"\2", b"\3", b"\4", b"\4"]


async def test_it_is_full_by_bytes_until_half_is_taken() -> None:
    mailbox = Mailbox(max_bytes=100)
    for _ in range(4):
        mailbox.put(Preview("p", "2", "image/png", bytes(30)))
    assert mailbox.is_full
    room = asyncio.ensure_future(mailbox.wait_for_room())
    await mailbox.get()
    await mailbox.get()
    await asyncio.sleep(0)
    assert not room.done()
    await mailbox.get()
    await room
    assert not mailbox.is_full


async def test_it_is_full_by_number() -> None:
    mailbox = Mailbox(max_events=10)
    for number in range(10):
        mailbox.put(ExecutionStart(str(number)))
    assert mailbox.is_full


async def test_a_waiting_consumer_is_woken_by_events_and_by_the_end() -> None:
    mailbox = Mailbox()
    waiting = asyncio.ensure_future(mailbox.get())
    await asyncio.sleep(0)
    mailbox.put(QueueStatus(1))
    assert await waiting == QueueStatus(1)
    waiting = asyncio.ensure_future(mailbox.get())
    await asyncio.sleep(0)
    mailbox.close()
    with pytest.raises(StopAsyncIteration):
        await waiting


async def test_an_error_comes_after_what_was_waiting() -> None:
    mailbox = Mailbox()
    mailbox.put(QueueStatus(1))
    mailbox.close(ValueError("the end"))
    mailbox.close()
    mailbox.put(QueueStatus(2))
    assert await mailbox.get() == QueueStatus(1)
    with pytest.raises(ValueError, match="the end"):
        await mailbox.get()


IDS = st.sampled_from("pq")
EVENTS = st.one_of(
    st.builds(Progress, IDS, IDS, st.integers(0, 9), st.just(9)),
    st.builds(
        lambda p, v: NodeProgress(p, {"1": NodeState("1", v, 9, "")}), IDS, st.integers(0, 9)
    ),
    st.builds(Executing, IDS, st.none() | IDS),
    st.builds(Executed, IDS, IDS, IDS, st.just({})),
    st.builds(ExecutionSuccess, IDS),
    st.builds(QueueStatus, st.integers(0, 9)),
    st.builds(
        Preview, IDS, IDS, st.sampled_from(["image/png", "image/jpeg"]), st.binary(max_size=4)
    ),
    st.builds(Unknown, IDS, st.binary(max_size=4), IDS),
)
REPLACEABLE = Progress | NodeProgress | QueueStatus | Unknown


@given(st.lists(EVENTS, max_size=60), st.integers(1, 8))
def test_order_and_results_are_kept_whatever_comes(events: list[Event], limit: int) -> None:
    async def run() -> list[Event]:
        mailbox = Mailbox(limit=limit)
        for event in events:
            mailbox.put(event)
        return await drain(mailbox)

    taken = asyncio.run(run())
    # What was taken is what was put, with some left out: the same objects in the same order.
    places = iter(events)
    assert all(any(event is other for other in places) for event in taken)
    kept = {id(event) for event in taken}
    for event in events:
        dropped = id(event) not in kept
        if isinstance(event, Executing):
            assert not (dropped and event.node is None)
        elif isinstance(event, Preview):
            assert not (dropped and event.mime == "image/png")
        else:
            assert not dropped or isinstance(event, REPLACEABLE)
    # The newest of each kind is always there.
    for kind in (Progress, NodeProgress, QueueStatus):
        of_kind = [event for event in events if isinstance(event, kind)]
        assert not of_kind or id(of_kind[-1]) in kept
