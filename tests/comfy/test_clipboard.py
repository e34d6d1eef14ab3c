"""What copying nodes on ComfyUI's canvas gives, of older and newer front-ends."""

import base64
import copy
import json
from typing import Any

import pytest

from comfynb.comfy.clipboard import as_file, text_in_html
from comfynb.comfy.convert import to_api_prompt
from comfynb.comfy.load import load_text, load_workflow
from comfynb.errors import NotAWorkflow

INFO: dict[str, Any] = {
    "Load": {"input": {"required": {"name": [["ä", "b"], {}]}}, "output": ["IMAGE"]},
    "Save": {"input": {"required": {"images": ["IMAGE"]}}, "output": [], "output_node": True},
}


def node(type_: str, node_id: int, values: list[Any] | None = None) -> dict[str, Any]:
    names = {"Save": ["images"]}.get(type_, [])
    return {
        "id": node_id,
        "type": type_,
        "pos": [0, 0],
        "inputs": [{"name": name, "type": "IMAGE", "link": None} for name in names],
        "outputs": [],
        "widgets_values": values or [],
    }


OLD = {
    "nodes": [node("Load", -1, ["ä"]), node("Save", -1), node("Save", -1)],
    "links": [[0, 0, 1, 0, 17], [None, 0, 2, 0, 99]],
}
NEW = {
    "nodes": [node("Load", 12, ["ä"]), node("Save", 30), {"id": 31, "type": "g", "inputs": []}],
    "links": [
        {
            "id": 5,
            "origin_id": 12,
            "origin_slot": 0,
            "target_id": 30,
            "target_slot": 0,
            "type": "IMAGE",
        }
    ],
    "groups": [],
    "reroutes": [],
    "subgraphs": [{"id": "g", "name": "Inner", "nodes": [node("Load", 1, ["b"])], "links": []}],
}


def html(value: Any) -> str:
    data = base64.b64encode(json.dumps(value, ensure_ascii=False).encode()).decode()
    return f'<meta charset="utf-8"><div><span data-copy-id="1" data-metadata="{data}"></span></div>'


def test_older_selections_have_places_instead_of_ids() -> None:
    before = copy.deepcopy(OLD)
    loaded = load_workflow(json.dumps(OLD))
    assert loaded.workflow is not None
    prompt = to_api_prompt(loaded.workflow, INFO)
    assert prompt["1"]["inputs"] == {"name": "ä"}
    assert prompt["2"]["inputs"] == {"images": ["1", 0]}
    # What fed the third one was not selected.
    assert prompt["3"]["inputs"] == {}
    assert before == OLD


@pytest.mark.parametrize("text", [json.dumps(NEW), html(NEW)])
def test_newer_selections_bring_their_subgraphs(text: str) -> None:
    loaded = load_workflow(text)
    assert loaded.workflow is not None
    prompt = to_api_prompt(loaded.workflow, INFO)
    assert prompt["30"]["inputs"] == {"images": ["12", 0]}
    assert prompt["31:1"]["inputs"] == {"name": "b"}


@pytest.mark.parametrize("fence", ["```json\n{}\n```", "```\n{}\n```\n", "\n  ```JSON\n{}\n```"])
def test_a_text_between_fences_is_read(fence: str) -> None:
    text = fence.replace("{}", json.dumps({"1": {"class_type": "Load", "inputs": {}}}))
    assert load_text(text).prompt == {"1": {"class_type": "Load", "inputs": {}}}


def test_a_text_is_never_taken_for_a_path(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wf.json").write_text(json.dumps({"1": {"class_type": "Load", "inputs": {}}}))
    assert load_workflow("wf.json").prompt
    with pytest.raises(NotAWorkflow):
        load_text("wf.json")


@pytest.mark.parametrize(
    "text", ['<p data-metadata="!!"></p>', '<p data-metadata="////"></p>', "<p></p>", ""]
)
def test_other_html_holds_no_selection(text: str) -> None:
    assert text_in_html(text) is None


@pytest.mark.parametrize(
    "value",
    [
        {"nodes": [], "links": []},
        {"nodes": {}, "links": [[1, 2, 3, 4, 5]]},
        {"nodes": [None], "links": [[0, 0, 0, 0, 0], [True, 0, "x", None, 1]]},
        {"nodes": [{"inputs": [3]}], "links": [[0, 0, 0, 0, 0]]},
        {"nodes": [3], "links": [{"target_id": 3}], "subgraphs": [None]},
    ],
)
def test_odd_selections_are_survived(value: dict[str, Any]) -> None:
    to_api_prompt(as_file(value), INFO)
