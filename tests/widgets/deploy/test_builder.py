import asyncio
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from comfynb.errors import InvalidValue, UsageError
from comfynb.models import PackageType
from comfynb.widgets.deploy import DeploymentBuilder, DeploymentState, ReportState, ScriptState
from comfynb.widgets.live import _tasks
from comfynb.widgets.markup import one_line


class Actions:
    """Writes down what was asked, and gives what the test wants."""

    def __init__(self, state: DeploymentState) -> None:
        self.state = state
        self.asked: list[tuple[Any, ...]] = []
        self.trouble: Exception | None = None

    def _do(self, *what: Any) -> DeploymentState:
        self.asked.append(what)
        if self.trouble is not None:
            raise self.trouble
        return self.state

    def choose(self, name: str, candidate: int) -> DeploymentState:
        return self._do("choose", name, candidate)

    def enable(self, item_id: str, on: bool) -> DeploymentState:
        return self._do("enable", item_id, on)

    def remove(self, item_id: str) -> DeploymentState:
        return self._do("remove", item_id)

    def add_package(self, kind: PackageType, name: str, version: str | None) -> DeploymentState:
        return self._do("add_package", kind, name, version)

    def set_environment(self, variables: Mapping[str, str]) -> DeploymentState:
        return self._do("environment", dict(variables))

    def set_settings(self, settings: Mapping[str, str | None]) -> DeploymentState:
        return self._do("settings", dict(settings))

    def lock(self, update: bool) -> DeploymentState:
        return self._do("lock", update)

    def script(self, target: str) -> ScriptState:
        self._do("script", target)
        return ScriptState(target, {"run.sh": f"echo {target}\n", "b.txt": "b"}, "run.sh")

    def preview(self, target: str) -> ScriptState:
        self._do("preview", target)
        return ScriptState(target, {"run.sh": f"echo {target}\n"}, "run.sh")

    def save(self, target: str, folder: str) -> str:
        self._do("save", target, folder)
        return f"{folder}/run.sh"


@pytest.fixture
def actions(state: Any, make: Any) -> Actions:
    return Actions(state(resolution=make.resolution()))


@pytest.fixture
def builder(actions: Actions) -> Any:
    return DeploymentBuilder(actions.state, actions)


def test_what_is_ambiguous_is_asked_and_what_is_unknown_is_said(
    builder: Any, actions: Actions
) -> None:
    blur, file, unknown = builder._needs._asked
    assert unknown._use is None
    assert "Nothing in the catalogue brings it" in unknown._text.value
    blur._list.value = 1
    blur._use.click()
    file._use.click()
    assert actions.asked == [("choose", "SoftBlur", 1), ("choose", "style.safetensors", 0)]
    assert [label[:2] for label, _ in builder._needs._asked[0]._list.options] == ["1.", "2."]


def test_a_refused_choice_can_be_made_again(builder: Any, actions: Actions) -> None:
    actions.trouble = UsageError("Not <that> one.")
    question = builder._needs._asked[0]
    question._use.click()
    assert "Not &lt;that&gt; one." in builder._message.value
    assert not question._use.disabled


def test_ticks_follow_what_holds(builder: Any, actions: Actions) -> None:
    row = builder._items._rows["node-Grain"]
    actions.trouble = UsageError("Not yours.")
    row._tick.value = False
    assert actions.asked == [("enable", "node-Grain", False)]
    assert row._tick.value is True
    assert "Not yours." in builder._message.value
    actions.trouble = None
    builder._items._rows["model-Style"]._remove.click()
    assert actions.asked[-1] == ("remove", "model-Style")
    assert builder._message.value == ""


def test_packages_variables_and_settings(builder: Any, actions: Actions) -> None:
    bar = builder._packages
    bar.button.click()
    assert actions.asked == []
    bar.name.value, bar.version.value = " numpy ", "2.0"
    bar.button.click()
    assert actions.asked == [("add_package", PackageType.PIP, "numpy", "2.0")]
    assert bar.name.value == ""
    builder._environment._text.value = "A=1\n\n B = x=y \nC"
    builder._environment._keep.click()
    assert actions.asked[-1] == ("environment", {"A": "1", "B": " x=y", "C": ""})
    builder._settings.fields["python_version"].value = "3.12"
    assert actions.asked[-1] == ("settings", {"python_version": "3.12"})
    actions.trouble = InvalidValue("No such Python.")
    builder._settings.fields["python_version"].value = "9"
    assert "No such Python." in builder._message.value


