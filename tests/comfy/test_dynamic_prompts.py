"""Choices left open in a prompt are found, and made by a recorded seed."""

import copy
from typing import Any

from comfynb.comfy.dynamic_prompts import open_choices, resolve_dynamic_prompts

INFO: dict[str, Any] = {
    "Text": {
        "input": {
            "required": {
                "text": ["STRING", {"dynamicPrompts": True}],
                "plain": ["STRING", {"multiline": True}],
            }
        },
        "output": ["STRING"],
    }
}


def text(value: Any, plain: str = "{a|b}") -> dict[str, Any]:
    return {"class_type": "Text", "inputs": {"text": value, "plain": plain}}


PROMPT = {
    "1": text("a {red|green|blue} {cat|dog}"),
    "2": text("a {red|green|blue} {cat|dog}"),
    "3": text(["1", 0]),
    "4": text("nothing open"),
    "5": {"class_type": "Unknown", "inputs": {"text": "{a|b}"}},
}


def test_only_declared_texts_count() -> None:
    assert open_choices(PROMPT, INFO) == [("1", "text"), ("2", "text")]


def test_a_seed_settles_everything_and_changes_nothing_else() -> None:
    before = copy.deepcopy(PROMPT)
    resolved = resolve_dynamic_prompts(PROMPT, INFO, 7)
    assert before == PROMPT
    assert open_choices(resolved, INFO) == []
    assert {key: node for key, node in resolved.items() if key not in "12"} == {
        key: node for key, node in PROMPT.items() if key not in "12"
    }
    assert resolved == resolve_dynamic_prompts(PROMPT, INFO, 7)


def test_equal_texts_in_different_nodes_are_drawn_apart() -> None:
    pairs = set()
    for seed in range(60):
        resolved = resolve_dynamic_prompts(PROMPT, INFO, seed)
        pairs.add((resolved["1"]["inputs"]["text"], resolved["2"]["inputs"]["text"]))
    assert len({first for first, _ in pairs}) == 6
    assert any(first != second for first, second in pairs)


def test_another_text_does_not_change_what_this_one_becomes() -> None:
    other = {**PROMPT, "2": text("{x|y|z}")}
    first = resolve_dynamic_prompts(PROMPT, INFO, 3)["1"]
    assert resolve_dynamic_prompts(other, INFO, 3)["1"] == first
