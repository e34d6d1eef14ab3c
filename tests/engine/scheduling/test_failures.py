"""The failure policy by class of error, and backends that are set aside and taken back."""

import pytest

from comfynb.engine.scheduling.failures import MAX_ATTEMPTS, Step, judge
from comfynb.engine.scheduling.guard import FAILURES, FIRST, LAST, Guard
from comfynb.models import PromptStatus

FAILED, LOST = PromptStatus.FAILED, PromptStatus.LOST


def test_a_refused_prompt_is_not_tried_again():
    verdict = judge(FAILED, "refused", attempts=1, larger=True)
    assert verdict.step is Step.END
    assert not verdict.against


@pytest.mark.parametrize(("larger", "step"), [(True, Step.MORE_MEMORY), (False, Step.END)])
def test_out_of_memory_goes_to_one_with_more_if_there_is_one(larger, step):
    assert judge(FAILED, "out of memory", attempts=1, larger=larger).step is step
    assert judge(FAILED, "out of memory", attempts=MAX_ATTEMPTS, larger=larger).step is Step.END


def test_what_was_lost_is_sent_again_a_few_times_and_later_each_time():
    delays = []
    for attempts in range(1, MAX_ATTEMPTS):
        verdict = judge(LOST, "lost", attempts=attempts)
        assert verdict.step is Step.AGAIN
        assert verdict.counts
        assert verdict.against
        delays.append(verdict.delay)
    assert delays == sorted(delays)
    assert delays[0] < delays[-1]
    assert judge(LOST, "lost", attempts=MAX_ATTEMPTS).step is Step.END


def test_what_waited_for_a_backend_that_stayed_away_goes_elsewhere_at_once():
    verdict = judge(LOST, "away", attempts=1)
    assert (verdict.step, verdict.delay) == (Step.AGAIN, 0)
    assert verdict.counts
    assert judge(LOST, "away", attempts=MAX_ATTEMPTS).step is Step.END


@pytest.mark.parametrize("kind", ["lost", "recalled"])
def test_what_never_left_costs_no_attempt_and_no_blame(kind):
    verdict = judge(LOST, kind, attempts=MAX_ATTEMPTS, not_sent=True)
    assert verdict == judge(LOST, kind, attempts=1, not_sent=True)
    assert verdict.step is Step.AGAIN
    assert not verdict.counts
    assert not verdict.against
    assert verdict.delay == 0


def test_an_error_of_a_node_speaks_against_a_backend_only_if_others_do_it_well():
    assert not judge(FAILED, "RuntimeError", attempts=1).against
    assert judge(FAILED, "RuntimeError", attempts=1, fine_elsewhere=True).against


class Clock:
    now = 100.0

    def __call__(self):
        return self.now


def test_a_backend_is_set_aside_tried_and_taken_back():
    clock = Clock()
    guard = Guard(clock)
    assert [guard.failed("lost") for _ in range(FAILURES)] == [False] * (FAILURES - 1) + [True]
    assert guard.room(4, 0) == 0
    assert "lost" in guard.note
    clock.now += FIRST
    assert guard.room(4, 0) == 1
    assert guard.room(4, 1) == 0, "one at a time"
    assert not guard.failed("lost"), "said once"
    assert guard.room(4, 0) == 0
    clock.now += FIRST
    assert guard.room(4, 0) == 0, "the second pause is longer"
    clock.now += FIRST
    assert guard.room(4, 0) == 1
    assert guard.worked()
    assert guard.room(4, 0) == 4
    assert guard.note is None
    assert not guard.worked()


def test_pauses_end_at_the_longest():
    clock = Clock()
    guard = Guard(clock)
    for _ in range(50):
        guard.failed("lost")
    clock.now += LAST
    assert guard.room(1, 0) == 1


def test_a_success_between_failures_begins_the_count_anew():
    guard = Guard(Clock())
    for _ in range(3 * FAILURES):
        assert not guard.failed("lost")
        guard.worked()
