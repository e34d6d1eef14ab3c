"""Two versions of a workflow: what runs otherwise, in words; what only looks otherwise, apart."""

import copy
from typing import Any

import pytest

from comfynb.comfy.convert import to_api_prompt
from comfynb.comfy.difference import WorkflowDiff, diff_workflows
from comfynb.models import ExposedParameter, ParamType

INFO: dict[str, Any] = {
    "Load": {"input": {"required": {}}, "output": ["MODEL"]},
    "Sample": {
        "input": {
            "required": {
                "model": ["MODEL"],
                "steps": ["INT", {"default": 20}],
                "text": ["STRING", {"multiline": True}],
            }
        },
        "output": ["IMAGE"],
    },
    "Save": {"input": {"required": {"images": ["IMAGE"]}}, "output": [], "output_node": True},
}


def inputs(**links: int | None) -> list[dict[str, Any]]:
    return [{"name": name, "type": "*", "link": link} for name, link in links.items()]


@pytest.fixture
def workflow() -> dict[str, Any]:
    inner = {
        "id": "g",
        "name": "Upscale",
        "nodes": [
            {"id": 7, "type": "Load", "pos": [0, 0]},
            {
                "id": 8,
                "type": "Sample",
                "title": "Base",
                "inputs": inputs(model=1),
                "widgets_values": [20, "a cat"],
            },
            {"id": 9, "type": "Save", "inputs": inputs(images=2)},
        ],
        "links": [
            {"id": 1, "origin_id": 7, "origin_slot": 0, "target_id": 8, "target_slot": 0},
            {"id": 2, "origin_id": 8, "origin_slot": 0, "target_id": 9, "target_slot": 0},
        ],
    }
    return {
        "nodes": [
            {"id": 1, "type": "Load", "pos": [0, 0], "mode": 0},
            {
                "id": 2,
                "type": "Sample",
                "pos": [300, 0],
                "inputs": inputs(model=1),
                "widgets_values": [
                    20,
                    "a very long text about a cat that sits on a mat in the evening sun",
                ],
            },
            {"id": 3, "type": "Save", "title": "Keep", "inputs": inputs(images=2)},
            {"id": 4, "type": "g", "title": "Second pass"},
            {"id": 5, "type": "Note", "widgets_values": ["hello"]},
        ],
        "links": [[1, 1, 0, 2, 0, "MODEL"], [2, 2, 0, 3, 0, "IMAGE"]],
        "definitions": {"subgraphs": [inner]},
        "extra": {"linearData": {"inputs": [[2, "steps"]]}},
    }


def diff(before: dict[str, Any], after: dict[str, Any]) -> WorkflowDiff:
    return diff_workflows(
        (to_api_prompt(before, INFO), before), (to_api_prompt(after, INFO), after)
    )


def test_moving_nodes_changes_nothing_that_runs(workflow: dict[str, Any]) -> None:
    after = copy.deepcopy(workflow)
    after["nodes"][0]["pos"] = [50, 60]
    after["nodes"][1]["size"] = [400, 400]
    after["nodes"][4]["widgets_values"] = ["good bye"]
    after["groups"] = [{"title": "x"}]
    found = diff(workflow, after)
    assert not found
    (sentence,) = found.layout
    assert sentence == (
        "Layout only: 1 node moved, 1 node looks different, the groups on the canvas changed, "
        "1 note changed."
    )
    assert str(found).startswith("Nothing that runs has changed.")
    assert not diff(workflow, workflow).layout


def test_a_change_inside_a_subgraph_is_told_with_its_path(workflow: dict[str, Any]) -> None:
    after = copy.deepcopy(workflow)
    after["definitions"]["subgraphs"][0]["nodes"][1]["widgets_values"][0] = 25
    (found,) = diff(workflow, after)
    assert found.where == "Second pass / Base (4:8)"
    assert (found.input, found.before, found.after) == ("steps", 20, 25)
    assert str(found) == '"Second pass" / "Base" (Sample, node 4:8): steps: 20 → 25.'


def test_of_long_texts_the_part_that_differs_is_shown(workflow: dict[str, Any]) -> None:
    after = copy.deepcopy(workflow)
    text = after["nodes"][1]["widgets_values"][1]
    after["nodes"][1]["widgets_values"][1] = text.replace("mat", "sofa")
    (found,) = diff(workflow, after)
    assert (found.before, found.after) == (text, text.replace("mat", "sofa"))
    assert (found.was, found.now) == (
        '"…t sits on a mat in the even…"',
        '"…t sits on a sofa in the even…"',
    )


