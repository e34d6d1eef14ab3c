"""The canvas of a graph: what it may ask, and what its edits do, so that code sees the same."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from comfynb.comfy.values import check_value
from comfynb.engine.graph import compatible, ports_of, title_of
from comfynb.engine.graph.check import GraphProblem, check_graph
from comfynb.engine.graph.config import DEFAULT_PATTERN
from comfynb.engine.views import BackendView, JobView, PortsView
from comfynb.errors import NotFound
from comfynb.models import CanvasLayout, CanvasNode, ExposedParameter, NodeType, ParamType
from comfynb.widgets.canvas import CanvasEditor, PaletteItem, Update
from comfynb.widgets.job_row import JobRow
from comfynb.widgets.live import Live
from comfynb.widgets.node_form import NodeForm

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench
    from comfynb.workbench.graphs.graph import Graph
    from comfynb.workbench.jobs import JobHandle

__all__ = ["GraphCanvas", "palette_items"]

SAVE_AFTER = 0.5
"""Seconds that a graph must be left alone before it is stored."""
FILES = frozenset({ParamType.IMAGE_PATH, ParamType.VIDEO_PATH})

_PARTS = (
    PaletteItem(
        "input", "Input", NodeType.INPUT, "Graph", "files or values", "load begin", config={}
    ),
    PaletteItem(
        "condition",
        "Condition",
        NodeType.CONDITION,
        "Graph",
        "one of two ways",
        "if else branch",
        config={"expression": "output.count > 0"},
    ),
    PaletteItem(
        "fanout",
        "Fan-out",
        NodeType.FANOUT,
        "Graph",
        "to several nodes",
        "split distribute broadcast",
        config={"mode": "broadcast", "output_count": 2},
    ),
    PaletteItem(
        "merge",
        "Merge",
        NodeType.MERGE,
        "Graph",
        "from several nodes",
        "join collect zip concatenate",
        config={"mode": "concatenate"},
    ),
    PaletteItem(
        "output",
        "Output",
        NodeType.OUTPUT,
        "Graph",
        "files into a folder",
        "save end",
        config={"output_folder": "results", "naming_pattern": DEFAULT_PATTERN},
    ),
)


def palette_items(workbench: "Workbench") -> list[PaletteItem]:
    """What can be added: every workflow that was saved, and the graph's own kinds of nodes."""
    workflows = [
        PaletteItem(
            f"workflow {workflow.id}",
            workflow.name,
            NodeType.WORKFLOW,
            "Workflows",
            workflow_id=workflow.id,
            config={"name": workflow.name},
        )
        for workflow in workbench.workflows
    ]
    return [*workflows, *_PARTS]


class GraphCanvas:
    """Keeps one canvas, its graph and the store in step, and shows the graph's last job on it."""

    def __init__(self, workbench: "Workbench", graph: "Graph") -> None:
        self._workbench = workbench
        self._graph = graph
        self._saving: asyncio.TimerHandle | None = None
        self._live: Live[JobView] | None = None
        self.editor = CanvasEditor(
            graph.layout,
            ports=self._ports,
            title=title_of,
            palette=palette_items(workbench),
            compatible=compatible,
            check=self._check,
            inspector=self._form,
            backends=self._backends,
            on_change=self._changed,
            on_run=self._run,
            name=graph.name,
        )
        graph.model.watch(self, self._follow)
        if graph.last_job is not None:
            self.show_job(graph.last_job)

    # What the canvas asks ---------------------------------------------------------------------

    def _ports(self, node: CanvasNode) -> PortsView:
        return ports_of(node, self._workbench.graphs.ports_of(node.workflow_id))

    def _check(self, layout: CanvasLayout) -> Sequence[GraphProblem]:
        return check_graph(layout, self._workbench.graphs.ports_in(layout))

    def _backends(self) -> Sequence[BackendView]:
        return self._workbench.engine.view

    def _form(self, node: CanvasNode, update: Update) -> NodeForm | None:
        """The parameters of a workflow; the canvas has forms of its own for the rest."""
        if node.node_type is not NodeType.WORKFLOW:
            return None
        try:
            workflow = self._workbench.graphs.workflow(node.workflow_id)
        except NotFound:
            return None
        given = node.config.get("values")
        values = dict(given) if isinstance(given, dict) else {}

        def edited(key: str, value: object) -> None:
            values.pop(key, None)
            if value is not None:
                values[key] = value
            update({"values": dict(values) or None})

        return NodeForm(
            workflow.parameters,
            values,
            edited,
            check=_check_value,
            upload=self._workbench.keep_upload,
            fetch=self._workbench.fetch_input,
        )

    # What goes on -----------------------------------------------------------------------------

    def _changed(self, layout: CanvasLayout) -> None:
        self._graph.model.replace(layout, by=self)
        self._save_soon()

    def _follow(self, layout: CanvasLayout) -> None:
        """Code changed the graph; on the loop, which the canvas lives on."""
        self._workbench.host.call(self.editor.set_layout, layout)

    def _save_soon(self) -> None:
        """Store it once it has been left alone for a moment; the loop goes on meanwhile."""
        if self._saving is not None:
            self._saving.cancel()
        self._saving = self._workbench.host.loop.call_later(SAVE_AFTER, self._save)

    def _save(self) -> None:
        self._saving = None
        if self._workbench.host.usable:  # nobody stores anything after wb.close()
            self._workbench.host.start(self._graph.save_soon(), f"save {self._graph.name}")

    def _run(self, _: CanvasLayout) -> JobRow:
        job: JobHandle = self._graph.run()
        return job.row()

    def show_job(self, job: "JobHandle") -> None:
        """Colour the nodes as the job goes on."""
        if self._live is not None:
            self._live.stop()
        self._live = Live(job, self._show)
        self._show(job.view)

    def _show(self, view: JobView) -> None:
        if self.editor.comm is not None:
            self.editor.show_job(view)

    def close(self) -> None:
        """Follow nothing more, and close the canvas."""
        self._graph.model.unwatch(self)
        if self._live is not None:
            self._live.stop()
        self.editor.close()


def _check_value(parameter: ExposedParameter, value: object) -> Any:
    return value if parameter.param_type in FILES else check_value(parameter, value)
