"""Refusals that real servers gave, and whatever else may arrive, become sentences."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.comfy.refusal import explain_refusal, refusal_problems

SHARED = Path(os.environ.get("COMFYNB_SHARED", Path(__file__).parents[3] / "shared"))
RECORDINGS = SHARED / "comfyui" / "recordings"

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=12,
)


def recorded(version: str) -> dict[str, tuple[dict[str, Any], int, dict[str, Any]]]:
    path = RECORDINGS / version / "validation_errors.json"
    if not path.exists():
        pytest.skip(f"{path} is absent: the recorded refusals cannot be read (set COMFYNB_SHARED)")
    cases: dict[str, tuple[dict[str, Any], int, dict[str, Any]]] = {}
    note = ""
    for entry in json.loads(path.read_text())["log"]:
        note = entry.get("note", note)
        http = entry.get("http", {})
        if http.get("path") == "/prompt" and isinstance(entry.get("body"), dict):
            prompt = http.get("json", {}).get("prompt", {})
            cases.setdefault(note, (prompt, entry["status"], entry["body"]))
    return cases


EXPECTED = {
    "unknown_class": ["NoSuchNode", "node 1"],
    "missing_input": ["batch_size", "EmptyImage"],
    "missing_link": ["image", "ImageInvert"],
    "dangling_link": ["99", "ImageInvert"],
    "out_of_range": ["99999999", "1 to 16384", "-5"],
    "wrong_type": ['"wide"', "INT", "width"],
    "not_in_list": ["nope.safetensors", "medium.safetensors"],
    "type_mismatch": ["images", "IMAGE", "MODEL"],
    "no_outputs": ["no output node"],
    "cycle": ["circle", "→"],
    "empty": ["no output node"],
    "no_class_type": ["class_type", "#1"],
    "one_bad_output_of_two": ["image", "ImageInvert"],
}


@pytest.mark.parametrize("version", ["0.3.64", "0.8.0"])
def test_recorded_refusals_name_the_culprit(version: str) -> None:
    cases = recorded(version)
    seen = 0
    for note, words in EXPECTED.items():
        prompt, _status, body = cases[note]
        sentences = explain_refusal(prompt, body)
        assert sentences, note
        for word in words:
            assert any(word in sentence for sentence in sentences), (note, word, sentences)
        assert all(sentence.endswith((".", "…")) for sentence in sentences)
        seen += 1
    assert seen == len(EXPECTED)


def test_each_refused_input_is_one_sentence() -> None:
    prompt, _, body = recorded("0.8.0")["out_of_range"]
    assert len(explain_refusal(prompt, body)) == 3


def test_titles_are_used_and_elided_choices_come_from_object_info() -> None:
    prompt = {
        "3": {
            "class_type": "Loader",
            "inputs": {"name": "SDXL_bse.safetensors"},
            "_meta": {"title": "My model"},
        }
    }
    answer = {
        "error": {"type": "prompt_outputs_failed_validation", "message": "", "details": ""},
        "node_errors": {
            "3": {
                "class_type": "Loader",
                "errors": [
                    {
                        "type": "value_not_in_list",
                        "message": "Value not in list",
                        "details": "name: ... not in (list of length 30)",
                        "extra_info": {
                            "input_name": "name",
                            "input_config": None,
                            "received_value": "SDXL_bse.safetensors",
                        },
                    }
                ],
            }
        },
    }
    choices = [f"m{i}.safetensors" for i in range(30)] + ["xl\\sdxl_base.safetensors"]
    info = {"Loader": {"input": {"required": {"name": [choices, {}]}}}}
    (problem,) = refusal_problems(prompt, answer, info)
    assert problem.title == "My model"
    assert problem.input == "name"
    assert "My model" in problem.message
    assert "and 23 more" in problem.message
    assert 'did you mean "xl\\\\sdxl_base.safetensors"' in problem.message
    (without,) = explain_refusal(prompt, answer)
    assert "SDXL_bse.safetensors" in without


def test_newer_missing_node_type() -> None:
    answer = {
        "error": {
            "type": "missing_node_type",
            "message": "Node 'X' not found.",
            "details": "Node ID '#12:3'",
            "extra_info": {"node_id": "12:3", "class_type": "X", "node_title": "T"},
        },
        "node_errors": {},
    }
    (problem,) = refusal_problems({}, answer)
    assert problem.kind == "missing_node_type"
    assert problem.node_id == "12:3"
    assert problem.node_class == "X"


@given(JSON, JSON)
def test_any_answer_is_survived(prompt_part: Any, answer: Any) -> None:
    prompt = {"1": prompt_part}
    for body in (answer, {"error": answer, "node_errors": answer}, {"node_errors": {"1": answer}}):
        assert all(isinstance(sentence, str) for sentence in explain_refusal(prompt, body))


@given(
    st.sampled_from(
        ["value_not_in_list", "value_bigger_than_max", "invalid_input_type", "bad_linked_input",
         "return_type_mismatch", "custom_validation_failed", "exception_during_inner_validation"]
    ),
    st.fixed_dictionaries({}, optional={
        "input_name": JSON, "input_config": JSON, "received_value": JSON,
        "linked_node": JSON, "exception_type": st.just("KeyError"), "exception_message": JSON,
    }),
)  # fmt: skip
def test_any_extra_info_is_survived(kind: str, extra: dict[str, Any]) -> None:
    answer = {"node_errors": {"1": {"errors": [{"type": kind, "extra_info": extra}]}}}
    (sentence,) = explain_refusal({}, answer)
    assert sentence
