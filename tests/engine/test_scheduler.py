"""The scheduler hands each task to exactly one backend that may run it, the idlest first."""

import dataclasses
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from comfynb.engine.live import LiveJob
from comfynb.engine.scheduler import Scheduler
from comfynb.engine.tasks import NodeTask, Requirements
from comfynb.models import CanvasLayout, FallbackStrategy, Job, NodeExecution, new_id


@dataclasses.dataclass
class FakeSeat:
    id: str
    classes: frozenset[str]
    slots: int
    given: list[NodeTask] = dataclasses.field(default_factory=list)
    foreign: int = 0

    @property
    def name(self):
        return self.id

    @property
    def load(self):
        return len(self.given) / self.slots

    @property
    def concurrency(self):
        return self.slots

    @property
    def free(self):
        return self.slots - len(self.given)

    def refusal(self, requirements):
        missing = requirements.node_classes - self.classes
        return f"it lacks {', '.join(sorted(missing))}" if missing else None


def task(classes=("A",), affinity=None, fallback=FallbackStrategy.NONE, not_before=0.0):
    job = Job(id=new_id(), project_id="p", canvas_snapshot=CanvasLayout())
    execution = NodeExecution(id=new_id(), job_id=job.id, canvas_node_id="n")
    return NodeTask(
        live=LiveJob(job, name="x", titles={}),
        execution=execution,
        prompt={},
        prompt_sha256="0" * 64,
        node_titles={},
        requirements=Requirements(frozenset(classes), frozenset(), frozenset(), affinity, fallback),
        not_before=not_before,
    )


def hand_out(scheduler, seats):
    order = []
    for each, seat in scheduler.assign(seats):
        seat.given.append(each)
        order.append((each, seat))
    return order


def test_two_tasks_go_to_two_idle_backends_before_one_gets_both():
    scheduler = Scheduler()
    first, second = task(), task()
    scheduler.add(first)
    scheduler.add(second)
    seats = [FakeSeat("a", frozenset("A"), 2), FakeSeat("b", frozenset("A"), 2)]
    hand_out(scheduler, seats)
    assert [seat.given for seat in seats] == [[first], [second]]


def test_a_task_waits_for_a_backend_that_has_its_node_classes():
    scheduler = Scheduler()
    special, plain = task(classes="AB"), task(classes="A")
    scheduler.add(special)
    scheduler.add(plain)
    small = FakeSeat("small", frozenset("A"), 5)
    hand_out(scheduler, [small])
    assert small.given == [plain]
    (stranded,) = scheduler.stranded([small])
    assert stranded == (special, "small: it lacks B", False)


def test_affinity_is_kept_and_auto_select_says_that_another_could():
    scheduler = Scheduler()
    bound = task(affinity="away", fallback=FallbackStrategy.AUTO_SELECT)
    scheduler.add(bound)
    here = FakeSeat("here", frozenset("A"), 1)
    assert hand_out(scheduler, [here]) == []
    away = FakeSeat("away", frozenset(), 1)
    assert scheduler.stranded([here, away]) == [(bound, "away: it lacks A", True)]


def test_a_task_that_backs_off_is_not_handed_out_yet():
    scheduler = Scheduler()
    scheduler.add(task(not_before=float("inf")))
    assert hand_out(scheduler, [FakeSeat("a", frozenset("A"), 1)]) == []
    assert len(scheduler) == 1


def test_a_lost_task_goes_before_those_of_its_kind():
    scheduler = Scheduler()
    scheduler.add(task())
    lost = task()
    scheduler.add(lost, first=True)
    seat = FakeSeat("a", frozenset("A"), 1)
    hand_out(scheduler, [seat])
    assert seat.given == [lost]


def test_a_removed_task_is_never_handed_out():
    scheduler = Scheduler()
    gone, stays = task(), task()
    scheduler.add(gone)
    scheduler.add(stays)
    assert scheduler.remove(gone)
    assert not scheduler.remove(gone)
    seat = FakeSeat("a", frozenset("A"), 5)
    hand_out(scheduler, [seat])
    assert seat.given == [stays]


classes = st.frozensets(st.sampled_from("ABC"), min_size=1)


@given(
    kinds=st.lists(classes, max_size=30),
    offers=st.lists(st.tuples(classes, st.integers(1, 4)), min_size=1, max_size=5),
)
def test_every_task_goes_to_one_fitting_backend_or_waits(kinds, offers):
    scheduler = Scheduler()
    tasks = [task(classes=kind) for kind in kinds]
    for each in tasks:
        scheduler.add(each)
    seats = [FakeSeat(str(i), kinds, slots) for i, (kinds, slots) in enumerate(offers)]
    given_out = hand_out(scheduler, seats)
    for each, seat in given_out:
        assert each.requirements.node_classes <= seat.classes
    assert all(seat.free >= 0 for seat in seats)
    left = list(scheduler)
    seen = Counter(id(each) for each in [*left, *(each for each, _ in given_out)])
    assert seen == Counter(id(each) for each in tasks)
    for each in left:  # nobody who could take it has room
        fitting = [s for s in seats if each.requirements.node_classes <= s.classes]
        assert all(seat.free == 0 for seat in fitting)


@given(st.lists(st.sampled_from("AB"), max_size=20))
def test_first_come_first_served_within_what_a_backend_can_run(kinds):
    scheduler = Scheduler()
    tasks = [task(classes=kind) for kind in kinds]
    for each in tasks:
        scheduler.add(each)
    both = FakeSeat("both", frozenset("AB"), len(kinds) + 1)
    hand_out(scheduler, [both])
    assert both.given == tasks
