"""``d.report``: what the last attempt to make a lock found, as it is shown."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, fields
from typing import Any

from comfynb.deploy.lock import LockDiff, LockReport, explain_changes
from comfynb.models import Lock
from comfynb.widgets.deploy import ReportState, report_html
from comfynb.widgets.deploy.report import report_text

__all__ = ["Report"]


@dataclass(frozen=True, repr=False)
class Report(LockReport):
    """A report that shows itself: conflicts first, then risks, sizes, changes, what is pinned."""

    diff: LockDiff | None = None
    """What the lock changes in the one before, with reasons; None if there was none, or none is."""

    @classmethod
    def of(
        cls, report: LockReport, former: Lock | None, upgrade: Collection[str] | bool
    ) -> "Report":
        """The report of an attempt that followed ``former``."""
        diff = None
        if former is not None and report.draft is not None:
            names = upgrade if isinstance(upgrade, bool) else list(upgrade)
            diff = explain_changes(former, report.draft, names)
        values = {one.name: getattr(report, one.name) for one in fields(LockReport)}
        return cls(**values, diff=diff)

    @property
    def state(self) -> ReportState:
        """As widgets take it."""
        return ReportState(self, self.diff)

    def __repr__(self) -> str:
        return report_text(self.state)

    def _repr_html_(self) -> str:
        return report_html(self.state)

    def _repr_mimebundle_(self, **_: Any) -> Mapping[str, str]:
        return {"text/plain": repr(self), "text/html": self._repr_html_()}
