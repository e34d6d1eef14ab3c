"""What a person exposes, names and groups; choices of all backends; presets; dynamic texts."""

import copy
import json

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.interactiveshell import InteractiveShell
from PIL import Image

from comfynb import Workbench
from comfynb.errors import InvalidValue, NotFound, UsageError
from comfynb.models import JobStatus, PresetRecord
from comfynb.sandbox import Sandbox


@pytest.fixture
def two_passes():
    """Two samplers of one class without titles of their own, in API format."""
    sampler = {"seconds_per_step": 0.0, "text": "a {red|green|blue} cat", "width": 32, "height": 32}
    return {
        "1": {"class_type": "LabLoader", "inputs": {"name": "small.safetensors", "seconds": 0.0}},
        "2": {
            "class_type": "LabSampler",
            "inputs": {"model": ["1", 0], "seed": 1, "steps": 1, **sampler},
        },
        "3": {
            "class_type": "LabSampler",
            "inputs": {"model": ["1", 0], "seed": 2, "steps": 1, **sampler},
            "_meta": {"title": "Second pass"},
        },
        "4": {
            "class_type": "SaveImage",
            "inputs": {"images": ["2", 0], "filename_prefix": "lab"},
        },
        "5": {
            "class_type": "SaveImage",
            "inputs": {"images": ["3", 0], "filename_prefix": "lab"},
        },
    }


@pytest.fixture
def wf(wb, two_passes):
    return wb.workflows.load(two_passes, name="two passes")


@pytest.fixture(scope="module")
def other():
    """A second backend: one model less, one more, as a machine with Windows would spell them."""
    models = ["sdxl\\big.safetensors", "small.safetensors", "only_here.safetensors"]
    with Sandbox(choices={"LabLoader.name": models}) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def first():
    models = ["small.safetensors", "sdxl/big.safetensors", "only_there.safetensors"]
    with Sandbox(choices={"LabLoader.name": models}) as sandbox:
        yield sandbox


@pytest.fixture
def fleet(tmp_path, first, other):
    """Two backends whose lists differ, both asked."""
    with Workbench(tmp_path / "fleet.duckdb") as workbench:
        workbench.backends.add(first.url, name="PC1")
        workbench.backends.add(other.url, name="PC2")
        for live in workbench.engine.backends.values():
            workbench.node_classes.of(live)
        workbench.check_backends().wait()
        yield workbench
        assert workbench.problems == []


def names(wf):
    return [p.display_name for p in wf.parameters.values()]


def test_two_samplers_are_told_apart(wf):
    assert len(set(names(wf))) == len(names(wf))
    assert {"Lab Sampler: Seed", "Second pass: Seed"} <= {
        name.replace("LabSampler", "Lab Sampler") for name in names(wf)
    }


def test_one_exposed_later_is_told_from_what_is_there(wf):
    assert wf.expose("2.batch_size").display_name == "Batch size"
    added = wf.expose("Second pass.batch_size")
    assert added.display_name == "Second pass: Batch size"
    assert names(wf)[-2:] == ["LabSampler: Batch size", "Second pass: Batch size"]


def test_a_name_that_a_person_gave_stays(wf):
    wf.expose("2.batch_size", name="Batch")
    wf.rename("Batch", "How many")
    wf.expose("3.batch_size")
    assert names(wf)[-2:] == ["How many", "Second pass: Batch size"]
    with pytest.raises(UsageError, match=r"already called 'How many'"):
        wf.rename("Second pass: Batch size", "How many")
    with pytest.raises(UsageError, match="display_name"):
        wf.rename("How many", "two\nlines")


def test_expose_takes_a_name_a_group_and_a_place(wf):
    made = wf.expose("Second pass.batch_size", name="How many", group="Output", order=0)
    assert (made.display_name, made.group, made.order) == ("How many", "Output", 0)
    assert next(iter(wf.parameters.values())).id == made.id
    again = wf.expose("3.batch_size", group="Size")
    assert (again.display_name, again.group) == ("How many", "Size")
    assert [p.order for p in wf.parameters.values()] == list(range(len(wf.parameters)))
    assert "How many" in repr(wf.parameters)
    assert "Group" in repr(wf.parameters)


