import asyncio
import gc
import io
import weakref
from typing import Any

import pytest
from PIL import Image

from comfynb.errors import UsageError
from comfynb.models import JobStatus, utcnow
from comfynb.widgets import JobRow, job_row, live
from comfynb.widgets.composite import VIEW


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "pause_after", lambda _: 0.0)
    monkeypatch.setattr(live, "INTERVAL", 0.0)


def jpeg(size: tuple[int, int] = (64, 64)) -> bytes:
    out = io.BytesIO()
    Image.effect_noise(size, 90).save(out, "JPEG", quality=95)
    return out.getvalue()


async def test_a_job_from_beginning_to_end(box: Any, job_view: Any, image_view: Any) -> None:
    job = box(job_view())
    row = JobRow(job, cancel=lambda: None)
    assert "pending" in row._head.value
    assert "comfynb-pending" in row._dom_classes
    job.change(status=JobStatus.RUNNING, progress=50.0, step="KSampler: 15/30", preview=jpeg())
    assert "KSampler: 15/30" in row._head.value
    assert row._preview in row.children
    assert "comfynb-running" in row._dom_classes
    assert "comfynb-pending" not in row._dom_classes
    job.change(
        status=JobStatus.COMPLETED, progress=100.0, images=(image_view(),), completed_at=utcnow()
    )
    assert row._preview not in row.children
    assert row._preview.value == b""  # nothing of it stays in the saved notebook
    assert row._gallery in row.children
    assert row._button.disabled
    row.close()


async def test_an_unchanged_view_sends_nothing(box: Any, job_view: Any) -> None:
    job = box(job_view(status=JobStatus.COMPLETED, completed_at=utcnow(), started_at=utcnow()))
    row = JobRow(job)
    sent: list[object] = []
    for widget in (row, row._head, row._detail, row._button):
        widget.observe(lambda change: sent.append(change))
    job.push(job.view)
    assert sent == []
    row.close()


async def test_cancel_calls_once_and_says_so(box: Any, job_view: Any) -> None:
    calls: list[int] = []
    job = box(job_view(status=JobStatus.RUNNING))
    row = JobRow(job, cancel=lambda: calls.append(1))
    row._button.click()
    row._button.click()
    assert calls == [1]
    assert row._button.description == "Cancelling…"
    job.change(status=JobStatus.CANCELLED)
    assert row._button.description == "Cancel"
    assert row._button.disabled


async def test_cancel_may_be_a_coroutine_and_may_fail(box: Any, job_view: Any) -> None:
    release = asyncio.Event()

    async def cancel() -> None:
        await release.wait()
        raise UsageError("PC1 <does> not answer")

    row = JobRow(box(job_view(status=JobStatus.RUNNING)), cancel=cancel)
    row._button.click()
    assert row._button.disabled
    told = asyncio.Event()
    row._detail.observe(lambda _: told.set(), "value")
    release.set()
    await told.wait()
    assert "PC1 &lt;does&gt; not answer" in row._detail.value
    assert not row._button.disabled  # it can be tried again


def test_without_cancel_there_is_no_button(box: Any, job_view: Any) -> None:
    row = JobRow(box(job_view()))
    assert row._button not in row._top.children


async def test_a_large_preview_is_scaled_in_a_thread(box: Any, job_view: Any) -> None:
    job = box(job_view(status=JobStatus.RUNNING))
    row = JobRow(job)
    shown = asyncio.Event()
    row.observe(lambda _: shown.set(), "children")
    large = jpeg((1024, 1024))
    assert len(large) > job_row.PREVIEW_LIMIT
    job.change(preview=large)
    await shown.wait()
    assert row._preview.format == "webp"
    assert 0 < len(row._preview.value) <= job_row.PREVIEW_LIMIT


async def test_a_preview_that_is_no_picture_does_no_harm(box: Any, job_view: Any) -> None:
    job = box(job_view(status=JobStatus.RUNNING))
    row = JobRow(job)
    job.change(preview=b"x" * (job_row.PREVIEW_LIMIT + 1))
    await asyncio.gather(*live._tasks)
    assert row._preview is None
    assert not row._scaling
    job.change(preview=jpeg())
    assert row._preview is not None


@pytest.mark.usefixtures("nothing_left")
async def test_close_stops_watching_and_leaves_nothing(
    box: Any, job_view: Any, image_view: Any
) -> None:
    job = box(job_view(status=JobStatus.RUNNING, preview=jpeg()))
    row = JobRow(job, cancel=lambda: None)
    job.change(images=(image_view(),))
    row.close()
    assert job.callbacks == []
    assert row._ticker._timer is None
    job.change(progress=10.0)


async def test_a_closed_and_forgotten_row_is_freed(box: Any, job_view: Any) -> None:
    job = box(job_view(status=JobStatus.RUNNING))
    row = JobRow(job, cancel=lambda: None)
    ref = weakref.ref(row)
    row.close()
    del row
    gc.collect()
    assert ref() is None


async def test_elapsed_time_moves_until_the_end(box: Any, job_view: Any) -> None:
    job = box(job_view(status=JobStatus.RUNNING, started_at=utcnow()))
    row = JobRow(job)
    assert row._ticker._timer is not None
    assert row._tick()
    job.change(status=JobStatus.FAILED, completed_at=utcnow())
    assert not row._tick()
    row.close()


def test_hostile_text_stays_text(box: Any, job_view: Any, hostile: str, tags: Any) -> None:
    view = job_view(
        name=hostile, status=JobStatus.FAILED, backend=hostile, error=hostile, note=hostile
    )
    row = JobRow(box(view))
    for html in (row._head.value, row._detail.value, row.static_html()):
        found = tags(html)
        assert not {tag for tag, _ in found.tags} & {"img", "script", "b", "a"}
        assert not [name for name in found.attributes if name.startswith("on")]
        html.encode()
    bundle = row._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "text/html", VIEW}
    assert repr(row) == bundle["text/plain"]
