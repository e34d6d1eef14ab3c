"""What is exported comes back as it was: as a UI workflow, and as Python code that is run."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfynb.comfy.compare import same_prompt
from comfynb.comfy.convert import to_api_prompt
from comfynb.comfy.object_info import ObjectInfo
from comfynb.comfy.python_code import to_python
from comfynb.comfy.to_ui import to_ui_workflow

Make = Callable[[random.Random], dict[str, Any]]
seeds = st.integers(0, 2**32)
texts = st.text(max_size=12) | st.sampled_from(
    [
        '"""',
        "'''",
        "\\",
        "\n# x",
        "{a|b}",
        "\r",
        "\x00",
        "\ud800",
        "\u202e",
        "${x}",
        "%s",
        "'); 1/0 #",
    ]
)
names = texts.filter(lambda name: name != "")
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def prompts(draw: st.DrawFn) -> dict[str, Any]:
    """Any prompt in API format, with hostile texts everywhere and links that may go in circles."""
    ids = draw(st.lists(texts, unique=True, max_size=5))
    links = st.tuples(st.sampled_from(ids or ["x"]), st.integers(0, 3)).map(list)
    prompt = {}
    for node_id in ids:
        node: dict[str, Any] = {"class_type": draw(texts)}
        if draw(st.booleans()):
            node["inputs"] = draw(st.dictionaries(names, links | values, max_size=4))
        if draw(st.booleans()):
            node["_meta"] = draw(
                st.fixed_dictionaries({"title": texts}) | st.dictionaries(texts, values, max_size=2)
            )
        prompt[node_id] = node
    return prompt


def run(source: str) -> Any:
    scope: dict[str, Any] = {}
    exec(compile(source, "exported", "exec"), scope)
    return scope["prompt"]


def text_of(prompt: Any) -> str:
    return json.dumps(prompt)


@settings(max_examples=200)
@given(prompts(), texts)
def test_python_code_rebuilds_any_prompt(prompt: dict[str, Any], name: str) -> None:
    source = to_python(prompt, name=name)
    # Texts, since NaN is not equal to itself; the order of the nodes is kept too.
    assert sorted(map(text_of, run(source).items())) == sorted(map(text_of, prompt.items()))
    assert list(run(source)) == list(prompt)


@given(seeds)
def test_python_code_rebuilds_what_was_converted(
    make_workflow: Make, info: dict[str, Any], seed: int
) -> None:
    prompt = to_api_prompt(make_workflow(random.Random(seed)), info)
    source = to_python(prompt, name="x")
    assert run(source) == prompt
    assert text_of(list(run(source))) == text_of(list(prompt))


def test_python_code_reads_well() -> None:
    prompt = {
        "3": {
            "class_type": "KSampler",
            "inputs": {"seed": 5, "model": ["4", 0], "positive": ["6", 0]},
            "_meta": {"title": "Base pass"},
        },
        "4": {"class_type": "Load", "inputs": {"name": "a.safetensors"}},
        "6": {"class_type": "Text", "inputs": {"clip": ["4", 1], "text": "a cat"}},
    }
    assert to_python(prompt, name="portrait").splitlines() == [
        "# portrait, as Python code; load it with wb.workflows.load(prompt).",
        "from comfynb.comfy import PromptBuilder",
        "",
        "graph = PromptBuilder()",
        'load = graph.add("Load", {"name": "a.safetensors"}, id="4")',
        'text = graph.add("Text", {"clip": load[1], "text": "a cat"}, id="6")',
        "base_pass = graph.add(",
        '    "KSampler",',
        "    {",
        '        "seed": 5,',
        '        "model": load[0],',
        '        "positive": text[0],',
        "    },",
        '    id="3",',
        '    title="Base pass",',
        ")",
        'prompt = {id: graph.prompt[id] for id in ["3", "4", "6"]}',
    ]


@settings(max_examples=150)
@given(seeds)
def test_a_ui_export_is_converted_back_to_the_same_prompt(
    make_workflow: Make, info: dict[str, Any], seed: int
) -> None:
    prompt = to_api_prompt(make_workflow(random.Random(seed)), info)
    export = to_ui_workflow(prompt, info)
    assert export.changes == []
    assert to_api_prompt(export.workflow, info) == prompt
    places = {tuple(node["pos"]) for node in export.workflow["nodes"]}
    assert len(places) == len(prompt)


@given(seeds)
def test_a_ui_export_needs_no_knowledge_of_the_classes(
    make_workflow: Make, info: dict[str, Any], seed: int
) -> None:
    prompt = to_api_prompt(make_workflow(random.Random(seed)), info)
    export = to_ui_workflow(prompt, {})
    assert export.changes == []
    assert to_api_prompt(export.workflow, {}) == prompt


@given(prompts())
def test_a_ui_export_of_anything_says_what_it_could_not_keep(prompt: dict[str, Any]) -> None:
    export = to_ui_workflow(prompt, {})
    back = to_api_prompt(export.workflow, {})
    for node_id, node in prompt.items():
        if not any(change.node_id == node_id for change in export.changes):
            assert node_id in back
            for name, value in (node.get("inputs") or {}).items():
                assert text_of(back[node_id]["inputs"][name]) == text_of(value)


def test_what_was_left_out_is_told() -> None:
    info = {"A": {"input": {"optional": {"n": ["INT", {"default": 3}]}}, "output": []}}
    export = to_ui_workflow({"1": {"class_type": "A", "inputs": {}}}, info)
    (change,) = export.changes
    assert (change.input, change.was, change.now) == ("n", "nothing", "3")


def test_every_golden_prompt_survives_export(
    shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    total = exact = 0
    left_out: list[str] = []
    for folder in sorted((shared / "comfyui" / "conversion").iterdir()):
        info = ObjectInfo(json.loads((folder / "object_info.json").read_text()))
        for path in sorted(folder.glob("*.json")):
            if path.name == "object_info.json":
                continue
            prompt = json.loads(path.read_text())["api"]
            assert run(to_python(prompt)) == prompt
            total += 1
            export = to_ui_workflow(prompt, info)
            # Only what a class declares counts: the front-end also sends an audio player's state.
            exact += same_prompt(to_api_prompt(export.workflow, info), prompt, info)
            left_out += [f"{path.name}: {change}" for change in export.changes]
    with capsys.disabled():
        print(f"\nUI export exact {exact} of {total}")
    assert exact == total, "\n".join(left_out)
