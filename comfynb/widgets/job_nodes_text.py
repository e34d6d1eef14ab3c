"""The nodes of a graph's job in HTML and text: one line for each, as many as a row can show."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

from comfynb.engine.views import JobView, NodeView, QuestionView
from comfynb.models import JobStatus
from comfynb.widgets.job_text import bar
from comfynb.widgets.markup import elapsed, esc, one_line, sentence, user
from comfynb.widgets.tables import Cell, StaticTable
from comfynb.widgets.theme import chip, look

__all__ = [
    "SHOWN",
    "is_graph",
    "node_html",
    "node_rows",
    "nodes_html",
    "nodes_text",
    "question_sentence",
    "rest_html",
    "shown_nodes",
]

SHOWN = 24
"""Lines of one row; what goes on or went wrong comes before what waits or is done."""

_QUIET = frozenset({JobStatus.PENDING, JobStatus.COMPLETED, JobStatus.SKIPPED})


def is_graph(view: JobView) -> bool:
    """Whether its nodes are worth lines of their own."""
    return len(view.nodes) > 1


def shown_nodes(nodes: Sequence[NodeView]) -> list[NodeView]:
    """The nodes that have a line, in the graph's order."""
    if len(nodes) <= SHOWN:
        return list(nodes)
    loud = [node for node in nodes if node.status not in _QUIET]
    quiet = [node for node in nodes if node.status in _QUIET]
    chosen = {node.canvas_node_id for node in [*loud, *quiet][:SHOWN]}
    return [node for node in nodes if node.canvas_node_id in chosen]


def doing(node: NodeView) -> str:
    """What a node does or did, in a few words: its step, and how many of its runs are done."""
    parts = []
    if node.runs > 1:
        parts.append(f"{node.runs_done} of {node.runs}")
    if node.step and not node.status.is_terminal:
        parts.append(node.step)
    return ", ".join(parts)


def _time(node: NodeView, now: datetime) -> str:
    return elapsed(node.started_at, node.completed_at, now)


def _why(node: NodeView) -> tuple[str, str]:
    """The sentence and the details of what went wrong, or why it was skipped."""
    if not node.error:
        return "", ""
    first, rest = sentence(node.error)
    return first, node.traceback or rest


def node_html(node: NodeView, now: datetime) -> str:
    """One node's line: status, title, backend, bar with what it does, time; the error beneath."""
    seen = look(node.status)
    where = (
        f'<span class="comfynb-soft"> on {user(node.backend, 40)}</span>' if node.backend else ""
    )
    told = user(doing(node), 80)
    if node.status is JobStatus.RUNNING:
        percent = min(max(node.progress, 0.0), 100.0)
        words = f"{told} · " if told else ""
        middle = (
            f"{bar(percent, seen.css_class, node.title)}"
            f'<span class="comfynb-num comfynb-cut">{words}{percent:.0f} %</span>'
        )
    else:
        middle = f'<span class="comfynb-soft comfynb-cut">{told}</span>'
    why, details = _why(node)
    below = ""
    if why:
        folded = (
            f"<details><summary>Details</summary><pre>{esc(details[:20_000])}</pre></details>"
            if details
            else ""
        )
        kind = "comfynb-soft" if node.status in _QUIET else "comfynb-problem"
        below = f'<div class="comfynb-whole {kind}">{user(why, 600)}{folded}</div>'
    return (
        f'<div class="comfynb-node" role="listitem">{chip(node.status)}'
        f'<span class="comfynb-cut" title="{esc(one_line(node.title, 300))}">'
        f"{user(node.title, 80)}{where}</span>"
        f'<span class="comfynb-doing">{middle}</span>'
        f'<span class="comfynb-soft comfynb-num">{esc(_time(node, now))}</span>{below}</div>'
    )


def rest_html(nodes: Sequence[NodeView]) -> str:
    """What has no line, counted by status."""
    if len(nodes) <= SHOWN:
        return ""
    shown = {node.canvas_node_id for node in shown_nodes(nodes)}
    counts = Counter(look(n.status).word for n in nodes if n.canvas_node_id not in shown)
    words = ", ".join(f"{number} {word}" for word, number in counts.items())
    return f'<div class="comfynb-soft">{len(nodes) - len(shown)} more nodes: {words}</div>'


def nodes_html(view: JobView, now: datetime) -> str:
    """All lines of a graph's job; nothing for the single workflow of a plain run."""
    if not is_graph(view):
        return ""
    lines = "".join(node_html(node, now) for node in shown_nodes(view.nodes))
    questions = "".join(
        f'<div class="comfynb-warning">{user(question_sentence(each), 400)}</div>'
        for each in view.questions
    )
    return (
        f'<div class="comfynb-nodes" role="list" aria-label="Nodes">{lines}</div>'
        f"{rest_html(view.nodes)}{questions}"
    )


def nodes_text(view: JobView, now: datetime) -> str:
    """The same as text: a line for each node, indented."""
    if not is_graph(view):
        return ""
    lines = []
    for node in shown_nodes(view.nodes):
        parts = [f"  {look(node.status).sign} {one_line(node.title, 60)}: {node.status.value}"]
        if node.backend:
            parts.append(f"on {one_line(node.backend, 40)}")
        if node.status is JobStatus.RUNNING:
            parts.append(f"{min(max(node.progress, 0), 100):.0f} %")
        if doing(node):
            parts.append(f"({one_line(doing(node), 80)})")
        parts.append(_time(node, now))
        lines.append(" ".join(part for part in parts if part))
        if _why(node)[0]:
            lines.append(f"      {one_line(_why(node)[0], 300)}")
    if len(view.nodes) > SHOWN:
        lines.append(f"  ({len(view.nodes) - SHOWN} more nodes)")
    lines += [f"  ? {one_line(question_sentence(each), 400)}" for each in view.questions]
    return "\n".join(lines)


def question_sentence(question: QuestionView) -> str:
    """What a person is asked."""
    return (
        f"{question.node_title} prefers {question.preferred}, which cannot run it "
        f"({question.reason}): which backend shall run it?"
    )


def node_rows(view: JobView, now: datetime) -> StaticTable:
    """The nodes as a table: title, status, backend, progress or step, time, error."""
    rows = []
    for node in view.nodes:
        told = doing(node)
        if node.status is JobStatus.RUNNING:
            told = f"{node.progress:.0f} %" + (f" · {told}" if told else "")
        rows.append(
            (
                node.title,
                Cell(f"{look(node.status).sign} {node.status.value}", chip(node.status)),
                node.backend or "",
                told,
                _time(node, now),
                _why(node)[0],
            )
        )
    columns = ("Node", "Status", "Backend", "Progress", "Time", "Why")
    return StaticTable(columns, rows, empty="no nodes", limit=60)