def test_muting_is_told_as_that_and_not_as_nodes_that_vanish(workflow: dict[str, Any]) -> None:
    after = copy.deepcopy(workflow)
    after["nodes"][3]["mode"] = 2
    (found,) = diff(workflow, after)
    assert (found.kind, found.was, found.now) == ("mode", "running", "muted")
    assert str(found) == '"Second pass" (node 4) is muted now.'
    (back,) = diff(after, workflow)
    assert str(back) == '"Second pass" (node 4) runs again.'


def test_nodes_and_links_come_and_go(workflow: dict[str, Any]) -> None:
    after = copy.deepcopy(workflow)
    after["nodes"].append({"id": 20, "type": "Load", "title": "Other model"})
    after["links"][0] = [1, 20, 0, 2, 0, "MODEL"]
    del after["nodes"][2]
    found = diff(workflow, after)
    assert [(change.kind, change.node_id) for change in found] == [
        ("input", "2"),
        ("removed", "3"),
        ("added", "20"),
    ]
    assert found[0].was == 'link from "Load" (node 1)'
    assert found[0].now == 'link from "Other model" (Load, node 20)'


def test_what_the_author_exposes_is_compared(workflow: dict[str, Any]) -> None:
    after = copy.deepcopy(workflow)
    after["extra"]["linearData"]["inputs"] = [[2, "text"]]
    assert [str(change) for change in diff(workflow, after)] == [
        '"Sample" (node 2): steps is no longer shown in app mode.',
        '"Sample" (node 2): text is shown in app mode now.',
    ]


def test_new_ids_are_told_once(workflow: dict[str, Any]) -> None:
    del workflow["definitions"], workflow["nodes"][3], workflow["extra"]
    after = copy.deepcopy(workflow)
    for node in after["nodes"]:
        node["id"] += 40
    for link in after["links"]:
        link[1] += 40
        link[3] += 40
    after["nodes"][1]["widgets_values"][0] = 30
    found = diff(workflow, after)
    assert found.renumbered
    assert [(change.node_id, change.input) for change in found] == [("42", "steps")]


@pytest.mark.parametrize("odd", [{}, {"nodes": 3}, {"nodes": [None, {"id": 1}], "extra": 4}])
def test_workflows_that_are_no_such_thing_are_survived(odd: dict[str, Any]) -> None:
    prompt = {"1": {"class_type": "Load", "inputs": {}}}
    assert not diff_workflows((prompt, odd), (prompt, {"nodes": {"a": {"id": 1, "type": "Load"}}}))


def exposed(*parameters: tuple[str, str, str, str]) -> list[ExposedParameter]:
    return [
        ExposedParameter(
            id=f"{node_id} {field}",
            node_id=node_id,
            node_title="",
            field_name=field,
            display_name=name,
            param_type=ParamType.STRING,
            default_value="",
            group=group,
        )
        for node_id, field, name, group in parameters
    ]


def test_what_a_person_exposes_is_compared_by_place(workflow: dict[str, Any]) -> None:
    prompt = to_api_prompt(workflow, INFO)
    after = copy.deepcopy(workflow)
    # The ids are others, and one node is gone: its parameter went with it.
    del after["nodes"][3], after["definitions"]
    for node in after["nodes"][:3]:
        node["id"] += 40
    after["links"] = [[1, 41, 0, 42, 0, "MODEL"], [2, 42, 0, 43, 0, "IMAGE"]]
    ours = exposed(
        ("4:8", "steps", "Second steps", ""),
        ("2", "steps", "Steps", ""),
        ("2", "text", "Prompt", "Texts"),
    )
    theirs = exposed(("42", "text", "Wish", ""), ("42", "steps", "Steps", ""))
    found = diff_workflows(
        (prompt, workflow), (to_api_prompt(after, INFO), after), exposed=(ours, theirs)
    )
    assert [str(change) for change in found if change.kind == "exposed"] == [
        '"Sample" (node 42): text was exposed as "Prompt", is exposed as "Wish".',
        '"Sample" (node 42): text was in the group "Texts", is in no group.',
        (
            'The order of the exposed parameters was "Second steps", "Steps", "Prompt", '
            'is "Wish", "Steps".'
        ),
    ]
    same = diff_workflows((prompt, workflow), (prompt, workflow), exposed=(ours, ours))
    assert not same
    gone = diff_workflows((prompt, workflow), (prompt, workflow), exposed=(ours, ours[:2]))
    assert [str(change) for change in gone] == [
        '"Sample" (node 2): text was exposed as "Prompt", is not exposed.'
    ]
