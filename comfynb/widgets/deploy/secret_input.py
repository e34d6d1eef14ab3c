"""A password box whose text travels once and is never part of a widget's state."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anywidget
import traitlets

__all__ = ["SecretInput"]

LONGEST = 10_000


class SecretInput(anywidget.AnyWidget):
    """Calls ``received(text)`` with what somebody typed and sent, and keeps nothing of it.

    ipywidgets' Password has the text as its state, which JupyterLab may write into the notebook
    while somebody types. Here it is in the page's own box until it is sent, as a message.
    """

    _esm = Path(__file__).parent / "static" / "secret_input.js"

    label = traitlets.Unicode("Token").tag(sync=True)
    description = traitlets.Unicode("Keep").tag(sync=True)
    placeholder = traitlets.Unicode().tag(sync=True)
    disabled = traitlets.Bool(default_value=False).tag(sync=True)

    def __init__(self, received: Callable[[str], None], **traits: object) -> None:
        super().__init__(**traits)
        self._received = received
        self.on_msg(self._message)

    def _message(self, _: object, content: dict[str, Any], __: object) -> None:
        text = content.get("text")
        if content.get("kind") == "secret" and isinstance(text, str) and len(text) <= LONGEST:
            self._received(text)
