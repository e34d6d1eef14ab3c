"""A text file on the page: read it, copy it, download it."""

from pathlib import Path

import anywidget
import traitlets

__all__ = ["TextFile"]


class TextFile(anywidget.AnyWidget):
    """Shows ``text`` as it is, with buttons that copy it and save it as ``name``.

    Where the browser does not permit copying (a page without TLS, say), it selects the text and
    says which key copies it.
    """

    _esm = Path(__file__).parent / "static" / "text_file.js"

    name = traitlets.Unicode("file.txt").tag(sync=True)
    text = traitlets.Unicode().tag(sync=True)
