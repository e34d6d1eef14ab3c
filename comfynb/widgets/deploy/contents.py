"""What is in a deployment: packs, models and packages that are taken or left, and its settings."""

from collections.abc import Callable, Mapping, Sequence

import ipywidgets

from comfynb.deploy.service import DeploymentContents
from comfynb.models import CustomNode, Model, PackageType, SystemPackage
from comfynb.widgets.composite import close_tree, html
from comfynb.widgets.deploy.look import size
from comfynb.widgets.markup import clean, one_line, user
from comfynb.widgets.tables import StaticTable

__all__ = ["EnvironmentBox", "ItemsBox", "PackageBar", "SettingsBox", "contents_table"]

SETTINGS: Mapping[str, tuple[str, str]] = {
    "comfyui_version": ("ComfyUI", "the newest release"),
    "python_version": ("Python", "3.12"),
    "cuda_version": ("CUDA", "without a GPU"),
    "workspace_path": ("Folder", "as the target has it"),
    "environment_name": ("Environment", "venv"),
    "custom_pip_index": ("Package index", "https://…"),
}
"""What people set: a name for people, and what holds without it."""


class ItemsBox:
    """A row for each pack, model and package, with a tick and a way out."""

    def __init__(self, enable: Callable[[str, bool], None], remove: Callable[[str], None]) -> None:
        self._enable = enable
        self._remove = remove
        self._rows: dict[str, _Item] = {}
        self._list = ipywidgets.VBox()
        self._list.add_class("comfynb-rows")
        self._none = html(
            '<div class="comfynb-soft">Nothing yet: wb.catalogue finds packs and models.</div>'
        )
        self.widget = ipywidgets.VBox([self._list])

    def show(self, contents: DeploymentContents, *, may: bool) -> None:
        """What is in it now."""
        wanted: dict[str, tuple[str, str, bool | None]] = {
            one.node.id: (one.node.name, _node(one.node), one.choice.isEnabled)
            for one in contents.nodes
        }
        for model in contents.models:
            name = model.choice.customName or model.model.filename or "?"
            text = _model(model.model, f"{model.choice.targetPath}/{name}")
            wanted[model.model.id] = (model.model.name, text, model.choice.isEnabled)
        for package in contents.packages:
            wanted[package.id] = (package.name, _package(package), None)
        for gone in [one for one in self._rows if one not in wanted]:
            close_tree(self._rows.pop(gone).widget)
        for item_id, (name, text, on) in wanted.items():
            if item_id not in self._rows:
                self._rows[item_id] = _Item(item_id, on is not None, self._enable, self._remove)
            self._rows[item_id].show(name, text, on=on is not False, may=may)
        self._list.children = tuple(self._rows[one].widget for one in wanted) or (self._none,)

    def close(self) -> None:
        """Close it."""
        close_tree(self._none)
        close_tree(self.widget)


class _Item:
    def __init__(
        self,
        item_id: str,
        ticks: bool,
        enable: Callable[[str, bool], None],
        remove: Callable[[str], None],
    ) -> None:
        self._setting = False
        self._tick: ipywidgets.Checkbox | None = None
        if ticks:
            self._tick = ipywidgets.Checkbox(indent=False)
            self._tick.add_class("comfynb-enable")
            self._tick.observe(
                lambda change: None if self._setting else enable(item_id, change["new"]), "value"
            )
        self._text = html("", "comfynb-cells")
        self._remove = ipywidgets.Button(description="Remove")
        self._remove.on_click(lambda _: remove(item_id))
        first = self._tick or html("", "comfynb-spacer")
        self.widget = ipywidgets.HBox([first, self._text, self._remove])

    def show(self, name: str, text: str, *, on: bool, may: bool) -> None:
        short = one_line(name, 60)
        if self._tick is not None:
            self._setting = True
            try:
                self._tick.value = on
            finally:
                self._setting = False
            self._tick.description = f"Install {short}"
            self._tick.disabled = not may
        self._remove.disabled = not may
        self._remove.tooltip = f"Take {short} out"
        aside = "" if on else '<span class="comfynb-tag">left out</span>'
        self._text.value = f'<span class="comfynb-item">{text}{aside}</span>'


def _node(node: CustomNode) -> str:
    return _two("node pack", node.name, node.githubUrl, "")


def _model(model: Model, path: str) -> str:
    return _two("model", model.name, path, size(model.fileSize))


def _package(package: SystemPackage) -> str:
    kind = "Python package" if package.packageType is PackageType.PIP else "Debian package"
    return _two(kind, package.name, package.version or package.installUrl or "any version", "")


