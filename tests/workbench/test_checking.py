"""wf.check(): one table of what keeps a workflow from running, with a column per backend."""

import json

import pytest

from comfynb import Workbench
from comfynb.errors import NotFound, UsageError
from comfynb.models import JobStatus
from comfynb.sandbox import Sandbox


@pytest.fixture(scope="module")
def bare():
    """A backend with little VRAM, another model list, and without one node class."""
    models = ["only_there.safetensors"]
    options = {"choices": {"LabLoader.name": models}, "without": ["ImageInvert"], "vram": 8}
    with Sandbox(**options) as sandbox:
        yield sandbox


@pytest.fixture
def both(wb, bare):
    wb.backends.add(bare.url, name="bare")
    wb.check_backends().wait(30)
    return wb


def prompt(model="small.safetensors", image="gradient.png"):
    return {
        "1": {
            "class_type": "LabLoader",
            "inputs": {"name": model, "seconds": 0.0},
            "_meta": {"title": "Load model"},
        },
        "2": {
            "class_type": "LabSampler",
            "inputs": {
                "model": ["1", 0],
                "seed": 1,
                "steps": 2,
                "seconds_per_step": 0.0,
                "text": "",
                "width": 32,
                "height": 32,
            },
        },
        "3": {"class_type": "LoadImage", "inputs": {"image": image}},
        "4": {"class_type": "ImageInvert", "inputs": {"image": ["3", 0]}},
        "5": {
            "class_type": "ImageInvert",
            "inputs": {"image": ["2", 0]},
            "_meta": {"title": "Negative"},
        },
        "6": {
            "class_type": "SaveImage",
            "inputs": {"images": ["4", 0], "filename_prefix": "a"},
        },
        "7": {
            "class_type": "SaveImage",
            "inputs": {"images": ["5", 0], "filename_prefix": "b"},
        },
    }


def kinds(problems):
    return sorted(problem.kind for problem in problems)


def test_what_fits_is_empty_false_and_says_where(wb, portrait):
    check = wb.workflows.load(portrait).check()
    assert check == []
    assert not check
    assert check.ok
    assert repr(check) == "portrait would run on one."
    assert "✓" in check._repr_mimebundle_()["text/html"]


def test_each_backend_has_a_column_and_says_what_it_lacks(both):
    wf = both.workflows.load(prompt(), name="both")
    check = wf.check()
    assert check.ok
    assert check.on("one").ok
    there = check.on("bare")
    assert kinds(there.problems) == ["missing_model", "missing_node_type", "missing_node_type"]
    text = repr(check)
    assert text.startswith("both would run on one.")
    # One row for a class, with the titles of all nodes that need it.
    (row,) = [line for line in text.splitlines() if "ImageInvert" in line and "class" in line]
    assert "Negative" in row
    assert "one has it." in text
    assert 'bare has no model "small.safetensors" for name' in text
    html = check._repr_mimebundle_()["text/html"]
    assert "<th" in html
    assert "bare" in html


def test_one_backend_can_be_asked(both):
    wf = both.workflows.load(prompt(), name="both")
    check = wf.check("bare")
    assert not check.ok
    assert len(check) == 3
    assert [one.backend for one in check.backends] == ["bare"]
    assert check[0] in list(check)
    with pytest.raises(NotFound, match="nobody"):
        wf.check("nobody")


def test_values_are_judged_as_rows_and_not_raised(both):
    wf = both.workflows.load(prompt(), name="both")
    check = wf.check(steps=100_000, seed=-1)
    assert kinds(check) == ["invalid_value", "invalid_value"]
    assert "100000" in repr(check)
    with pytest.raises(NotFound, match="no parameter"):
        wf.check(stepz=3)


def test_a_saved_value_out_of_range_is_a_row(wb):
    odd = prompt()
    odd["2"]["inputs"]["steps"] = 10**7
    check = wb.workflows.load(odd, name="odd").check()
    assert kinds(check) == ["value_bigger_than_max"]
    assert "too large" in repr(check)


def test_a_missing_picture_is_told_unless_it_will_be_uploaded(wb, tmp_path):
    from PIL import Image

    wf = wb.workflows.load(prompt(image="nowhere.png"), name="picture")
    assert kinds(wf.check()) == ["file_missing"]
    Image.new("RGB", (8, 8)).save(tmp_path / "mine.png")
    assert wf.check(image="mine.png").ok


def test_capabilities_and_vram_are_part_of_it(both):
    wf = both.workflows.load(prompt(), name="needy")
    wf.save()
    record = wf.definition
    record.required_capabilities = ["flux"]
    both.store.put(record).result()
    wf = both.workflows["needy"]
    assert kinds(wf.check("one")) == ["missing_capability"]
    both.backends["one"].change(capabilities=["flux"])
    assert wf.check("one").ok
    found = wf.check("bare", vram=24)
    assert {"missing_capability", "not_enough_vram"} <= set(kinds(found))
    assert "8.0 GiB of VRAM, and 24 GiB are needed" in repr(found)
    # A card sold with 24 GB reports a little less.
    assert wf.check("one", vram=24).ok


def test_what_the_conversion_found_odd_is_a_warning(wb, portrait):
    edited = json.loads(portrait.read_text())
    sampler = next(node for node in edited["nodes"] if node["type"] == "LabSampler")
    sampler["inputs"].append(
        {"name": "gone", "type": "INT", "link": 99, "widget": {"name": "gone"}}
    )
    edited["links"].append([99, edited["nodes"][0]["id"], 0, sampler["id"], 40, "INT"])
    check = wb.workflows.load(edited, name="odd").check()
    assert check.ok
    assert kinds(check.warnings) == ["conversion"]
    assert "lost link" in repr(check)


def test_a_backend_that_ran_out_of_memory_is_warned_of(tmp_path):
    with Sandbox() as small, Workbench(tmp_path / "oom.duckdb") as wb:
        wb.backends.add(small.url, name="small")
        wf = wb.workflows.load(prompt(), name="heavy")
        assert wf.check().warnings == []
        small.fault("oom", node_class="LabSampler")
        job = wf.run().wait()
        assert job.status is JobStatus.FAILED
        (warning,) = wf.check().warnings
        assert warning.kind == "out_of_memory"
        assert "once before" in warning.message
        assert wf.check().ok


def test_without_any_backend_the_cure_is_named(tmp_path):
    with Workbench(tmp_path / "none.duckdb") as wb:
        wf = wb.workflows.load(prompt(), name="alone")
        with pytest.raises(UsageError, match=r"wb\.backends\.add"):
            wf.check()


def test_a_backend_switched_off_can_still_be_asked_by_name(both):
    both.backends["bare"].disable()
    wf = both.workflows.load(prompt(), name="both")
    assert [one.backend for one in wf.check().backends] == ["one"]
    check = wf.check("bare")
    assert "switched off" in repr(check)


def test_hostile_names_stay_text(both):
    evil = "<img src=x onerror=alert(1)>"
    odd = prompt()
    odd["1"]["_meta"]["title"] = evil
    odd["1"]["inputs"]["name"] = f"{evil}.safetensors"
    odd["8"] = {"class_type": f"{evil}\n", "inputs": {}}
    check = both.workflows.load(odd, name=evil).check()
    html = check._repr_mimebundle_()["text/html"]
    assert "<img" not in html
    assert "\n" not in repr(check).splitlines()[0]
