"""What a workflow's form shows and when that changes; and where its presets are kept."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from comfynb.engine.engine import Engine
from comfynb.widgets import FormView
from comfynb.workbench.exposed import Exposed
from comfynb.workbench.presets import Presets

__all__ = ["FormSource", "Shelf"]


class FormSource:
    """A Watchable for forms: parameters edited in code, choices of backends that come and go."""

    def __init__(self, exposed: Exposed, engine: Engine) -> None:
        self._exposed = exposed
        self._engine = engine
        self._last: tuple[object, FormView] | None = None

    @property
    def view(self) -> FormView:
        """What a form shows now; the same object until something changes."""
        keys = self._exposed.keys
        if self._last is None or self._last[0] is not keys:
            notes = {
                key: {
                    offer.value: f"not on {', '.join(offer.lacking)}"
                    for offer in self._exposed.offers_for(parameter)
                    if offer.lacking
                }
                for key, parameter in keys.items()
            }
            shown = FormView(dict(keys), {key: found for key, found in notes.items() if found})
            self._last = (keys, shown)
        return self._last[1]

    def watch(self, callback: Callable[[FormView], None]) -> Callable[[], None]:
        """Call ``callback`` when parameters or choices became others; returns the way to stop."""
        told = self.view

        def look(_: object = None) -> None:
            nonlocal told
            view = self.view
            if view is not told:
                told = view
                callback(view)

        stops = (self._exposed.watch(look), self._engine.watch(look))

        def stop() -> None:
            for each in stops:
                each()

        return stop


class Shelf:
    """Presets as a form wants them."""

    def __init__(self, presets: Presets) -> None:
        self._presets = presets

    def names(self) -> Sequence[str]:
        """Their names, in order."""
        return list(self._presets)

    def load(self, name: str) -> Mapping[str, Any]:
        """The values of one, by the form's keys."""
        return self._presets.load(name)

    def save(self, name: str, values: Mapping[str, object]) -> None:
        """Keep values under a name."""
        self._presets.save(name, values)

    def delete(self, name: str) -> None:
        """Forget one."""
        self._presets.delete(name)
