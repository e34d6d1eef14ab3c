"""What making a lock found: conflicts first, then risks, sizes, changes, and what is pinned."""

from collections.abc import Sequence

from comfynb.deploy.lock import ConflictFound, LockDiff, LockReport, Risk
from comfynb.deploy.lock.report import RiskLevel
from comfynb.models import Lock
from comfynb.widgets.composite import html
from comfynb.widgets.deploy.look import DeployBox, chip, deploy_styled, risk_chip, size, wide
from comfynb.widgets.deploy.views import ReportState
from comfynb.widgets.markup import esc, user
from comfynb.widgets.tables import Cell, StaticTable

__all__ = ["LockReportView", "pinned_html", "report_body", "report_html", "report_text"]

_LEVELS = {"high": 0, "medium": 1, "low": 2}


class LockReportView(DeployBox):
    """A report in a box, for others to hold; ``show`` replaces it."""

    def __init__(self, state: ReportState | None = None) -> None:
        self._state = state
        self._body = html()
        super().__init__([self._body])
        self.show(state)

    def show(self, state: ReportState | None) -> None:
        """Tell of another attempt; None shows nothing."""
        self._state = state
        self._body.value = report_body(state) if state is not None else ""

    def plain(self) -> str:
        """The report as text."""
        return report_text(self._state) if self._state is not None else "not locked yet"

    def body(self) -> str:
        """The report as HTML."""
        return str(self._body.value)


def report_text(state: ReportState) -> str:
    """The report as text, with what changed."""
    diff = state.diff
    return str(state.report) if diff is None else f"{state.report}\nSince the lock before:\n{diff}"


def report_html(state: ReportState) -> str:
    """The report as static HTML that needs nothing else."""
    return deploy_styled(report_body(state))


def report_body(state: ReportState) -> str:
    """The report as HTML without its style."""
    report = state.report
    parts = [_head(report), _conflicts(report), _problems(report), _risks(report.risks)]
    if state.diff is not None:
        parts.append(_changes(state.diff))
    if report.draft is not None:
        parts.append(pinned_html(report.draft))
    parts.append(_notes(report))
    return f'<div class="comfynb-report">{"".join(parts)}</div>'


def _head(report: LockReport) -> str:
    if report.draft is None:
        sign = chip("✕", "no lock", "comfynb-failed")
        return (
            f'<div class="comfynb-headline">{sign}<span class="comfynb-name">'
            f"{user(report.name, 120)}</span></div>"
            '<div class="comfynb-soft">Nothing was kept, and nothing can be made of it until '
            "this is settled.</div>"
        )
    lock, sizes = report.draft, report.sizes
    unknown = sizes.unknown_models + sizes.unknown_files
    facts = [
        ("to download", size(sizes.known) + (f" + {wide(unknown, 'file')} of unknown size"
         if unknown else "")),
        ("keep free at least", size(sizes.disk)),
        ("node packs", f"{len(lock.nodes):,}"),
        ("models", f"{len(lock.models):,}"),
        ("Python packages", f"{len(lock.python.requirements):,}"),
        ("ComfyUI", lock.comfyui.version),
    ]  # fmt: skip
    told = "".join(f"<div><b>{user(value, 80)}</b><span>{esc(name)}</span></div>"
                   for name, value in facts)  # fmt: skip
    return (
        f'<div class="comfynb-headline">{chip("✓", "locked", "comfynb-completed")}'
        f'<span class="comfynb-name">{user(report.name, 120)}</span></div>'
        f'<div class="comfynb-facts">{told}</div>'
    )


def _conflicts(report: LockReport) -> str:
    if not report.conflicts:
        if report.draft is None:
            return ""
        how = {
            "uv": "No conflicts: all requirements were resolved together.",
            "specifiers": "No conflicts seen: requirements were only compared line by line.",
            "none": "No requirements to compare.",
        }[report.python_check]
        return f'<h4>Conflicts</h4><div class="comfynb-soft">{esc(how)}</div>'
    ordered = sorted(report.conflicts, key=lambda one: not one.blocking)
    return f"<h4>Conflicts ({len(ordered)})</h4>{''.join(map(_conflict, ordered))}"


