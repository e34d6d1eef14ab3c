"""A server's queue is deep enough for how slowly we react, and no deeper."""

from hypothesis import given
from hypothesis import strategies as st

from comfynb.engine.scheduling.depth import LONGEST, MOST, SECONDS, Depth

SECONDS_OF = st.floats(0.001, 1e4)


def learned(took, reacted=()):
    depth = Depth()
    for seconds in took:
        depth.took(seconds)
    for seconds in reacted:
        depth.reacted(seconds)
    return depth


def test_one_prompt_waits_before_anything_was_measured():
    depth = learned([])
    assert depth.prefetch == 1
    assert depth.room(1, 0) == 2
    assert depth.typical is None


def test_half_a_second_of_work_waits():
    assert learned([0.1] * 5).prefetch == 5
    assert learned([30.0] * 5).prefetch == 1


def test_whoever_reacts_slowly_sends_more_ahead():
    quick, slow = learned([0.2] * 5, [0.05] * 5), learned([0.2] * 5, [0.5] * 5)
    assert slow.prefetch * 0.2 >= 3 * 0.5 - 0.2 > quick.prefetch * 0.2


def test_one_hiccup_changes_nothing():
    assert learned([0.2] * 5, [0.05, 0.05, 9.0, 0.05]).prefetch == learned([0.2] * 5).prefetch


@given(st.lists(SECONDS_OF, min_size=1), st.lists(SECONDS_OF))
def test_never_more_than_the_longest(took, reacted):
    depth = learned(took, reacted)
    assert 1 <= depth.prefetch <= MOST
    assert depth.prefetch == 1 or depth.prefetch * depth.typical <= max(LONGEST, SECONDS) * 1.5


@given(st.integers(1, 4), st.lists(SECONDS_OF, max_size=20), st.lists(st.booleans()))
def test_room_is_for_what_runs_and_what_waits(slots, took, ends):
    depth, out = learned(took), 0
    for end in ends:
        out -= end and out > 0
        room = depth.room(slots, out)
        assert room in {0, slots + depth.prefetch - out}
        assert room > 0 or out > (slots + depth.prefetch) // 2
        out += room


def test_a_long_queue_is_filled_up_by_halves():
    depth = learned([0.01] * 5)
    full = 1 + depth.prefetch
    assert depth.room(1, 0) == full
    assert depth.room(1, full) == 0
    assert depth.room(1, full - 1) == 0
    half = full - depth.prefetch // 2
    assert depth.room(1, half) == full - half
    assert depth.room(1, full - 1) == 1, "until it is full again"


def test_being_slow_fills_no_queue_that_others_wait_in():
    depth = learned([0.1] * 5, [1.0] * 5)
    assert depth.room(1, 0) == 1 + 30
    assert depth.room(1, 0, shared=True) == 1 + 5
    assert depth.room(1, 6, shared=True) == 0
    assert learned([]).room(1, 0, shared=True) == 2
