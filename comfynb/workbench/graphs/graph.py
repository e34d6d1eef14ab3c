"""``graph``: workflows, conditions, fan-outs and merges in code, in step with their canvas."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfynb.engine.graph import WorkflowPorts, check_connection, check_graph, title_of
from comfynb.engine.graph.config import DEFAULT_PATTERN
from comfynb.engine.graph.delivery import check_pattern
from comfynb.engine.graph.expressions import compile_expression
from comfynb.errors import NotFound, UsageError
from comfynb.models import (
    CanvasLayout,
    CanvasNode,
    DataType,
    FallbackStrategy,
    NodeType,
    Project,
    new_id,
    utcnow,
)
from comfynb.widgets import mimebundle
from comfynb.widgets.canvas import CanvasEditor
from comfynb.workbench.graphs.canvas import GraphCanvas
from comfynb.workbench.graphs.given import input_config, plain_config
from comfynb.workbench.graphs.model import GraphModel
from comfynb.workbench.graphs.nodes import GraphNode, Port
from comfynb.workbench.graphs.starting import Asks, start
from comfynb.workbench.graphs.text import graph_text
from comfynb.workbench.jobs import JobHandle
from comfynb.workbench.workflows import Workflow

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Graph", "Problems"]


class Problems(list[str]):
    """What keeps a graph from running, one sentence each; empty if nothing does."""

    def __repr__(self) -> str:
        return "\n".join(self) or "Nothing is wrong with this graph."


class Graph:
    """Workflows, conditions, fan-outs and merges, connected: one job runs all of it.

    ``graph.input(...)``, ``graph.workflow(...)`` and so on add nodes, ``>>`` connects them,
    ``graph["name"]`` finds one. The same graph is edited on its canvas, which is shown where the
    graph is: both always show the same.
    """

    def __init__(self, workbench: "Workbench", project: Project, *, stored: bool = True) -> None:
        self._workbench = workbench
        self._project = project
        self._model = GraphModel(project.canvas_layout)
        self._stored: CanvasLayout | None = project.canvas_layout if stored else None
        self._canvas: GraphCanvas | None = None
        self.last_job: JobHandle | None = None
        """The job that was started last, here or on the canvas."""

    # What it is -------------------------------------------------------------------------------

    @property
    def id(self) -> str:
        """The id of its project, as in the store."""
        return self._project.id

    @property
    def name(self) -> str:
        """What people call it."""
        return self._project.name

    @property
    def layout(self) -> CanvasLayout:
        """The seed's CanvasLayout, a copy; setting it replaces the whole graph."""
        return self._model.layout

    @layout.setter
    def layout(self, layout: CanvasLayout) -> None:
        self._model.replace(layout.model_copy(deep=True))

    @property
    def model(self) -> GraphModel:
        """What the canvas shares with this object."""
        return self._model

    @property
    def nodes(self) -> dict[str, GraphNode]:
        """All nodes by title; a title that several have gets a number."""
        found: dict[str, GraphNode] = {}
        for node in self._model.current.nodes:
            title, number = title_of(node), 1
            while title in found:
                number += 1
                title = f"{title_of(node)} ({number})"
            found[title] = GraphNode(self, node.id)
        return found

    def __getitem__(self, title: str) -> GraphNode:
        nodes = self.nodes
        if title in nodes:
            return nodes[title]
        if self.has_node(title):
            return GraphNode(self, title)
        raise NotFound(
            f"{self.name} has no node {title!r:.80}; it has {', '.join(nodes) or 'none yet'}."
        )

    def __iter__(self) -> Iterator[GraphNode]:
        return iter(self.nodes.values())

    def __len__(self) -> int:
        return len(self._model.current.nodes)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self.nodes)

    # For the parts ----------------------------------------------------------------------------

    def record_of(self, node_id: str) -> CanvasNode:
        """A node's record, not to be changed."""
        return self._model.node(node_id)

    def has_node(self, node_id: str) -> bool:
        """Whether a node of that id is still there."""
        return any(node.id == node_id for node in self._model.current.nodes)

    def connected_inputs(self, node_id: str) -> set[str]:
        """The inputs of a node that something is connected to."""
        return {
            connection.target_port
            for connection in self._model.current.connections
            if connection.target_node_id == node_id
        }

    def backend_name(self, backend_id: str | None) -> str | None:
        """What people call a backend."""
        live = self._workbench.engine.backends.get(backend_id or "")
        return live.name if live is not None else backend_id

    def workflow_ports_of(self, node: CanvasNode) -> WorkflowPorts | None:
        """The ports of a WORKFLOW node's workflow; None if it is not known."""
        return self._workbench.graphs.ports_of(node.workflow_id)

    def known_ports(self) -> dict[str, WorkflowPorts]:
        """The ports of the workflows in it that are known, by workflow id."""
        return self._workbench.graphs.ports_in(self._model.current)

    # Nodes ------------------------------------------------------------------------------------

    def input(
        self,
        name: str = "Input",
        *,
        files: str | Path | Sequence[str | Path] | None = None,
        value: Any = None,
        values: Sequence[Any] | None = None,
        type: str | DataType | None = None,  # noqa: A002 - the seed's word for it is data type
    ) -> GraphNode:
        """Where data comes in: ``files`` of this machine, one ``value``, or ``values``.

        ``graph.run(name=...)`` gives others. ``type`` (image, video, latent, any) is seen from the
        files where it is not said.

        Raises:
            InvalidValue: a file is not there.
        """
        return self._add(NodeType.INPUT, name, input_config(files, value, values, type))

    def workflow(
        self,
        workflow: Workflow | str,
        name: str | None = None,
        *,
        backend: str | None = None,
        fallback: str | FallbackStrategy = FallbackStrategy.ASK_USER,
        values: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> GraphNode:
        """Run a workflow; its loaders' files and its parameters are inputs, its output nodes
        outputs. Parameter values are given by name.

        ``backend`` names the one it prefers; ``fallback`` says what to do if that cannot run it:
        "none" fails with the reason, "auto" takes another one, "ask_user" asks.

        Raises:
            NotFound: no such workflow, backend or parameter.
            InvalidValue: a value that is not allowed.
        """
        known = self._workbench.workflows[workflow] if isinstance(workflow, str) else workflow
        self._workbench.graphs.learn(known.save())
        given = known.checked_values({**(values or {}), **more})
        return self._add(
            NodeType.WORKFLOW,
            name or known.name,
            {"values": given} if given else {},
            workflow_id=known.id,
            backend_affinity=self._backend_id(backend),
            fallback_strategy=FallbackStrategy(fallback),
        )

    def condition(
        self,
        expression: str,
        name: str = "Condition",
        *,
        true_label: str | None = None,
        false_label: str | None = None,
    ) -> GraphNode:
        """Go on at ``true`` or at ``false``, by an expression over output, params and job.

        Raises:
            ExpressionError: the expression cannot be read; the message says where.
        """
        compile_expression(expression)
        labels = {"true_label": true_label, "false_label": false_label}
        config = {key: label for key, label in labels.items() if label is not None}
        return self._add(NodeType.CONDITION, name, {"expression": expression, **config})

    def fanout(
        self, count: int = 2, name: str = "Fan-out", *, mode: str = "broadcast"
    ) -> GraphNode:
        """Go on at ``count`` outputs (``fan[0]``, ``fan[1]``, ...): "broadcast" gives each all,
        "distribute" gives each its share of a list or batch."""
        return self._add(NodeType.FANOUT, name, {"mode": mode, "output_count": count})

    def merge(
        self, mode: str = "concatenate", name: str = "Merge", *, inputs: int | None = None
    ) -> GraphNode:
        """Wait for every live input; "concatenate" gives one list, "collect" one list of lists,
        "zip" what belongs together. ``inputs`` numbers them, where their order matters."""
        config: dict[str, Any] = {"mode": mode}
        if inputs is not None:
            config["input_count"] = inputs
        return self._add(NodeType.MERGE, name, config)

    def output(
        self,
        folder: str | Path,
        naming_pattern: str = DEFAULT_PATTERN,
        *,
        name: str | None = None,
    ) -> GraphNode:
        """Put files into a folder of this machine, named by a pattern; never over another file.

        Raises:
            InvalidValue: the pattern cannot be used; an unknown placeholder lists those there are.
        """
        check_pattern(naming_pattern)
        config = {"output_folder": str(folder), "naming_pattern": naming_pattern}
        return self._add(NodeType.OUTPUT, name or Path(folder).name or "Output", config)

    def _add(
        self, node_type: NodeType, name: str, config: Mapping[str, Any], **fields: Any
    ) -> GraphNode:
        title = self._model.unique_title(name)
        node = CanvasNode(
            id=new_id(),
            node_type=node_type,
            position=(0.0, 0.0),
            config={**config, "name": title},
            **fields,
        )
        self._model.add(node, self.known_ports())
        return GraphNode(self, node.id)

    def _backend_id(self, name: str | None) -> str | None:
        return self._workbench.backends[name].id if name is not None else None

    def change_node(
        self, node_id: str, values: Mapping[str, Any], *, title: str | None = None
    ) -> None:
        """As :meth:`GraphNode.set`."""
        node = self._model.node(node_id)
        changes: dict[str, Any] = {}
        values = dict(values)
        if node.node_type is NodeType.WORKFLOW:
            if "backend" in values:
                changes["backend_affinity"] = self._backend_id(values.pop("backend"))
            if "fallback" in values:
                changes["fallback_strategy"] = FallbackStrategy(values.pop("fallback"))
        config = dict(node.config)
        if title is not None and title != title_of(node):
            config.pop("title", None)
            config["name"] = self._model.unique_title(title)
        if node.node_type is NodeType.WORKFLOW:
            config["values"] = self.new_values(node, values)
        else:
            config |= plain_config(values)
            config = {key: value for key, value in config.items() if value is not None}
        self._model.change(node_id, config=config, **changes)

    def new_values(self, node: CanvasNode, values: Mapping[str, Any]) -> dict[str, Any]:
        """A WORKFLOW node's values with others beside or instead of them, checked."""
        workflow = self._workbench.graphs.workflow(node.workflow_id)
        known = node.config.get("values")
        former = dict(known) if isinstance(known, dict) else {}
        given = {key: value for key, value in values.items() if value is not None}
        kept = {key: value for key, value in former.items() if key not in values}
        return kept | workflow.checked_values(given)

    def delete(self, node: GraphNode | str) -> None:
        """Take a node and its connections out of the graph."""
        found = self[node] if isinstance(node, str) else node
        self._model.node(found.id)
        self._model.remove([found.id])

    # Connections ------------------------------------------------------------------------------

    def connect(self, source: GraphNode | Port, target: GraphNode | Port) -> GraphNode:
        """Connect an output to an input; of a node, its only one. Returns the target's node.

        Raises:
            UsageError: they do not fit; the message names both ports and why.
        """
        out_node, out = _end(source)
        in_node, into = _end(target)
        if out_node.graph is not self or in_node.graph is not self:
            raise UsageError(f"{out_node.title} and {in_node.title} are not in the same graph.")
        source_port, target_port = out_node.as_output(out), in_node.as_input(into)
        connection = self._model.new_connection(
            (out_node.id, source_port.name), (in_node.id, target_port.name)
        )
        ports = self.known_ports()
        alike = (connection.source_node_id, connection.source_port, connection.target_port)
        if any(
            one.target_node_id == in_node.id
            and (one.source_node_id, one.source_port, one.target_port) == alike
            for one in self._model.current.connections
        ):
            return in_node  # the cell was run again
        problem = check_connection(self._model.current, ports, connection)
        if problem is not None:
            where = f"{out_node.title}.{source_port.name} >> {in_node.title}.{target_port.name}"
            raise UsageError(f"{where} cannot be connected: {problem}")
        self._model.connect(connection, ports)
        return in_node

    def disconnect(self, source: GraphNode | Port, target: GraphNode | Port) -> None:
        """Take away the connections between two ports, or two nodes.

        Raises:
            NotFound: there is none.
        """
        out_node, out = _end(source)
        in_node, into = _end(target)
        found = [
            one.id
            for one in self._model.current.connections
            if one.source_node_id == out_node.id
            and one.target_node_id == in_node.id
            and (out is None or one.source_port == out_node.as_output(out).name)
            and (into is None or one.target_port == in_node.as_input(into).name)
        ]
        if not found:
            raise NotFound(f"{out_node.title} is not connected to {in_node.title} like this.")
        self._model.remove(connection_ids=found)

    # Storing ----------------------------------------------------------------------------------

    def save(self) -> "Graph":
        """Store it; ``wb.graphs[name]`` finds it again. Running it does so as well."""
        layout = self._model.current
        if layout is not self._stored:
            project = self._project.model_copy(
                update={"canvas_layout": layout, "updated_at": utcnow()}
            )
            self._workbench.store.put(project).result()
            self._project, self._stored = project, layout
        return self

    async def save_soon(self) -> None:
        """As :meth:`save`, from the event loop, which goes on meanwhile."""
        await asyncio.to_thread(self.save)

    def rename(self, name: str) -> "Graph":
        """Call it otherwise.

        Raises:
            UsageError: another graph is called so.
        """
        if name != self.name:
            self._workbench.graphs.refuse_taken(name)
            self._project = Project.model_validate({**self._project.model_dump(), "name": name})
            self._stored = None
            self.save()
        return self

    # Running ----------------------------------------------------------------------------------

    def check(self) -> Problems:
        """What would keep it from running, one sentence each; empty if nothing."""
        return Problems(str(each) for each in check_graph(self._model.current, self.known_ports()))

    def run(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        on_ask: Asks | None = None,
        **more: Any,
    ) -> JobHandle:
        """Start it as it is now and return at once; the job is in the store by then.

        Values are given by an input's name, ``graph.run(seed=3)``, or for a workflow's parameter
        as ``{"upscale.steps": 20}``. A ``Path`` (or a list of them) is a file, and kept. Where a
        node asks for a backend, ``on_ask`` gets the question and returns one's name, or None to
        let the node fail; in a notebook the job's row asks instead.

        Raises:
            GraphInvalid: it cannot run; the message says why, ``problems`` has all reasons.
            NotFound: no input or parameter is called so.
            InvalidValue: a value that is not allowed, or a file that is not there.
        """
        workbench = self._workbench
        if not len(workbench.backends):
            raise UsageError('There is no backend yet: wb.backends.add("http://gpu1:8188").')
        job = start(workbench, self, {**(values or {}), **more}, on_ask)
        self.last_job = job
        if self._canvas is not None:
            self._canvas.show_job(job)
        return job

    # Showing ----------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return graph_text(self)

    def canvas(self) -> CanvasEditor:
        """Its canvas: the same one wherever the graph is shown."""
        if self._canvas is None or self._canvas.editor.comm is None:
            self._canvas = GraphCanvas(self._workbench, self)
        return self._canvas.editor

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        canvas = self.canvas()
        return mimebundle(canvas, repr(self), canvas.static_html())


def _end(end: GraphNode | Port) -> tuple[GraphNode, Port | None]:
    if isinstance(end, Port):
        return end.node, end
    if isinstance(end, GraphNode):
        return end, None
    raise UsageError(f"Nodes and their ports are connected, not {type(end).__name__}.")