def _conflict(found: ConflictFound) -> str:
    how = chip("✕", "conflict", "comfynb-failed") if found.blocking else chip(
        "!", "beware", "comfynb-paused"
    )  # fmt: skip
    claims = "".join(
        f"<tr><td>{user(claim.party, 120)}</td><td>wants <code>{user(claim.wants, 300)}</code></td>"
        "</tr>"
        for claim in found.claims
    )
    cure = str(found).rpartition("; ")[2]
    detail = (
        f"<details><summary>what the resolver said</summary><pre>{esc(found.detail[:20_000])}</pre>"
        "</details>"
        if found.detail
        else ""
    )
    kind = "comfynb-failed" if found.blocking else "comfynb-paused"
    return (
        f'<div class="comfynb-conflict {kind}"><div class="comfynb-headline">{how}'
        f"<b>{user(found.subject, 160)}</b></div>"
        f'<table class="comfynb-claims">{claims}</table>'
        f"<div>{user(_sentence(cure), 400)}</div>{detail}</div>"
    )


def _problems(report: LockReport) -> str:
    if not report.problems:
        return ""
    lines = "".join(f'<li class="comfynb-problem">{user(one, 600)}</li>' for one in report.problems)
    return f'<h4>Not pinned ({len(report.problems)})</h4><ul class="comfynb-list">{lines}</ul>'


def _risks(risks: Sequence[Risk]) -> str:
    if not risks:
        return '<h4>Risks</h4><div class="comfynb-soft">None that comfynb knows to look for.</div>'
    grouped: dict[tuple[RiskLevel, str], list[str]] = {}
    for risk in sorted(risks, key=lambda risk: _LEVELS[risk.level]):
        grouped.setdefault((risk.level, risk.subject), []).append(_sentence(risk.text))
    rows = [
        (Cell(level, risk_chip(level)), subject, Cell(" ".join(texts), user(" ".join(texts), 900)))
        for (level, subject), texts in grouped.items()
    ]
    table = StaticTable(["Risk", "Of", "In words"], rows, limit=200, wrap=True)
    return f"<h4>Risks ({len(rows)})</h4>{table.body()}"


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _changes(diff: LockDiff) -> str:
    if not diff:
        return '<h4>Since the lock before</h4><div class="comfynb-soft">Nothing has changed.</div>'
    rows = [
        (
            Cell(*_sign(change.before, change.after)),
            change.name if change.what in {"comfyui", "other"} else f"{change.what} {change.name}",
            change.before or "",
            change.after or "",
            change.reason,
        )
        for change in diff.changes
    ]
    reasons = any(row[-1] for row in rows)
    columns = ["", "What", "Before", "Now", *(["Why"] if reasons else [])]
    table = StaticTable(columns, [row[: len(columns)] for row in rows], limit=100, wrap=True)
    return f"<h4>Since the lock before ({len(diff)})</h4>{table.body()}"


def _sign(before: str | None, after: str | None) -> tuple[str, str]:
    sign, word = ("+", "new") if before is None else ("−", "gone") if after is None else ("~", "")
    label = f' title="{word or "otherwise"}"'
    return sign, f'<b class="comfynb-change"{label}>{sign}</b>'


def pinned_html(lock: Lock) -> str:
    """Everything that a lock pins, folded up."""
    commit = StaticTable(
        ["Pack", "Folder", "Release", "Commit"],
        [
            ("ComfyUI", "", lock.comfyui.version, lock.comfyui.commit[:12]),
            *(
                (one.name, one.folder, one.version, (one.commit or "")[:12])
                for one in lock.nodes
            ),
        ],
        limit=200,
    )  # fmt: skip
    models = StaticTable(
        ["File", "Size", "SHA-256", "Token", "Licence"],
        [
            (
                *(one.path, size(one.size), one.sha256[:12] if one.sha256 else "none"),
                *(one.auth.value.lower() if one.auth else "", one.license or ""),
            )
            for one in lock.models
        ],
        limit=200,
        wrap=True,
    )
    packages = StaticTable(
        ["Package", "Version", "Wanted by"],
        [
            *((one.name, one.version or one.url, ", ".join(one.via)) for one in
              lock.python.requirements),
            *((f"{one.name} (Debian)", one.version or "any", "") for one in lock.packages),
        ],
        limit=400,
    )  # fmt: skip
    parts = [
        (f"{wide(len(lock.nodes) + 1, 'repository', 'repositories')} by commit", commit),
        (f"{wide(len(lock.models), 'model')} by hash", models),
        (wide(len(packages), "package"), packages),
    ]
    folded = "".join(
        f"<details><summary>{esc(title)}</summary>{table.body()}</details>"
        for title, table in parts
        if len(table)
    )
    return f"<h4>Pinned</h4>{folded}"


def _notes(report: LockReport) -> str:
    if not report.notes:
        return ""
    lines = "".join(f"<li>{user(note, 600)}</li>" for note in report.notes)
    return f'<h4>Notes</h4><ul class="comfynb-list">{lines}</ul>'