def test_parameters_are_grouped_moved_and_reordered(wf):
    keys = list(wf.parameters)
    first, second, last = keys[0], keys[1], keys[-1]
    wf.move(first, -1)
    assert list(wf.parameters) == [*keys[1:], first]
    wf.move(first, 0)
    wf.reorder(last, second)
    assert list(wf.parameters)[:3] == [last, second, first]
    wf.group("Basics", first, last)
    assert list(wf.parameters)[:3] == [first, last, second]
    assert [p.group for p in wf.parameters.values()][:3] == ["Basics", "Basics", ""]
    with pytest.raises(UsageError, match="Name what belongs"):
        wf.group("Empty")
    with pytest.raises(NotFound, match="no parameter"):
        wf.move("nothing", 0)


def test_hidden_ones_come_back_as_they_were(wf):
    key = next(iter(wf.parameters))
    wf.rename(key, "Renamed")
    wf.hide("Renamed")
    assert "Renamed" not in names(wf)
    with pytest.raises(NotFound):
        wf.run(**{key: 1})
    wf.show("Renamed")
    assert "Renamed" in names(wf)
    wf.hide("Renamed")
    wf.show("LabSampler.steps")
    with pytest.raises(UsageError, match="names no input"):
        wf.show("nothing")


@pytest.mark.parametrize(
    ("place", "error", "says"),
    [
        ("SaveImage.filename_prefix", UsageError, 'use "4.filename_prefix" or "5.filename_prefix"'),
        ("2.model", UsageError, "is fed by"),
        ("Nobody.seed", NotFound, "no node called"),
        ("2.sed", NotFound, 'did you mean "seed"'),
        ("seed", UsageError, "names no input"),
    ],
)
def test_what_cannot_be_exposed_is_said_in_one_sentence(wf, place, error, says):
    before = names(wf)
    with pytest.raises(error, match=says):
        wf.expose(place)
    assert names(wf) == before


def test_nodes_and_inputs_complete_with_tab(wf):
    shell = InteractiveShell.instance()
    shell.push({"wf": wf})

    def complete(line):
        with provisionalcompleter():
            return [one.text.strip('"].') for one in shell.Completer.completions(line, len(line))]

    assert {"LabLoader", "Second pass", "4", "5"} <= set(complete('wf.nodes["'))
    # Completions begin where the last word does.
    assert "pass.seed" in complete('wf.expose(wf.nodes["Second pass.')
    assert "LabLoader.name" in complete('wf.expose(wf.nodes["LabLo')
    assert set(wf.parameters) <= set(complete('wf.parameters["'))
    node = wf.nodes["Second pass"]
    shell.push({"node": node})
    assert {"seed", "steps"} <= {one.removeprefix("node") for one in complete("node.")}
    assert complete('node["st') == ["steps"]


def test_a_node_hands_out_its_inputs(wf):
    wf.hide(*wf.parameters)
    wf.expose(wf.nodes["Second pass"].seed)
    wf.expose(wf.nodes["2.steps"])
    assert [(p.node_id, p.field_name) for p in wf.parameters.values()] == [
        ("3", "seed"),
        ("2", "steps"),
    ]
    assert repr(wf.nodes["3"].seed) == "<Second pass.seed: INT = 2>"
    assert "Second pass" in repr(wf.nodes)
    assert "Second pass" in wf.nodes
    assert "SaveImage" not in wf.nodes
    assert "text" in repr(wf.nodes["3"])
    with pytest.raises(UsageError, match='use "4" or "5"'):
        wf.nodes["SaveImage"]
    with pytest.raises(NotFound, match="no node called"):
        wf.nodes["zzz.seed"]
    with pytest.raises(NotFound, match='did you mean "seed"'):
        wf.nodes["3"]["sed"]
    with pytest.raises(AttributeError, match="no input"):
        _ = wf.nodes["3"].model
    with pytest.raises(NotFound, match="no input"):
        wf.nodes["3.model"]


