"""``/object_info`` is read class by class, in every way in which servers write it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.comfy.declared import declared_input, declared_inputs
from comfynb.comfy.object_info import ObjectInfo, as_object_info, parse_input


def test_both_encodings_of_a_choice() -> None:
    old = parse_input("c", [["a", "b"], {"default": "b"}])
    new = parse_input("c", ["COMBO", {"options": ["a", "b"], "default": "b"}])
    assert old.type == new.type == "COMBO"
    assert old.choices == new.choices == ("a", "b")
    assert old.default == new.default == "b"
    assert parse_input("n", ["COMBO", {"options": [5, 8]}]).choices == (5, 8)
    assert parse_input("r", ["COMBO", {"remote": {"route": "/x"}}]).remote
    assert parse_input("i", ["IMAGE"]).choices is None


def test_ranges_keep_their_type() -> None:
    seed = parse_input(
        "seed", ["INT", {"min": 0, "max": 2**64 - 1, "control_after_generate": True}]
    )
    assert seed.maximum == 2**64 - 1
    assert type(seed.maximum) is int
    assert seed.control_after_generate is True
    assert parse_input(
        "s", ["INT", {"control_after_generate": "fixed"}]
    ).control_after_generate == ("fixed")
    assert parse_input("f", ["FLOAT", {"step": 0.01, "round": False}]).round is None


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"image_upload": True}, "image"),
        ({"animated_image_upload": True}, "image"),
        ({"video_upload": True}, "video"),
        ({"audio_upload": True}, "audio"),
        ({"file_upload": True}, "file"),
        ({}, None),
    ],
)
def test_upload_kinds(options: dict[str, Any], kind: str | None) -> None:
    assert parse_input("x", ["COMBO", {"options": [], **options}]).upload == kind
    assert parse_input("x", [[], options]).upload == kind


def test_loaders_that_say_nothing_are_known_by_name() -> None:
    info = ObjectInfo({"VHS_LoadVideo": {"input": {"required": {"video": [["a.mp4"]]}}}})
    node = info.node("VHS_LoadVideo")
    assert node is not None
    assert node.inputs["video"].upload == "video"


def test_input_order_rules_and_forgotten_inputs_come_last() -> None:
    data = {
        "input": {
            "required": {"a": ["INT"], "b": ["INT"], "c": ["INT"]},
            "optional": {"d": ["INT"], "e": ["INT"]},
            "hidden": {"h": "PROMPT"},
        },
        "input_order": {"required": ["c", "a", "x"], "optional": ["e"]},
        "output": ["IMAGE", ["x", "y"]],
        "output_name": ["pic"],
        "output_is_list": [True],
        "output_node": True,
        "display_name": "A",
    }
    node = ObjectInfo({"A": data}).node("A")
    assert node is not None
    assert list(node.inputs) == ["c", "a", "e", "b", "d"]
    assert [spec.required for spec in node.inputs.values()] == [True, True, False, True, False]
    assert [(o.name, o.type, o.is_list) for o in node.outputs] == [
        ("pic", "IMAGE", True),
        ("COMBO", "COMBO", False),
    ]
    assert node.is_output


def test_dynamic_types() -> None:
    combo = parse_input(
        "mode",
        [
            "COMFY_DYNAMICCOMBO_V3",
            {"options": [{"key": "a", "inputs": {"required": {"w": ["INT"]}}}, {"key": "b"}]},
        ],
    )
    assert combo.choices == ("a", "b")
    assert [(o.key, [i.name for i in o.inputs]) for o in combo.dynamic_options] == [
        ("a", ["w"]),
        ("b", []),
    ]
    match = parse_input("x", ["COMFY_MATCHTYPE_V3", {"template": {"allowed_types": "IMAGE,MASK"}}])
    assert match.socket == "IMAGE,MASK"


def test_the_wrapper_is_a_mapping_and_parses_once() -> None:
    raw = {"A": {"input": {"required": {"x": ["INT"]}}}}
    info = ObjectInfo(raw)
    assert dict(info) == raw
    assert "A" in info
    assert len(info) == 1
    assert info["A"] is raw["A"]
    assert info.node("A") is info.node("A")
    assert info.node("B") is None
    assert as_object_info(info) is info
    assert "A" in as_object_info(raw)


def test_real_servers_are_read_whole(shared: Path) -> None:
    for folder in sorted((shared / "comfyui" / "conversion").iterdir()):
        raw = json.loads((folder / "object_info.json").read_text())
        info = ObjectInfo(raw)
        for name, data in raw.items():
            node = info.node(name)
            assert node is not None
            declared = {
                key: group == "required"
                for group in ("required", "optional")
                for key in data["input"].get(group, {})
            }
            assert {spec.name: spec.required for spec in node.inputs.values()} == declared
            assert len(node.outputs) == len(data["output"])
            for spec in node.inputs.values():
                assert spec.type
                assert (spec.choices is not None) == (
                    spec.type in ("COMBO", "COMFY_DYNAMICCOMBO_V3")
                )


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
    | st.sampled_from(["INT", "COMBO", "COMFY_AUTOGROW_V3", "COMFY_DYNAMICCOMBO_V3",
                       "COMFY_DYNAMICGROUP_V3", "COMFY_MATCHTYPE_V3"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["required", "optional", "options", "template", "input", "min", "max",
                             "names", "prefix", "key", "inputs", "a"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)  # fmt: skip


@given(JSON, JSON, st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=3)))
def test_any_class_is_survived(inputs: Any, order: Any, given_inputs: dict[str, Any]) -> None:
    raw = {"A": {"input": inputs, "input_order": order, "output": inputs, "output_name": order}}
    node = ObjectInfo(raw).node("A")
    assert node is not None
    for name in declared_inputs(node, given_inputs):
        assert declared_input(node, given_inputs, name) is not None
    assert isinstance(node.outputs, tuple)
