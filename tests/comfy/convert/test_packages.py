"""Every official template and blueprint loads and converts; what is unknown is reported."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfynb.comfy.convert import convert
from comfynb.comfy.graph import links_of
from comfynb.comfy.load import load_workflow
from comfynb.comfy.object_info import ObjectInfo
from comfynb.comfy.parameters import propose_parameters


def workflows(package: str) -> Iterator[Path]:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"the package {package.replace('_', '-')} is not installed")
    for path in sorted(Path(spec.submodule_search_locations[0]).rglob("*.json")):
        data = json.loads(path.read_text())
        if isinstance(data, dict) and "nodes" in data:
            yield path


@pytest.mark.parametrize(
    ("package", "least"),
    [("comfyui_workflow_templates_json", 600), ("comfyui_subgraph_blueprints", 100)],
)
def test_all_load_and_convert(
    package: str, least: int, shared: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = max((shared / "comfyui" / "conversion").iterdir())
    info = ObjectInfo(json.loads((folder / "object_info.json").read_text()))
    nothing = ObjectInfo({})
    count = with_unknown = 0
    for path in workflows(package):
        loaded = load_workflow(path)
        assert loaded.kind == "ui"
        assert loaded.workflow is not None
        conversion = convert(loaded.workflow, info)
        prompt = conversion.prompt
        for node in prompt.values():
            assert all(source in prompt for _, source, _ in links_of(node)), path.name
        unknown = {node["class_type"] for node in prompt.values()} - set(info)
        assert set(conversion.report.unknown_classes) == unknown, path.name
        propose_parameters(prompt, info, loaded.workflow)
        without = convert(loaded.workflow, nothing)
        assert set(without.prompt) == set(prompt), path.name
        for node_id, node in prompt.items():
            # What is linked to what does not depend on knowing the classes, save for bypasses.
            assert without.prompt[node_id]["class_type"] == node["class_type"]
        count += 1
        with_unknown += bool(unknown)
    with capsys.disabled():
        print(f"\n{package}: {count} converted, {with_unknown} with classes unknown to the bench")
    assert count >= least
