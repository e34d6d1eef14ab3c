"""The job that is shown on the canvas: how each node stands, who waits for an answer, pictures."""

from comfynb.engine.views import JobView, NodeView
from comfynb.widgets.canvas.pictures import Pictures

__all__ = ["Watched"]


class Watched:
    """The last view of a job, by node; its pictures go to ``pictures``."""

    def __init__(self, pictures: Pictures) -> None:
        self.pictures = pictures
        self.job: JobView | None = None
        self.states: dict[str, NodeView] = {}
        """By the canvas node's id."""
        self.asking: frozenset[str] = frozenset()
        """Nodes that wait for a person."""

    def show(self, view: JobView | None) -> None:
        """Show how a job stands; None shows none. Pictures of another job go."""
        if view is None or self.job is None or view.id != self.job.id:
            self.pictures.forget()
        self.job = view
        self.states = {} if view is None else {one.canvas_node_id: one for one in view.nodes}
        questions = () if view is None else view.questions
        self.asking = frozenset(one.canvas_node_id for one in questions)
        for node in self.states.values():
            files = [image.path for image in node.images if image.path is not None]
            if files:
                self.pictures.show(node.canvas_node_id, files[-1])
            elif node.preview is not None:
                self.pictures.show(node.canvas_node_id, node.preview)
