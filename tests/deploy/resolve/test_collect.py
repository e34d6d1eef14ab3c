"""needs_of: what a workflow needs, from both of its forms."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfynb.deploy.resolve import ModelNeed, Needs, needs_of
from comfynb.errors import NotAWorkflow, WorkflowError

URL = "https://huggingface.co/a/b/resolve/main/x.safetensors"
SUB = "11111111-2222-3333-4444-555555555555"


def node(node_id: int, type_: str, values: Any = None, **more: Any) -> dict[str, Any]:
    return {"id": node_id, "type": type_, "widgets_values": values or [], "mode": 0, **more}


def ui(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"nodes": list(nodes), "links": []} | more


def declared(name: str, **more: Any) -> dict[str, Any]:
    return {"models": [{"name": name, "url": URL, "directory": "checkpoints", **more}]}


def paths(needs: Needs) -> list[str]:
    return [f"{need.folder}/{need.name}" for need in needs.models]


def only(needs: Needs) -> ModelNeed:
    assert len(needs.models) == 1
    return needs.models[0]


def test_a_loader_names_its_file_and_the_metadata_its_address() -> None:
    sha256 = "A" * 64
    properties = declared("x.safetensors", hash=sha256, hash_type="SHA256")
    needs = needs_of(
        ui(node(1, "CheckpointLoaderSimple", ["x.safetensors"], properties=properties))
    )
    found = only(needs)
    assert (found.folder, found.filename, found.urls) == ("checkpoints", "x.safetensors", (URL,))
    assert found.sha256 == ("a" * 64,)
    assert found.path == "models/checkpoints"
    assert found.places[0].path == "1"
    assert [need.class_type for need in needs.classes] == ["CheckpointLoaderSimple"]


def test_metadata_of_a_file_that_is_no_longer_chosen_is_not_needed() -> None:
    needs = needs_of(
        ui(
            node(
                1, "CheckpointLoaderSimple", ["y.safetensors"], properties=declared("x.safetensors")
            ),
        )
    )
    assert paths(needs) == ["checkpoints/y.safetensors"]
    assert only(needs).urls == ()


def test_declared_models_of_a_node_without_names_are_needed() -> None:
    needs = needs_of(ui(node(1, "Mystery", [3], properties=declared("x.safetensors"))))
    assert only(needs).evidence == "metadata"


def test_the_workflows_own_list_serves_all_nodes() -> None:
    models = [{"name": "x.safetensors", "url": URL, "directory": "checkpoints"}]
    models.append({"name": "z.safetensors", "url": URL, "directory": "loras"})
    needs = needs_of(ui(node(1, "CheckpointLoaderSimple", ["x.safetensors"]), models=models))
    assert paths(needs) == ["checkpoints/x.safetensors", "loras/z.safetensors"]
    assert all(need.urls == (URL,) for need in needs.models)


def test_muted_and_bypassed_nodes_are_counted_apart() -> None:
    needs = needs_of(
        ui(
            node(1, "LoraLoader", ["a.safetensors", 1, 1], mode=2),
            node(2, "UNETLoader", ["b.safetensors", "default"], mode=4),
            node(3, "VAELoader", ["c.safetensors"]),
        )
    )
    assert paths(needs) == ["vae/c.safetensors"]
    assert [need.class_type for need in needs.inactive_classes] == ["LoraLoader", "UNETLoader"]
    assert {need.filename for need in needs.inactive_models} == {"a.safetensors", "b.safetensors"}


def test_a_class_that_runs_elsewhere_is_not_inactive() -> None:
    needs = needs_of(
        ui(node(1, "VAELoader", ["c.pt"], mode=4), node(2, "VAELoader", ["c.pt"], mode=0))
    )
    assert needs.inactive_classes == needs.inactive_models == ()


def test_what_lives_in_the_front_end_is_not_needed() -> None:
    kinds = ["Note", "MarkdownNote", "Reroute", "PrimitiveNode", "SetNode", "GetNode"]
    values = ["see https://x/y.safetensors or y.safetensors"]
    needs = needs_of(ui(*(node(i, kind, values) for i, kind in enumerate(kinds))))
    assert needs.classes == needs.models == ()
    assert needs.front_end == dict.fromkeys(sorted(kinds), 1)


@pytest.mark.parametrize(
    ("class_type", "inputs"),
    [
        ("CLIPTextEncode", {"text": "like model.safetensors"}),
        ("CLIPTextEncode", {"text": "model.safetensors"}),
        ("LoadImage", {"image": "model.safetensors"}),
        ("ShowText|pysssss", {"text_0": "model.ckpt"}),
        ("StringConstant", {"string": "model.ckpt"}),
        ("SaveImage", {"filename_prefix": "x.pt"}),
        ("Anything", {"positive_prompt": "x.pt"}),
        ("Anything", {"mask_image": "x.bin"}),
        ("CheckpointLoaderSimple", {"ckpt_name": ["4", 0]}),
    ],
)
def test_text_and_pictures_are_no_models(class_type: str, inputs: dict[str, Any]) -> None:
    assert needs_of({"1": {"class_type": class_type, "inputs": inputs}}).models == ()
    values = [value for value in inputs.values() if isinstance(value, str)]
    assert needs_of(ui(node(1, class_type, values or [1]))).models == () or class_type == "Anything"


def test_api_inputs_are_read_by_class_and_by_name() -> None:
    needs = needs_of(
        {
            "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "FLUX\\a.safetensors"}},
            "2": {
                "class_type": "DualCLIPLoader",
                "inputs": {"clip_name1": "c.sft", "clip_name2": "d.sft"},
            },
            "3": {"class_type": "SomebodysLoader", "inputs": {"lora_name_2": "l.safetensors"}},
            "4": {"class_type": "SomebodysOther", "inputs": {"weights_file": "w.onnx"}},
        }
    )
    assert paths(needs) == [
        "diffusion_models/FLUX/a.safetensors",
        "loras/l.safetensors",
        "text_encoders/c.sft",
        "text_encoders/d.sft",
        "None/w.onnx",
    ]
    assert [need.evidence for need in needs.models] == [
        "loader", "input", "loader", "loader", "value"
    ]  # fmt: skip


def test_a_list_of_loras_may_switch_one_off() -> None:
    rows = {"lora_1": {"on": True, "lora": "a.pt"}, "lora_2": {"on": False, "lora": "b.pt"}}
    needs = needs_of({"1": {"class_type": "Power Lora Loader (rgthree)", "inputs": rows}})
    assert paths(needs) == ["loras/a.pt"]
    assert [need.filename for need in needs.inactive_models] == ["b.pt"]
    saved = needs_of(ui(node(1, "Power Lora Loader (rgthree)", [{}, *rows.values(), ""])))
    assert paths(saved) == ["loras/a.pt"]


def info_of(**classes: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {"input": {"required": inputs}, "output": [], "name": name}
        for name, inputs in classes.items()
    }


def test_a_servers_lists_say_which_inputs_are_models() -> None:
    files = ["a.safetensors", "b.safetensors"]
    info = info_of(
        CheckpointLoaderSimple={"ckpt_name": [files]},
        Mine={"thing": [files], "label": ["STRING", {}], "other": [["o.pt"], {}]},
        Pictures={"image": [["p.pt"], {"image_upload": True}]},
    )
    inputs = {"thing": "a.safetensors", "label": "no.safetensors", "other": "o.pt"}
    prompt = {
        "1": {"class_type": "Mine", "inputs": inputs},
        "2": {"class_type": "Pictures", "inputs": {"image": "p.pt"}},
    }
    needs = needs_of(prompt, info)
    assert paths(needs) == ["checkpoints/a.safetensors", "None/o.pt"]
    assert needs.models[0].evidence == "list"


def subgraph(*nodes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": SUB, "name": "Sub", "nodes": list(nodes), "links": [], **more}


def test_subgraphs_are_opened_and_instances_set_values() -> None:
    inner = node(7, "UNETLoader", ["default.safetensors", "default"])
    inner["inputs"] = [
        {"name": "unet_name", "type": "COMBO", "widget": {"name": "unet_name"}, "link": 5}
    ]
    boundary = [{"id": "u", "name": "model", "type": "COMBO", "linkIds": [5]}]
    link = {"id": 5, "origin_id": -10, "origin_slot": 0, "target_id": 7, "target_slot": 0}
    definition = subgraph(inner, inputs=boundary)
    definition["links"] = [link]
    slot = [{"name": "model", "type": "COMBO", "widget": {"name": "model"}, "link": None}]
    workflow = ui(
        node(1, SUB, ["mine.safetensors"], inputs=slot),
        node(2, SUB, widgets_values_named={"model": "yours.safetensors"}),
        definitions={"subgraphs": [definition]},
    )
    needs = needs_of(workflow)
    assert paths(needs) == [
        "diffusion_models/mine.safetensors",
        "diffusion_models/yours.safetensors",
    ]
    assert [place.path for place in needs.classes[0].places] == ["1:7", "2:7"]
    assert needs.problems == ()


def test_older_instances_set_values_by_pairs() -> None:
    proxies = {"proxyWidgets": [["7", "unet_name"]]}
    workflow = ui(
        node(1, SUB, ["mine.safetensors"], properties=proxies),
        definitions={"subgraphs": [subgraph(node(7, "UNETLoader", ["old.safetensors"]))]},
    )
    assert paths(needs_of(workflow)) == ["diffusion_models/mine.safetensors"]


def test_a_bypassed_instance_needs_nothing() -> None:
    workflow = ui(
        node(1, SUB, mode=4),
        definitions={"subgraphs": [subgraph(node(7, "UNETLoader", ["old.safetensors"]))]},
    )
    needs = needs_of(workflow)
    assert needs.classes == ()
    assert needs.models == ()
    assert [need.class_type for need in needs.inactive_classes] == ["UNETLoader"]


def test_within_a_subgraph_a_bypassed_instance_is_sent_all_the_same() -> None:
    inner = {**subgraph(node(7, "UNETLoader", ["x.safetensors"])), "id": SUB[:-1] + "6"}
    outer = subgraph(node(2, inner["id"], mode=4))
    workflow = ui(node(1, SUB), definitions={"subgraphs": [outer, inner]})
    needs = needs_of(workflow)
    assert [need.class_type for need in needs.classes] == ["UNETLoader"]
    assert needs.models == ()
    assert [need.filename for need in needs.inactive_models] == ["x.safetensors"]


def test_a_subgraph_that_is_not_there_is_said() -> None:
    needs = needs_of(ui(node(1, SUB), node(2, "workflow>Gone")))
    assert needs.classes == ()
    assert len(needs.problems) == 2
    assert "does not define" in needs.problems[0]
    assert "'Gone'" in needs.problems[1]


def test_group_nodes_are_opened() -> None:
    group = {"nodes": [{"type": "VAELoader", "widgets_values": ["old.pt"]}, {"type": "KSampler"}]}
    workflow = ui(node(1, "workflow>Both", ["new.pt", 20]), extra={"groupNodes": {"Both": group}})
    needs = needs_of(workflow)
    assert [need.class_type for need in needs.classes] == ["KSampler", "VAELoader"]
    assert paths(needs) == ["vae/new.pt"]


def test_a_subgraph_within_itself_ends() -> None:
    workflow = ui(node(1, SUB), definitions={"subgraphs": [subgraph(node(2, SUB))]})
    assert "contains itself" in needs_of(workflow).problems[0]


def test_subgraphs_that_double_are_refused() -> None:
    ids = [f"{i:08x}-0000-0000-0000-000000000000" for i in range(40)]
    graphs = [
        {"id": own, "name": "x", "nodes": [node(1, after), node(2, after)], "links": []}
        for own, after in zip(ids, [*ids[1:], "KSampler"], strict=True)
    ]
    with pytest.raises(WorkflowError, match="expand to more than"):
        needs_of(ui(node(1, ids[0]), definitions={"subgraphs": graphs}))


@pytest.mark.parametrize("name", ["../../x.safetensors", "/etc/x.pt", "a/../../b.ckpt", "C:\\x.pt"])
def test_a_model_outside_the_models_folder_is_left_out_and_said(name: str) -> None:
    needs = needs_of(ui(node(1, "CheckpointLoaderSimple", [name])))
    assert needs.models == ()
    assert "no path below a models folder" in needs.problems[0]


def test_a_declared_folder_outside_is_not_believed() -> None:
    entry = declared("x.safetensors", directory="../../custom_nodes")
    needs = needs_of(ui(node(1, "Mystery", ["x.safetensors"], properties=entry)))
    assert only(needs).folder is None
    assert "no folder below" in needs.problems[0]


def test_a_loader_is_believed_more_than_the_metadata() -> None:
    entry = declared("x.safetensors", directory="loras")
    needs = needs_of(ui(node(1, "CheckpointLoaderSimple", ["x.safetensors"], properties=entry)))
    assert only(needs).folder == "checkpoints"
    assert "declared for folder 'loras'" in needs.problems[0]


def test_packs_are_named_by_their_nodes() -> None:
    properties = {"cnr_id": "some-pack", "ver": "1.2.0", "aux_id": 7}
    needs = needs_of(ui(node(1, "Thing", properties=properties), node(2, "Thing")))
    (hint,) = needs.classes[0].hints
    assert (hint.cnr_id, hint.ver, hint.aux_id) == ("some-pack", "1.2.0", None)


def test_what_is_no_single_file_is_said() -> None:
    vae, folder = {"vae_name": "taesd"}, {"model_path": "sdxl"}
    for needs in (
        needs_of(ui(node(1, "VAELoader", ["taesd"]), node(2, "DiffusersLoader", ["sdxl"]))),
        needs_of(
            {
                "1": {"class_type": "VAELoader", "inputs": vae},
                "2": {"class_type": "DiffusersLoader", "inputs": folder},
            }
        ),
    ):
        assert needs.models == ()
        assert "models/vae_approx" in needs.problems[0]
        assert "models/diffusers" in needs.problems[1]


def test_a_name_may_come_from_another_node() -> None:
    slot = {"name": "ckpt_name", "type": "COMBO", "widget": {"name": "ckpt_name"}, "link": 3}
    loader = node(1, "CheckpointLoaderSimple", ["stale.safetensors"], inputs=[slot])
    primitive = node(2, "PrimitiveNode", ["real.safetensors", "fixed"])
    saved = ui(loader, primitive, links=[[3, 2, 0, 1, 0, "COMBO"]])
    assert paths(needs_of(saved)) == ["checkpoints/real.safetensors"]
    prompt = {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": ["2", 0]}},
        "2": {"class_type": "PrimitiveString", "inputs": {"value": "real.safetensors"}},
    }
    assert paths(needs_of(prompt)) == ["checkpoints/real.safetensors"]


def test_what_is_no_workflow_is_refused() -> None:
    with pytest.raises(NotAWorkflow):
        needs_of({"a": 1})


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.just("m.safetensors"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)
_NODES = st.fixed_dictionaries(
    {
        "id": st.integers(0, 5) | st.text(max_size=3),
        "type": st.sampled_from([SUB, "Note", "workflow>g"]) | st.text(max_size=9),
    },
    optional={
        "mode": _VALUES,
        "widgets_values": _VALUES,
        "inputs": _VALUES,
        "properties": st.dictionaries(
            st.sampled_from(["cnr_id", "models", "proxyWidgets"]), _VALUES, max_size=3
        ),
    },
)


@settings(max_examples=60)
@given(st.lists(_NODES, max_size=5), _VALUES, _VALUES, st.lists(_NODES, max_size=3))
def test_any_file_is_read(nodes: Any, models: Any, groups: Any, inner: Any) -> None:
    workflow = {
        "nodes": nodes,
        "links": models,
        "models": models,
        "extra": {"groupNodes": {"g": {"nodes": groups}}},
        "definitions": {"subgraphs": [{"id": SUB, "nodes": inner}]},
    }
    needs = needs_of(workflow)
    assert needs == needs_of(workflow)
    for need in (*needs.models, *needs.inactive_models):
        assert ".." not in need.name.split("/")


def test_both_forms_of_one_workflow_need_the_same(conversions: list[Any]) -> None:
    compared = 0
    for name, info, case in conversions:
        if not case["api"]:
            continue
        compared += 1
        forms = [
            needs_of(case["workflow"]),
            needs_of(case["workflow"], info),
            needs_of(case["api"]),
            needs_of(case["api"], info),
        ]
        classes = [{need.class_type for need in needs.classes} for needs in forms]
        assert classes == [classes[0]] * 4, name
        models = [{(need.folder, need.name) for need in needs.models} for needs in forms]
        assert models == [models[0]] * 4, name
    assert compared > 100
