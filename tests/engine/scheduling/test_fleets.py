"""The scheduler on simulated fleets: loads, makespans, fairness, deaths; and on thousands of random
fleets what must hold for any of them."""

import itertools
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfynb.engine.scheduling.simulate import Fleet, Machine, point
from comfynb.engine.tasks import Requirements
from comfynb.models import FallbackStrategy

SAMPLE, LOAD, PATCH, ENCODE = 0.1, 0.5, 0.2, 0.1


def prompt(checkpoint="a", lora="x", text="t", seed=0):
    """What is slow is told by the structure and by what is measured, never by these names."""
    return {
        "1": {"class_type": "Opens", "inputs": {"name": f"{checkpoint}.safetensors"}},
        "2": {"class_type": "Patches", "inputs": {"model": ["1", 0], "with": f"{lora}.pt"}},
        "3": {"class_type": "Reads", "inputs": {"model": ["1", 0], "text": text}},
        "4": {"class_type": "Draws", "inputs": {"on": ["2", 0], "by": ["3", 0], "seed": seed}},
        "5": {"class_type": "Keeps", "inputs": {"what": ["4", 0]}},
    }


def costs(opens=LOAD, patches=0.0, reads=0.0, draws=SAMPLE):
    table = {"Opens": opens, "Patches": patches, "Reads": reads, "Draws": draws, "Keeps": 0.0}
    return lambda node: table[node["class_type"]]


def machines(*speeds):
    return [Machine(f"gpu{number}", speed) for number, speed in enumerate(speeds)]


def points(group="sweep", **axes):
    names = list(axes)
    return [
        point(prompt(**dict(zip(names, values, strict=True))), group=group)
        for values in itertools.product(*axes.values())
    ]


def play(fleet_of, tasks, seconds, **options):
    fleet = Fleet(fleet_of, seconds, **options)
    fleet.arrive(tasks)
    report = fleet.run()
    done = Counter(id(task) for _, task, _ in report.done)
    assert done == Counter(id(task) for task in tasks), "each task exactly once"
    assert report.left == 0
    return report


ORDERS = ["as given", "reversed", "shuffled"]


def ordered(tasks, order):
    if order == "reversed":
        return tasks[::-1]
    if order == "shuffled":
        return random.Random(7).sample(tasks, len(tasks))
    return tasks


def test_a_slow_backend_gets_its_share_and_does_not_hold_the_end():
    report = play(machines(1, 1, 2, 4), points(seed=range(400)), costs(opens=0.0, draws=0.2))
    assert report.makespan <= 1.05 * 400 * 0.2 / 8
    shares = Counter(machine for _, _, machine in report.done)
    assert shares["gpu3"] > 3 * shares["gpu0"]


@pytest.mark.parametrize("order", ORDERS)
def test_each_checkpoint_is_loaded_once_whatever_the_order_of_points(order):
    tasks = ordered(points(seed=range(16), checkpoint="abcd"), order)
    report = play(machines(1, 1), tasks, costs())
    assert report.ran["Opens"] == 4
    assert report.makespan <= 1.05 * (64 * SAMPLE + 4 * LOAD) / 2


@pytest.mark.parametrize("order", ORDERS)
def test_what_is_expensive_and_upstream_varies_slowest(order):
    tasks = ordered(points(seed=range(8), text="tuv", lora="xy", checkpoint="ab"), order)
    seconds = costs(patches=PATCH, reads=ENCODE)
    report = play(machines(1, 1), tasks, seconds)
    assert report.ran["Opens"] == 2
    assert report.ran["Patches"] == 4
    # Texts again for each LoRA, but for the one that is loaded when the LoRA changes.
    assert report.ran["Reads"] == 10
    least = 2 * LOAD + 4 * PATCH + 10 * ENCODE
    assert report.makespan <= 1.05 * (96 * SAMPLE + least) / 2


def test_the_order_follows_what_was_measured_and_not_what_was_guessed():
    # Here reading a text takes far longer than opening the model, which nobody could have known.
    tasks = points(seed=range(4), text="tuvw", lora="wxyz")
    report = play(machines(1), tasks, costs(opens=0.0, patches=0.01, reads=2.0))
    assert report.ran["Reads"] <= 5
    assert report.ran["Patches"] >= 8


def test_a_stretch_is_split_when_that_gains_more_than_the_load():
    report = play(machines(1, 1), points(seed=range(400)), costs(draws=SAMPLE))
    assert report.ran["Opens"] == 2
    assert report.makespan <= 1.05 * (400 * SAMPLE + 2 * LOAD) / 2


