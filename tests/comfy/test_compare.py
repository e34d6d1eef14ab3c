"""Graphs are compared up to node ids, strictly otherwise."""

import random
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfynb.comfy.compare import match_prompts, same_prompt
from comfynb.comfy.difference import diff_prompts


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


@st.composite
def prompts(draw: st.DrawFn) -> dict[str, Any]:
    count = draw(st.integers(1, 12))
    prompt = {}
    for place in range(count):
        inputs: dict[str, Any] = {}
        for name in draw(st.lists(st.sampled_from("abc"), unique=True)):
            if place and draw(st.booleans()):
                inputs[name] = [str(draw(st.integers(0, place - 1))), draw(st.integers(0, 1))]
            else:
                inputs[name] = draw(st.sampled_from([0, 1, 1.5, True, "x", None]))
        prompt[str(place)] = node(draw(st.sampled_from("PQ")), **inputs)
    return prompt


def renamed(prompt: dict[str, Any], seed: int) -> dict[str, Any]:
    ids = [f"n{place}" for place in range(len(prompt))]
    random.Random(seed).shuffle(ids)
    names = dict(zip(prompt, ids, strict=True))

    def moved(value: Any) -> Any:
        return [names[value[0]], value[1]] if isinstance(value, list) else value

    return {
        names[key]: {
            "class_type": n["class_type"],
            "inputs": {k: moved(v) for k, v in n["inputs"].items()},
        }
        for key, n in sorted(prompt.items(), key=lambda item: names[item[0]])
    }


@given(prompts(), st.integers(0, 1000))
def test_renaming_makes_no_difference(prompt: dict[str, Any], seed: int) -> None:
    other = renamed(prompt, seed)
    mapping = match_prompts(prompt, other)
    assert mapping is not None
    assert sorted(mapping) == sorted(prompt)
    assert sorted(mapping.values()) == sorted(other)


@given(prompts(), st.integers(0, 1000), st.data())
def test_any_change_is_noticed(prompt: dict[str, Any], seed: int, data: st.DataObject) -> None:
    other = renamed(prompt, seed)
    victim = other[data.draw(st.sampled_from(sorted(other)))]
    name = data.draw(st.sampled_from("abc"))
    before = victim["inputs"].get(name, "absent")
    victim["inputs"][name] = "changed"
    assert before != "changed"
    assert not same_prompt(prompt, other)


def test_true_is_not_one_but_one_is_one_point_zero() -> None:
    assert not same_prompt({"1": node("A", x=True)}, {"1": node("A", x=1)})
    assert same_prompt({"1": node("A", x=1.0)}, {"2": node("A", x=1)})


def test_a_crossed_pair_is_not_a_straight_one() -> None:
    def build(first: str, second: str) -> dict[str, Any]:
        return {
            "1": node("Load"),
            "2": node("Load"),
            "3": node("Half", source=["1", 0]),
            "4": node("Half", source=["2", 0]),
            "5": node("Join", a=["3", 0], b=[first, 0]),
            "6": node("Join", a=["4", 0], b=[second, 0]),
        }

    assert not same_prompt(build("1", "2"), build("2", "1"))
    assert same_prompt(build("1", "2"), renamed(build("1", "2"), 3))


def test_rings_of_equal_nodes_are_told_apart() -> None:
    # Colouring alone sees no difference between two rings of three and one of six.
    two = {str(i): node("R", x=[str(i // 3 * 3 + (i + 1) % 3), 0]) for i in range(6)}
    one = {str(i): node("R", x=[str((i + 1) % 6), 0]) for i in range(6)}
    assert not same_prompt(two, one)
    assert same_prompt(one, renamed(one, 1))


def test_only_declared_inputs_count() -> None:
    info = {"A": {"input": {"required": {"x": ["INT"], "mode": ["COMFY_DYNAMICCOMBO_V3", {}]}}}}
    one = {"1": node("A", x=1, upload="image")}
    assert same_prompt(one, {"1": node("A", x=1)}, info)
    assert not same_prompt(one, {"1": node("A", x=1)})
    dotted = {"1": {"class_type": "A", "inputs": {"x": 1, "mode.w": 2}}}
    assert not same_prompt(dotted, {"1": node("A", x=1)}, info)


def test_differences_read_well() -> None:
    before = {
        "1": node("Load", name="a"),
        "2": {**node("Sample", steps=20, model=["1", 0]), "_meta": {"title": "Base"}},
        "3": node("Save", images=["2", 0]),
    }
    after = {
        "1": node("Load", name="a"),
        "2": {**node("Sample", steps=30, model=["1", 0], cfg=7), "_meta": {"title": "Base"}},
        "4": node("Preview", images=["2", 0]),
    }
    found = diff_prompts(before, after)
    assert [(d.kind, d.node_id, d.input) for d in found] == [
        ("input", "2", "steps"),
        ("input", "2", "cfg"),
        ("removed", "3", ""),
        ("added", "4", ""),
    ]
    assert str(found[0]) == '"Base" (Sample, node 2): steps: 20 → 30.'
    assert diff_prompts(after, after) == []
