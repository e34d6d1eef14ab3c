"""Plots of a real Workbench: what ran is drawn and told of; tables stay tables."""

import threading
import time

import pytest

from comfynb.errors import InvalidValue, NotFound, UsageError
from comfynb.models import JobStatus
from comfynb.widgets.metrics.heatmap import MetricsHeatmap
from comfynb.widgets.metrics.plot import MetricsPlot


@pytest.fixture
def jobs(wb, portrait, quick):
    """A job that completed while metrics were being collected."""
    collecting = threading.Event()
    stop = wb.metrics.watch(lambda _: collecting.set())
    assert collecting.wait(30)
    stop()
    workflow = wb.workflows.load(portrait)
    good = workflow.run(**quick(steps=3)).wait(60)
    assert good.status is JobStatus.COMPLETED
    return [good]


def ask(wb, coroutine):
    return wb.host.wait(coroutine, 60)


def test_what_ran_is_on_the_plot(wb, jobs):
    (job,) = jobs
    plot = wb.metrics.plot(last="5m")
    assert plot.live
    (span,) = plot.window.jobs
    assert (span.id, span.name, span.backend) == (job.id, "portrait", "one")
    assert span.status is JobStatus.COMPLETED
    assert "steps 3" in span.detail
    assert plot.window.start < span.start < span.end < plot.window.end + 5
    assert plot.window.end - plot.window.start == pytest.approx(300)
    assert "portrait" in plot.static_html()
    plot.close()


def test_a_job_is_told_of_with_its_nodes_and_pictures(wb, jobs):
    (job,) = jobs
    plot = wb.metrics.plot(last="5m")
    told = ask(wb, plot._source.job(job.id))
    assert (told.name, told.status, told.backends) == ("portrait", JobStatus.COMPLETED, ("one",))
    assert told.values["steps"] == 3
    assert "Portrait sampler" in [node.title for node in told.nodes]
    assert all(node.start <= node.end for node in told.nodes)
    assert told.images
    assert told.started_at < told.completed_at
    with pytest.raises(NotFound, match="may have been deleted"):
        ask(wb, plot._source.job("nobody's"))
    plot.close()


def test_a_window_that_is_asked_for_stands_still(wb, jobs):
    now = time.time()
    plot = wb.metrics.plot(start=now - 7200, end=now - 3600, fields="ram_used")
    assert not plot.live
    assert plot.window.jobs == ()
    assert plot._fields == ["ram_used"]
    plot.close()


@pytest.mark.parametrize(
    ("how", "error"),
    [
        ({"last": "an hour"}, InvalidValue),
        ({"fields": "gpu_beauty"}, UsageError),
        ({"fields": "ram_used; drop table jobs"}, UsageError),
        ({"backends": "nobody"}, NotFound),
        ({"start": 2.0, "end": 1.0}, InvalidValue),
    ],
)
def test_what_makes_no_sense_is_refused(wb, how, error):
    with pytest.raises(error):
        wb.metrics.plot(**how)


def test_backends_choose_lines_and_jobs(wb, sandbox, jobs):
    wb.backends.add("http://127.0.0.1:9", name="other", check=False)
    plot = wb.metrics.plot(last="5m", backends="other")
    assert plot.window.backends == ("other",)
    assert plot.window.jobs == ()
    plot.close()


def test_the_newest_of_too_many_are_drawn_and_the_rest_is_counted(wb, jobs, monkeypatch, portrait):
    monkeypatch.setattr("comfynb.workbench.metrics.source.MOST_SPANS", 2)
    workflow = wb.workflows.load(portrait)
    more = [
        workflow.run(seed=n, steps=1, seconds=0.0, seconds_per_step=0.0).wait(60) for n in (1, 2)
    ]
    plot = wb.metrics.plot(last="5m")
    assert {span.id for span in plot.window.jobs} == {job.id for job in more}
    assert plot.window.more_jobs == 1
    assert "1 more jobs" in plot._note.value
    plot.close()


def test_a_jobs_metrics_are_a_table_and_a_plot(wb, jobs):
    (job,) = jobs
    metrics = job.metrics
    assert "gpu_memory_used" in metrics.columns
    assert len(metrics) == len(metrics.rows)
    view = metrics.view
    assert isinstance(view, MetricsPlot)
    assert [span.id for span in view.window.jobs] == [job.id]
    assert not view.live
    assert metrics.view is view  # one, however often it is shown
    bundle = metrics._repr_mimebundle_()
    assert "1 job" in bundle["text/plain"]
    view.close()


def test_heat_maps_are_tables_too(wb, jobs):
    week = wb.metrics.heatmap()
    assert isinstance(week.view, MetricsHeatmap)
    assert "weekday" in week.columns
    assert len(week.view.view.cells) == 7
    spread = wb.metrics.heatmap("backend", last="5m", field="ram_used")
    assert spread.view.view.rows == ["one"]
    measured = [cell for cell in spread.view.view.cells[0] if cell is not None]
    assert len(measured) == len(spread)
    with pytest.raises(UsageError, match="by must be"):
        wb.metrics.heatmap("month")
    week.view.close()
    spread.view.close()
