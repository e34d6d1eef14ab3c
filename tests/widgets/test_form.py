import asyncio
from typing import Any

import ipywidgets
import pytest

from comfynb.errors import UsageError
from comfynb.models import JobStatus, ParamType
from comfynb.widgets import FormView, JobRow, ParameterForm
from comfynb.widgets.fields.choice import ChoiceField
from comfynb.widgets.fields.file import FileField
from comfynb.widgets.fields.number import NumberField, SeedField
from comfynb.widgets.fields.text import BoolField, MultilineField, StringField
from comfynb.widgets.form import FIRST, KEPT_ROWS


@pytest.fixture
def eight(parameter: Any) -> dict[str, Any]:
    kinds = [
        ("steps", ParamType.INT, 20, {"min_value": 1, "max_value": 100}),
        ("cfg", ParamType.FLOAT, 7.5, {"min_value": 0.0, "max_value": 30.0, "step": 0.5}),
        ("prefix", ParamType.STRING, "ComfyUI", {}),
        ("prompt", ParamType.MULTILINE_STRING, "a cat", {}),
        ("tiling", ParamType.BOOL, False, {}),
        ("sampler", ParamType.CHOICE, "euler", {"choices": ["euler", "heun"]}),
        ("image", ParamType.IMAGE_PATH, "a.png", {}),
        ("video", ParamType.VIDEO_PATH, "a.mp4", {}),
        ("seed", ParamType.INT, 2**64 - 1, {"min_value": 0, "max_value": 2**64 - 1}),
    ]
    return {
        name: parameter(name, kind, default, order=order, **limits)
        for order, (name, kind, default, limits) in enumerate(kinds)
    }


def many(parameter: Any, count: int = 100) -> dict[str, Any]:
    return {
        f"p{i}": parameter(f"p{i}", default=i, order=i, node_title=f"Node {i // 10}", max_value=500)
        for i in range(count)
    }


def test_each_type_gets_its_input(eight: Any, check: Any) -> None:
    form = ParameterForm(eight, check=check)
    expected = {
        "steps": NumberField,
        "cfg": NumberField,
        "prefix": StringField,
        "prompt": MultilineField,
        "tiling": BoolField,
        "sampler": ChoiceField,
        "image": FileField,
        "video": FileField,
        "seed": SeedField,
    }
    assert {key: type(form.field(key)) for key in eight} == expected
    assert form.values == {key: one.default_value for key, one in eight.items()}
    assert not form._run.disabled


def test_a_one_line_text_with_line_breaks_gets_more_lines(parameter: Any, check: Any) -> None:
    form = ParameterForm([parameter("t", ParamType.STRING, "a\nb")], check=check)
    assert isinstance(form.field("t"), MultilineField)


async def test_run_hands_over_every_value_and_shows_the_row(
    eight: Any, check: Any, box: Any, job_view: Any
) -> None:
    got: list[dict[str, object]] = []

    def run(values: dict[str, object]) -> ipywidgets.Widget:
        got.append(values)
        return JobRow(box(job_view(status=JobStatus.RUNNING)))

    form = ParameterForm(eight, {"steps": 33}, run, check=check, title="portrait")
    form.field("prompt")._text.value = "a dog"
    form._run.click()
    assert got[0]["steps"] == 33
    assert got[0]["prompt"] == "a dog"
    assert got[0]["seed"] == 2**64 - 1
    assert len(form.rows.children) == 1
    for _ in range(KEPT_ROWS + 2):
        form._run.click()
    assert len(form.rows.children) == KEPT_ROWS


async def test_run_waits_for_an_awaitable_and_takes_no_second_click(eight: Any, check: Any) -> None:
    calls: list[int] = []
    release = asyncio.Event()

    async def run(values: dict[str, object]) -> ipywidgets.Widget:
        calls.append(1)
        await release.wait()
        return ipywidgets.HTML()

    form = ParameterForm(eight, {}, run, check=check)
    form._run.click()
    form._run.click()
    assert form._run.disabled
    assert form._run.description == "Sending…"
    shown = asyncio.Event()
    form.rows.observe(lambda _: shown.set(), "children")
    release.set()
    await shown.wait()
    assert calls == [1]
    assert not form._run.disabled