def test_what_is_being_typed_or_chosen_outlasts_changes_elsewhere(
    builder: Any, actions: Actions, make: Any
) -> None:
    builder._environment._text.value = "A=1"
    blur = builder._needs._asked[0]
    blur._list.value = 1
    builder.show(replace(actions.state, locked=make.lock()))
    assert builder._environment._text.value == "A=1"
    assert builder._needs._asked[0] is blur
    assert blur._list.value == 1
    contents = make.contents(environmentVars={"B": "2"})
    builder.show(replace(actions.state, contents=contents, resolution=make.resolution()))
    assert builder._environment._text.value == "B=2", "somebody else has set them"
    assert builder._needs._asked[0] is not blur


async def test_a_change_elsewhere_does_not_let_a_button_be_pressed_twice(
    actions: Actions, make: Any
) -> None:
    gate = asyncio.Event()
    given = replace(actions.state, locked=make.lock())

    async def lock(_: bool) -> DeploymentState:
        await gate.wait()
        return given

    async def script(target: str) -> ScriptState:
        await gate.wait()
        return ScriptState(target, {"run.sh": ""}, "run.sh")

    actions.lock, actions.script = lock, script  # type: ignore[assignment, method-assign]
    builder: Any = DeploymentBuilder(given, actions)
    builder._lock.click()
    builder._generate.click()
    builder.show(replace(given))
    assert builder._lock.disabled
    assert builder._generate.disabled
    gate.set()
    await asyncio.gather(*_tasks)
    assert not builder._lock.disabled
    assert not builder._generate.disabled


def test_values_of_several_lines_are_not_broken_up(make: Any, state: Any) -> None:
    told = state(contents=make.contents(environmentVars={"A": "one\ntwo"}))
    builder: Any = DeploymentBuilder(told, Actions(told))
    assert builder._environment._keep.disabled


def test_a_lock_then_a_script(builder: Any, actions: Actions, make: Any) -> None:
    assert builder._generate.disabled
    actions.state = replace(
        actions.state, locked=make.lock(), report=ReportState(make.report()), resolution=None
    )
    builder._lock.click()
    assert actions.asked == [("lock", False)]
    assert builder._report in builder._body.children
    assert not builder._generate.disabled
    builder._targets.value = "docker"
    builder._generate.click()
    script = builder._script
    assert script.script.target == "docker"
    assert script._text.text == "echo docker\n"
    script._file.value = "b.txt"
    assert (script._text.name, script._text.text) == ("b.txt", "b")
    script._target.value = "runpod"
    assert actions.asked[-1] == ("preview", "runpod"), "what is looked at is not made"
    script._folder.value = "out"
    script._write.click()
    assert actions.asked[-1] == ("save", "runpod", "out")
    assert "Saved: out/run.sh" in script._message.value


def test_a_lock_that_fails_says_why(builder: Any, actions: Actions, make: Any) -> None:
    actions.trouble = UsageError("No network.")
    builder._lock.click()
    assert "No network." in builder._said.value
    assert not builder._lock.disabled
    actions.trouble = None
    actions.state = replace(actions.state, report=ReportState(make.report(conflict=True)))
    builder._lock.click()
    assert builder._said.value == ""
    assert "Conflicts (1)" in builder._report.body()
    assert builder._generate.disabled


def test_others_deployments_are_only_looked_at(state: Any, make: Any) -> None:
    told = state(may_change=False, resolution=make.resolution(), locked=make.lock())
    builder: Any = DeploymentBuilder(told, Actions(told))
    held = [builder._lock, builder._packages.button, builder._environment._keep]
    held += [builder._needs._asked[0]._use, builder._items._rows["node-Grain"]._tick]
    assert all(one.disabled for one in held)
    assert not builder._generate.disabled
    assert builder._pinned in builder._body.children


def test_hostile_text_stays_text(make: Any, state: Any, tags: Any, hostile: str) -> None:
    def build(text: str) -> Any:
        told = state(
            contents=make.contents(one_line(text, 200), description=text),
            resolution=make.resolution(text),
            left_out=(text,),
            report=ReportState(make.report(text, conflict=True)),
        )
        return DeploymentBuilder(told, Actions(told))

    harmless, nasty = build("x"), build(hostile)
    assert tags(nasty.static_html()).tags == tags(harmless.static_html()).tags
    assert tags(nasty._head.value).tags == tags(harmless._head.value).tags
    for one, other in zip(nasty._needs._asked, harmless._needs._asked, strict=True):
        assert tags(one._text.value).tags == tags(other._text.value).tags
    nasty.plain().encode("utf-8", "surrogatepass")


@pytest.mark.usefixtures("nothing_left")
def test_it_closes_whole(actions: Actions, make: Any) -> None:
    actions.state = replace(actions.state, locked=make.lock())
    builder: Any = DeploymentBuilder(actions.state, actions)
    builder._generate.click()
    builder.show(replace(actions.state, resolution=None, report=ReportState(make.report())))
    builder.close()
