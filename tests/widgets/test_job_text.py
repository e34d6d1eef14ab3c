from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfynb.engine.views import JobView, NodeView
from comfynb.models import JobStatus, utcnow
from comfynb.widgets.job_nodes_text import nodes_html
from comfynb.widgets.job_text import bar, doing, error_html, head_html, line, when

TEXT = st.text(st.characters(exclude_categories=()), min_size=1, max_size=60)


def everything(view: JobView) -> str:
    now = view.created_at + timedelta(seconds=5)
    return head_html(view, now) + error_html(view.error) + nodes_html(view, now)


def view_of(job_view: Any, text: str, status: JobStatus) -> JobView:
    node = NodeView("1", text, status, 10.0, text, text, text)
    return job_view(
        name=text, status=status, step=text, backend=text, note=text, error=text, nodes=(node, node)
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(text=TEXT.filter(lambda text: len(text.strip().splitlines()) == 1))
@pytest.mark.parametrize("status", list(JobStatus))
def test_no_text_changes_the_structure(
    job_view: Any, tags: Any, status: JobStatus, text: str
) -> None:
    found = everything(view_of(job_view, text, status))
    assert tags(found).tags == tags(everything(view_of(job_view, "x", status))).tags
    found.encode()
    line(view_of(job_view, text, status), utcnow()).encode()


def test_hostile_text_is_text(job_view: Any, hostile: str, tags: Any) -> None:
    view = view_of(job_view, hostile, JobStatus.FAILED)
    found = tags(everything(view))
    assert {tag for tag, _ in found.tags} <= {
        *("div", "/div", "span", "/span", "bdi", "/bdi", "i", "/i", "pre", "/pre"),
        *("details", "/details", "summary", "/summary"),
    }
    assert not [name for name in found.attributes if name.startswith("on")]
    assert len(line(view, utcnow()).splitlines()) <= 2
    assert len(everything(view)) < 25_000


def test_a_running_job_says_what_it_does(job_view: Any, tags: Any) -> None:
    now = utcnow()
    view = job_view(
        status=JobStatus.RUNNING,
        progress=50.0,
        step="KSampler: 15/30",
        backend="PC1",
        started_at=now - timedelta(seconds=75),
    )
    text = tags(head_html(view, now)).text
    for part in ("running", "portrait", "on PC1", "KSampler: 15/30", "50 %", "1:15"):
        assert part in text
    assert line(view, now) == "► portrait: running on PC1 50 % (KSampler: 15/30) 1:15"


@pytest.mark.parametrize(
    ("position", "note", "text"),
    [
        (None, "waiting for a free backend", "waiting for a free backend"),
        (0, None, "next in the queue"),
        (3, None, "3 ahead in the queue"),
        (3, "sent", "sent (3 ahead in the queue)"),
        (None, None, ""),
    ],
)
def test_a_waiting_job_says_where_it_stands(
    job_view: Any, position: int | None, note: str | None, text: str
) -> None:
    assert doing(job_view(queue_position=position, note=note)) == text


def test_progress_beyond_its_range_stays_in_the_bar(tags: Any) -> None:
    assert tags(bar(250.0, "", "x")).attributes["style"] == ["width:100.0%"]
    assert tags(bar(-3.0, "", "x")).attributes["aria-valuenow"] == ["0"]


def test_a_traceback_folds_out_and_the_sentence_stands_alone(tags: Any) -> None:
    text = error_html("KSampler failed: out of memory.\nTraceback:\n  File <stdin>")
    found = tags(text)
    assert ("details", ()) in found.tags
    assert "File <stdin>" in found.text
    assert "details" not in error_html("one sentence")
    assert error_html(None) == ""


def test_when_names_the_day_if_it_is_not_today() -> None:
    now = datetime(2026, 3, 4, 12, tzinfo=UTC)
    assert ":" in when(now, now)
    assert "Feb" in when(now - timedelta(days=10), now)