def test_a_stretch_is_not_split_for_less_than_the_load():
    fleet = Fleet(machines(1, 1), costs())
    fleet.arrive(points("known", checkpoint="a"))
    fleet.run()
    fleet.arrive(points("few", checkpoint="b", seed=range(8)), at=fleet.now)
    report = fleet.run()
    assert report.ran["Opens"] == 2
    assert len({machine for _, task, machine in report.done if task.group == "few"}) == 1


def test_before_anything_was_measured_all_begin():
    report = play(machines(1, 1, 1), points(seed=range(9)), costs(draws=60.0))
    assert {machine for _, _, machine in report.done} == {"gpu0", "gpu1", "gpu2"}


def test_what_is_warm_is_used_first():
    fleet = Fleet(machines(1, 1), costs())
    fleet.arrive(points("first", checkpoint="ab", seed=range(4)))
    fleet.run()
    before = fleet.report.ran["Opens"]
    fleet.arrive(points("second", checkpoint="ba", seed=range(10, 14)), at=fleet.now)
    fleet.run()
    assert before == 2
    assert fleet.report.ran["Opens"] == 2


def test_two_sweeps_share_and_neither_loads_more_than_it_must():
    one = points("one", seed=range(16), checkpoint="abcd")
    two = points("two", seed=range(16), checkpoint="efgh")
    mixed = [task for pair in zip(one, two, strict=True) for task in pair]
    report = play(machines(1, 1), mixed, costs())
    assert report.ran["Opens"] == 8
    assert report.makespan <= 1.05 * (128 * SAMPLE + 8 * LOAD) / 2
    # Half way each has had about half of the time.
    half = [task.group for at, task, _ in report.done if at < report.makespan / 2]
    assert 0.35 <= half.count("one") / len(half) <= 0.65


@pytest.mark.parametrize("order", ORDERS)
def test_two_sweeps_over_the_same_models_load_each_of_them_once(order):
    tasks = [
        point(prompt(checkpoint=checkpoint, text=group, seed=seed), group=group)
        for seed in range(16)
        for checkpoint in "abcd"
        for group in ("one", "two")
    ]
    report = play(machines(1, 1), ordered(tasks, order), costs())
    assert report.ran["Opens"] == 4
    assert report.makespan <= 1.05 * (128 * SAMPLE + 4 * LOAD) / 2
    half = [task.group for at, task, _ in report.done if at < report.makespan / 2]
    assert 0.35 <= half.count("one") / len(half) <= 0.65


def test_on_one_backend_two_sweeps_take_turns_that_cost_little():
    one = points("one", seed=range(400), checkpoint="a")
    two = points("two", seed=range(400), checkpoint="b")
    report = play(machines(1), [*one, *two], costs())
    assert report.ran["Opens"] <= 12
    first = next(at for at, task, _ in report.done if task.group == "two")
    assert first <= 25 * LOAD
    assert report.makespan <= 1.06 * (800 * SAMPLE + 2 * LOAD)


def test_a_weight_of_three_gives_three_times_the_time():
    tasks = [
        point(prompt(checkpoint=name, seed=seed), group=name, weight=weight)
        for name, weight in (("a", 3.0), ("b", 1.0))
        for seed in range(600)
    ]
    report = play(machines(1, 1, 1, 1), tasks, costs(opens=0.0))
    early = Counter(task.group for at, task, _ in report.done if at < report.makespan / 2)
    assert 2.0 <= early["a"] / early["b"] <= 4.0


def test_a_run_by_itself_goes_before_everything_that_waits():
    fleet = Fleet(machines(1), costs(draws=2.0))
    fleet.arrive(points(seed=range(20)))
    single = point(prompt(seed=99), group=None)
    fleet.arrive([single], at=5.0)
    report = fleet.run()
    (at,) = [when for when, task, _ in report.done if task is single]
    # What runs ends; what only waits in the server's queue is taken back for it.
    assert at <= 5.0 + 2 * 2.0 + LOAD + 0.1
    assert report.recalled >= 1
    assert len(report.done) == 21


def test_a_dead_backend_is_made_up_for():
    fleet = machines(1, 1, 2, 4)
    fleet[2].dies_at = 5.0
    report = play(fleet, points(seed=range(400)), costs(opens=0.0, draws=0.2))
    bound = 5.0 + (400 * 0.2 - 5.0 * 8) / 6
    assert report.makespan <= 1.10 * bound


def test_the_last_prompts_are_taken_back_from_a_slow_queue():
    report = play(machines(1, 10), points(seed=range(4)), costs(opens=0.0, draws=10.0))
    assert report.makespan <= 10.0 + 0.1