def test_what_was_made_of_it_stays_when_it_is_loaded_again(wb, wf, two_passes):
    wf.hide(*[key for key in wf.parameters if "seed" not in key])
    wf.expose("3.steps", name="How long", group="Slow", order=0)
    wf.save()
    changed = copy.deepcopy(two_passes)
    changed["3"]["inputs"]["steps"] = 7
    changed["2"]["inputs"]["seed"] = ["3", 0]
    again = wb.workflows.load(changed, name="two passes")
    kept = {p.display_name: p for p in again.parameters.values()}
    assert list(kept) == ["How long", "Second pass: Seed"]
    assert kept["How long"].default_value == 7
    assert kept["How long"].group == "Slow"
    untouched = wb.workflows.load(two_passes, name="another")
    untouched.save()
    assert len(wb.workflows.load(two_passes, name="another").parameters) == len(
        untouched.parameters
    )


# Choices ----------------------------------------------------------------------------------------


def test_choices_of_all_backends_are_one_list_that_says_who_lacks_what(fleet, two_passes):
    wf = fleet.workflows.load(two_passes, name="two passes")
    wf.expose("LabLoader.name")
    assert wf.parameters["name"].constraints.choices == [
        "small.safetensors",
        "sdxl/big.safetensors",
        "only_there.safetensors",
        "only_here.safetensors",
    ]
    assert dict(wf.choices("name")) == {
        "small.safetensors": (),
        "sdxl/big.safetensors": (),
        "only_there.safetensors": ("PC2",),
        "only_here.safetensors": ("PC1",),
    }
    assert "only_here.safetensors   PC1" in repr(wf.choices("name"))
    assert "4 choices; 1 not on PC2, 1 not on PC1" in repr(wf.parameters)
    with pytest.raises(InvalidValue, match="did you mean"):
        wf.run(name="only_hear.safetensors")
    with pytest.raises(NotFound, match="No backend offers"):
        wf.choices("name")["nothing"]
    fleet.backends["PC2"].disable()
    assert wf.choices("name")["sdxl/big.safetensors"] == ()
    assert "only_here.safetensors" not in wf.choices("name")


def test_a_model_that_one_backend_has_leads_there(fleet, two_passes):
    wf = fleet.workflows.load(two_passes, name="two passes")
    wf.expose("LabLoader.name")
    jobs = [
        wf.run(name=model, dynamic_seed=place)
        for place, model in enumerate(["only_here.safetensors", "only_there.safetensors"] * 2)
    ]
    for job in jobs:
        job.wait()
    assert [(job.status, job.backend) for job in jobs] == [
        (JobStatus.COMPLETED, "PC2"),
        (JobStatus.COMPLETED, "PC1"),
    ] * 2


def test_each_backend_is_sent_its_own_spelling(fleet, two_passes):
    two_passes["1"]["inputs"]["name"] = "sdxl\\big.safetensors"
    wf = fleet.workflows.load(two_passes, name="two passes")
    wf.expose("LabLoader.name", order=0)
    assert wf.parameters["name"].default_value == "sdxl/big.safetensors"
    for values in ({}, {"name": "sdxl/big.safetensors"}, {"name": "sdxl\\big.safetensors"}):
        for backend, spelled in (("PC1", "sdxl/big"), ("PC2", "sdxl\\big")):
            job = wf.run(values, backend=backend, dynamic_seed=0).wait()
            assert (job.status, job.backend) == (JobStatus.COMPLETED, backend)
            assert sent(job)["1"]["inputs"]["name"] == f"{spelled}.safetensors"
    assert all(problem.kind != "value_not_in_list" for problem in wf.check())


