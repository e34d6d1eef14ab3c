"""Which node the inspector is about: it comes with a selection of one, and goes with it."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from comfynb.engine.views import BackendView
from comfynb.models import CanvasNode
from comfynb.widgets.canvas.checking import Checking
from comfynb.widgets.canvas.contract import Inspector
from comfynb.widgets.canvas.hand import Dirty, Hand
from comfynb.widgets.canvas.inspector import NodePanel
from comfynb.widgets.canvas.panels import Panels
from comfynb.widgets.canvas.watched import Watched

__all__ = ["Inspecting"]


class Inspecting:
    """Makes and closes the panel of the selected node.

    ``inspector`` gives the embedder's form, ``guarded(work)`` does what may raise, and
    ``changed(layers)`` is called after an edit.
    """

    def __init__(
        self,
        hand: Hand,
        panels: Panels,
        *,
        inspector: Inspector | None,
        backends: Callable[[], Sequence[BackendView]],
        checking: Checking,
        watched: Watched,
        guarded: Callable[[Callable[[], None]], None],
        changed: Callable[[Dirty], None],
    ) -> None:
        self._hand, self._scene, self._panels = hand, hand.scene, panels
        self._inspector, self._backends = inspector, backends
        self._checking, self._watched = checking, watched
        self._guarded, self._changed = guarded, changed
        self._about: tuple[str, CanvasNode] | None = None
        self.panel: NodePanel | None = None

    def follow(self) -> None:
        """Show the panel of the selected node as it is now; none unless it is a single one."""
        selected = self._scene.selected
        chosen = next(iter(selected)) if len(selected) == 1 else None
        if chosen is None:
            self.close()
            return
        node = self._scene.document.nodes[chosen]
        if self._about is not None and self._about[0] == chosen:
            old = self._about[1]
            same = old.model_copy(update={"position": node.position}) == node
            self._about = chosen, node
            if same:
                return
        self.close()
        self._about = chosen, node
        self._guarded(partial(self._open, node))

    def _open(self, node: CanvasNode) -> None:
        update = partial(self._configure, node.id)
        given = node.model_copy(deep=True)
        form = self._inspector(given, update) if self._inspector is not None else None
        self.panel = NodePanel(
            given,
            self._scene.title(node.id),
            update=update,
            change=partial(self._set_fields, node.id),
            backends=self._backends(),
            form=form,
        )
        self.show_problems()
        self.show_state()
        self._panels.show_right(self.panel)
        self._uncover(node.id)

    def _uncover(self, node_id: str) -> None:
        """Move the canvas aside if the panel lies on the node that it is about."""
        hand, cover = self._hand, self._panels.insets.right
        rect = self._scene.geometry.node_rect(node_id)
        right, top = hand.camera.to_screen(rect.x + rect.width, rect.y)
        over = right + 16.0 - (hand.size[0] - cover)
        if cover and over > 0 and top < hand.size[1]:
            hand.look_at(hand.camera.panned(-over, 0.0))

    def show_problems(self) -> None:
        """Say in the panel what is wrong with its node."""
        if self.panel is not None and self._about is not None:
            self.panel.show_problems(self._checking.about(self._about[0]))

    def show_state(self) -> None:
        """Say in the panel how its node stands in the job."""
        if self.panel is not None and self._about is not None:
            self.panel.show_state(self._watched.states.get(self._about[0]))

    # Edits from the panel, which stays as it is then: it knows best

    def _configure(self, node_id: str, values: Mapping[str, Any]) -> None:
        self._edit(node_id, lambda: self._scene.configure(node_id, values))

    def _set_fields(self, node_id: str, changes: Mapping[str, Any]) -> None:
        self._edit(node_id, lambda: self._scene.change(node_id, changes))

    def _edit(self, node_id: str, edit: Callable[[], None]) -> None:
        if node_id not in self._scene.document.nodes:
            return
        self._guarded(edit)
        if self._about is not None and self._about[0] == node_id:
            self._about = node_id, self._scene.document.nodes[node_id]
        self._changed(Dirty.SCENE)

    def close(self) -> None:
        """Close the panel, if there is one."""
        self._about = None
        if self.panel is not None:
            panel, self.panel = self.panel, None
            self._panels.show_right(None)
            panel.close()
