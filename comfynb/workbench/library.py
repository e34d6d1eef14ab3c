"""``wb.workflows``: load workflows from where they live, find those that were used or saved."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from comfynb.comfy.load import load_workflow
from comfynb.errors import NotFound
from comfynb.models import WorkflowDefinition, new_id, utcnow
from comfynb.workbench.workflows import Workflow

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Workflows"]


class Workflows:
    """``wb.workflows``: load from a file, find those that were used or saved before."""

    def __init__(self, workbench: "Workbench") -> None:
        self._workbench = workbench

    def load(self, source: Any, *, name: str | None = None) -> Workflow:
        """Read a workflow: UI or API format, from a file, a dict, JSON text, or a picture or video
        that carries one.

        The same name again is the same workflow, in a new version if its content changed.

        Raises:
            NotAWorkflow: the file is not there, or holds no workflow; the message says what it is.
        """
        loaded = load_workflow(source)
        title = name or loaded.name or "workflow"
        known = self._stored(title)
        definition = WorkflowDefinition(
            id=known.id if known else new_id(),
            name=title,
            workflow_json={},
            api_json={},
            created_at=known.created_at if known else utcnow(),
        )
        return Workflow(self._workbench, definition, loaded)

    def _stored(self, name: str) -> WorkflowDefinition | None:
        found = self._workbench.store.find(WorkflowDefinition, where={"name": name}).result()
        return found[0] if found else None

    def __getitem__(self, name: str) -> Workflow:
        known = self._stored(name)
        if known is None:
            names = ", ".join(self._names()) or "none yet"
            raise NotFound(f"No workflow {name!r} was saved; there are: {names}.")
        return Workflow(self._workbench, known, None)

    def __iter__(self) -> Iterator[Workflow]:
        for definition in self._workbench.store.find(WorkflowDefinition, order_by="name").result():
            yield Workflow(self._workbench, definition, None)

    def __len__(self) -> int:
        return self._workbench.store.count(WorkflowDefinition).result()

    def _names(self) -> list[str]:
        return [workflow.name for workflow in self]

    def _ipython_key_completions_(self) -> list[str]:
        return self._names()

    def __repr__(self) -> str:
        return "\n".join(repr(workflow) for workflow in self) or (
            'no workflows yet: wf = wb.workflows.load("portrait.json")'
        )
