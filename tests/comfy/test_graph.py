"""Links and circles of prompts, and that no prompt at all upsets what reads prompts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.comfy.check import check_prompt, missing_classes, missing_files
from comfynb.comfy.compare import same_prompt
from comfynb.comfy.convert import is_api_prompt
from comfynb.comfy.difference import diff_prompts
from comfynb.comfy.dynamic_prompts import resolve_dynamic_prompts
from comfynb.comfy.graph import find_cycle, is_link, links_of
from comfynb.comfy.keys import parameter_keys
from comfynb.comfy.parameters import propose_parameters


@pytest.mark.parametrize("value", [["1", 0], ["a:b", 2], ["", 0.0]])
def test_links(value: list[Any]) -> None:
    assert is_link(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        "1",
        [],
        ["1"],
        [1, 0],
        ["1", "0"],
        ["1", True],
        ["1", 0, 0],
        ("1", 0),
        ["1", float("nan")],
    ],
)
def test_no_links(value: Any) -> None:
    assert not is_link(value)


def node(*sources: str) -> dict[str, Any]:
    return {"class_type": "A", "inputs": {f"i{n}": [s, 0] for n, s in enumerate(sources)}}


def test_a_circle_is_found_in_order_of_flow() -> None:
    prompt = {"0": node(), "1": node("0", "3"), "2": node("1"), "3": node("2"), "4": node("3")}
    cycle = find_cycle(prompt)
    assert sorted(cycle) == ["1", "2", "3"]
    start = cycle.index("1")
    assert cycle[start:] + cycle[:start] == ["1", "2", "3"]
    assert find_cycle({"1": node("1")}) == ["1"]
    assert find_cycle({"1": node(), "2": node("1", "1", "gone")}) == []


def test_long_chains_do_not_exhaust_the_stack() -> None:
    chain = {str(n): node(str(n - 1)) for n in range(20_000)}
    assert find_cycle(chain) == []
    assert len(find_cycle({**chain, "-1": node("19999")})) == 20_001


@given(st.lists(st.lists(st.integers(0, 7), max_size=3), min_size=1, max_size=8))
def test_a_circle_is_found_if_and_only_if_there_is_one(sources: list[list[int]]) -> None:
    prompt = {str(n): node(*map(str, given_)) for n, given_ in enumerate(sources)}
    cycle = find_cycle(prompt)
    for first, second in zip(cycle, [*cycle[1:], *cycle[:1]], strict=True):
        assert first in {source for _, source, _ in links_of(prompt[second])}
    # A node that can be reached from itself is on a circle.
    reach = {n: {int(s) for _, s, _ in links_of(prompt[n]) if s in prompt} for n in prompt}
    for _ in prompt:
        reach = {n: seen.union(*(reach[str(s)] for s in seen)) for n, seen in reach.items()}
    assert bool(cycle) == any(int(n) in seen for n, seen in reach.items())


INFO: dict[str, Any] = {
    "A": {
        "input": {
            "required": {
                "i0": ["*"],
                "n": ["INT", {"min": 0, "max": 9}],
                "c": [["x", "y"], {}],
                "t": ["STRING", {"multiline": True, "dynamicPrompts": True}],
                "f": [["a.png"], {"image_upload": True}],
                "d": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {"options": [{"key": "x", "inputs": {"required": {"w": ["FLOAT"]}}}]},
                ],
            }
        },
        "output": ["IMAGE"],
        "output_node": True,
    }
}
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet="{|}ax\ud800 ", max_size=6)
    | st.sampled_from([["0", 0], ["1", 7], ["gone", 0], ["0", float("nan")], [0, 1]]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)
NODES = st.fixed_dictionaries(
    {"class_type": st.sampled_from(["A", "B", ""])},
    optional={
        "inputs": st.dictionaries(
            st.sampled_from(["i0", "n", "c", "t", "f", "d", "d.w", "", "x\n"]), VALUES
        ),
        "_meta": st.none() | st.dictionaries(st.just("title"), VALUES),
    },
)


@given(st.dictionaries(st.sampled_from(["0", "1", "2:3", "", "\n"]), NODES, min_size=1))
def test_any_prompt_can_be_read(prompt: dict[str, Any]) -> None:
    assert is_api_prompt(prompt)
    parameter_keys(propose_parameters(prompt, INFO))
    for problem in (*check_prompt(prompt, INFO), *missing_files(prompt, INFO)):
        assert problem.message.endswith(".")
    missing_classes(prompt, INFO)
    resolve_dynamic_prompts(prompt, INFO, 1)
    assert same_prompt(prompt, prompt, INFO)
    assert diff_prompts(prompt, prompt) == []
