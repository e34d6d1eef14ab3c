"""Any input can be found by what a person calls it, and gets a name of its own."""

from typing import Any

import pytest

from comfynb.comfy.exposing import (
    display_names,
    find_place,
    nodes_called,
    settable_inputs,
    settable_parameters,
)
from comfynb.errors import NotFound, UsageError

INFO: dict[str, Any] = {
    "KSampler": {
        "input": {
            "required": {
                "model": ["MODEL"],
                "seed": ["INT", {"min": 0, "control_after_generate": True}],
                "steps": ["INT", {"min": 1}],
            }
        },
        "output": ["LATENT"],
        "display_name": "KSampler",
    },
    "Resize": {
        "input": {
            "required": {
                "mode": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {
                        "options": [
                            {"key": "fit", "inputs": {"required": {"width": ["INT", {"min": 1}]}}}
                        ]
                    },
                ]
            }
        },
        "output": ["IMAGE"],
    },
    "Save": {
        "input": {"required": {"a": ["*"], "b": ["*"], "c": ["*"]}},
        "output": [],
        "output_node": True,
    },
}


def sampler(title: str | None = None, **inputs: Any) -> dict[str, Any]:
    node: dict[str, Any] = {"class_type": "KSampler", "inputs": {"seed": 1, "steps": 20, **inputs}}
    return {**node, "_meta": {"title": title}} if title else node


PROMPT: dict[str, Any] = {
    "3": sampler(),
    "7": sampler("Second pass"),
    "8:2": sampler("v1.5", steps=["3", 0]),
    "9": {"class_type": "Resize", "inputs": {"mode": "fit", "mode.width": 5}},
    "10": {"class_type": "Save", "inputs": {"a": ["3", 0], "b": ["7", 0], "c": ["9", 0]}},
}


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("3.seed", ("3", "seed")),
        ("Second pass.steps", ("7", "steps")),
        ("second PASS.steps", ("7", "steps")),
        ("8:2.seed", ("8:2", "seed")),
        ("v1.5.seed", ("8:2", "seed")),
        ("Resize.mode.width", ("9", "mode.width")),
        ("Resize.mode", ("9", "mode")),
    ],
)
def test_an_input_is_found_by_its_nodes_id_title_or_class(name: str, place: Any) -> None:
    assert find_place(PROMPT, INFO, name) == place


@pytest.mark.parametrize(
    ("name", "error", "says"),
    [
        ("Sampler.seed", NotFound, r'no node called "Sampler" \(did you mean "KSampler"\?\)'),
        ("zzz.seed", NotFound, "it has KSampler, Resize, Save, Second pass, v1.5"),
        ("3.sede", NotFound, r'"3" has no input "sede" \(did you mean "seed"\?\)'),
        ("3.zzz", NotFound, "what can be set is seed, steps"),
        ("10.zzz", NotFound, "what can be set is nothing"),
        ("3", UsageError, r'names no input: write it like "3\.seed"'),
        ("seed", UsageError, r'names no input: write it like "KSampler\.seed"'),
        ("", UsageError, "names no input"),
        (".", NotFound, "no node called"),
    ],
)
def test_what_is_not_found_is_said_in_one_sentence(name: str, error: Any, says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        find_place(PROMPT, INFO, name)
    assert "\n" not in str(caught.value)


def test_nodes_of_one_name_are_told_by_their_ids() -> None:
    twins = {"1": sampler("A"), "2": sampler("A")}
    assert nodes_called(twins, "A") == ["1", "2"]
    with pytest.raises(UsageError, match=r'"A" means 2 nodes: use "1\.seed" or "2\.seed"'):
        find_place(twins, INFO, "A.seed")


def test_an_id_goes_before_a_title() -> None:
    prompt = {"3": sampler("x"), "4": sampler("3")}
    assert find_place(prompt, INFO, "3.seed") == ("3", "seed")


def test_an_input_of_an_unknown_class_is_found() -> None:
    assert find_place({"1": {"class_type": "X", "inputs": {"a": 1}}}, INFO, "X.a") == ("1", "a")


def test_linked_inputs_and_sockets_cannot_be_set() -> None:
    assert list(settable_inputs(PROMPT, "8:2", INFO)) == ["seed"]
    assert list(settable_inputs(PROMPT, "9", INFO)) == ["mode", "mode.width"]
    assert settable_inputs(PROMPT, "nowhere", INFO) == {}
    assert settable_inputs({"1": {"class_type": "X"}}, "1", INFO) == {}


def test_two_samplers_have_two_names() -> None:
    found = settable_parameters(PROMPT, INFO)
    assert [one.display_name for one in found] == [
        "KSampler: Seed",
        "KSampler: Steps",
        "Second pass: Seed",
        "Second pass: Steps",
        "Width",
    ]
    assert [one.order for one in found] == list(range(5))


def test_twins_without_titles_are_told_by_id() -> None:
    twins = {"1": sampler(), "2": sampler()}
    names = display_names(twins, INFO, [("1", "seed"), ("2", "seed"), ("1", "steps")])
    assert names == {
        ("1", "seed"): "KSampler: Seed (1)",
        ("2", "seed"): "KSampler: Seed (2)",
        ("1", "steps"): "Steps",
    }
