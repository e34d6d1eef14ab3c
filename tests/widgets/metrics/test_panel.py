"""What the panel beside a plot tells of a job."""

from datetime import timedelta
from typing import Any

from comfynb.models import JobStatus, utcnow
from comfynb.widgets.metrics.panel import MOST_NODES, JobPanel, details_html, energy
from comfynb.widgets.metrics.views import JobDetails, NodeSpan


def details(**more: Any) -> JobDetails:
    given: dict[str, Any] = {"id": "job-1", "name": "portrait", "status": JobStatus.COMPLETED}
    return JobDetails(**{**given, **more})


def test_facts_have_units_and_what_is_unknown_is_left_out() -> None:
    now = utcnow()
    text = details_html(
        details(
            backends=("PC1",),
            started_at=now,
            completed_at=now + timedelta(seconds=75),
            vram_peak=13_312,
            vram_total=24_576,
            energy_joules=36_000.0,
            gpu_utilization=87.6,
        )
    )
    for told in ("1 min 15 s", "13 GiB of 24 GiB", "10.0 Wh", "88 %", "wb.jobs["):
        assert told in text
    for unknown in ("hottest", "waited", "from cache"):
        assert unknown not in text
    assert energy(850) == "850 J"


def test_nodes_lie_where_they_ran() -> None:
    text = details_html(
        details(nodes=[NodeSpan("Load", "Loader", -0.5, 0.5), NodeSpan("Sample", "K", 0.5, 3.5)])
    )
    assert "left:0.00%;width:25.00%" in text
    assert "left:25.00%;width:75.00%" in text


def test_of_many_nodes_the_longest_are_shown_in_order() -> None:
    nodes = [NodeSpan(f"node {n}", "K", n, n + 1 + n % 7) for n in range(100)]
    text = details_html(details(nodes=nodes))
    assert text.count("comfynb-metrics-span") == MOST_NODES
    assert f"{100 - MOST_NODES} shorter ones" in text


def test_a_job_without_recorded_nodes_says_so() -> None:
    assert "not recorded" in details_html(details())


def test_hostile_text_stays_text(hostile: str, tags: Any) -> None:
    text = details_html(
        details(
            name=hostile,
            id=hostile,
            backends=(hostile,),
            error=hostile,
            values={hostile: hostile},
            nodes=[NodeSpan(hostile, hostile, 0, 1, hostile)],
        )
    )
    allowed = {"h4", "bdi", "span", "div", "b", "code", "i"}
    seen = tags(text)
    assert {tag.lstrip("/") for tag, _ in seen.tags} <= allowed
    assert {name for _, names in seen.tags for name in names} <= {
        *("class", "style", "title", "aria-hidden")
    }


def test_the_panel_changes_from_job_to_job() -> None:
    steps: list[int] = []
    panel = JobPanel(step=steps.append, close=lambda: steps.append(0))
    panel.wait("first")
    panel.show(details(status=JobStatus.FAILED, error="out of memory"))
    assert "comfynb-failed" in panel.widget._dom_classes
    panel.show(details())
    assert "comfynb-failed" not in panel.widget._dom_classes
    assert "comfynb-completed" in panel.widget._dom_classes
    for button in panel._bar.children:
        button.click()
    assert steps == [-1, 1, 0]
    panel.widget.close()