def test_a_refusal_is_one_sentence_without_a_traceback(eight: Any, check: Any) -> None:
    def run(values: dict[str, object]) -> None:
        raise UsageError("There is no backend <yet>.")

    form = ParameterForm(eight, {}, run, check=check)
    form._run.click()
    assert "There is no backend &lt;yet&gt;." in form._message.value
    assert "Traceback" not in form._message.value
    assert not form._run.disabled


def test_run_is_disabled_while_something_is_wrong_and_says_what(eight: Any, check: Any) -> None:
    got: list[object] = []
    form = ParameterForm(eight, {}, got.append, check=check)
    form.field("steps")._text.value = "1000"
    assert form._run.disabled
    assert "Steps" in form._message.value
    assert form.problems == {"steps": "Steps: 1000 is above 100."}
    form._clicked(None)  # even if a click was on its way
    assert got == []
    form.field("steps")._text.value = "10"
    assert not form._run.disabled
    assert form._message.value == ""


def test_a_wrong_start_value_is_wrong_from_the_beginning(eight: Any, check: Any) -> None:
    form = ParameterForm(eight, {"sampler": "gone"}, check=check)
    assert form._run.disabled
    assert "sampler" in form.problems


def test_presets_and_reset(eight: Any, check: Any) -> None:
    form = ParameterForm(eight, check=check)
    form.set_values({"steps": 50, "prompt": "a bird", "unknown": 1})
    assert form.values["steps"] == 50
    assert form.field("steps")._text.value == "50"
    form.reset()
    assert form.values == {key: one.default_value for key, one in eight.items()}


def test_a_sequence_is_keyed_by_id_and_ordered(parameter: Any, check: Any) -> None:
    form = ParameterForm([parameter("b", order=2), parameter("a", order=1)], check=check)
    assert list(form.values) == ["a", "b"]


def test_other_choices_reach_the_field(eight: Any, check: Any) -> None:
    form = ParameterForm(eight, {}, check=check, choices={"sampler": ["euler"]})
    field = form.field("sampler")
    assert len(field._choice.options) == 1
    form.set_choices({"sampler": ["euler", "heun"]})
    assert len(field._choice.options) == 2
    assert field.value == "euler"


def test_a_long_form_builds_what_is_looked_at(parameter: Any, check: Any) -> None:
    form = ParameterForm(many(parameter), check=check)
    assert len(form._fields) == FIRST
    assert len(form.values) == 100
    form._sections[0]._button.value = True
    assert len(form._fields) == FIRST + len(form._sections[0].keys)
    form._search.value = "node 9 p95"
    assert form._grid.children == (form.field("p95").box,)
    form._search.value = ""
    assert len(form._grid.children) == FIRST


def test_a_wrong_value_in_a_closed_section_opens_it(parameter: Any, check: Any) -> None:
    form = ParameterForm(many(parameter), {"p77": 501}, check=check)
    assert form._run.disabled
    opened = [section for section in form._sections if section._button.value]
    assert [("p77" in section.keys) for section in opened] == [True]


def test_values_of_unbuilt_fields_can_be_set(parameter: Any, check: Any) -> None:
    form = ParameterForm(many(parameter), check=check)
    form.set_values({"p99": 400})
    assert "p99" not in form._fields
    assert form.values["p99"] == 400
    assert form.field("p99")._text.value == "400"


@pytest.mark.usefixtures("nothing_left")
def test_close_leaves_nothing(eight: Any, parameter: Any, check: Any) -> None:
    ParameterForm(eight, {}, lambda _: ipywidgets.HTML(), check=check, title="x").close()
    long = ParameterForm(many(parameter), check=check)
    long._sections[1]._button.value = True
    long._sections[1]._button.value = False
    long._search.value = "p9"
    long.close()


def test_hostile_names_are_text(parameter: Any, check: Any, hostile: str, tags: Any) -> None:
    def form(text: str) -> ParameterForm:
        # Past the model's own checks, which refuse some of these already.
        names = {"display_name": text, "node_title": text}
        one = parameter(default=0, min_value=1).model_copy(update=names)
        return ParameterForm([one], check=check, title=text)

    made, harmless = form(hostile), form("x")
    for html, plain in [
        (made._title.value, harmless._title.value),
        (made._message.value, harmless._message.value),
        (made.field("steps")._note.value, harmless.field("steps")._note.value),
        (made.body(), harmless.body()),
    ]:
        assert tags(html).tags == tags(plain).tags
        html.encode()
    assert not made.field("steps")._text.description_allow_html
    made.field("steps")._text.description.encode()


