"""Any prompt with new ids in another order is found to be the same; any two can be compared."""

import random
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfynb.comfy.convert import to_api_prompt
from comfynb.comfy.difference import diff_prompts
from comfynb.comfy.matching import match_nodes

Prompt = dict[str, Any]


def renamed(prompt: Prompt, ids: dict[str, str]) -> Prompt:
    def link(value: Any) -> Any:
        if isinstance(value, list) and len(value) == 2 and value[0] in ids:
            return [ids[value[0]], value[1]]
        return value

    return {
        ids[key]: {**one, "inputs": {name: link(value) for name, value in one["inputs"].items()}}
        for key, one in prompt.items()
    }


seeds = st.integers(0, 2**32)


@given(seeds)
def test_whatever_is_renumbered_is_found_again(
    make_workflow: Callable[[random.Random], dict[str, Any]], info: dict[str, Any], seed: int
) -> None:
    rng = random.Random(seed)
    prompt = to_api_prompt(make_workflow(rng), info)
    names = [f"n{number}" for number in range(len(prompt))]
    rng.shuffle(names)
    other = renamed(prompt, dict(zip(prompt, names, strict=True)))
    items = list(other.items())
    rng.shuffle(items)
    assert diff_prompts(prompt, dict(items)) == []
    found = match_nodes(prompt, dict(items))
    assert len(found) == len(prompt)
    assert len(set(found.values())) == len(found)


@given(seeds, seeds)
def test_every_match_is_one_to_one_and_of_one_class(
    make_workflow: Callable[[random.Random], dict[str, Any]],
    info: dict[str, Any],
    seed: int,
    other_seed: int,
) -> None:
    before = to_api_prompt(make_workflow(random.Random(seed)), info)
    after = to_api_prompt(make_workflow(random.Random(other_seed)), info)
    found = match_nodes(before, after)
    assert len(set(found.values())) == len(found)
    for old, new in found.items():
        assert before[old]["class_type"] == after[new]["class_type"]
    # What is told is enough to tell whether anything changed at all.
    assert bool(diff_prompts(before, after)) == bool(diff_prompts(after, before))
