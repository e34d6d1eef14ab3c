"""``wf.versions``: what a workflow was when it was run or saved, and what changed in between."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

from comfynb.comfy.difference import WorkflowDiff, diff_workflows
from comfynb.comfy.load import LoadedWorkflow
from comfynb.errors import NotFound
from comfynb.models import ExposedParameter, WorkflowVersion
from comfynb.widgets.markup import esc, one_line
from comfynb.widgets.tables import Cell, StaticTable

if TYPE_CHECKING:
    from comfynb.store import Store
    from comfynb.workbench.workflows import Workflow

__all__ = ["ShownDiff", "Version", "Versions"]

_SHOWN = 100

Open = Callable[[LoadedWorkflow, Sequence[ExposedParameter] | None], "Workflow"]


@dataclass(frozen=True, slots=True)
class Version:
    """One version of a workflow; ``load()`` gives the workflow as it was then."""

    record: WorkflowVersion
    _open: Open
    _name: str

    @property
    def number(self) -> int:
        """1 for the first."""
        return self.record.version

    @property
    def created_at(self) -> Any:
        """When it was first run or saved; UTC."""
        return self.record.created_at

    @property
    def api_json(self) -> dict[str, Any]:
        """Its prompt in API format."""
        return dict(self.record.api_json)

    @property
    def workflow_json(self) -> dict[str, Any]:
        """Its UI workflow; empty where only the API format was known."""
        return dict(self.record.workflow_json)

    @property
    def size(self) -> int:
        """Bytes as JSON: what was loaded, the UI workflow where there is one."""
        return len(json.dumps(self.record.workflow_json or self.record.api_json).encode())

    @property
    def parameters(self) -> list[ExposedParameter]:
        """What could be set, in order; empty too where the store did not keep that yet."""
        return list(self.record.exposed_parameters or ())

    def load(self) -> "Workflow":
        """The workflow as it was, with the parameters that it exposed, under their names.

        Saving it makes it the current one again; neither that nor running makes a new version.
        """
        record = self.record
        return self._open(
            LoadedWorkflow(
                "api", record.workflow_json or None, record.api_json, self._name,
                f"version {record.version}",
            ),
            record.exposed_parameters,
        )  # fmt: skip

    def __repr__(self) -> str:
        nodes = len(self.record.api_json)
        when = f"{self.record.created_at:%Y-%m-%d %H:%M}"
        return f"<Version {self.number} of {one_line(self._name, 60)}: {nodes} nodes, {when} UTC>"


class ShownDiff(WorkflowDiff):
    """A difference between two versions that shows itself as a table; see ``WorkflowDiff``."""

    def _table(self) -> StaticTable:
        rows = []
        for change in self.changes:
            whole = change.kind in {"added", "removed"}
            rows.append(
                (
                    change.where,
                    change.input or change.kind,
                    Cell(one_line(change.was, 80), _value(change.was)),
                    Cell(one_line(change.now, 80), _value("" if whole else change.now)),
                )
            )
        return StaticTable(["Node", "What", "Before", "After"], rows, limit=_SHOWN)

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        shown = self._table()
        words = "Nothing that runs has changed." if not len(self) else _count(len(self))
        if self.renumbered:
            words += " Nodes have other ids; they were matched by what they are."
        html = shown.with_heading(" ".join([words, *self.layout]))
        return {"text/plain": str(self), "text/html": html}


def _count(changes: int) -> str:
    return f"{changes} change{'' if changes == 1 else 's'}."


def _value(text: str) -> str:
    return f"<code>{esc(one_line(text, 200))}</code>" if text else ""


class Versions(Sequence[Version]):
    """``wf.versions``: numbered from 1, oldest first; ``wf.versions[1]``, ``wf.versions[-1]``.

    A version is made when the workflow is run or saved with another content than before, or with
    other parameters: exposed, hidden, renamed, grouped or ordered otherwise.
    """

    def __init__(self, store: "Store", workflow_id: str, name: str, open_version: Open) -> None:
        self._store = store
        self._workflow_id = workflow_id
        self._name = name
        self._open = open_version

    def _all(self) -> list[Version]:
        records = self._store.find(
            WorkflowVersion, where={"workflow_id": self._workflow_id}, order_by="version"
        ).result()
        return [Version(record, self._open, self._name) for record in records]

    @overload
    def __getitem__(self, number: int) -> Version: ...
    @overload
    def __getitem__(self, number: slice) -> list[Version]: ...
    def __getitem__(self, number: int | slice) -> Version | list[Version]:
        """The version of that number; negative numbers count from the newest.

        Raises:
            NotFound: there is no such version.
        """
        versions = self._all()
        if isinstance(number, slice):
            return versions[number]
        for place, version in enumerate(versions):
            if number in {version.number, place - len(versions)}:
                return version
        known = ", ".join(str(version.number) for version in versions) or "none yet"
        raise NotFound(
            f"{self._name} has no version {number}; there are: {known}. "
            "A version is made when the workflow is run or saved."
        )

    def __iter__(self) -> Iterator[Version]:
        return iter(self._all())

    def __len__(self) -> int:
        return self._store.count(WorkflowVersion, {"workflow_id": self._workflow_id}).result()

    def diff(self, before: int = -2, after: int = -1) -> ShownDiff:
        """What changed from one version to another, by number; by default the latest change."""
        old, new = self[before].record, self[after].record
        ours, theirs = old.exposed_parameters, new.exposed_parameters
        found = diff_workflows(
            (old.api_json, old.workflow_json),
            (new.api_json, new.workflow_json),
            exposed=((), ()) if ours is None or theirs is None else (ours, theirs),
        )
        layout = list(found.layout)
        if ours is None or theirs is None:
            unknown = old if ours is None else new
            layout.append(f"What version {unknown.version} let one set was not kept.")
        return ShownDiff(found.changes, layout, found.renumbered)

    def _table(self) -> StaticTable:
        rows = [
            (
                version.number,
                f"{version.created_at:%Y-%m-%d %H:%M:%S}",
                len(version.record.api_json),
                version.size,
                "" if version.record.exposed_parameters is None else len(version.parameters),
                "UI" if version.record.workflow_json else "API",
            )
            for version in self._all()
        ]
        return StaticTable(
            ["Version", "Made (UTC)", "Nodes", "Bytes", "Parameters", "Format"],
            rows,
            empty="no version yet: one is made when the workflow is run or saved",
            limit=_SHOWN,
        )

    def __repr__(self) -> str:
        return self._table().plain()

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()
