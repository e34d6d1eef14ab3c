"""``job.nodes``: what became of each node of a graph's job."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from comfynb.engine.live import LiveJob
from comfynb.engine.views import NodeView
from comfynb.errors import NotFound
from comfynb.models import JobStatus, NodeType, utcnow
from comfynb.widgets import StaticTable
from comfynb.widgets.job_nodes_text import node_rows
from comfynb.widgets.markup import one_line
from comfynb.workbench.outputs import Outputs

__all__ = ["JobNode", "JobNodes"]


class JobNode:
    """One canvas node of a job; what it says is of the moment at which it is asked."""

    def __init__(self, live: LiveJob, node_id: str) -> None:
        self._live = live
        self.id = node_id

    @property
    def view(self) -> NodeView:
        """A snapshot of it now."""
        return next(view for view in self._live.view.nodes if view.canvas_node_id == self.id)

    @property
    def title(self) -> str:
        """What people call it."""
        return self.view.title

    @property
    def node_type(self) -> NodeType:
        """workflow, condition, fanout, merge, input or output."""
        nodes = self._live.job.canvas_snapshot.nodes
        return next(node.node_type for node in nodes if node.id == self.id)

    @property
    def status(self) -> JobStatus:
        """pending, running, completed, failed, cancelled, skipped or lost."""
        return self.view.status

    @property
    def backend(self) -> str | None:
        """The name of the backend that runs or ran it."""
        return self.view.backend

    @property
    def progress(self) -> float:
        """0 to 100."""
        return self.view.progress

    @property
    def step(self) -> str | None:
        """What it does right now, e.g. "KSampler: 15/30"."""
        return self.view.step

    @property
    def runs(self) -> int:
        """How often it runs: once for each of the items that reach it."""
        return self.view.runs

    @property
    def started_at(self) -> datetime | None:
        """When it began."""
        return self.view.started_at

    @property
    def completed_at(self) -> datetime | None:
        """When it ended."""
        return self.view.completed_at

    @property
    def time(self) -> timedelta | None:
        """How long it took, or has taken so far; None if it has not begun."""
        view = self.view
        if view.started_at is None:
            return None
        return (view.completed_at or utcnow()) - view.started_at

    @property
    def error(self) -> str | None:
        """Why it failed or was skipped, in one sentence."""
        return self.view.error

    @property
    def traceback(self) -> str | None:
        """The server's traceback, if it failed there."""
        return self.view.traceback

    @property
    def input(self) -> dict[str, Any]:
        """What reached it, by port: lists of items, each a file or a value."""
        return dict(self.view.input_data)

    @property
    def output(self) -> dict[str, Any] | None:
        """What it gave, by port; None until it has ended."""
        data = self.view.output_data
        return None if data is None else dict(data)

    @property
    def files(self) -> Outputs:
        """Every file that its workflow has left so far, downloaded."""
        return Outputs(self.view.images)

    @property
    def images(self) -> Outputs:
        """The pictures among them; shows itself as a gallery."""
        return Outputs([f for f in self.view.images if f.media_type.startswith("image/")])

    @property
    def delivered(self) -> list[Any]:
        """What an OUTPUT was given: the paths of the files in its folder, then values."""
        data = self.view.output_data or {}
        files, values = data.get("files", ()), data.get("values", ())
        assert isinstance(files, list | tuple)
        assert isinstance(values, list | tuple)
        return [*(Path(file["path"]) for file in files), *values]

    def __repr__(self) -> str:
        view = self.view
        where = f" on {view.backend}" if view.backend else ""
        what = view.error or view.step or ""
        text = f"{view.title}: {view.status.value}{where}{f', {what}' if what else ''}"
        return f"<{one_line(text, 400)}>"


class JobNodes(Mapping[str, JobNode]):
    """The nodes of a job by title, in the graph's order; shows itself as a table."""

    def __init__(self, live: LiveJob) -> None:
        self._live = live

    def _ids(self) -> dict[str, str]:
        found: dict[str, str] = {}
        for view in self._live.view.nodes:
            title, number = view.title, 1
            while title in found:
                number += 1
                title = f"{view.title} ({number})"
            found[title] = view.canvas_node_id
        return found

    def __getitem__(self, title: str) -> JobNode:
        ids = self._ids()
        if title in ids:
            return JobNode(self._live, ids[title])
        if title in ids.values():
            return JobNode(self._live, title)
        raise NotFound(f"{self._live.name} has no node {title!r:.80}; it has {', '.join(ids)}.")

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids())

    def __len__(self) -> int:
        return len(self._ids())

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def _table(self) -> StaticTable:
        return node_rows(self._live.view, utcnow())

    def __repr__(self) -> str:
        return self._table().plain()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        table = self._table()
        return {"text/plain": table.plain(), "text/html": table._repr_html_()}
