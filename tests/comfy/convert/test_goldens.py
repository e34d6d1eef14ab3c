"""Every workflow of the shared conversions becomes exactly the prompt that the front-end made."""

import json
from pathlib import Path

import pytest

from comfynb.comfy.compare import same_prompt
from comfynb.comfy.convert import convert
from comfynb.comfy.object_info import ObjectInfo


def test_all_conversions_are_exact(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = sorted((shared / "comfyui" / "conversion").iterdir())
    assert folders, f"no conversions in {shared}"
    total = exact = 0
    wrong: list[str] = []
    for folder in folders:
        info = ObjectInfo(json.loads((folder / "object_info.json").read_text()))
        for path in sorted(folder.glob("*.json")):
            if path.name == "object_info.json":
                continue
            case = json.loads(path.read_text())
            total += 1
            if same_prompt(convert(case["workflow"], info).prompt, case["api"], info):
                exact += 1
            else:
                wrong.append(f"{folder.name}/{path.name}")
    with capsys.disabled():
        print(f"\nexact {exact} of {total}")
    assert exact == total, wrong


def test_conversion_leaves_its_arguments_alone(shared: Path) -> None:
    folder = max((shared / "comfyui" / "conversion").iterdir())
    text = (folder / "object_info.json").read_text()
    info = json.loads(text)
    paths = [path for path in sorted(folder.glob("*.json")) if path.name != "object_info.json"]
    for path in paths[::10]:
        case = path.read_text()
        workflow = json.loads(case)["workflow"]
        first = convert(workflow, info)
        assert workflow == json.loads(case)["workflow"]
        assert first == convert(workflow, info)
    assert info == json.loads(text)
