"""Values put into a UI workflow are the values that its prompt has afterwards, and no others."""

import copy
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from comfynb.comfy.convert import to_api_prompt
from comfynb.comfy.object_info import ObjectInfo
from comfynb.comfy.parameters import propose_parameters
from comfynb.comfy.ui_values import with_values
from comfynb.errors import WorkflowError

Make = Callable[[random.Random], dict[str, Any]]


def expected(prompt: dict[str, Any], places: dict[tuple[str, str], Any]) -> dict[str, Any]:
    wanted = copy.deepcopy(prompt)
    for (node_id, name), value in places.items():
        wanted[node_id]["inputs"][name] = value
    return wanted


@settings(max_examples=150)
@given(st.integers(0, 2**32))
def test_only_the_wanted_value_changes_or_the_error_says_why(
    make_workflow: Make, info: dict[str, Any], seed: int
) -> None:
    rng = random.Random(seed)
    workflow = make_workflow(rng)
    prompt = to_api_prompt(workflow, info)
    places = [
        (node_id, name)
        for node_id, node in prompt.items()
        for name, value in node["inputs"].items()
        if isinstance(value, int)
    ]
    assume(places)
    values = {place: 77_000 + number for number, place in enumerate(rng.sample(places, 1))}
    before = json.dumps(workflow)
    try:
        changed = with_values(workflow, values, info)
    except WorkflowError:
        # Shared by several nodes: a subgraph used twice, or a primitive that feeds two.
        with pytest.raises(WorkflowError, match="other nodes would change"):
            with_values(workflow, values, info)
    else:
        assert to_api_prompt(changed, info) == expected(prompt, values)
    assert json.dumps(workflow) == before


INFO: dict[str, Any] = {
    "K": {
        "input": {
            "required": {
                "seed": ["INT", {"control_after_generate": True}],
                "steps": ["INT", {"default": 20}],
                "on": ["BOOLEAN", {}],
            }
        },
        "output": [],
        "output_node": True,
    }
}


def test_the_control_mode_beside_a_seed_stays_where_it_is() -> None:
    node = {
        "id": 1,
        "type": "K",
        "widgets_values": [5, "randomize", 20, True],
        "widgets_values_named": {"seed": 5, "steps": 20, "on": True},
    }
    changed = with_values({"nodes": [node], "links": []}, {("1", "steps"): 30}, INFO)
    assert changed["nodes"][0]["widgets_values"] == [5, "randomize", 30, True]
    assert changed["nodes"][0]["widgets_values_named"]["steps"] == 30
    assert node["widgets_values_named"]["steps"] == 20
    changed = with_values({"nodes": [node], "links": []}, {("1", "on"): False}, INFO)
    assert changed["nodes"][0]["widgets_values"] == [5, "randomize", 20, False]


def test_instances_that_share_a_subgraph_are_not_changed_together() -> None:
    inner = {"id": "g", "nodes": [{"id": 1, "type": "K", "widgets_values": [5, "fixed", 2, True]}]}
    workflow = {
        "nodes": [{"id": 7, "type": "g"}, {"id": 8, "type": "g"}],
        "definitions": {"subgraphs": [inner]},
    }
    with pytest.raises(WorkflowError, match="other nodes would change with it"):
        with_values(workflow, {("7:1", "steps"): 9}, INFO)
    del workflow["nodes"][1]
    changed = with_values(workflow, {("7:1", "steps"): 9}, INFO)
    assert to_api_prompt(changed, INFO)["7:1"]["inputs"]["steps"] == 9
    with pytest.raises(WorkflowError, match="sends no node"):
        with_values(workflow, {("1", "steps"): 9}, INFO)


def test_parameters_of_official_workflows_can_be_saved(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    total = put = 0
    refused: list[str] = []
    for folder in sorted((shared / "comfyui" / "conversion").iterdir()):
        info = ObjectInfo(json.loads((folder / "object_info.json").read_text()))
        paths = [path for path in sorted(folder.glob("*.json")) if path.name != "object_info.json"]
        for path in paths[::6]:
            workflow = json.loads(path.read_text())["workflow"]
            prompt = to_api_prompt(workflow, info)
            for parameter in propose_parameters(prompt, info, workflow)[:6]:
                if parameter.param_type.value not in {"int", "multiline_string"}:
                    continue
                value = 13 if parameter.param_type.value == "int" else "another text"
                values = {(parameter.node_id, parameter.field_name): value}
                total += 1
                try:
                    changed = with_values(workflow, values, info)
                except WorkflowError as error:
                    refused.append(f"{path.name}: {error}")
                    continue
                assert to_api_prompt(changed, info) == expected(prompt, values), path.name
                put += 1
    with capsys.disabled():
        print(f"\nvalues saved in UI workflows: {put} of {total}")
    assert put >= 0.9 * total, refused
