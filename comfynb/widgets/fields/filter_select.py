"""A text box that filters a long list of options as one types, on the page itself."""

from pathlib import Path

import anywidget
import traitlets

__all__ = ["FilterSelect"]


class FilterSelect(anywidget.AnyWidget):
    """Options to choose from by typing parts of their names; ``value`` is the text in the box.

    The text may be none of the options: whoever uses it judges that and sets ``invalid``. A
    ``<datalist>`` (ipywidgets' Combobox) would hide every option that the current value does not
    contain, so that somebody who wants another one sees an empty list.
    """

    _esm = Path(__file__).parent.parent / "static" / "filter_select.js"

    value = traitlets.Unicode().tag(sync=True)
    options = traitlets.List(traitlets.Unicode()).tag(sync=True)
    notes = traitlets.Dict().tag(sync=True)
    """What to say beside an option, by the option."""
    label = traitlets.Unicode().tag(sync=True)
    placeholder = traitlets.Unicode().tag(sync=True)
    invalid = traitlets.Bool(default_value=False).tag(sync=True)
    disabled = traitlets.Bool(default_value=False).tag(sync=True)
