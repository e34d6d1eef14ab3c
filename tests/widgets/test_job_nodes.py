"""The nodes of a graph's job: a line each, as text, static HTML and live widgets."""

import dataclasses
from datetime import timedelta
from typing import Any

import pytest

from comfynb.engine.views import CandidateView, NodeView, QuestionView
from comfynb.models import JobStatus, utcnow
from comfynb.widgets.job_nodes import NodeLines
from comfynb.widgets.job_nodes_text import (
    SHOWN,
    node_html,
    node_rows,
    nodes_html,
    nodes_text,
    shown_nodes,
)
from comfynb.widgets.theme import look

NOW = utcnow()


def node(name: str = "upscale", status: JobStatus = JobStatus.RUNNING, **more: Any) -> NodeView:
    given = {"progress": 50.0, "step": "KSampler: 15/30", "backend": "PC1", "error": None, **more}
    return NodeView(name, name, status, **given)


def question(name: str = "upscale", **more: Any) -> QuestionView:
    given = {
        "preferred": "PC1",
        "reason": "it is offline",
        "candidates": (CandidateView("id-2", "PC2"), CandidateView("id-3", "PC3", "is disabled")),
        **more,
    }
    return QuestionView("job-1", "execution-1", name, name, **given)


@pytest.fixture
def graph(job_view: Any) -> Any:
    def make(*nodes: NodeView, **more: Any) -> Any:
        return job_view(status=JobStatus.RUNNING, nodes=nodes, **more)

    return make


def test_a_single_run_has_no_lines(graph: Any) -> None:
    assert nodes_html(graph(node()), NOW) == ""
    assert nodes_text(graph(node()), NOW) == ""


def test_a_line_tells_status_title_backend_step_and_time(graph: Any, tags: Any) -> None:
    began = NOW - timedelta(seconds=75)
    shown = node_html(node(started_at=began), NOW)
    text = tags(shown).text
    for part in ("running", "upscale", "on PC1", "KSampler: 15/30", "50 %", "1:15"):
        assert part in text
    assert tags(shown).attributes["aria-valuenow"] == ["50"]
    assert "listitem" in tags(shown).attributes["role"]


@pytest.mark.parametrize("status", list(JobStatus))
def test_every_status_has_its_sign_and_word(graph: Any, status: JobStatus) -> None:
    view = graph(node(status=status), node("b"))
    assert look(status).word in nodes_html(view, NOW)
    assert f"{look(status).sign} upscale: {status.value}" in nodes_text(view, NOW)


def test_a_node_that_runs_often_counts_its_runs(graph: Any) -> None:
    many = node(runs=8, runs_done=3)
    assert "3 of 8, KSampler: 15/30" in node_html(many, NOW)
    assert "3 of 8" in nodes_text(graph(many, many), NOW)


def test_an_error_is_a_sentence_with_its_traceback_folded(tags: Any) -> None:
    broken = node(
        status=JobStatus.FAILED,
        error="Sampler failed: out of <memory>.",
        traceback="Traceback:\n  File <stdin>",
    )
    found = tags(node_html(broken, NOW))
    assert ("details", ()) in found.tags
    assert "out of <memory>." in found.text
    assert "File <stdin>" in found.text
    assert "comfynb-problem" in node_html(broken, NOW)


def test_why_a_node_was_skipped_is_no_alarm() -> None:
    skipped = node(status=JobStatus.SKIPPED, error="Skipped: wide? took the side 'false'.")
    assert "took the side" in node_html(skipped, NOW)
    assert "comfynb-problem" not in node_html(skipped, NOW)


def test_of_many_nodes_those_that_go_on_or_went_wrong_have_lines(graph: Any) -> None:
    nodes = [node(str(i), JobStatus.COMPLETED) for i in range(100)]
    nodes[90] = node("90", JobStatus.FAILED, error="Broken.")
    nodes[95] = node("95")
    view = graph(*nodes)
    shown = [each.title for each in shown_nodes(view.nodes)]
    assert len(shown) == SHOWN
    assert {"90", "95"} <= set(shown)
    assert shown == sorted(shown, key=int)
    assert f"{100 - SHOWN} more nodes: {100 - SHOWN} completed" in nodes_html(view, NOW)
    assert f"({100 - SHOWN} more nodes)" in nodes_text(view, NOW)


def test_hostile_names_stay_text(graph: Any, tags: Any, hostile: str) -> None:
    bad = node(
        hostile,
        status=JobStatus.FAILED,
        backend=hostile,
        step=hostile,
        error=hostile,
        traceback=hostile,
    )
    view = graph(bad, node(hostile), questions=(question(hostile, preferred=hostile),))
    found = tags(nodes_html(view, NOW))
    allowed = {"bdi", "details", "div", "i", "pre", "span", "summary"}
    assert {tag.lstrip("/") for tag, _ in found.tags} <= allowed
    names = {name for _, attributes in found.tags for name in attributes}
    assert not any(name.startswith("on") for name in names)
    assert "\n\n" not in nodes_text(view, NOW)
    assert "\x1b" not in nodes_text(view, NOW)


def test_the_nodes_as_a_table(graph: Any) -> None:
    table = node_rows(graph(node(), node("b", JobStatus.SKIPPED, error="Skipped: so.")), NOW)
    text = table.plain()
    assert text.splitlines()[0].split() == ["Node", "Status", "Backend", "Progress", "Time", "Why"]
    assert "50 % · KSampler: 15/30" in text
    assert "Skipped: so." in text


def test_questions_are_in_text_and_static_html(graph: Any) -> None:
    view = graph(node(), node("b"), questions=(question(),))
    said = "upscale prefers PC1, which cannot run it (it is offline): which backend shall run it?"
    assert said in nodes_text(view, NOW)
    assert said in nodes_html(view, NOW)


def test_only_lines_that_change_are_sent(graph: Any) -> None:
    lines = NodeLines()
    first, second = node("a"), node("b", JobStatus.PENDING)
    lines.show(graph(first, second), NOW)
    assert len(lines.children) == 2
    sent: list[object] = []
    for child in lines.children:
        child.observe(sent.append, "value")
    lines.observe(sent.append, "children")
    lines.show(graph(first, second), NOW)
    assert sent == []
    lines.show(graph(dataclasses.replace(first, progress=60.0), second), NOW)
    assert len(sent) == 1
    lines.close()


def test_lines_of_nodes_that_are_gone_are_closed(graph: Any) -> None:
    lines = NodeLines()
    many = [node(str(i), JobStatus.COMPLETED) for i in range(SHOWN + 5)]
    lines.show(graph(*many), NOW)
    last = lines.children[SHOWN - 1]
    many[-1] = node(str(SHOWN + 4))
    lines.show(graph(*many), NOW)
    assert last.comm is None
    assert len(lines.children) == SHOWN + 1
    lines.close()
