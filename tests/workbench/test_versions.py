"""Versions of a workflow, what changed between them, and what is exported of it."""

import json

import pytest

from comfynb.comfy import to_api_prompt
from comfynb.errors import InvalidValue, NotFound, UsageError, WorkflowError


def edited(portrait, change):
    data = json.loads(portrait.read_text())
    change(data)
    portrait.write_text(json.dumps(data))
    return portrait


def sampler(data):
    return next(node for node in data["nodes"] if node["type"] == "LabSampler")


@pytest.fixture
def grown(wb, portrait):
    """A workflow in three versions: other steps, then only moved."""
    wb.workflows.load(portrait).save()

    values = sampler(json.loads(portrait.read_text()))["widgets_values"]
    place = values.index(20)

    def other_steps(data):
        sampler(data)["widgets_values"][place] = 12

    def moved(data):
        sampler(data)["pos"] = [1, 2]

    wb.workflows.load(edited(portrait, other_steps)).save()
    return wb.workflows.load(edited(portrait, moved)).save()


def test_versions_are_numbered_shown_and_loaded(wb, grown):
    versions = grown.versions
    assert [version.number for version in versions] == [1, 2, 3]
    assert len(versions) == 3
    assert versions[-1].number == 3
    assert versions[1].size > 500
    assert versions[1].created_at <= versions[2].created_at
    assert repr(versions).count("UI") == 3
    assert "<table" in versions._repr_html_()
    assert "Version 1 of portrait" in repr(versions[1])
    with pytest.raises(NotFound, match="no version 4; there are: 1, 2, 3"):
        versions[4]
    old = versions[1].load()
    assert old.parameters["steps"].default_value != 12
    assert grown.parameters["steps"].default_value == 12
    # The same content is the same version again.
    old.save()
    assert len(grown.versions) == 3


def test_a_difference_names_node_input_and_both_values(grown):
    found = grown.diff(1, 2)
    (change,) = found
    assert change.input == "steps"
    assert change.after == 12
    assert "steps" in repr(found)
    html = found._repr_mimebundle_()["text/html"]
    assert "1 change." in html
    assert "steps" in html
    layout = grown.versions.diff()
    assert not layout
    assert layout.layout == ["Layout only: 1 node moved."]
    assert "Nothing that runs has changed." in repr(layout)


def test_a_hostile_difference_stays_text(wb, portrait):
    evil = "<img src=x onerror=alert(1)>"
    wb.workflows.load(portrait).save()

    def change(data):
        sampler(data)["title"] = evil
        values = sampler(data)["widgets_values"]
        place = next(i for i, v in enumerate(values) if isinstance(v, str) and " " in v)
        values[place] = f"</code>{evil}"

    wf = wb.workflows.load(edited(portrait, change)).save()
    html = wf.diff()._repr_mimebundle_()["text/html"]
    assert "<img" not in html
    assert "&lt;img" in html


def test_the_prompt_is_exported_with_the_values_given(wb, portrait):
    wf = wb.workflows.load(portrait)
    exported = wf.to_api_json(seed=77)
    assert wb.workflows.load(exported, name="x").parameters["seed"].default_value == 77
    assert wf.to_api_json() == wf.api_json
    with pytest.raises(InvalidValue):
        wf.to_api_json(steps="many")


def test_the_ui_workflow_is_exported_with_the_values_in_place(wb, portrait):
    wf = wb.workflows.load(portrait)
    info = wb.backends["one"].object_info
    assert wf.to_ui_json() == json.loads(portrait.read_text())
    changed = wf.to_ui_json(seed=77, steps=3)
    assert to_api_prompt(changed, info) == wf.to_api_json(seed=77, steps=3)
    differing = [
        (old["id"], old["widgets_values"], new["widgets_values"])
        for old, new in zip(
            json.loads(portrait.read_text())["nodes"], changed["nodes"], strict=True
        )
        if old != new
    ]
    assert len(differing) == 1


def test_api_json_becomes_a_ui_workflow(wb, portrait):
    api = wb.workflows.load(portrait).to_api_json()
    wf = wb.workflows.load(api, name="from api")
    workflow = wf.to_ui_json(seed=5)
    assert to_api_prompt(workflow, wb.backends["one"].object_info) == wf.to_api_json(seed=5)
    again = wb.workflows.load(workflow, name="again")
    assert again.report.warnings == []
    assert again.check() == []


def test_a_workflow_that_cannot_be_drawn_says_so(wb):
    broken = {
        "1": {"class_type": "SaveImage", "inputs": {"images": ["9", 0], "filename_prefix": "x"}}
    }
    wf = wb.workflows.load(broken, name="broken")
    with pytest.raises(WorkflowError, match="without a loss"):
        wf.to_ui_json()


def test_python_code_rebuilds_the_prompt(wb, portrait):
    wf = wb.workflows.load(portrait)
    scope = {}
    exec(wf.to_python(seed=5), scope)
    assert scope["prompt"] == wf.to_api_json(seed=5)
    assert wb.workflows.load(scope["prompt"], name="x").check().ok


