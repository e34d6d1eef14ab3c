"""Two backends, small workflows, and a graph of every kind of node that uses them."""

import itertools

import pytest
from PIL import Image

from comfynb.sandbox import Sandbox


@pytest.fixture(scope="session")
def other():
    """A second ComfyUI, for all of these tests."""
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def fresh():
    """Numbers that no test has used before, so that no server has anything in its cache."""
    return itertools.count(1)


@pytest.fixture
def fleet(wb, other):
    """A Workbench with two backends: one, two."""
    wb.backends.add(other.url, name="two")
    wb.check_backends().wait()
    return wb


@pytest.fixture
def invert():
    """A workflow in API format that takes a picture and gives one."""
    return {
        "1": {"class_type": "LoadImage", "inputs": {"image": "none.png"}},
        "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": "inverted"},
            "_meta": {"title": "Keep"},
        },
    }


@pytest.fixture
def inverting(wb, invert):
    return wb.workflows.load(invert, name="invert")


@pytest.fixture
def sampler(wb):
    """A workflow with parameters that makes a picture of nothing."""
    nodes = {
        "1": {"class_type": "LabLoader", "inputs": {"name": "small.safetensors", "seconds": 0.0}},
        "2": {
            "class_type": "LabSampler",
            "inputs": {
                "model": ["1", 0],
                "seed": 1,
                "steps": 4,
                "seconds_per_step": 0.0,
                "text": "",
                "width": 32,
                "height": 32,
            },
            "_meta": {"title": "Sampler"},
        },
        "3": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": "sampled"},
            "_meta": {"title": "Keep"},
        },
    }
    return wb.workflows.load(nodes, name="sampler")


@pytest.fixture
def pictures(tmp_path, fresh):
    """Two pictures, one wide and one narrow."""
    made = []
    for name, width in (("wide", 640), ("narrow", 64)):
        path = tmp_path / f"{name}.png"
        colour = next(fresh)
        Image.new("RGB", (width, 48), (colour % 256, colour // 256, 7)).save(path)
        made.append(path)
    return made


@pytest.fixture
def faces(fleet, inverting, pictures):
    """input -> first -> condition -> big | small -> merge -> output"""
    graph = fleet.graphs.new("faces")
    source = graph.input("pictures", files=pictures[0])
    first = graph.workflow(inverting, "first", backend="one", fallback="none")
    cond = graph.condition("output.width > 512", "wide?", true_label="wide")
    big = graph.workflow(inverting, "big", backend="two", fallback="auto")
    small = graph.workflow(inverting, "small", filename_prefix="small")
    merge, out = graph.merge(), graph.output("results", "{node}_{index:02}_{name}")
    source >> first >> cond
    cond.true >> big >> merge
    cond.false >> small >> merge
    merge >> out
    return graph
