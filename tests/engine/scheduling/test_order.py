"""The order of varying nodes is the cheapest of all orders."""

import itertools
import math

from hypothesis import given
from hypothesis import strategies as st

from comfynb.engine.scheduling.order import levels, total
from comfynb.engine.scheduling.shapes import Reader, Shape

PROMPT = {
    "1": {"class_type": "A", "inputs": {"name": "a"}},
    "2": {"class_type": "B", "inputs": {"a": ["1", 0], "name": "b"}},
    "3": {"class_type": "C", "inputs": {"a": ["1", 0], "text": "c"}},
    "4": {"class_type": "D", "inputs": {"b": ["2", 0], "c": ["3", 0], "seed": 0}},
}


class Task:
    def __init__(self, prompt, version="v", files=None):
        self.prompt = prompt
        self.version = version
        self.files = files or {}


def changed(prompt, node, **inputs):
    return {**prompt, node: {**prompt[node], "inputs": {**prompt[node]["inputs"], **inputs}}}


def cost_of(order, counts, below, costs):
    """What running every combination costs in this order, counted one by one."""
    values = [range(counts[number]) for number in order]
    spent, before = 0.0, None
    for combination in itertools.product(*values):
        mask = 0
        for place, number in enumerate(order):
            if before is None or combination[place] != before[place]:
                mask |= below[number]
        spent += total(mask, costs)
        before = combination
    return spent


@given(
    counts=st.lists(st.integers(2, 4), min_size=4, max_size=4),
    costs=st.lists(st.sampled_from([0.01, 0.1, 0.5, 1.0, 5.0]), min_size=4, max_size=4),
)
def test_no_order_costs_less(counts, costs):
    below = Shape("x", PROMPT).below
    points = math.prod(counts)
    order, always = levels(counts, below, costs, points)
    # What is left out changes most often and costs the same for each point.
    inner = [number for number in range(4) if number not in order]
    assert always == below[3] or inner
    best = min(cost_of(each, counts, below, costs) for each in itertools.permutations(range(4)))
    ours = min(
        cost_of((*order, *rest), counts, below, costs) for rest in itertools.permutations(inner)
    )
    # Changing back and forth saves a little more than is counted with; leaving out what saves
    # less than a hundredth costs as little.
    assert ours <= best * 1.02 + 1e-9


def test_equal_work_has_equal_signatures_whatever_the_ids():
    reader = Reader()
    first = reader.read(Task(PROMPT, version=""))
    renamed = {
        {"1": "9"}.get(key, key): {
            "class_type": node["class_type"],
            "inputs": {
                name: ["9", value[1]] if value == ["1", 0] else value
                for name, value in node["inputs"].items()
            },
            "_meta": {"title": "something"},
        }
        for key, node in PROMPT.items()
    }
    assert set(first.sigs) == set(reader.read(Task(renamed, version="")).sigs)


def test_a_value_changes_its_node_and_all_behind_it_and_nothing_else():
    reader = Reader()
    first = reader.read(Task(PROMPT))
    other = reader.read(Task(changed(PROMPT, "2", name="z")))
    same = [a == b for a, b in zip(first.sigs, other.sigs, strict=True)]
    assert dict(zip(first.shape.order, same, strict=True)) == {
        "1": True,
        "2": False,
        "3": True,
        "4": False,
    }


def test_another_link_under_the_same_version_is_another_shape():
    reader = Reader()
    first = reader.read(Task(PROMPT))
    other = reader.read(Task(changed(PROMPT, "4", c=["1", 0])))
    assert other.shape is not first.shape
    assert reader.read(Task(changed(PROMPT, "4", c=["1", 0], seed=3))).shape is other.shape


def test_a_file_in_the_place_of_a_value_counts():
    reader = Reader()
    first = reader.read(Task(PROMPT, files={("1", "name"): "/kept/abc/x.png"}))
    other = reader.read(Task(PROMPT, files={("1", "name"): "/kept/def/x.png"}))
    assert first.sigs[0] != other.sigs[0]


@given(st.data())
def test_any_dict_is_read_without_falling_over(data):
    value = st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=3),
        lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner),
        max_leaves=5,
    )
    ids = st.sampled_from(["1", "2", "3"])
    link = st.tuples(ids, st.integers(0, 2)).map(list)
    node = st.fixed_dictionaries(
        {"class_type": st.text(max_size=3)},
        optional={"inputs": st.dictionaries(st.text(max_size=3), value | link, max_size=3)},
    )
    prompt = data.draw(st.dictionaries(ids, node, max_size=3))
    reading = Reader().read(Task(prompt, version=data.draw(st.sampled_from(["", "v"]))))
    assert len(reading.sigs) == len(prompt)
