"""A deployment on the page: what it needs, what is in it, its lock, the report and the scripts."""

from collections.abc import Callable, Mapping

import ipywidgets

from comfynb.models import PackageType
from comfynb.widgets.composite import close_tree, html
from comfynb.widgets.deploy.contents import (
    EnvironmentBox,
    ItemsBox,
    PackageBar,
    SettingsBox,
    contents_table,
)
from comfynb.widgets.deploy.look import DeployBox, chip, size, told, wide
from comfynb.widgets.deploy.needs import NeedsBox, needs_html
from comfynb.widgets.deploy.report import LockReportView, pinned_html, report_body
from comfynb.widgets.deploy.script import ScriptPreview
from comfynb.widgets.deploy.views import Answer, BuilderActions, DeploymentState, ScriptState
from comfynb.widgets.live import call
from comfynb.widgets.markup import esc, user

__all__ = ["DeploymentBuilder"]


class DeploymentBuilder(DeployBox):
    """Shows a deployment and changes it; after each change it shows what the actions gave back.

    What goes wrong is said in a sentence, and the page then shows again what holds.
    """

    def __init__(self, state: DeploymentState, actions: BuilderActions) -> None:
        self._state = state
        self._actions = actions
        self._head = html()
        self._needs = NeedsBox(lambda name, at: self._do(lambda: actions.choose(name, at)))
        self._items = ItemsBox(
            lambda item, on: self._do(lambda: actions.enable(item, on)),
            lambda item: self._do(lambda: actions.remove(item)),
        )
        self._packages = PackageBar(self._add_package)
        self._environment = EnvironmentBox(
            lambda variables: self._do(
                lambda: actions.set_environment(variables), "The variables are set."
            )
        )
        self._settings = SettingsBox(
            lambda settings: self._do(lambda: actions.set_settings(settings), "Set.")
        )
        self._message = html("", "comfynb-note")
        self._more = ipywidgets.Accordion(
            [
                ipywidgets.VBox([self._packages.widget, self._environment.widget]),
                self._settings.widget,
            ],
            titles=("Packages and environment", "Settings"),
        )
        self._make_lock_bar()
        self._pinned = html()
        self._report = LockReportView()
        self._script: ScriptPreview | None = None
        self._script_place = ipywidgets.VBox()
        self._locking = self._making = False
        parts = ipywidgets.VBox()
        self._body = parts
        super().__init__([self._head, parts, self._message])
        self.add_class("comfynb-form")
        self.add_class("comfynb-builder")
        self.show(state)

    def _make_lock_bar(self) -> None:
        self._lock = ipywidgets.Button(description="Lock", icon="lock", button_style="primary")
        self._lock.tooltip = "Pin every commit, file and package"
        self._lock.on_click(lambda _: self._press_lock())
        self._update = ipywidgets.Checkbox(description="bring all up to date", indent=False)
        self._targets = ipywidgets.Dropdown(description="Script for")
        self._generate = ipywidgets.Button(description="Make script", icon="file-code-o")
        self._generate.tooltip = "Make the script of the newest lock"
        self._generate.on_click(lambda _: self._press_script())
        self._bar = ipywidgets.HBox([self._lock, self._update, self._targets, self._generate])
        self._bar.add_class("comfynb-fill")
        self._said = html("", "comfynb-note")

    # Showing

    @property
    def state(self) -> DeploymentState:
        """What is on show."""
        return self._state

    def show(self, state: DeploymentState) -> None:
        """The deployment as it is now."""
        self._state = state
        may = state.may_change
        self._head.value = _head(state)
        shown: list[ipywidgets.Widget] = []
        if state.resolution is not None:
            self._needs.show(state.resolution, state.left_out, may=may)
            shown.append(self._needs.widget)
        self._items.show(state.contents, may=may)
        self._environment.show(state.contents.deployment.environmentVars, may=may)
        self._settings.show(state.contents.deployment.customSettings, may=may)
        self._packages.button.disabled = not may
        self._lock.disabled = not may or self._locking
        self._update.disabled = not may
        self._update.layout.display = None if state.locked is not None else "none"
        options = [(title, name) for name, title in state.targets.items()]
        if list(self._targets.options) != options:
            self._targets.options = options
            self._targets.value = options[0][1] if options else None
        self._targets.disabled = state.locked is None
        self._generate.disabled = state.locked is None or self._making
        self._report.show(state.report)
        shown += [self._items.widget, self._more, self._bar, self._said]
        if state.report is not None:
            shown.append(self._report)
        elif state.locked is not None:
            self._pinned.value = (
                '<div class="comfynb-soft">Its conflicts and risks were told when it was locked; '
                f"lock it again to see them.</div>{pinned_html(state.locked)}"
            )
            shown.append(self._pinned)
        if self._script is not None:
            shown.append(self._script_place)
        self._body.children = tuple(shown)

    def tell(self, why: str) -> None:
        """Say that it cannot be looked at any more; what is on show stays."""
        self._message.value = told(why, bad=True)

    # What buttons do

    def _do(
        self,
        what: Callable[[], Answer[DeploymentState]],
        success: str = "",
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self._message.value = ""

        def done(state: object) -> None:
            self.show(state)  # type: ignore[arg-type]
            self._message.value = told(success)
            after()

        def failed(why: str) -> None:
            self._message.value = told(why, bad=True)
            self._needs.free()
            # Ticks and fields go back to what holds; what was typed elsewhere stays.
            self._items.show(self._state.contents, may=self._state.may_change)

        call(what, done, failed)

    def _add_package(self, kind: PackageType, name: str, version: str | None) -> None:
        self._do(lambda: self._actions.add_package(kind, name, version), after=self._packages.clear)

    def _press_lock(self) -> None:
        self._locking = self._lock.disabled = True
        update = self._update.value
        self._said.value = told("Asking repositories, model services and the package index…")

        def done(state: object) -> None:
            self._locking = False
            self._said.value = ""
            self._update.value = False
            self.show(state)  # type: ignore[arg-type]

        def failed(why: str) -> None:
            self._locking = False
            self._said.value = told(why, bad=True)
            self._lock.disabled = not self._state.may_change

        call(lambda: self._actions.lock(update), done, failed)

    def _press_script(self) -> None:
        self._making = self._generate.disabled = True
        target = self._targets.value

        def done(script: object) -> None:
            self._making = self._generate.disabled = False
            self._said.value = ""
            self._show_script(script)  # type: ignore[arg-type]

        def failed(why: str) -> None:
            self._making = self._generate.disabled = False
            self._said.value = told(why, bad=True)

        call(lambda: self._actions.script(target), done, failed)

    def _show_script(self, script: ScriptState) -> None:
        if self._script is None:
            self._script = ScriptPreview(
                script,
                targets=self._state.targets,
                make=self._actions.preview,
                save=self._actions.save,
            )
            self._script_place.children = (self._script,)
            self.show(self._state)
        else:
            self._script.show(script)

    # Without a kernel

    def plain(self) -> str:
        """What it is and what is in it, as text."""
        parts = [head_text(self._state), contents_table(self._state.contents).plain()]
        if self._state.resolution is not None:
            parts.append(str(self._state.resolution))
        return "\n".join(parts)

    def body(self) -> str:
        """The same as static HTML."""
        state = self._state
        parts = [_head(state)]
        if state.resolution is not None:
            parts.append(needs_html(state.resolution, state.left_out))
        parts.append(contents_table(state.contents).body())
        if state.report is not None:
            parts.append(report_body(state.report))
        elif state.locked is not None:
            parts.append(pinned_html(state.locked))
        return "".join(parts)

    def close(self) -> None:
        """Close it with everything in it; the deployment stays as it is."""
        if getattr(self, "comm", None) is not None:
            self._needs.close()
            self._items.close()
            for part in (self._pinned, self._script_place, self._report):
                part.close() if part is self._report else close_tree(part)
        super().close()


def _sizes(state: DeploymentState) -> str:
    sizes = [one.model.fileSize for one in state.contents.models if one.choice.isEnabled]
    known = [each for each in sizes if each is not None]
    if not sizes:
        return ""
    unknown = len(sizes) - len(known)
    return size(sum(known)) + (f" and {unknown} of unknown size" if unknown else "")


def head_text(state: DeploymentState) -> str:
    """Name and numbers, on a line."""
    contents = state.contents
    parts = [
        wide(len(contents.nodes), "node pack"),
        f"{wide(len(contents.models), 'model')} ({_sizes(state) or 'nothing'})",
        wide(len(contents.packages), "package"),
        "locked" if state.locked is not None else "not locked yet",
    ]
    return f"{contents.deployment.name}: {', '.join(parts)}"


def _head(state: DeploymentState) -> str:
    contents = state.contents
    made = contents.deployment
    how = (
        chip("✓", "locked", "comfynb-completed")
        if state.locked is not None
        else chip("○", "not locked yet", "comfynb-pending")
    )
    seen = "template" if made.isTemplate else "public" if made.isPublic else "private"
    facts: Mapping[str, str] = {
        "by": user(contents.owner, 80),
        "seen": seen,
        "models": esc(_sizes(state)),
    }
    of = " · ".join(
        text
        for text in (
            f"{facts['seen']}, {facts['by']}" if contents.owner else facts["seen"],
            wide(len(contents.nodes), "node pack"),
            wide(len(contents.models), "model") + (f", {facts['models']}" if facts["models"]
                                                    else ""),
        )
        if text
    )  # fmt: skip
    about = f"<div>{user(made.description, 400)}</div>" if made.description else ""
    open_ones = 0
    if state.locked is not None and state.resolution is not None:
        open_ones = len(state.resolution.ambiguous) + len(state.resolution.unknown)
    if open_ones:
        things = wide(
            open_ones, "thing that the workflow needs is", "things that the workflow needs are"
        )
        about += f'<div class="comfynb-warning">{things} not settled, and not in the lock.</div>'
    return (
        f'<div class="comfynb-headline">{how}<span class="comfynb-form-title">'
        f'{user(made.name, 120)}</span><span class="comfynb-soft">{of}</span></div>{about}'
    )
