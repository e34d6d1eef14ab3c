"""What official files never hold and others do: node packs, unknown classes, slipped values."""

from typing import Any

from comfynb.comfy.convert import convert, to_api_prompt

INFO: dict[str, Any] = {
    "Load": {"input": {"required": {"name": [["a", "b"], {}]}}, "output": ["IMAGE", "MASK"]},
    "Save": {"input": {"required": {"images": ["IMAGE"]}}, "output": [], "output_node": True},
    "KSampler": {
        "input": {
            "required": {
                "seed": ["INT", {"control_after_generate": True}],
                "steps": ["INT", {"default": 20}],
                "cfg": ["FLOAT", {"default": 8.0}],
                "sampler_name": [["euler", "dpm"], {}],
            }
        },
        "output": ["LATENT"],
        "display_name": "Sampler",
    },
    "VHS_VideoCombine": {
        "input": {
            "required": {
                "images": ["IMAGE"],
                "frame_rate": ["FLOAT", {"default": 8}],
                "format": [["image/gif", "video/h264-mp4"], {}],
            }
        },
        "output": [],
        "output_node": True,
    },
    "Power Lora Loader (rgthree)": {
        "input": {"required": {}, "optional": {"model": ["MODEL"], "clip": ["CLIP"]}},
        "output": ["MODEL", "CLIP"],
    },
    "Any Switch (rgthree)": {"input": {"required": {}, "optional": {}}, "output": ["*"]},
}
SET = {"id": 2, "type": "SetNode", "inputs": [{"name": "IMAGE", "type": "IMAGE", "link": 1}],
       "outputs": [{"name": "*", "type": "*"}], "widgets_values": ["picture"]}  # fmt: skip
LOAD = {"id": 1, "type": "Load", "outputs": [{"name": "IMAGE", "type": "IMAGE"}],
        "widgets_values": ["b"]}  # fmt: skip


def get(node_id: int, name: str = "picture") -> dict[str, Any]:
    outputs = [{"name": "IMAGE", "type": "IMAGE"}]
    return {"id": node_id, "type": "GetNode", "outputs": outputs, "widgets_values": [name]}


def save(node_id: int, link: int) -> dict[str, Any]:
    inputs = [{"name": "images", "type": "IMAGE", "link": link}]
    return {"id": node_id, "type": "Save", "inputs": inputs}


def test_set_and_get_are_a_link() -> None:
    workflow = {
        "nodes": [LOAD, SET, get(3), save(4, 2), save(5, 3), get(6, "unknown"), save(7, 4)],
        "links": [
            [1, 1, 0, 2, 0, "IMAGE"],
            [2, 3, 0, 4, 0, "IMAGE"],
            [3, 2, 0, 5, 0, "IMAGE"],
            [4, 6, 0, 7, 0, "IMAGE"],
        ],
    }
    prompt = to_api_prompt(workflow, INFO)
    assert set(prompt) == {"1", "4", "5", "7"}
    assert prompt["4"]["inputs"] == {"images": ["1", 0]}
    assert prompt["5"]["inputs"] == {"images": ["1", 0]}
    assert prompt["7"]["inputs"] == {}


def test_get_inside_a_subgraph_finds_set_outside() -> None:
    inner = {
        "id": "g",
        "name": "Inner",
        "nodes": [get(3), save(4, 1)],
        "links": [{"id": 1, "origin_id": 3, "origin_slot": 0, "target_id": 4, "target_slot": 0}],
    }
    workflow = {
        "nodes": [LOAD, SET, {"id": 9, "type": "g"}],
        "links": [[1, 1, 0, 2, 0, "IMAGE"]],
        "definitions": {"subgraphs": [inner]},
    }
    assert to_api_prompt(workflow, INFO)["9:4"]["inputs"] == {"images": ["1", 0]}


def test_values_saved_as_a_mapping_are_read_by_name() -> None:
    combine = {
        "id": 2,
        "type": "VHS_VideoCombine",
        "inputs": [{"name": "images", "type": "IMAGE", "link": 1}],
        "widgets_values": {
            "frame_rate": 16,
            "format": "video/h264-mp4",
            "crf": 19,
            "save_metadata": True,
            "videopreview": {"hidden": False, "params": {"filename": "x.mp4"}},
        },
    }
    prompt = to_api_prompt({"nodes": [LOAD, combine], "links": [[1, 1, 0, 2, 0, "IMAGE"]]}, INFO)
    assert prompt["2"]["inputs"] == {
        "images": ["1", 0],
        "frame_rate": 16,
        "format": "video/h264-mp4",
        "crf": 19,
        "save_metadata": True,
    }


def test_rows_of_the_lora_loader_are_sent() -> None:
    rows = [{"on": True, "lora": f"{name}.safetensors", "strength": 1} for name in "xy"]
    node = {
        "id": 1,
        "type": "Power Lora Loader (rgthree)",
        "widgets_values": [{}, {"type": "PowerLoraLoaderHeaderWidget"}, *rows, {}, ""],
    }
    inputs = to_api_prompt({"nodes": [node], "links": []}, INFO)["1"]["inputs"]
    assert inputs == {"lora_1": rows[0], "lora_2": rows[1]}


def test_inputs_that_a_class_takes_without_declaring_them_keep_their_links() -> None:
    inputs = [{"name": "any_01", "type": "IMAGE", "link": 1}]
    switch = {"id": 2, "type": "Any Switch (rgthree)", "inputs": inputs}
    prompt = to_api_prompt({"nodes": [LOAD, switch], "links": [[1, 1, 0, 2, 0, "*"]]}, INFO)
    assert prompt["2"]["inputs"] == {"any_01": ["1", 0]}


