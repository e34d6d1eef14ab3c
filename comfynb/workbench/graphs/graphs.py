"""``wb.graphs``: make graphs, and find those that were saved."""

import weakref
from collections.abc import Iterator
from typing import TYPE_CHECKING

from IPython import get_ipython

from comfynb.engine.graph import WorkflowPorts, workflow_ports
from comfynb.engine.plan import RUNS_PROJECT
from comfynb.errors import BackendError, NotFound, UsageError
from comfynb.models import CanvasLayout, Project, WorkflowDefinition, new_id
from comfynb.workbench.graphs.graph import Graph
from comfynb.workbench.graphs.text import count_of
from comfynb.workbench.workflows import Workflow

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Graphs"]


class Graphs:
    """``wb.graphs``: make graphs, and find those that were saved."""

    def __init__(self, workbench: "Workbench") -> None:
        self._workbench = workbench
        # In a notebook a job's row asks for backends; in a script there is nobody to ask.
        workbench.engine.interactive = _in_notebook()
        self._known: weakref.WeakValueDictionary[str, Graph] = weakref.WeakValueDictionary()
        self._workflows: dict[str, Workflow] = {}
        self._ports: dict[str, WorkflowPorts] = {}
        self._guessed: dict[str, WorkflowPorts] = {}

    def new(self, name: str, *, replace: bool = False) -> Graph:
        """An empty graph, stored at once; ``replace`` empties the one of that name.

        Raises:
            UsageError: a graph is called so, and ``replace`` was not asked for.
        """
        known = self._stored(name)
        if known is not None and not replace:
            raise UsageError(
                f"There is a graph {name!r:.80} already: wb.graphs[{name!r:.80}] opens it, "
                f"wb.graphs.new({name!r:.80}, replace=True) begins it anew."
            )
        if known is not None:
            graph = self._open(known)
            graph.layout = CanvasLayout()
        else:
            graph = self._open(Project(id=new_id(), name=name), stored=False)
        return graph.save()

    def __getitem__(self, name: str) -> Graph:
        known = self._stored(name)
        if known is None:
            names = ", ".join(self._names()) or "none yet"
            raise NotFound(f"No graph {name!r:.80} was saved; there are: {names}.")
        return self._open(known)

    def delete(self, name: str) -> None:
        """Forget a graph.

        Raises:
            NotFound: there is none of that name.
            UsageError: it has jobs, which would lose what they belong to.
        """
        graph = self[name]
        jobs = self._workbench.sql(
            "select count(*) as n from jobs where project_id = $1", [graph.id]
        )
        count = next(iter(jobs))["n"]
        if count:
            raise UsageError(
                f"{name} has {count_of(count, 'job')} in the store: a graph that was run stays, so "
                "that it is known what they ran. rename it, or begin it anew."
            )
        self._workbench.store.delete(Project, graph.id).result()
        self._known.pop(graph.id, None)

    def rename(self, name: str, new: str) -> Graph:
        """Call a graph otherwise; see :meth:`Graph.rename`."""
        return self[name].rename(new)

    def refuse_taken(self, name: str) -> None:
        """Refuse a name that a graph has.

        Raises:
            UsageError: one has it.
        """
        if self._stored(name) is not None:
            raise UsageError(f"There is a graph {name!r:.80} already: choose another name.")

    def _stored(self, name: str) -> Project | None:
        found = self._workbench.store.find(Project, where={"name": name}).result()
        return next((project for project in found if project.id != RUNS_PROJECT), None)

    def _open(self, project: Project, *, stored: bool = True) -> Graph:
        graph = self._known.get(project.id)
        if graph is None:
            graph = Graph(self._workbench, project, stored=stored)
            self._known[project.id] = graph
        return graph

    # Workflows --------------------------------------------------------------------------------

    def learn(self, workflow: Workflow) -> None:
        """Use this handle for its workflow from now on: it may expose more than before."""
        self._workflows[workflow.id] = workflow
        self._ports.pop(workflow.id, None)
        self._guessed.pop(workflow.id, None)

    def workflow(self, workflow_id: str | None) -> Workflow:
        """A workflow by id.

        Raises:
            NotFound: the store has none.
        """
        known = self._workflows.get(workflow_id or "")
        if known is None:
            definition = (
                self._workbench.store.get(WorkflowDefinition, workflow_id).result()
                if workflow_id
                else None
            )
            if definition is None:
                raise NotFound(f"The store has no workflow {workflow_id!r:.80}.")
            known = self._workflows[definition.id] = Workflow(self._workbench, definition, None)
        return known

    def ports_of(self, workflow_id: str | None) -> WorkflowPorts | None:
        """The ports of a workflow; None if the store has none of that id."""
        if not workflow_id:
            return None
        known = self._ports.get(workflow_id)
        if known is not None:
            return known
        try:
            definition = self.workflow(workflow_id).definition
        except NotFound:
            return None
        classes = {str(node.get("class_type")) for node in definition.api_json.values()}
        if workflow_id in self._guessed and not self._workbench.node_classes.known():
            return self._guessed[workflow_id]
        try:
            info = self._workbench.node_classes.reference(classes)
        except (BackendError, UsageError):
            # Nobody says what its nodes are: only ComfyUI's own loaders and savers are known so.
            # It is asked once, since a canvas asks for ports while it draws.
            self._guessed[workflow_id] = workflow_ports(definition)
            return self._guessed[workflow_id]
        self._ports[workflow_id] = workflow_ports(definition, info)
        return self._ports[workflow_id]

    def ports_in(self, layout: CanvasLayout) -> dict[str, WorkflowPorts]:
        """The ports of the workflows in a layout that are known, by workflow id."""
        ids = {node.workflow_id for node in layout.nodes if node.workflow_id}
        found = {workflow_id: self.ports_of(workflow_id) for workflow_id in ids}
        return {key: ports for key, ports in found.items() if ports is not None}

    # Listing ----------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Graph]:
        for project in self._workbench.store.find(Project, order_by="name").result():
            if project.id != RUNS_PROJECT:
                yield self._open(project)

    def __len__(self) -> int:
        return len(self._names())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._stored(name) is not None

    def _names(self) -> list[str]:
        return [graph.name for graph in self]

    def _ipython_key_completions_(self) -> list[str]:
        return self._names()

    def __repr__(self) -> str:
        lines = [f"{graph.name}: {count_of(len(graph), 'node')}" for graph in self]
        return "\n".join(lines) or 'no graphs yet: graph = wb.graphs.new("faces")'


def _in_notebook() -> bool:
    """Whether a kernel runs this, so that rows are seen and buttons clicked."""
    return getattr(get_ipython(), "kernel", None) is not None
