"""Nodes are found again by id, and by what they are where ids were given anew."""

from typing import Any

import pytest

from comfynb.comfy.difference import diff_prompts
from comfynb.comfy.matching import ids_are_kept, match_nodes

Prompt = dict[str, Any]


def node(class_type: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title or class_type}}


def renamed(prompt: Prompt, ids: dict[str, str]) -> Prompt:
    def link(value: Any) -> Any:
        if isinstance(value, list) and len(value) == 2 and value[0] in ids:
            return [ids[value[0]], value[1]]
        return value

    return {
        ids[key]: {**one, "inputs": {name: link(value) for name, value in one["inputs"].items()}}
        for key, one in prompt.items()
    }


@pytest.fixture
def portrait() -> Prompt:
    return {
        "1": node("Load", name="a.safetensors"),
        "2": node("Text", "Positive", text="a cat", clip=["1", 1]),
        "3": node("Text", "Negative", text="blurry", clip=["1", 1]),
        "4": node("Sample", seed=1, steps=20, model=["1", 0], plus=["2", 0], minus=["3", 0]),
        "5": node("Decode", samples=["4", 0], vae=["1", 2]),
        "6": node("Save", images=["5", 0], filename_prefix="x"),
    }


def test_ids_are_trusted_while_they_are_kept(portrait: Prompt) -> None:
    after = {key: {**one, "inputs": dict(one["inputs"])} for key, one in portrait.items()}
    after["2"]["inputs"]["text"], after["3"]["inputs"]["text"] = "blurry", "a cat"
    assert ids_are_kept(portrait, after)
    assert match_nodes(portrait, after) == {key: key for key in portrait}
    # Swapping two texts is two changes of texts, not of links.
    assert [(d.node_id, d.input) for d in diff_prompts(portrait, after)] == [
        ("2", "text"),
        ("3", "text"),
    ]


@pytest.mark.parametrize("shift", [1, 3, 100])
def test_new_ids_and_one_edit_are_one_difference(portrait: Prompt, shift: int) -> None:
    ids = {key: str(int(key) + shift) for key in portrait}
    after = renamed(portrait, ids)
    after[ids["4"]]["inputs"]["steps"] = 30
    assert not ids_are_kept(portrait, after)
    assert match_nodes(portrait, after) == ids
    (found,) = diff_prompts(portrait, after)
    assert (found.node_id, found.input, found.before, found.after) == (ids["4"], "steps", 20, 30)


def test_equal_classes_that_change_places_are_told_by_their_neighbours(portrait: Prompt) -> None:
    ids = {"1": "1", "2": "3", "3": "2", "4": "4", "5": "5", "6": "6"}
    after = renamed(portrait, ids)
    assert match_nodes(portrait, after) == ids
    assert diff_prompts(portrait, after) == []


def test_a_node_made_anew_in_the_same_place_is_the_same_node(portrait: Prompt) -> None:
    after = renamed(portrait, {**{key: key for key in portrait}, "4": "9"})
    assert match_nodes(portrait, after)["4"] == "9"
    assert diff_prompts(portrait, after) == []


def test_a_stranger_of_the_same_class_is_another_node(portrait: Prompt) -> None:
    after = {key: one for key, one in portrait.items() if key != "2"}
    after["20"] = node("Text", "Caption", text="of quite another kind", clip=["21", 0])
    after["21"] = node("Other")
    assert "2" not in match_nodes(portrait, after)