def test_a_picture_that_lies_on_one_backend_leads_there(fleet, other):
    Image.new("RGB", (8, 8)).save(other.base_dir / "input" / "only_on_pc2.png")
    live = fleet.backends["PC2"]._live
    live.object_info = None
    fleet.node_classes.of(live)
    wf = fleet.workflows.load(
        {
            "1": {"class_type": "LoadImage", "inputs": {"image": "gradient.png"}},
            "2": {
                "class_type": "SaveImage",
                "inputs": {"images": ["1", 0], "filename_prefix": "x"},
            },
        },
        name="picture",
    )
    jobs = [wf.run(image="only_on_pc2.png").wait() for _ in range(2)]
    assert [(job.status, job.backend) for job in jobs] == [(JobStatus.COMPLETED, "PC2")] * 2


# Dynamic prompts --------------------------------------------------------------------------------


@pytest.fixture
def dynamic(wb, wf):
    """The workflow on a backend that declares the sampler's text as a dynamic prompt."""
    wb.check_backends().wait()
    (live,) = wb.engine.backends.values()
    info = copy.deepcopy(wb.node_classes.of(live))
    info["LabSampler"]["input"]["required"]["text"][1]["dynamicPrompts"] = True
    live.object_info = info
    return wf


def sent(job):
    """The prompt that the server wrote into the picture."""
    with job.images.open() as picture:
        return json.loads(picture.text["prompt"])


def texts(job):
    return [node["inputs"]["text"] for node in sent(job).values() if "text" in node["inputs"]]


def test_choices_are_made_by_a_seed_that_the_job_remembers(dynamic):
    job = dynamic.run().wait()
    seed = job.values["dynamic_seed"]
    assert job.status is JobStatus.COMPLETED
    assert all(text in {f"a {c} cat" for c in ("red", "green", "blue")} for text in texts(job))
    assert texts(dynamic.run(dynamic_seed=seed).wait()) == texts(job)
    assert texts(dynamic.run(job.values).wait()) == texts(job)
    points = [{"dynamic_seed": seed, "labsampler_seed": 100 + seed} for seed in range(8)]
    many = dynamic.run_many(points)
    found = {tuple(texts(job.wait())) for job in many}
    assert len(found) > 1
    with pytest.raises(InvalidValue, match="dynamic_seed must be a whole number"):
        dynamic.run(dynamic_seed="x")


def test_a_given_text_is_resolved_and_stays_as_it_was_typed_in_the_job(dynamic):
    key = "second_pass_prompt"
    job = dynamic.run({key: r"{one|two} \{kept\} // gone"}, dynamic_seed=1).wait()
    assert job.values[key] == r"{one|two} \{kept\} // gone"
    assert sent(job)["3"]["inputs"]["text"] in {"one {kept} ", "two {kept} "}


def test_nothing_is_drawn_where_nothing_is_open(wf):
    assert "dynamic_seed" not in wf.run().wait().values


def test_dynamic_choices_are_axes(dynamic):
    axes = dynamic.dynamic_choices
    assert [list(axis) for axis in axes.values()] == [
        ["a red cat", "a green cat", "a blue cat"]
    ] * 2
    key = next(key for key in axes if "second" in key)
    # Another seed for the other sampler: a cached picture carries the prompt that made it.
    points = [
        {key: text, "dynamic_seed": 0, "labsampler_seed": place}
        for place, text in enumerate(axes[key])
    ]
    jobs = dynamic.run_many(points)
    assert [sent(job.wait())["3"]["inputs"]["text"] for job in jobs] == list(axes[key])


def test_a_date_in_a_file_name_is_the_day_of_the_job(wb, two_passes):
    two_passes["4"]["inputs"]["filename_prefix"] = "%date:yyyy-MM-dd%_lab"
    job = wb.workflows.load(two_passes, name="dated").run().wait()
    day = job._live.job.created_at.astimezone().strftime("%Y-%m-%d")
    assert sent(job)["4"]["inputs"]["filename_prefix"] == f"{day}_lab"
    assert sent(job)["5"]["inputs"]["filename_prefix"] == "lab"


