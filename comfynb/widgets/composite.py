"""The base of every widget here: a box with style that has a static form and closes whole."""

import weakref
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

import ipywidgets

from comfynb.widgets.markup import esc
from comfynb.widgets.theme import style_sheet, styled

__all__ = [
    "Composite",
    "close_tree",
    "html",
    "icon_button",
    "mimebundle",
    "set_class",
    "shared_view",
]

VIEW = "application/vnd.jupyter.widget-view+json"


def mimebundle(widget: ipywidgets.Widget | None, text: str, html: str) -> dict[str, Any]:
    """What ``_repr_mimebundle_`` returns: the live view, and what is read where no kernel runs.

    ``text`` is shown by consoles, ``html`` (already escaped) by viewers of saved notebooks.
    """
    bundle: dict[str, Any] = {"text/plain": text, "text/html": html}
    if widget is not None and widget.comm is not None:
        bundle[VIEW] = {"version_major": 2, "version_minor": 0, "model_id": widget.model_id}
    return bundle


def html(value: str = "", *classes: str) -> ipywidgets.HTML:
    """An HTML widget with some CSS classes. ``value`` is markup: escape what is foreign before."""
    made = ipywidgets.HTML(value)
    for name in classes:
        made.add_class(name)
    return made


_views: "weakref.WeakKeyDictionary[object, ipywidgets.Widget]" = weakref.WeakKeyDictionary()

W = TypeVar("W", bound=ipywidgets.Widget)


def shared_view(of: object, make: Callable[[], W]) -> W:
    """The one widget that shows ``of`` wherever it is shown: made once, made anew after a close.

    ipywidgets holds every widget until it is closed, and nobody hears when a cell's output is
    replaced: a new widget at each display would be kept up to date for ever, without being seen.
    """
    known = _views.get(of)
    if known is None or known.comm is None:
        known = _views[of] = make()
    return cast("W", known)


def icon_button(icon: str, name: str, *, toggle: bool = False) -> ipywidgets.Widget:
    """A button that shows only an icon; ``name`` is its tooltip and what screen readers say.

    The name has to be its text, hidden by the style sheet: browsers take an icon font's character
    for the text of a button that has no other, and a tooltip counts only if there is none at all.
    """
    kind = ipywidgets.ToggleButton if toggle else ipywidgets.Button
    made = kind(description=name, icon=icon, tooltip=name)
    made.add_class("comfynb-icon")
    return made


def set_class(widget: ipywidgets.DOMWidget, name: str, on: bool) -> None:
    """Add or remove one CSS class, sending nothing if nothing changes."""
    if on and name not in widget._dom_classes:  # noqa: SLF001 - ipywidgets has no public reader
        widget.add_class(name)
    elif not on and name in widget._dom_classes:  # noqa: SLF001
        widget.remove_class(name)


def close_tree(widget: ipywidgets.Widget) -> None:
    """Close ``widget`` and every widget it holds (children, layout, style), but nothing shared.

    Shared are the style sheet, and what all widgets of a class have by default: ipycanvas draws on
    every canvas through one such widget.
    """
    if widget is style_sheet() or widget.comm is None:
        return
    # Parts of a composite that are not on show at the moment are only among its attributes.
    held = [one for one in vars(widget).values() if isinstance(one, ipywidgets.Widget)]
    traits = widget.traits()
    for name in widget.keys:
        value = getattr(widget, name)
        if value is traits[name].default_value:
            continue
        if isinstance(value, ipywidgets.Widget):
            held.append(value)
        elif isinstance(value, list | tuple):
            held += [one for one in value if isinstance(one, ipywidgets.Widget)]
    # A composite's own close() comes back here through its children: close it first, so that each
    # widget is closed once.
    ipywidgets.Widget.close(widget)
    for one in held:
        one.close() if isinstance(one, Composite) else close_tree(one)


class Composite(ipywidgets.VBox):  # type: ignore[misc]
    """A vertical box with the page's style. Subclasses say what stays when the kernel is gone."""

    def __init__(self, children: Sequence[ipywidgets.Widget] = ()) -> None:
        super().__init__([style_sheet(), *children])
        self.add_class("comfynb")

    def show_children(self, children: Sequence[ipywidgets.Widget]) -> None:
        """Replace what is shown; the style stays."""
        self.children = (style_sheet(), *children)

    def plain(self) -> str:
        """The same in plain text."""
        return f"<{type(self).__name__}>"

    def body(self) -> str:
        """The same as static HTML, without the style sheet."""
        return f"<pre>{esc(self.plain())}</pre>"

    def static_html(self) -> str:
        """The same as static HTML that needs no kernel and no widget."""
        return styled(self.body())

    def _repr_mimebundle_(self, **_: object) -> dict[str, Any]:
        return mimebundle(self, self.plain(), self.static_html())

    def __repr__(self) -> str:
        return self.plain()

    def close(self) -> None:
        """Close this and everything in it; the page then shows nothing of it."""
        # __del__ calls this too, for an object whose __init__ failed half-way as well.
        if getattr(self, "comm", None) is not None:
            close_tree(self)
