"""The graph being edited, as values that never change, and the history of them: undo and redo.

An edit makes a new ``Document`` that shares what it left alone, so undo puts back exactly what was
there: every node, every connection, and their order.
"""

import copy
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from comfynb.models import CanvasConnection, CanvasLayout, CanvasNode, Viewport

__all__ = ["Document", "History", "own_copy"]


def own_copy(node: CanvasNode) -> CanvasNode:
    """A node that shares nothing with ``node`` that somebody could change."""
    return node.model_copy(update={"config": copy.deepcopy(node.config)})


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """Nodes and connections by id, in order. Nobody changes the models in it.

    ``shape`` is the same object in documents that differ only in where nodes are.
    """

    nodes: Mapping[str, CanvasNode] = field(default_factory=dict)
    connections: Mapping[str, CanvasConnection] = field(default_factory=dict)
    shape: object = field(default_factory=object)

    @classmethod
    def of(cls, layout: CanvasLayout) -> "Document":
        """What a layout holds; the layout may be changed afterwards."""
        return cls(
            {node.id: own_copy(node) for node in layout.nodes},
            {one.id: one.model_copy() for one in layout.connections},
        )

    def layout(self, viewport: Viewport | None = None) -> CanvasLayout:
        """The same as a layout that shares nothing with this."""
        # Everything came out of models that were validated; 1,000 nodes need not be again.
        return CanvasLayout.model_construct(
            nodes=[own_copy(node) for node in self.nodes.values()],
            connections=[one.model_copy() for one in self.connections.values()],
            viewport=viewport or Viewport(),
        )

    def same_as(self, other: "Document") -> bool:
        """Whether both hold the same, in the same order."""
        return list(self.nodes.values()) == list(other.nodes.values()) and list(
            self.connections.values()
        ) == list(other.connections.values())

    # Edits

    def moved(self, positions: Mapping[str, tuple[float, float]]) -> "Document":
        """Nodes put elsewhere."""
        nodes = dict(self.nodes)
        for node_id, position in positions.items():
            nodes[node_id] = nodes[node_id].model_copy(update={"position": position})
        return Document(nodes, self.connections, self.shape)

    def added(
        self, nodes: Iterable[CanvasNode] = (), connections: Iterable[CanvasConnection] = ()
    ) -> "Document":
        """More nodes and connections, on top."""
        return Document(
            {**self.nodes, **{node.id: node for node in nodes}},
            {**self.connections, **{one.id: one for one in connections}},
        )

    def removed(self, node_ids: Iterable[str] = (), edge_ids: Iterable[str] = ()) -> "Document":
        """Without some nodes, what was connected to them, and some connections."""
        gone, cut = set(node_ids), set(edge_ids)
        return Document(
            {key: node for key, node in self.nodes.items() if key not in gone},
            {
                key: one
                for key, one in self.connections.items()
                if key not in cut
                and one.source_node_id not in gone
                and one.target_node_id not in gone
            },
        )

    def replaced(self, node_id: str, changes: Mapping[str, Any]) -> "Document":
        """One node with other fields, validated. Raises pydantic's ValidationError."""
        old = self.nodes[node_id]
        node = CanvasNode.model_validate({**old.model_dump(), **changes})
        return Document({**self.nodes, node_id: node}, self.connections)


AT_LEAST = 100
"""Steps that can be undone, however large the graph."""

ENTRIES = 500_000
"""References to nodes and connections that the history may hold beyond that; some 40 MB."""


@dataclass(slots=True)
class _Step:
    label: str
    before: Document
    merge: object


class History:
    """The current document and the way back and forth."""

    def __init__(self, document: Document) -> None:
        self.current = document
        self._past: list[_Step] = []
        self._future: list[_Step] = []

    @property
    def undo_label(self) -> str | None:
        """What undo would take back, in words; None if there is nothing."""
        return self._past[-1].label if self._past else None

    @property
    def redo_label(self) -> str | None:
        """What redo would do again, in words; None if there is nothing."""
        return self._future[-1].label if self._future else None

    def commit(self, document: Document, label: str, *, merge: object = None) -> None:
        """Make ``document`` the current one.

        Steps that follow one another with an equal ``merge`` (not None) are one: five presses of an
        arrow key, the letters typed into one field.
        """
        if document is self.current:
            return
        last = self._past[-1] if self._past else None
        if merge is None or last is None or last.merge != merge or self._future:
            self._past.append(_Step(label, self.current, merge))
            self._shorten()
        self.current = document
        self._future.clear()

    def seal(self) -> None:
        """Let the next step be one of its own, whatever its ``merge``."""
        if self._past:
            self._past[-1].merge = None

    def _shorten(self) -> None:
        size = len(self.current.nodes) + len(self.current.connections) + 1
        while len(self._past) > max(AT_LEAST, ENTRIES // size):
            del self._past[0]

    def undo(self) -> str | None:
        """One step back; returns its label, None if there was none."""
        if not self._past:
            return None
        step = self._past.pop()
        self._future.append(_Step(step.label, self.current, None))
        self.current = step.before
        self.seal()
        return step.label

    def redo(self) -> str | None:
        """One step forth; returns its label, None if there was none."""
        if not self._future:
            return None
        step = self._future.pop()
        self._past.append(_Step(step.label, self.current, None))
        self.current = step.before
        return step.label
