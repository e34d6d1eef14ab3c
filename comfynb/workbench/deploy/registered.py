"""A machine that ran a deployment's script, once it is a backend."""

from comfynb.widgets.tables import StaticTable
from comfynb.workbench.backends import Backend
from comfynb.workbench.checking import WorkflowCheck
from comfynb.workbench.deploy.showing import Shown

__all__ = ["Registered"]


class Registered(Shown):
    """A machine that was added as a backend, and whether the workflow would run there."""

    def __init__(self, backend: Backend, check: WorkflowCheck | None) -> None:
        self.backend = backend
        self.check = check
        """As ``wf.check`` gives it; None where no workflow was known."""

    @property
    def ok(self) -> bool:
        """Whether the workflow would run there."""
        return self.check is not None and self.check.ok

    def _good(self) -> bool | None:
        return None if self.check is None else self.ok

    def _heading(self) -> str:
        if self.check is None:
            return f"{self.backend.name} is a backend now; wf.check({self.backend.name!r}) checks"
        missing = len(self.check)
        verdict = "would run there" if self.ok else f"has {missing} problems there"
        return f"{self.backend.name} is a backend now; the workflow {verdict}"

    def _table(self) -> StaticTable:
        rows = [(str(problem),) for problem in self.check or ()]
        return StaticTable(["problem"], rows, wrap=True)
