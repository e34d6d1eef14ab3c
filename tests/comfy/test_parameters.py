"""Parameters are proposed in the order in which people look for them, typed, and named apart."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest

from comfynb.comfy.convert import convert
from comfynb.comfy.keys import parameter_keys
from comfynb.comfy.object_info import ObjectInfo
from comfynb.comfy.parameters import apply_parameters, parameter_for, propose_parameters
from comfynb.comfy.values import check_value
from comfynb.errors import InvalidValue, NotFound, UsageError
from comfynb.models import ParamType

SAMPLER = {
    "input": {
        "required": {
            "model": ["MODEL"],
            "seed": ["INT", {"min": 0, "max": 2**64 - 1, "control_after_generate": True}],
            "steps": ["INT", {"default": 20, "min": 1, "max": 10000}],
            "cfg": ["FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1}],
            "sampler_name": [["euler", "dpm"], {}],
            "scheduler": ["COMBO", {"options": ["simple", "karras"]}],
            "positive": ["CONDITIONING"],
            "negative": ["CONDITIONING"],
            "latent_image": ["LATENT"],
            "denoise": ["FLOAT", {"min": 0.0, "max": 1.0}],
        }
    },
    "output": ["LATENT"],
    "display_name": "KSampler",
}
INFO: dict[str, Any] = {
    "KSampler": SAMPLER,
    "CheckpointLoaderSimple": {
        "input": {"required": {"ckpt_name": [["a.safetensors", "x\\b.safetensors"], {}]}},
        "output": ["MODEL", "CLIP", "VAE"],
        "display_name": "Load Checkpoint",
    },
    "CLIPTextEncode": {
        "input": {
            "required": {
                "text": ["STRING", {"multiline": True, "dynamicPrompts": True}],
                "clip": ["CLIP"],
            }
        },
        "output": ["CONDITIONING"],
        "display_name": "CLIP Text Encode (Prompt)",
    },
    "EmptyLatentImage": {
        "input": {
            "required": {
                "width": ["INT", {"min": 16, "max": 16384, "step": 8}],
                "height": ["INT", {"min": 16, "max": 16384, "step": 8}],
            }
        },
        "output": ["LATENT"],
    },
    "LoadImage": {
        "input": {"required": {"image": [["cat.png"], {"image_upload": True}]}},
        "output": ["IMAGE"],
    },
    "LoadVideo": {
        "input": {"required": {"file": ["COMBO", {"options": [], "video_upload": True}]}},
        "output": ["IMAGE"],
    },
    "Encode": {"input": {"required": {"pixels": ["IMAGE"]}}, "output": ["LATENT"]},
    "Toggle": {"input": {"required": {"value": ["BOOLEAN", {}]}}, "output": ["BOOLEAN"]},
    "PrimitiveInt": {"input": {"required": {"value": ["INT", {}]}}, "output": ["INT"]},
    "SaveImage": {
        "input": {"required": {"images": ["*"], "filename_prefix": ["STRING", {"default": "C"}]}},
        "output": [],
        "output_node": True,
    },
}


def node(class_type: str, title: str = "", **inputs: Any) -> dict[str, Any]:
    title = title or INFO[class_type].get("display_name", class_type)
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}


def sampler(**changed: Any) -> dict[str, Any]:
    return {
        "model": ["4", 0],
        "positive": ["6", 0],
        "negative": ["7", 0],
        "latent_image": ["5", 0],
        "seed": 2**64 - 1,
        "steps": 20,
        "cfg": 8,
        "sampler_name": "euler",
        "scheduler": "simple",
        "denoise": 1,
        **changed,
    }


PROMPT = {
    "4": node("CheckpointLoaderSimple", ckpt_name="a.safetensors"),
    "7": node("CLIPTextEncode", text="ugly", clip=["4", 1]),
    "6": node("CLIPTextEncode", text="a {red|blue} cat", clip=["4", 1]),
    "5": node("EmptyLatentImage", width=512, height=512),
    "3": node("KSampler", **sampler()),
    "9": node("SaveImage", images=["3", 0], filename_prefix="x"),
    "20": node("KSampler", "never runs", **sampler()),
}


def test_order_names_and_types() -> None:
    found = propose_parameters(PROMPT, INFO)
    assert [(p.node_id, p.field_name, p.display_name, p.param_type.value) for p in found] == [
        ("3", "seed", "Seed", "int"),
        ("6", "text", "Positive prompt", "multiline_string"),
        ("7", "text", "Negative prompt", "multiline_string"),
        ("5", "width", "Width", "int"),
        ("5", "height", "Height", "int"),
        ("3", "steps", "Steps", "int"),
        ("3", "cfg", "CFG", "float"),
        ("3", "sampler_name", "Sampler", "choice"),
        ("3", "scheduler", "Scheduler", "choice"),
        ("3", "denoise", "Denoise", "float"),
        ("4", "ckpt_name", "Checkpoint", "choice"),
        ("9", "filename_prefix", "File name", "string"),
    ]
    assert [p.order for p in found] == list(range(12))


def test_constraints_are_exact() -> None:
    seed, *_ = propose_parameters(PROMPT, INFO)
    assert seed.constraints is not None
    assert seed.constraints.max_value == 2**64 - 1
    assert isinstance(seed.constraints.max_value, int)
    assert seed.default_value == 2**64 - 1
    width = parameter_for(PROMPT, INFO, "5", "width")
    assert width.constraints is not None
    assert (width.constraints.min_value, width.constraints.step) == (16, 8)
    checkpoint = parameter_for(PROMPT, INFO, "4", "ckpt_name")
    assert checkpoint.constraints is not None
    assert checkpoint.constraints.choices == ["a.safetensors", "x\\b.safetensors"]


def test_ids_are_stable() -> None:
    first = propose_parameters(PROMPT, INFO)
    second = propose_parameters(copy.deepcopy(PROMPT), ObjectInfo(INFO))
    assert first == second
    assert parameter_for(PROMPT, INFO, "3", "seed").id == first[0].id
    assert len({p.id for p in first}) == len(first)


def test_two_samplers_are_told_apart_by_title_and_by_position() -> None:
    prompt = {
        **PROMPT,
        "3": node("KSampler", "Base", **sampler()),
        "8": node("KSampler", "Refiner", **sampler(latent_image=["3", 0], seed=1)),
        "9": node("SaveImage", images=["8", 0], filename_prefix="x"),
    }
    keys = parameter_keys(propose_parameters(prompt, INFO))
    assert keys["base_seed"].node_id == "3"
    assert keys["refiner_seed"].display_name == "Refiner: Seed"
    twins = {**prompt, "3": node("KSampler", **sampler())}
    twins["8"] = node("KSampler", **sampler(latent_image=["3", 0]))
    names = [p.display_name for p in propose_parameters(twins, INFO) if p.field_name == "seed"]
    assert names == ["KSampler: Seed (3)", "KSampler: Seed (8)"]


def test_prompts_of_two_samplers_are_named_after_the_sampler_they_serve() -> None:
    prompt = {
        **PROMPT,
        "3": node("KSampler", "Base", **sampler()),
        "8": node("KSampler", "Refiner", **sampler(latent_image=["3", 0], positive=["10", 0])),
        "9": node("SaveImage", images=["8", 0], filename_prefix="x"),
        "10": node("CLIPTextEncode", text="sharper", clip=["4", 1]),
    }
    names = {p.node_id: p.display_name for p in propose_parameters(prompt, INFO)
             if p.field_name == "text"}  # fmt: skip
    assert names["6"] == "Base: Positive prompt"
    assert names["10"] == "Refiner: Positive prompt"


def test_what_holds_a_value_ranks_as_what_it_feeds() -> None:
    prompt = copy.deepcopy(PROMPT)
    prompt["30"] = node("PrimitiveInt", "Image width", value=640)
    prompt["5"]["inputs"]["width"] = ["30", 0]
    names = [p.display_name for p in propose_parameters(prompt, INFO)]
    assert names.index("Image width") < names.index("Steps")
    assert "Width" not in names


def test_files_and_switches() -> None:
    prompt = {
        "1": node("LoadImage", image="cat.png"),
        "2": node("LoadVideo", file="a.mp4"),
        "3": node("Toggle", value=True),
        "9": node("SaveImage", images=["1", 0], filename_prefix="x"),
        "10": node("SaveImage", images=["2", 0], filename_prefix=["3", 0]),
    }
    found = {p.node_id: p for p in propose_parameters(prompt, INFO)}
    assert found["1"].param_type is ParamType.IMAGE_PATH
    assert found["2"].param_type is ParamType.VIDEO_PATH
    assert found["2"].constraints is not None
    assert ".mp4" in (found["2"].constraints.file_extensions or [])
    assert found["3"].param_type is ParamType.BOOL


def test_the_authors_choice_comes_first() -> None:
    workflow = {
        "nodes": [],
        "extra": {"linearData": {"inputs": [["3", "steps"], ["99", "x"], ["6", "text", {}], 5]}},
    }
    found = propose_parameters(PROMPT, INFO, workflow)
    assert [(p.node_id, p.field_name) for p in found[:3]] == [
        ("3", "steps"),
        ("6", "text"),
        ("3", "seed"),
    ]
    assert "filename_prefix" not in [p.field_name for p in found]


def subgraph_workflow(labels: dict[str, str]) -> dict[str, Any]:
    """A sampler in a subgraph at node 40, with some of its widgets promoted under a label."""
    names = list(labels)
    inputs = [
        {"name": name, "type": "INT", "link": place, "widget": {"name": name}}
        for place, name in enumerate(names)
    ]
    boundaries = [
        {"name": name, "type": "INT", "linkIds": [place], "label": label}
        for place, (name, label) in enumerate(labels.items())
    ]
    links = [
        {"id": place, "origin_id": -10, "origin_slot": place, "target_id": 3, "target_slot": place}
        for place in range(len(names))
    ]
    links.append({"id": 90, "origin_id": 3, "origin_slot": 0, "target_id": -20, "target_slot": 0})
    values = [7, "fixed", 20, 8.0, "euler", "simple", 1.0]
    inner = {
        "id": "g",
        "name": "Portrait",
        "inputs": boundaries,
        "outputs": [{"name": "LATENT", "type": "LATENT", "linkIds": [90]}],
        "nodes": [{"id": 3, "type": "KSampler", "inputs": inputs, "widgets_values": values}],
        "links": links,
    }
    save = {"id": 9, "type": "SaveImage", "inputs": [{"name": "images", "type": "*", "link": 1}]}
    return {
        "nodes": [{"id": 40, "type": "g", "outputs": [{"name": "LATENT", "type": "LATENT"}]}, save],
        "links": [[1, 40, 0, 9, 0, "*"]],
        "definitions": {"subgraphs": [inner]},
    }


def test_what_the_author_promoted_hides_the_rest_of_its_kind() -> None:
    workflow = subgraph_workflow({"seed": "", "steps": "How long"})
    prompt = convert(workflow, INFO).prompt
    found = {p.field_name: p for p in propose_parameters(prompt, INFO, workflow)}
    assert found["steps"].node_id == "40:3"
    assert found["steps"].display_name == "How long"
    assert found["seed"].display_name == "Seed"
    # Nothing of these kinds is shown, so they are offered although they lie in the subgraph.
    assert {"cfg", "sampler_name", "scheduler", "denoise"} <= set(found)
    two = {**workflow, "nodes": [*workflow["nodes"], {"id": 41, "type": "KSampler"}]}
    two["nodes"][1] = {
        **two["nodes"][1],
        "inputs": [
            {"name": "images", "type": "*", "link": 1},
            {"name": "more", "type": "*", "link": 2},
        ],
    }
    two["links"] = [[1, 40, 0, 9, 0, "*"], [2, 41, 0, 9, 1, "*"]]
    prompt = convert(two, INFO).prompt
    places = {(p.node_id, p.field_name) for p in propose_parameters(prompt, INFO, two)}
    assert {("40:3", "seed"), ("41", "seed"), ("41", "cfg")} <= places
    assert ("40:3", "cfg") not in places


def test_twins_in_subgraphs_are_named_after_the_instance() -> None:
    workflow = subgraph_workflow({})
    first, save = workflow["nodes"]
    second = {**first, "id": 41, "title": "Landscape"}
    save["inputs"].append({"name": "more", "type": "*", "link": 2})
    workflow["nodes"] = [first, second, save]
    workflow["links"].append([2, 41, 0, 9, 1, "*"])
    prompt = convert(workflow, INFO).prompt
    seeds = [p for p in propose_parameters(prompt, INFO, workflow) if p.field_name == "seed"]
    assert [p.display_name for p in seeds] == [
        "Portrait / KSampler: Seed",
        "Landscape / KSampler: Seed",
    ]


def test_app_mode_of_official_templates(shared: Path) -> None:
    folder = max((shared / "comfyui" / "conversion").iterdir())
    info = ObjectInfo(json.loads((folder / "object_info.json").read_text()))
    seen = 0
    for path in sorted(folder.glob("*.json")):
        case = json.loads(path.read_text())
        workflow = case.get("workflow", {})
        linear = workflow.get("extra", {}).get("linearData") if workflow else None
        if not linear or not linear.get("inputs"):
            continue
        prompt = convert(workflow, info).prompt
        wanted = [
            (str(entry[0]), entry[1])
            for entry in linear["inputs"]
            if not isinstance(
                prompt.get(str(entry[0]), {}).get("inputs", {}).get(entry[1], []), list
            )
        ]
        found = propose_parameters(prompt, info, workflow)
        assert [(p.node_id, p.field_name) for p in found[: len(wanted)]] == wanted, path.name
        seen += bool(wanted)
    assert seen


def test_every_official_prompt_gives_consistent_parameters(shared: Path) -> None:
    for folder in sorted((shared / "comfyui" / "conversion").iterdir()):
        info = ObjectInfo(json.loads((folder / "object_info.json").read_text()))
        for path in sorted(folder.glob("*.json")):
            case = json.loads(path.read_text())
            if "api" not in case:
                continue
            found = propose_parameters(case["api"], info, case["workflow"])
            assert len({p.display_name for p in found}) == len(found), path.name
            keys = parameter_keys(found)
            assert len(keys) == len(found)
            for parameter in found:
                value = case["api"][parameter.node_id]["inputs"][parameter.field_name]
                assert parameter.default_value == value
                again = parameter_for(case["api"], info, parameter.node_id, parameter.field_name)
                assert again.id == parameter.id
                assert again.constraints == parameter.constraints


def test_apply_changes_a_copy() -> None:
    before = copy.deepcopy(PROMPT)
    found = propose_parameters(PROMPT, INFO)
    changed = apply_parameters(
        PROMPT,
        found,
        {"seed": "5", "Negative prompt": "n", "4.ckpt_name": "x/b.safetensors", found[5].id: 30.0},
    )
    assert before == PROMPT
    assert changed["3"]["inputs"]["seed"] == 5
    assert changed["7"]["inputs"]["text"] == "n"
    assert changed["4"]["inputs"]["ckpt_name"] == "x\\b.safetensors"
    assert changed["3"]["inputs"]["steps"] == 30
    changed["3"]["inputs"]["steps"] = 20
    assert changed["3"]["inputs"]["cfg"] == 8


def test_apply_refuses_in_words() -> None:
    found = propose_parameters(PROMPT, INFO)
    with pytest.raises(
        InvalidValue, match="Steps cannot be 0: it takes a whole number, 1 to 10000"
    ):
        apply_parameters(PROMPT, found, {"steps": 0})
    with pytest.raises(NotFound, match='did you mean "steps"'):
        apply_parameters(PROMPT, found, {"step": 5})
    with pytest.raises(NotFound, match="not in the prompt"):
        apply_parameters({}, found, {"steps": 5})


def test_parameter_for_refuses_in_words() -> None:
    with pytest.raises(NotFound, match='no node "33"'):
        parameter_for(PROMPT, INFO, "33", "seed")
    with pytest.raises(NotFound, match='did you mean "seed"'):
        parameter_for(PROMPT, INFO, "3", "sed")
    with pytest.raises(UsageError, match="is fed by"):
        parameter_for(PROMPT, INFO, "3", "model")
    loose = {"1": node("SaveImage", images=None, filename_prefix="x")}
    with pytest.raises(UsageError, match="cannot be typed in"):
        parameter_for(loose, INFO, "1", "images")


def test_hostile_titles_make_plain_names() -> None:
    prompt = copy.deepcopy(PROMPT)
    for place, title in (("6", "a\nb\0c"), ("7", "\ud83d"), ("3", "<script>"), ("5", "\x1b[31m")):
        prompt[place]["_meta"]["title"] = title
    prompt["9"]["inputs"]["filename_prefix"] = "\ud83d"
    for parameter in propose_parameters(prompt, INFO):
        assert parameter.display_name.isprintable()
        assert parameter.node_title.isprintable()


def test_a_checked_default_stays_what_it_is() -> None:
    for parameter in propose_parameters(PROMPT, INFO):
        assert check_value(parameter, parameter.default_value) == parameter.default_value