@pytest.mark.parametrize(
    ("name", "options", "kind"),
    [("a.json", {}, "ui"), ("a.api.json", {}, "api"), ("a.txt", {"format": "api"}, "api")],
)
def test_files_are_written_in_the_format_that_their_name_says(wb, portrait, name, options, kind):
    wf = wb.workflows.load(portrait)
    path = wf.save_as(portrait.parent / name, seed=9, **options)
    data = json.loads(path.read_text())
    assert ("nodes" in data) == (kind == "ui")
    assert wb.workflows.load(path, name="again").parameters["seed"].default_value == 9


def test_python_files_and_bad_names(wb, portrait, tmp_path):
    wf = wb.workflows.load(portrait)
    assert "PromptBuilder" in wf.save_as(tmp_path / "a.py").read_text()
    with pytest.raises(UsageError, match="does not say a format"):
        wf.save_as(tmp_path / "a.txt")
    with pytest.raises(UsageError, match="cannot be written"):
        wf.save_as(tmp_path / "nowhere" / "a.json")
    with pytest.raises(UsageError, match="no format"):
        wf.save_as(tmp_path / "a.json", format="yaml")
    assert sorted(path.name for path in tmp_path.glob("a*")) == ["a.py"]


def shown(wf):
    return [(key, p.display_name, p.group) for key, p in wf.parameters.items()]


def test_a_version_brings_back_what_it_let_one_set(wb, portrait):
    wf = wb.workflows.load(portrait).save()
    proposed = shown(wf)
    wf.rename("seed", "Luck")
    wf.group("Sampling", "steps", "alpha")
    wf.move("Luck", 0)
    wf.hide("text")
    edited = shown(wf.save())
    assert edited != proposed
    wf.show("text")
    wf.rename("seed", "Noise")
    wf.save()
    assert len(wf.versions) == 3
    assert [len(version.parameters) for version in wf.versions] == [
        len(proposed),
        len(proposed) - 1,
        len(proposed),
    ]
    old = wf.versions[2].load()
    assert shown(old) == edited
    assert shown(wf.versions[1].load()) == proposed
    # Saving it makes it the current one, in no new version; so does what is loaded afterwards.
    old.save()
    assert len(wf.versions) == 3
    assert shown(wb.workflows["portrait"]) == edited
    assert shown(wb.workflows.load(portrait)) == edited


def test_a_version_that_hides_everything_stays_so(wb, portrait):
    wf = wb.workflows.load(portrait)
    wf.hide(*wf.parameters)
    wf.save()
    wf.expose("2.seed")
    wf.save()
    assert shown(wf.versions[1].load()) == []
    assert list(wf.versions[2].load().parameters) == ["seed"]


def test_what_a_backend_offers_makes_no_new_version(wb, portrait, sandbox):
    wf = wb.workflows.load(portrait).save()
    record = wf.versions[1].record
    assert not any(p.constraints and p.constraints.choices for p in record.exposed_parameters)
    # The limits of today are the loaded version's, its choices those that backends offer now.
    old = wf.versions[1].load()
    assert {key: p.constraints for key, p in old.parameters.items()} == {
        key: p.constraints for key, p in wf.parameters.items()
    }


def test_a_difference_shows_what_was_done_to_parameters(wb, portrait):
    wf = wb.workflows.load(portrait).save()
    wf.rename("seed", "<b>Luck</b>")
    wf.hide("text")
    wf.group("Sampling", "steps")
    wf.save()
    found = wf.diff()
    assert {(change.kind, change.input, change.was, change.now) for change in found} >= {
        ("exposed", "seed", 'exposed as "Seed"', 'exposed as "<b>Luck</b>"'),
        ("exposed", "steps", "in no group", 'in the group "Sampling"'),
    }
    (hidden,) = [change for change in found if change.now == "not exposed"]
    assert hidden.input == "text"
    html = found._repr_mimebundle_()["text/html"]
    assert "<b>Luck" not in html
    assert "&lt;b&gt;Luck" in html
    wf.move("steps", 0)
    wf.save()
    (moved,) = wf.diff()
    assert moved.input == "order"
    assert moved.now.startswith('"Steps", ')
    assert not wf.diff(1, 1)


def test_a_version_of_an_older_store_says_that_it_does_not_know(wb, portrait):
    wf = wb.workflows.load(portrait).save()
    record = wf.versions[1].record
    wb.store.put(record.model_copy(update={"exposed_parameters": None})).result()
    wf.rename("seed", "Luck")
    wf.save()
    found = wf.diff()
    assert not found
    assert found.layout == ["What version 1 let one set was not kept."]
    # The names of today are the best guess then.
    assert wf.versions[1].load().parameters["seed"].display_name == "Luck"


def test_names_stay_while_no_backend_knows_the_class(wb, portrait):
    prompt = wb.workflows.load(portrait).to_api_json()
    (node_id,) = [key for key, node in prompt.items() if node["class_type"] == "LabSampler"]
    wf = wb.workflows.load(prompt, name="away")
    wf.rename("seed", "Luck")
    wf.save()
    record = wf.versions[1].record
    gone = {**prompt, node_id: {**prompt[node_id], "class_type": "SomebodysSampler"}}
    gone[node_id]["inputs"] = {**prompt[node_id]["inputs"], "steps": ["9", 0]}
    wb.store.put(record.model_copy(update={"api_json": gone})).result()
    names = [p.display_name for p in wf.versions[1].load().parameters.values()]
    assert "Luck" in names
    assert "Steps" not in names