def test_a_slow_backend_is_left_out_where_others_are_done_before_its_first():
    fleet = Fleet(machines(0.01, 1), costs(opens=0.0))
    fleet.arrive(points("early", seed=range(200)))
    fleet.run()
    began = fleet.now
    fleet.arrive(points("late", seed=range(500, 520)), at=began)
    report = fleet.run()
    late = Counter(machine for _, task, machine in report.done if task.group == "late")
    assert late == {"gpu1": 20}
    assert report.makespan - began <= 1.1 * 20 * SAMPLE


def test_prompts_of_other_people_count_as_work_before_ours():
    crowded, empty = machines(1, 1)
    crowded.foreign = 30
    report = play([crowded, empty], points(seed=range(10)), costs(opens=0.0))
    given = Counter(machine for _, _, machine in report.given)
    assert given["gpu1"] >= 8


def test_only_backends_that_have_the_nodes_are_given_points():
    special = Requirements(
        frozenset({"Special"}), frozenset(), frozenset(), None, FallbackStrategy.AUTO_SELECT
    )
    fleet = machines(1, 1, 1)
    fleet[0].lacks = fleet[1].lacks = frozenset({"Special"})
    tasks = [point(prompt(checkpoint="s", seed=n), requirements=special) for n in range(20)]
    tasks += points(checkpoint="ab", seed=range(20))
    report = play(fleet, tasks, costs())
    able = {machine for _, task, machine in report.done if task.requirements is special}
    assert able == {"gpu2"}


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_fleet_does_everything_once_and_is_never_far_from_the_bound(data):
    speeds = data.draw(st.lists(st.sampled_from([0.5, 1.0, 2.0, 4.0]), min_size=1, max_size=6))
    fleet = machines(*speeds)
    for machine in fleet:
        machine.concurrency = data.draw(st.integers(1, 2))
    values = {
        "checkpoint": "abcd"[: data.draw(st.integers(1, 4))],
        "lora": "xyz"[: data.draw(st.integers(1, 3))],
        "text": "tuv"[: data.draw(st.integers(1, 3))],
        "seed": range(data.draw(st.integers(1, 12))),
    }
    names = data.draw(st.permutations(list(values)))
    groups = data.draw(st.integers(1, 2))
    seconds = costs(
        opens=data.draw(st.sampled_from([0.0, 0.3, 3.0])),
        patches=data.draw(st.sampled_from([0.0, 0.2])),
        reads=data.draw(st.sampled_from([0.0, 0.1])),
    )
    tasks = [
        task for g in range(groups) for task in points(f"g{g}", **{n: values[n] for n in names})
    ]
    if len(fleet) > 1 and data.draw(st.booleans()):
        fleet[-1].dies_at = data.draw(st.floats(0.1, 5.0))
    chance = random.Random(data.draw(st.integers(0, 99)))
    report = play(fleet, tasks, seconds, noise=lambda: chance.uniform(0.8, 1.25))
    alive = fleet[:-1] if fleet[-1].dies_at is not None else fleet
    # Any schedule needs this at most: each point with all its loads, nobody the only one to work.
    cold = sum(seconds(node) for node in tasks[0].prompt.values()) * 1.25
    slowest = min(machine.speed for machine in alive)
    pace = sum(machine.speed for machine in alive)
    assert report.makespan <= len(tasks) * cold / pace + 3 * cold / slowest + 5.0


@settings(max_examples=60, deadline=None)
@given(
    checkpoints=st.integers(1, 6),
    seeds=st.integers(4, 20),
    backends=st.integers(1, 3),
    shuffle=st.randoms(use_true_random=False),
)
def test_whole_stretches_are_never_loaded_twice(checkpoints, seeds, backends, shuffle):
    """Where stretches can be dealt out evenly there is no reason to split one."""
    tasks = points(checkpoint="abcdefghijklmnopqr"[: checkpoints * backends], seed=range(seeds))
    shuffle.shuffle(tasks)
    report = play(machines(*[1] * backends), tasks, costs())
    assert report.ran["Opens"] == checkpoints * backends
    least = (len(tasks) * SAMPLE + checkpoints * backends * LOAD) / backends
    assert report.makespan <= 1.02 * least


def test_many_backends_all_help_until_the_end():
    fleet = machines(*[1 + number % 4 for number in range(40)])
    report = play(fleet, points(checkpoint="abcd", seed=range(500)), costs())
    # Half a second of work lies in the queues, a quarter of all there is to do here.
    assert report.makespan <= 1.2 * (2000 * SAMPLE + 40 * LOAD) / 100
    assert report.ran["Opens"] <= 70
