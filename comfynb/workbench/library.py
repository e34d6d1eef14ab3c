"""``wb.workflows``: load workflows from where they live, find those that were used or saved."""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfynb.comfy.load import LoadedWorkflow, load_file, load_text, load_workflow
from comfynb.comfy.naming import one_line
from comfynb.comfy.web import is_url
from comfynb.errors import NotFound
from comfynb.models import WorkflowDefinition, new_id
from comfynb.widgets.markup import clip
from comfynb.workbench.sources import load_from_url
from comfynb.workbench.templates import Templates
from comfynb.workbench.workflows import Workflow

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Workflows"]


class Workflows:
    """``wb.workflows``: load from anywhere, find those that were used or saved before."""

    def __init__(self, workbench: "Workbench") -> None:
        self._workbench = workbench
        self.templates = Templates(workbench)
        """ComfyUI's official templates: ``templates.search("flux")``, ``templates.load(name)``."""

    def load(self, source: Any, *, name: str | None = None) -> Workflow:
        """Read a workflow: UI or API format, from a file, a URL, a dict, JSON text, what was copied
        from ComfyUI's canvas, or a picture, sound or video that carries one.

        A text is taken for a URL if it starts with http, for JSON if it starts like JSON, and for
        a path otherwise; :meth:`load_file`, :meth:`load_text` and :meth:`load_url` do not guess.
        ``wb.backends["PC1"].workflows`` and ``.history()`` load what a server has.

        The same name again is the same workflow, in a new version if its content changed.

        Raises:
            NotAWorkflow: there is nothing there, or no workflow in it; the message says what it is.
        """
        if isinstance(source, str) and is_url(source):
            return self.load_url(source, name=name)
        return self.open(load_workflow(source, name=name or ""))

    def load_file(self, path: str | os.PathLike[str], *, name: str | None = None) -> Workflow:
        """Read a workflow from a file, whatever its path looks like; see :meth:`load`."""
        return self.open(load_file(path, name=name or ""))

    def load_text(self, text: str, *, name: str | None = None) -> Workflow:
        """Read a workflow from a text that was copied somewhere; see :meth:`load`."""
        return self.open(load_text(text, name=name or ""))

    def load_url(self, url: str, *, name: str | None = None) -> Workflow:
        """Fetch a workflow from an http or https URL; see :meth:`load`.

        Waits for the answer (at most two minutes). A backend's own URLs (``/view?filename=...``,
        ``/userdata/...``) are asked with that backend's credentials; in the URL itself they may
        stand before the host. They are sent to that server alone and shown nowhere.
        """
        return self.open(load_from_url(self._workbench, url), name=name)

    def open(
        self, loaded: LoadedWorkflow, *, name: str | None = None, source: str | None = None
    ) -> Workflow:
        """Make a workflow of what was loaded; ``source`` says in words where it came from."""
        # A file may be called anything; what is stored and shown is one line.
        title = one_line(name or loaded.name) or "workflow"
        known = self._stored(title)
        blank: dict[str, Any] = {"workflow_json": {}, "api_json": {}}
        if known is None:
            definition = WorkflowDefinition(id=new_id(), name=title, **blank)
        else:
            definition = known.model_copy(update={**blank, "exposed_parameters": []})
        if source is not None:
            loaded = replace(loaded, source=source)
        return Workflow(self._workbench, definition, loaded)

    def _stored(self, name: str) -> WorkflowDefinition | None:
        found = self._workbench.store.find(WorkflowDefinition, where={"name": name}).result()
        return found[0] if found else None

    def __getitem__(self, name: str) -> Workflow:
        known = self._stored(name)
        if known is None:
            names = clip(", ".join(self._names()), 400) or "none yet"
            raise NotFound(f"No workflow {name!r} was saved; there are: {names}.")
        return Workflow(self._workbench, known, None)

    def __iter__(self) -> Iterator[Workflow]:
        for definition in self._workbench.store.find(WorkflowDefinition, order_by="name").result():
            yield Workflow(self._workbench, definition, None)

    def __len__(self) -> int:
        return self._workbench.store.count(WorkflowDefinition).result()

    def _names(self) -> list[str]:
        # Without the workflows themselves, of which a store may have hundreds of megabytes.
        found = self._workbench.store.sql("select name from workflows order by name").result()
        return found.column("name")

    def _ipython_key_completions_(self) -> list[str]:
        return self._names()

    def __repr__(self) -> str:
        return "\n".join(f"<Workflow {name}>" for name in self._names()) or (
            'no workflows yet: wf = wb.workflows.load("portrait.json")'
        )
