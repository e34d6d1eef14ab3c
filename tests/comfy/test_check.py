"""Prompts are checked as a server checks them: the recorded refusals are found without one."""

import json
from pathlib import Path
from typing import Any

import pytest

from comfynb.comfy.check import check_prompt, missing_classes, missing_files, output_nodes

INFO: dict[str, Any] = {
    "Load": {
        "input": {"required": {"name": [["a.safetensors", "b.safetensors"], {}]}},
        "output": ["MODEL", "CLIP"],
    },
    "LoadImage": {
        "input": {"required": {"image": [["cat.png"], {"image_upload": True}]}},
        "output": ["IMAGE", "MASK"],
    },
    "EmptyImage": {
        "input": {
            "required": {
                "width": ["INT", {"default": 512, "min": 1, "max": 16384}],
                "seed": ["INT", {"default": 0, "min": 0, "max": 2**64 - 1}],
                "scale": ["FLOAT", {"default": 1.0, "min": 0.0, "max": 2.0}],
            },
            "optional": {"mode": ["COMBO", {"options": ["x", "y"]}]},
        },
        "output": ["IMAGE"],
    },
    "Resize": {
        "input": {
            "required": {
                "image": ["COMFY_MATCHTYPE_V3", {"template": {"allowed_types": "IMAGE,MASK"}}],
                "how": [
                    "COMFY_DYNAMICCOMBO_V3",
                    {
                        "options": [
                            {
                                "key": "by",
                                "inputs": {"required": {"factor": ["FLOAT", {"max": 8}]}},
                            },
                            {"key": "to", "inputs": {"required": {"width": ["INT", {"min": 1}]}}},
                        ]
                    },
                ],
            }
        },
        "output": ["COMFY_MATCHTYPE_V3"],
    },
    "Batch": {
        "input": {
            "required": {
                "images": [
                    "COMFY_AUTOGROW_V3",
                    {
                        "template": {
                            "input": {"required": {"image": ["IMAGE", {}]}},
                            "prefix": "image",
                            "min": 2,
                            "max": 4,
                        }
                    },
                ]
            }
        },
        "output": ["IMAGE"],
    },
    "Save": {
        "input": {"required": {"images": ["IMAGE"], "prefix": ["STRING", {"default": "x"}]}},
        "output": [],
        "output_node": True,
    },
}


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def dotted(class_type: str, inputs: dict[str, Any]) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def saved(**nodes: Any) -> dict[str, Any]:
    last = list(nodes)[-1]
    return {**nodes, "save": node("Save", images=[last, 0], prefix="p")}


GOOD = node("EmptyImage", width=64, seed=2**64 - 1, scale=1)


def kinds(prompt: dict[str, Any]) -> list[tuple[str, str | None, str]]:
    return [(p.kind, p.node_id, p.input) for p in check_prompt(prompt, INFO)]


def test_a_good_prompt_has_no_problems() -> None:
    assert check_prompt(saved(a=GOOD), INFO) == []


@pytest.mark.parametrize(
    ("broken", "kind", "field"),
    [
        ({"width": 0}, "value_smaller_than_min", "width"),
        ({"width": 99999}, "value_bigger_than_max", "width"),
        ({"seed": 2**64}, "value_bigger_than_max", "seed"),
        ({"width": "wide"}, "invalid_input_type", "width"),
        ({"width": None}, "invalid_input_type", "width"),
        ({"scale": "nan"}, "invalid_input_type", "scale"),
        ({"mode": "z"}, "value_not_in_list", "mode"),
        ({"width": ["gone", 0]}, "bad_linked_input", "width"),
        ({"width": [1, 2, 3]}, "bad_linked_input", "width"),
    ],
)
def test_one_wrong_input(broken: dict[str, Any], kind: str, field: str) -> None:
    bad = {**GOOD, "inputs": {**GOOD["inputs"], **broken}}
    assert kinds(saved(a=bad)) == [(kind, "a", field)]


def test_the_servers_own_conversions_pass() -> None:
    bad = {**GOOD, "inputs": {**GOOD["inputs"], "width": "64", "scale": "1.5", "seed": 3.0}}
    assert check_prompt(saved(a=bad), INFO) == []


def test_missing_inputs_and_types_and_outputs() -> None:
    prompt = {
        "1": node("Load", name="c.safetensors"),
        "2": node("Save", images=["1", 0]),
        "3": node("Save", images=["1", 5], prefix="x"),
    }
    assert sorted(kinds(prompt)) == [
        ("bad_linked_input", "3", "images"),
        ("required_input_missing", "2", "prefix"),
        ("return_type_mismatch", "2", "images"),
        ("value_not_in_list", "1", "name"),
    ]
    text = "\n".join(map(str, check_prompt(prompt, INFO)))
    assert "did you mean" not in text.split("b.safetensors")[0]
    assert "takes IMAGE" in text
    assert "gives MODEL" in text


