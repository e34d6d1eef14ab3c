"""The recorded pixel cases: a real ComfyUI's pictures, against the node library on its own."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from comfynb.sandbox.node import Context, Result
from comfynb.sandbox.nodes import NODE_CLASSES

REPO = Path(__file__).resolve().parents[2]
PIXELS = Path(os.environ.get("COMFYNB_SHARED", REPO.parent / "shared")) / "comfyui" / "pixels"
CASES = sorted(PIXELS.glob("*.json"))

# Their pixels are long float32 sums, whose order is the machine's; a hundred further terms in it
# move a level that lies on the edge by one. Everything else has to be exact.
SUMMING = {"ImageBlur", "ImageSharpen"}


def run(prompt: dict[str, Any], folders: dict[str, Path], version: str) -> dict[str, Result]:
    """Execute all nodes of a prompt, each after what it links to."""
    results: dict[str, Result] = {}

    def result(node_id: str) -> Result:
        if node_id not in results:
            node = prompt[node_id]
            inputs = {
                name: result(value[0]).outputs[value[1]] if isinstance(value, list) else value
                for name, value in node["inputs"].items()
            }
            ctx = Context(folders, node_id=node_id, prompt=prompt, version=version)
            results[node_id] = NODE_CLASSES[node["class_type"]]().execute(ctx, **inputs)
        return results[node_id]

    for node_id in prompt:
        result(node_id)
    return results


@pytest.fixture
def folders(tmp_path: Path) -> dict[str, Path]:
    for kind in ("output", "temp"):
        (tmp_path / kind).mkdir()
    return {"input": PIXELS / "inputs", "output": tmp_path / "output", "temp": tmp_path / "temp"}


def test_the_cases_are_there() -> None:
    if not PIXELS.parent.is_dir():
        pytest.skip(f"no recorded pixel cases: {PIXELS} is not there (COMFYNB_SHARED moves it)")
    assert CASES


@pytest.mark.parametrize("version", ["0.3.64", "0.8.0"])
@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_same_pixels(case: Path, version: str, folders: dict[str, Path]) -> None:
    recorded = json.loads(case.read_text())
    ui = run(recorded["prompt"], folders, version)[recorded["save_node"]].ui
    assert ui is not None
    names = [image["filename"] for image in ui["images"]]
    assert len(names) == len(recorded["images"])
    classes = {node["class_type"] for node in recorded["prompt"].values()}
    for name, expected in zip(names, recorded["images"], strict=True):
        with Image.open(folders["output"] / name) as ours, Image.open(PIXELS / expected) as theirs:
            assert ours.mode == theirs.mode
            ours_levels, their_levels = (np.asarray(i, np.int16) for i in (ours, theirs))
        difference = np.abs(ours_levels - their_levels)
        assert difference.max() <= (1 if classes & SUMMING else 0)
