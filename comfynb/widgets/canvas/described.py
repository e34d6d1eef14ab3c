"""What the embedder says of nodes, their ports and titles: asked once for each version of one."""

from comfynb.engine.views import PortsView
from comfynb.models import CanvasNode
from comfynb.widgets.canvas.contract import Ports, Title
from comfynb.widgets.canvas.document import own_copy

__all__ = ["Described"]


class Described:
    """Asks ``ports`` and ``title``, and remembers the answers until a node is another one."""

    def __init__(self, ports: Ports, title: Title) -> None:
        self._ports, self._title = ports, title
        self._known: dict[str, tuple[CanvasNode, PortsView, str]] = {}

    def _about(self, node: CanvasNode) -> tuple[CanvasNode, PortsView, str]:
        known = self._known.get(node.id)
        if known is not None and (
            known[0].config is node.config
            and known[0].workflow_id == node.workflow_id
            and known[0].node_type is node.node_type
        ):
            return known
        # The callbacks get a copy: documents are shared with the history.
        given = own_copy(node)
        known = self._known[node.id] = (node, self._ports(given), str(self._title(given)))
        return known

    def ports(self, node: CanvasNode) -> PortsView:
        """The ports of a node."""
        return self._about(node)[1]

    def title(self, node: CanvasNode) -> str:
        """What a node is called."""
        return self._about(node)[2]

    def forget(self) -> None:
        """Ask anew from now on."""
        self._known.clear()