def test_front_end_nodes_of_packs_are_left_out_and_named() -> None:
    nodes = [
        {"id": 1, "type": "Fast Groups Muter (rgthree)"},
        {"id": 2, "type": "Note"},
        LOAD | {"id": 3},
    ]
    conversion = convert({"nodes": nodes, "links": []}, INFO)
    assert list(conversion.prompt) == ["3"]
    (remark,) = conversion.report
    assert (remark.kind, remark.node_id) == ("dropped", "1")


def test_unknown_classes_are_sent_as_well_as_can_be_and_reported() -> None:
    def widget(name: str, type_: str) -> dict[str, Any]:
        return {"name": name, "type": type_, "link": None, "widget": {"name": name}}

    node = {
        "id": 5,
        "type": "Custom Sampler",
        "title": "Mine",
        "inputs": [
            {"name": "image", "type": "IMAGE", "link": 1},
            widget("seed", "INT"),
            widget("mode", "COMBO"),
        ],
        "widgets_values": [42, "randomize", "fixed"],
    }
    workflow = {"nodes": [LOAD, node], "links": [[1, 1, 0, 5, 0, "IMAGE"]]}
    conversion = convert(workflow, INFO)
    assert conversion.prompt["5"] == {
        "class_type": "Custom Sampler",
        "inputs": {"seed": 42, "mode": "fixed", "image": ["1", 0]},
        "_meta": {"title": "Mine"},
    }
    assert conversion.report.unknown_classes == ["Custom Sampler"]
    assert "guessed" in {remark.kind for remark in conversion.report}
    named = {**node, "widgets_values_named": {"seed": 7, "mode": "a"}}
    inputs = to_api_prompt({**workflow, "nodes": [LOAD, named]}, INFO)["5"]["inputs"]
    assert (inputs["seed"], inputs["mode"]) == (7, "a")


def sampler(values: list[Any], **more: Any) -> dict[str, Any]:
    node = {"id": 3, "type": "KSampler", "title": "Base", "widgets_values": values, **more}
    inner = {"id": "g", "name": "Inner", "nodes": [node], "links": []}
    return {
        "nodes": [{"id": 7, "type": "g", "title": "Outer"}],
        "links": [],
        "definitions": {"subgraphs": [inner]},
    }


def test_a_slipped_list_is_noticed() -> None:
    conversion = convert(sampler([5, 20, 8.0, "euler"]), INFO)
    doubtful = conversion.report.of("suspicious")
    assert {remark.input for remark in doubtful} == {"seed control", "cfg"}
    assert all(remark.where == "Outer / Base (7:3)" for remark in doubtful)
    assert "cfg holds a text where FLOAT belongs" in str(conversion.report)
    assert conversion.prompt["7:3"]["inputs"]["cfg"] == "euler"


def test_a_slipped_list_is_read_by_name_where_the_file_has_names() -> None:
    named = {"seed": 5, "steps": 20, "cfg": 8.0, "sampler_name": "euler"}
    conversion = convert(sampler([5, 20, 8.0, "euler"], widgets_values_named=named), INFO)
    assert conversion.prompt["7:3"]["inputs"] == named
    assert "has slipped" in str(conversion.report)


def test_where_list_and_names_disagree_the_list_counts_and_is_flagged() -> None:
    named = {"seed": 6, "steps": 20, "cfg": 8.0, "sampler_name": "euler"}
    values = [5, "fixed", 20, 8.0, "euler"]
    conversion = convert(sampler(values, widgets_values_named=named), INFO)
    assert conversion.prompt["7:3"]["inputs"]["seed"] == 5
    (remark,) = conversion.report
    assert remark.kind == "guessed"
    assert "disagree about seed" in remark.text


def test_a_good_list_raises_no_doubt() -> None:
    conversion = convert(sampler([2**64 - 1, "increment", 20, 7, "dpm"]), INFO)
    assert conversion.prompt["7:3"]["inputs"]["seed"] == 2**64 - 1
    assert len(conversion.report) == 0
    assert str(conversion.report) == "Nothing was left out or guessed."


def test_what_is_muted_and_bypassed_is_told() -> None:
    nodes = [LOAD, {**save(4, 1), "mode": 2}, {**LOAD, "id": 8, "mode": 4}]
    report = convert({"nodes": nodes, "links": []}, INFO).report
    assert [(remark.kind, remark.node_id) for remark in report] == [
        ("muted", "4"),
        ("bypassed", "8"),
    ]
    assert report.warnings == []
    assert repr(report) == "<ConversionReport: muted 1, bypassed 1>"


def test_dynamic_prompts_are_left_open_and_told() -> None:
    info = {"T": {"input": {"required": {"t": ["STRING", {"dynamicPrompts": True}]}}, "output": []}}
    node = {"id": 1, "type": "T", "widgets_values": ["a {red|blue} cat // really"]}
    conversion = convert({"nodes": [node], "links": []}, info)
    assert conversion.prompt["1"]["inputs"]["t"] == "a {red|blue} cat // really"
    (remark,) = conversion.report.of("dynamic_prompt")
    assert remark.input == "t"


def test_links_that_lead_nowhere_are_told() -> None:
    old = [{"name": "gone", "type": "INT", "link": 1, "widget": {"name": "gone"}}]
    node = {
        "id": 3,
        "type": "KSampler",
        "inputs": old,
        "widgets_values": [5, "fixed", 20, 8, "dpm"],
    }
    conversion = convert({"nodes": [LOAD, node], "links": [[1, 1, 0, 3, 0, "INT"]]}, INFO)
    assert "gone" not in conversion.prompt["3"]["inputs"]
    (remark,) = conversion.report
    assert (remark.kind, remark.input) == ("lost_link", "gone")
