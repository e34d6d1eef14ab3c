"""A lock as it is shown: what it pins, what is risky about it, and what it changes."""

from collections.abc import Mapping
from typing import Any

from comfynb.deploy.lock import LockDiff, LockReport, diff_locks, explain_changes
from comfynb.deploy.service import MadeLock
from comfynb.models import Lock, LockRecord
from comfynb.widgets.deploy import ReportState, report_html
from comfynb.widgets.tables import StaticTable
from comfynb.workbench.deploy.showing import Shown

__all__ = ["Changes", "Locked", "between"]


class Changes(Shown):
    """What is otherwise in one lock than in another, with the reason where it is known."""

    def __init__(self, found: LockDiff) -> None:
        self.changes = found.changes
        """One for each thing."""

    def __len__(self) -> int:
        return len(self.changes)

    def _heading(self) -> str:
        return f"{len(self)} changes" if len(self) else "Nothing has changed."

    def _table(self) -> StaticTable:
        rows = [
            (one.what, one.name, one.before or "", one.after or "", one.reason)
            for one in self.changes
        ]
        columns = ["what", "name", "before", "now", "why"]
        return StaticTable(columns, rows, limit=100, wrap=True)


class Locked(Shown):
    """A lock that was made and kept; a table of what should be looked at where it is shown."""

    def __init__(self, made: MadeLock, update: bool | list[str]) -> None:
        self.record = made.record
        """As the store has it."""
        self.lock = made.lock
        self.report: LockReport = made.report
        """Conflicts, risks, sizes and notes."""
        self._explained = (
            explain_changes(made.former, made.lock, update) if made.former is not None else None
        )
        self.changes = Changes(self._explained or LockDiff(()))
        """What it changes in the former lock; nothing if there was none."""

    def _heading(self) -> str:
        lock = self.lock
        return (
            f"{lock.name} is locked: ComfyUI {lock.comfyui.version}, {len(lock.nodes)} node packs, "
            f"{len(lock.models)} models, {len(lock.python.requirements)} Python packages; "
            f"{self.report.sizes}"
        )

    def _good(self) -> bool | None:
        return True

    def _repr_html_(self) -> str:
        return report_html(ReportState(self.report, self._explained))

    def _repr_mimebundle_(self, **_: Any) -> Mapping[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def _table(self) -> StaticTable:
        report = self.report
        rows: list[tuple[str, str, str]] = [
            ("conflict", one.subject, str(one)) for one in report.conflicts
        ]
        rows += [(f"{one.level} risk", one.subject, one.text) for one in report.risks]
        rows += [("note", "", note) for note in report.notes]
        rows += [("change", one.name, str(one)) for one in self.changes.changes]
        return StaticTable(["what", "of", "says"], rows, limit=100, wrap=True)


def between(old: LockRecord, new: LockRecord) -> Changes:
    """Compare two locks of the store."""
    return Changes(diff_locks(Lock.model_validate(old.content), Lock.model_validate(new.content)))
