from typing import Any

import pytest

from comfynb.errors import UsageError
from comfynb.models import JobStatus, utcnow
from comfynb.widgets import JobsTable


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from comfynb.widgets import live

    monkeypatch.setattr(live, "pause_after", lambda _: 0.0)
    monkeypatch.setattr(live, "INTERVAL", 0.0)


async def test_only_the_line_that_changed_is_sent(box: Any, job_view: Any) -> None:
    jobs = [box(job_view(id=str(i), name=f"job {i}", status=JobStatus.RUNNING)) for i in range(3)]
    table = JobsTable(jobs)
    changed: list[int] = []
    for i, line in enumerate(table._lines):
        line._cells.observe(lambda _, i=i: changed.append(i), "value")
    jobs[1].change(progress=40.0, step="KSampler: 4/10")
    assert changed == [1]
    assert "KSampler: 4/10" in table._lines[1]._cells.value
    table.close()


async def test_cancel_names_the_job_and_ends_with_it(box: Any, job_view: Any) -> None:
    cancelled: list[str] = []
    jobs = [
        box(job_view(id="a", status=JobStatus.RUNNING)),
        box(job_view(id="b", status=JobStatus.COMPLETED)),
    ]
    table = JobsTable(jobs, cancel=cancelled.append)
    buttons = [line._button for line in table._lines]
    assert buttons[1] is None  # it is over
    buttons[0].click()
    assert cancelled == ["a"]
    assert buttons[0].disabled


async def test_a_failed_cancel_is_told(box: Any, job_view: Any) -> None:
    def cancel(job_id: str) -> None:
        raise UsageError(f"{job_id} <is> gone")

    table = JobsTable([box(job_view(id="a", status=JobStatus.RUNNING))], cancel=cancel)
    table._lines[0]._button.click()
    assert "a &lt;is&gt; gone" in table._message.value
    assert not table._lines[0]._button.disabled


async def test_time_moves_only_while_something_runs(box: Any, job_view: Any) -> None:
    running = box(job_view(status=JobStatus.RUNNING, started_at=utcnow()))
    table = JobsTable([running, box(job_view(status=JobStatus.COMPLETED))])
    assert table._ticker._timer is not None
    assert table._tick()
    running.change(status=JobStatus.COMPLETED)
    assert not table._tick()
    over = JobsTable([box(job_view(status=JobStatus.COMPLETED))])
    assert over._ticker._timer is None
    table.close()


@pytest.mark.usefixtures("nothing_left")
async def test_close_stops_watching_every_job(box: Any, job_view: Any) -> None:
    jobs = [box(job_view(status=JobStatus.RUNNING)) for _ in range(3)]
    JobsTable(jobs, cancel=lambda _: None, total=50).close()
    assert [job.callbacks for job in jobs] == [[], [], []]


async def test_jobs_without_a_line_are_counted(box: Any, job_view: Any) -> None:
    jobs = [box(job_view(id=str(i), status=JobStatus.COMPLETED)) for i in range(3)]
    jobs += [box(job_view(id=str(i), status=JobStatus.PENDING)) for i in range(30)]
    table = JobsTable(jobs, total=40, limit=2)
    assert len(table._lines) == 2
    assert table._rest.value == "38 more: 1 completed, 30 pending"
    assert table._ticker._timer is not None  # though no line has anything to tell
    for job in jobs[3:]:
        job.change(status=JobStatus.COMPLETED)
    assert not table._tick()
    assert table._rest.value == "38 more: 31 completed"
    table.close()


def test_static_forms(box: Any, job_view: Any) -> None:
    jobs = [
        box(job_view(name="one", status=JobStatus.COMPLETED)),
        box(job_view(name="two", status=JobStatus.FAILED, error="It broke.\nTraceback")),
    ]
    table = JobsTable(jobs, total=10)
    plain = table.plain()
    assert "✓ completed  one" in plain
    assert "It broke." in plain
    assert "Traceback" not in plain
    assert plain.endswith("(8 more)")
    assert "comfynb-chip" in table.static_html()
    assert JobsTable([]).plain() == "no jobs yet"


def test_hostile_text_stays_text(box: Any, job_view: Any, hostile: str, tags: Any) -> None:
    def table(text: str) -> JobsTable:
        view = job_view(name=text, backend=text, status=JobStatus.RUNNING, step=text)
        return JobsTable([box(view)])

    for html, harmless in [
        (table(hostile)._lines[0]._cells.value, table("x")._lines[0]._cells.value),
        (table(hostile).body(), table("x").body()),
    ]:
        assert tags(html).tags == tags(harmless).tags
        html.encode()