def _two(kind: str, name: str, where: str, amount: str) -> str:
    return (
        f'<span class="comfynb-soft">{kind}</span><b>{user(name, 120)}</b>'
        f'<span class="comfynb-soft">{user(where, 200)}</span>'
        f'<span class="comfynb-num">{amount}</span>'
    )


class PackageBar:
    """Name a Python or Debian package, and put it in."""

    def __init__(self, add: Callable[[PackageType, str, str | None], None]) -> None:
        self._add = add
        self.kind = ipywidgets.Dropdown(
            options=[("Python package", PackageType.PIP), ("Debian package", PackageType.APT)],
            description="Add a",
        )
        self.name = ipywidgets.Text(placeholder="name", description="called")
        self.version = ipywidgets.Text(placeholder="any", description="version")
        self.button = ipywidgets.Button(description="Add", icon="plus")
        self.button.tooltip = "Add this package"
        self.button.on_click(lambda _: self._press())
        self.widget = ipywidgets.HBox([self.kind, self.name, self.version, self.button])
        self.widget.add_class("comfynb-fill")

    def _press(self) -> None:
        name = self.name.value.strip()
        if name:
            self._add(self.kind.value, name, self.version.value.strip() or None)

    def clear(self) -> None:
        """Ready for the next."""
        self.name.value = self.version.value = ""


class EnvironmentBox:
    """Environment variables as lines of NAME=value; what is wrong with a line is said."""

    def __init__(self, change: Callable[[Mapping[str, str]], None]) -> None:
        self._shown: Mapping[str, str] | None = None
        self._text = ipywidgets.Textarea(
            description="Variables", placeholder="NAME=value, one on each line; no secrets", rows=3
        )
        self._keep = ipywidgets.Button(description="Set variables", icon="check")
        self._keep.on_click(lambda _: change(self.variables))
        self.widget = ipywidgets.HBox([self._text, self._keep])
        self.widget.add_class("comfynb-fill")

    @property
    def variables(self) -> dict[str, str]:
        """What is written there; a line without = names a variable that the machine has."""
        found = {}
        for line in self._text.value.splitlines():
            name, _, value = line.strip().partition("=")
            if name:
                found[name.strip()] = value
        return found

    def show(self, variables: Mapping[str, str], *, may: bool) -> None:
        """The variables as they are; a value that has several lines cannot be changed here.

        What somebody is typing stays, unless the variables are others now.
        """
        several = any("\n" in value or "\r" in value for value in variables.values())
        if variables != self._shown:
            self._shown = dict(variables)
            lines = [f"{name}={value}" for name, value in variables.items()]
            self._text.value = clean("\n".join(lines))
        self._text.disabled = self._keep.disabled = several or not may
        self._keep.tooltip = (
            "A value has several lines: d.set_environment changes them"
            if several
            else "Replace its environment variables by these"
        )


class SettingsBox:
    """What the machine is like: releases, folders, the package index."""

    def __init__(self, change: Callable[[Mapping[str, str | None]], None]) -> None:
        self.fields: dict[str, ipywidgets.Text] = {}
        self._change = change
        self._setting = False
        for name, (label, usual) in SETTINGS.items():
            field = ipywidgets.Text(description=label, placeholder=usual, continuous_update=False)
            field.observe(lambda event, name=name: self._set(name, event["new"]), "value")
            self.fields[name] = field
        self.widget = ipywidgets.Box(list(self.fields.values()))
        self.widget.add_class("comfynb-settings")

    def _set(self, name: str, value: str) -> None:
        if not self._setting:
            self._change({name: value.strip() or None})

    def show(self, settings: Mapping[str, object], *, may: bool) -> None:
        """The settings as they are."""
        self._setting = True
        try:
            for name, field in self.fields.items():
                value = settings.get(name)
                field.value = "" if value is None else clean(value)
                field.disabled = not may
        finally:
            self._setting = False


def contents_table(contents: DeploymentContents) -> StaticTable:
    """All that is in it, as a static table."""
    rows: list[Sequence[object]] = [
        ("node pack", one.node.name, one.node.githubUrl, "", _left(one.choice.isEnabled))
        for one in contents.nodes
    ]
    rows += [
        (
            "model",
            one.model.name,
            f"{one.choice.targetPath}/{one.choice.customName or one.model.filename or '?'}",
            size(one.model.fileSize),
            _left(one.choice.isEnabled),
        )
        for one in contents.models
    ]
    rows += [
        (f"{one.packageType.value.lower()} package", one.name, one.version or "", "", "")
        for one in contents.packages
    ]
    columns = ["kind", "name", "where", "size", "state"]
    return StaticTable(columns, rows, limit=200, wrap=True, empty="nothing in it yet")


def _left(enabled: bool) -> str:
    return "" if enabled else "left out"
