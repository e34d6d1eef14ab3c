"""What the canvas and whoever embeds it say to one another: palette items, problems, callbacks."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import ipywidgets

from comfynb.engine.views import PortsView
from comfynb.models import CanvasLayout, CanvasNode, DataType, NodeType

__all__ = ["Check", "Compatible", "Inspector", "PaletteItem", "Ports", "Problem", "Title", "Update"]


class Problem(Protocol):
    """What is wrong with a graph: one sentence, and the node that it is about (None: the graph)."""

    @property
    def message(self) -> str:
        """One sentence that names the culprit and the cure."""

    @property
    def node_id(self) -> str | None:
        """The canvas node that is marked."""


@dataclass(frozen=True, slots=True)
class PaletteItem:
    """One kind of node that can be added: what the palette shows, and what a new node has.

    ``key`` is unique in the palette. ``group`` is the heading that it stands under, ``hint`` a few
    words beside its name; both are found by the search, as ``keywords`` are. A new node gets
    ``node_type``, ``workflow_id`` and a copy of ``config``.
    """

    key: str
    title: str
    node_type: NodeType
    group: str = ""
    hint: str = ""
    keywords: str = ""
    workflow_id: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)


Ports = Callable[[CanvasNode], PortsView]
"""The ports of a node. Asked once for each version of a node, while drawing: it should be quick."""

Title = Callable[[CanvasNode], str]
"""What a node is called, a workflow's name say."""

Compatible = Callable[[DataType, DataType], bool]
"""Whether an output of the first type may be connected to an input of the second."""

Check = Callable[[CanvasLayout], Sequence[Problem]]
"""Everything wrong with a graph; asked when an edit has come to rest, not at every step."""

Update = Callable[[Mapping[str, Any]], None]
"""Put values into a node's ``config`` as one edit that can be undone; None removes a key."""

Inspector = Callable[[CanvasNode, Update], ipywidgets.Widget | None]
"""The form of a selected node. The canvas closes the widget when another node is selected."""