def test_unknown_classes_stop_everything_else() -> None:
    prompt = saved(a=GOOD, b=node("Lod", name="a"))
    assert kinds(prompt) == [("missing_node_type", "b", "")]
    assert 'did you mean "Load"' in check_prompt(prompt, INFO)[0].message
    assert missing_classes(prompt, INFO) == ["Lod"]
    assert kinds({"1": {"inputs": {}}}) == [("invalid_prompt", "1", "")]


def test_nothing_to_run() -> None:
    assert kinds({"a": GOOD}) == [("prompt_no_outputs", None, "")]
    assert kinds({}) == [("prompt_no_outputs", None, "")]
    assert output_nodes(saved(a=GOOD), INFO) == ["save"]


def test_what_no_output_needs_is_not_judged() -> None:
    assert check_prompt({"x": node("EmptyImage"), **saved(a=GOOD)}, INFO) == []


def test_circles_are_named() -> None:
    loop = {"images.image0": ["2", 0], "images.image1": ["1", 0]}
    prompt = {
        "1": dotted("Batch", loop),
        "2": dotted("Batch", loop),
        "3": node("Save", images=["1", 0], prefix="x"),
    }
    (problem,) = check_prompt(prompt, INFO)
    assert problem.kind == "dependency_cycle"
    assert "→" in problem.message


def test_dynamic_inputs() -> None:
    image = {"a": GOOD}
    good = dotted("Resize", {"image": ["a", 0], "how": "to", "how.width": 4})
    assert check_prompt(saved(**image, b=good), INFO) == []
    wrong = dotted("Resize", {"image": ["a", 0], "how": "by", "how.width": 4})
    assert kinds(saved(**image, b=wrong)) == [("required_input_missing", "b", "how.factor")]
    unknown = dotted("Resize", {"image": ["a", 0], "how": "up"})
    assert kinds(saved(**image, b=unknown)) == [("value_not_in_list", "b", "how")]
    model = {"m": node("Load", name="a.safetensors")}
    mismatched = dotted("Resize", {"image": ["m", 0], "how": "to", "how.width": 4})
    assert kinds(saved(**model, b=mismatched)) == [("return_type_mismatch", "b", "image")]


def test_autogrow_wants_its_least_number() -> None:
    few = dotted("Batch", {"images.image0": ["a", 0]})
    assert kinds(saved(a=GOOD, b=few)) == [("required_input_missing", "b", "images.image1")]
    three = dotted("Batch", {f"images.image{i}": ["a", 0] for i in range(3)})
    assert check_prompt(saved(a=GOOD, b=three), INFO) == []


def test_files_are_judged_apart_because_they_may_be_uploaded() -> None:
    prompt = saved(a=node("LoadImage", image="kat.png"))
    assert check_prompt(prompt, INFO) == []
    (problem,) = missing_files(prompt, INFO)
    assert problem.kind == "file_missing"
    assert 'did you mean "cat.png"' in problem.message
    for name in ("cat.png", "sub/x.png", "x.png [output]"):
        assert missing_files(saved(a=node("LoadImage", image=name)), INFO) == []


def test_recorded_refusals_are_foreseen(shared: Path) -> None:
    path = shared / "comfyui" / "recordings" / "0.8.0" / "validation_errors.json"
    if not path.exists():
        pytest.skip(f"{path} is absent")
    folder = max((shared / "comfyui" / "conversion").iterdir())
    info = json.loads((folder / "object_info.json").read_text())
    lab = dict.fromkeys(("LabLoader", "LabSampler", "LabFail"), INFO["Load"])
    known = {**info, **lab}
    note, seen = "", 0
    for entry in json.loads(path.read_text())["log"]:
        note = entry.get("note", note)
        http, body = entry.get("http", {}), entry.get("body")
        prompt = (http.get("json") or {}).get("prompt")
        if http.get("path") != "/prompt" or not isinstance(prompt, dict) or entry["status"] != 400:
            continue
        if any(node.get("class_type", "").startswith("Lab") for node in prompt.values()):
            continue
        found = check_prompt(prompt, known)
        assert found, note
        wanted = {
            (node_id, error["type"], error["extra_info"].get("input_name", ""))
            for node_id, node in body["node_errors"].items()
            for error in node["errors"]
            if error["type"] != "exception_during_inner_validation"
        }
        assert wanted <= {(p.node_id, p.kind, p.input) for p in found}, note
        seen += 1
    assert seen >= 8
