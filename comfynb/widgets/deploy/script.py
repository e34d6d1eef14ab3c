"""A script before it leaves: for which machine, its files, what it wants; copy, download, save."""

from collections.abc import Callable, Mapping

import ipywidgets

from comfynb.widgets.composite import html, set_class
from comfynb.widgets.deploy.look import DeployBox, told
from comfynb.widgets.deploy.text_file import TextFile
from comfynb.widgets.deploy.views import Answer, ScriptState
from comfynb.widgets.live import call
from comfynb.widgets.markup import esc, one_line, user

__all__ = ["ScriptPreview"]


class ScriptPreview(DeployBox):
    """``make(target)`` gives the script for another kind of machine, to look at; ``targets`` names
    them.

    ``save(target, folder)`` writes its files beside the notebook and gives the main one's path.
    """

    def __init__(
        self,
        script: ScriptState,
        *,
        targets: Mapping[str, str],
        make: Callable[[str], Answer[ScriptState]],
        save: Callable[[str, str], Answer[str]],
    ) -> None:
        self._make = make
        self._save = save
        self._script = script
        self._setting = False
        names = dict(targets)
        names.setdefault(script.target, script.target)
        self._target = ipywidgets.Dropdown(
            options=[(one_line(title, 60), name) for name, title in names.items()],
            value=script.target,
            description="For",
        )
        self._target.observe(self._chosen, "value")
        self._file = ipywidgets.Dropdown(description="File", options=[script.main])
        self._file.observe(lambda _: self._show_file(), "value")
        self._notes = html()
        self._text = TextFile()
        self._folder = ipywidgets.Text(description="Folder", placeholder="beside the notebook")
        self._write = ipywidgets.Button(description="Save files", icon="save")
        self._write.tooltip = "Write all of its files into the folder, on the kernel's machine"
        self._write.on_click(lambda _: self._press_save())
        self._message = html("", "comfynb-note")
        top = ipywidgets.HBox([self._target, self._file, self._folder, self._write])
        top.add_class("comfynb-fill")
        super().__init__([top, self._message, self._notes, self._text])
        self.add_class("comfynb-script")
        self.show(script)

    @property
    def script(self) -> ScriptState:
        """What is on show."""
        return self._script

    def show(self, script: ScriptState) -> None:
        """Another script."""
        self._script = script
        self._setting = True
        try:
            self._target.value = script.target
            names = [script.main, *sorted(name for name in script.files if name != script.main)]
            self._file.options = names
            self._file.value = script.main
        finally:
            self._setting = False
        set_class(self._file, "comfynb-hidden", on=len(names) == 1)
        self._folder.value = f"comfynb-{script.target}"
        self._notes.value = _notes(script)
        self._show_file()

    def _show_file(self) -> None:
        name = self._file.value
        if not self._setting and name in self._script.files:
            self._text.name = name
            self._text.text = self._script.files[name]

    def _chosen(self, change: Mapping[str, str]) -> None:
        if self._setting:
            return
        target = change["new"]
        self._message.value = told("…")
        call(lambda: self._make(target), self._made, self._refused)

    def _made(self, script: object) -> None:
        self._message.value = ""
        self.show(script)  # type: ignore[arg-type]

    def _refused(self, why: str) -> None:
        self._message.value = told(why, bad=True)
        self._write.disabled = False
        self._setting = True
        try:
            self._target.value = self._script.target
        finally:
            self._setting = False

    def _press_save(self) -> None:
        folder = self._folder.value.strip()
        if not folder:
            self._message.value = told("Say which folder the files go to.", bad=True)
            return
        self._write.disabled = True
        target = self._script.target
        call(lambda: self._save(target, folder), self._saved, self._refused)

    def _saved(self, path: object) -> None:
        self._write.disabled = False
        self._message.value = told(f"Saved: {path}")

    def plain(self) -> str:
        """What it is, on a line."""
        script = self._script
        wants = f", wants {', '.join(script.tokens)}" if script.tokens else ""
        return f"<Script {script.target}: {', '.join(script.files)}{wants}>"

    def body(self) -> str:
        """The main file as static HTML."""
        script = self._script
        return (
            f"<div><b>{user(script.main, 120)}</b> "
            f'<span class="comfynb-soft">{user(script.target, 60)}</span></div>{_notes(script)}'
            f'<pre class="comfynb-pre">{esc(script.files[script.main])}</pre>'
        )


def _notes(script: ScriptState) -> str:
    lines = [f"<li>{user(note, 500)}</li>" for note in script.notes]
    return f'<ul class="comfynb-list">{"".join(lines)}</ul>' if lines else ""