def grouped(parameter: Any, count: int, groups: int) -> dict[str, Any]:
    return {
        f"p{i}": parameter(
            f"p{i}", default=i, order=i, max_value=999, group=f"Group {i * groups // count}"
        )
        for i in range(count)
    }


def test_groups_stand_under_their_headings(parameter: Any, check: Any) -> None:
    parameters = {"loose": parameter("loose", order=99), **grouped(parameter, 6, 2)}
    form = ParameterForm(parameters, check=check)
    assert form._grid.children == (form.field("loose").box,)
    assert [(one.title, one.keys) for one in form._sections] == [
        ("Group 0", ["p0", "p1", "p2"]),
        ("Group 1", ["p3", "p4", "p5"]),
    ]
    assert all(one.is_open for one in form._sections)


def test_a_form_of_300_builds_only_what_is_on_show(parameter: Any, check: Any) -> None:
    form = ParameterForm(grouped(parameter, 300, 20), {"p250": 1000}, check=check)
    opened = [one.title for one in form._sections if one.is_open]
    assert opened == ["Group 0", "Group 1", "Group 16"]
    assert len(form._fields) == 45
    assert len(form.values) == 300


def test_options_say_who_lacks_them(parameter: Any, check: Any, hostile: str) -> None:
    models = [f"m{i}" for i in range(30)]
    long = parameter("model", ParamType.CHOICE, "m3", choices=models)
    short = parameter("sampler", ParamType.CHOICE, "b", choices=["a", "b"])
    notes = {"model": {"m3": f"not on {hostile}"}, "sampler": {"b": f"not on {hostile}"}}
    form = ParameterForm([long, short], check=check, notes=notes)
    assert form.field("model")._filter.notes.keys() == {"m3"}
    form.field("model")._filter.notes["m3"].encode()
    assert form.field("sampler")._choice.options[0] == ("a", 0)
    assert form.field("sampler")._choice.options[1][0].startswith("b (not on ")
    assert "not on " in form.field("sampler")._note.value
    assert form.problems == {}
    form.set_choices({"model": ["m3", *models]}, {"model": {}})
    assert form.field("model")._filter.notes == {}


def test_it_follows_when_the_parameters_become_others(parameter: Any, check: Any, box: Any) -> None:
    steps, cfg = parameter("steps", min_value=1), parameter("cfg", default=7, order=1)
    source = box(FormView({"steps": steps, "cfg": cfg}))
    form = ParameterForm(source.view.parameters, check=check, source=source)
    form.field("steps")._text.value = "0"
    form.field("cfg")._text.value = "9"
    before = form.field("steps")
    renamed = cfg.model_copy(update={"display_name": "Guidance", "group": "More"})
    seed = parameter("seed", default=5, order=2)
    source.push(FormView({"steps": steps, "guidance": renamed, "seed": seed}))
    assert form.field("steps") is before
    assert list(form.problems) == ["steps"]
    assert form.values == {"steps": 20, "guidance": 9, "seed": 5}
    assert [one.title for one in form._sections] == ["More"]
    assert form._sections[0].is_open
    fewer = steps.model_copy(update={"constraints": None})
    source.push(FormView({"steps": fewer}))
    assert form.problems == {}
    assert form._sections == []
    assert list(form.values) == ["steps"]
    form.close()
    assert source.callbacks == []


@pytest.mark.usefixtures("nothing_left")
def test_parameters_that_come_and_go_leave_nothing(parameter: Any, check: Any) -> None:
    form = ParameterForm(grouped(parameter, 60, 4), check=check)
    form.set_parameters(grouped(parameter, 8, 4))
    form.set_parameters({})
    form.set_parameters(many(parameter))
    form.close()


def test_a_whole_number_is_the_default_of_a_float(parameter: Any) -> None:
    def check(_: Any, value: Any) -> float:
        return float(value)

    form = ParameterForm([parameter("cfg", ParamType.FLOAT, 1)], check=check)
    assert form.field("cfg")._reset.disabled
    form.field("cfg")._text.value = "1.5"
    assert not form.field("cfg")._reset.disabled


def test_what_is_put_under_a_new_heading_does_not_vanish(parameter: Any, check: Any) -> None:
    parameters = many(parameter)
    form = ParameterForm(parameters, check=check)
    moved = parameters["p0"].model_copy(update={"group": "Mine"})
    form.set_parameters({**parameters, "p0": moved})
    assert [one.title for one in form._sections if one.is_open] == ["Mine"]
