"""A line to choose, save and delete presets: values of a form under a name."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol

import ipywidgets

from comfynb.widgets.composite import close_tree, html
from comfynb.widgets.live import call
from comfynb.widgets.markup import clean, one_line, user

__all__ = ["PresetBar", "PresetShelf"]

NONE = "choose one"


class PresetShelf(Protocol):
    """Where presets are kept."""

    def names(self) -> Sequence[str]:
        """Their names, in order."""

    def load(self, name: str) -> Mapping[str, object]:
        """The values of one, by the form's keys; raises NotFound."""

    def save(self, name: str, values: Mapping[str, object]) -> None:
        """Keep values under a name, in place of what was there."""

    def delete(self, name: str) -> None:
        """Forget one; raises NotFound."""


class PresetBar:
    """Choosing a preset puts its values into the form; Save keeps the form's values.

    ``take`` gives the values to save and raises in one sentence if something is wrong with them;
    ``put`` gets the values of the preset that was chosen.
    """

    def __init__(
        self,
        shelf: PresetShelf,
        take: Callable[[], Mapping[str, object]],
        put: Callable[[Mapping[str, object]], None],
    ) -> None:
        self._shelf = shelf
        self._take = take
        self._put = put
        self._setting = False
        self._names: list[str] = []
        self._choice = ipywidgets.Dropdown(description="Preset", options=[(NONE, -1)])
        self._choice.observe(self._chosen, "value")
        self._name = ipywidgets.Text(placeholder="a name to save as", continuous_update=True)
        self._name.tooltip = "Name of the preset"
        self._name.observe(lambda _: self._show_state(), "value")
        self._save = ipywidgets.Button(description="Save", tooltip="Keep these values as a preset")
        self._save.on_click(lambda _: self._do(self._saved))
        self._delete = ipywidgets.Button(description="Delete", tooltip="Forget the chosen preset")
        self._delete.on_click(lambda _: self._do(self._deleted))
        self._message = html("", "comfynb-note")
        parts = [self._choice, self._name, self._save, self._delete, self._message]
        self.widget = ipywidgets.HBox(parts)
        self.widget.add_class("comfynb-presets")
        self.refresh()

    def refresh(self, chosen: str | None = None) -> None:
        """Read the names anew and show ``chosen`` as the one that is in the form."""
        self._names = list(self._shelf.names())
        pairs = [(NONE, -1), *((one_line(name, 60), at) for at, name in enumerate(self._names))]
        self._setting = True
        try:
            self._choice.options = pairs
            self._choice.value = self._names.index(chosen) if chosen in self._names else -1
        finally:
            self._setting = False
        self._show_state()

    def _show_state(self) -> None:
        name = self._name.value.strip()
        self._save.disabled = not name
        self._save.description = "Replace" if name in self._names else "Save"
        self._delete.disabled = self._choice.value < 0

    def _chosen(self, change: dict[str, int]) -> None:
        if self._setting:
            return
        self._show_state()
        if change["new"] >= 0:
            self._do(partial(self._loaded, self._names[change["new"]]))

    def _do(self, action: Callable[[], str]) -> None:
        call(action, lambda said: self._tell(str(said), wrong=False), self._tell)

    def _loaded(self, name: str) -> str:
        self._put(self._shelf.load(name))
        self._name.value = clean(name)
        return ""

    def _saved(self) -> str:
        name = self._name.value.strip()
        self._shelf.save(name, self._take())
        self.refresh(name)
        return "saved"

    def _deleted(self) -> str:
        name = self._names[self._choice.value]
        self._shelf.delete(name)
        self.refresh()
        return "deleted"

    def _tell(self, text: str, *, wrong: bool = True) -> None:
        shown = f'<span class="comfynb-problem" role="alert">{user(text, 300)}</span>'
        self._message.value = shown if wrong else user(text)

    def close(self) -> None:
        """Close every widget of it."""
        close_tree(self.widget)