# Presets ----------------------------------------------------------------------------------------


def test_presets_are_kept_and_survive_a_new_name(wb, wf, two_passes):
    key = next(key for key in wf.parameters if "second" in key and "steps" in key)
    wf.presets.save("fast", {key: 2})
    wf.presets.save("slow", {key: 50})
    wf.presets.save("fast", {key: 3})
    assert list(wf.presets) == ["fast", "slow"]
    assert len(wf.presets) == 2
    assert "fast" in wf.presets
    assert wf.presets["fast"] == {key: 3}
    assert "Second pass: Steps = 3" in repr(wf.presets)
    wf.rename(key, "How long")
    again = wb.workflows.load(two_passes, name="two passes")
    again.expose("3.steps", name="How long")
    assert list(again.presets["fast"].values()) == [3]
    assert again.run(again.presets["fast"]).wait().status is JobStatus.COMPLETED
    again.hide("How long")
    assert again.presets["fast"] == {}
    del again.presets["slow"]
    assert list(wf.presets) == ["fast"]
    assert wb.workflows["two passes"].presets["fast"]
    assert wb.store.count(PresetRecord).result() == 1


def test_presets_that_are_wrong_are_not_kept(wf):
    key = next(key for key in wf.parameters if "steps" in key)
    with pytest.raises(InvalidValue):
        wf.presets.save("bad", {key: -1})
    with pytest.raises(NotFound, match="no parameter"):
        wf.presets.save("bad", nothing=1)
    with pytest.raises(UsageError, match="name"):
        wf.presets.save("two\nlines", {key: 1})
    with pytest.raises(NotFound, match='has no preset "fsat"; there are: none yet'):
        wf.presets["fsat"]
    wf.presets.save("fast", {key: 1})
    with pytest.raises(NotFound, match='did you mean "fast"'):
        wf.presets.delete("fsat")
    assert list(wf.presets) == ["fast"]


# Forms ------------------------------------------------------------------------------------------


def test_a_form_follows_what_is_edited_in_code_and_in_the_editor(wf):
    form = wf.form()
    key = next(iter(wf.parameters))
    form.field(key)._text.value = "77"
    wf.rename(key, "The first seed")
    assert "The first seed" in [one.display_name for one in form.parameters.values()]
    assert 77 in form.values.values()
    editor = wf.edit_parameters()
    editor.regroup(editor.parameters[0].id, "Seeds")
    assert wf.parameters[next(iter(wf.parameters))].group == "Seeds"
    assert [one.title for one in form._sections] == ["Seeds"]
    editor.rename(editor.parameters[0].id, editor.parameters[1].display_name)
    assert "are both called" in editor._message.value
    for widget in (form, editor):
        widget.close()


def test_a_form_says_who_lacks_what_and_follows_the_backends(fleet, two_passes):
    wf = fleet.workflows.load(two_passes, name="two passes")
    form = wf.form({"seconds": 0.5})
    assert form.values["seconds"] == 0.5
    note = form.field("name")._noted("only_here.safetensors")
    assert note == "only_here.safetensors (not on PC1)"
    fleet.backends["PC2"].disable()
    wf.hide("seconds")
    assert "seconds" not in form.values
    assert "only_here.safetensors" not in form.field("name")._options
    form.close()


def test_a_form_keeps_presets(wf):
    form = wf.form()
    key = next(key for key in wf.parameters if "steps" in key)
    form.field(key)._text.value = "7"
    form._presets._name.value = "seven"
    form._presets._save.click()
    assert wf.presets["seven"][key] == 7
    form.reset()
    form._presets.refresh()
    form._presets._choice.value = 0
    assert form.values[key] == 7
    form.close()
