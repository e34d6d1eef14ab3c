"""The lines that people type, in a plain script and in a coroutine."""

import asyncio
import json

import pytest
from PIL import Image

from comfynb import BasicAuth, BearerAuth, Workbench
from comfynb.errors import (
    AuthenticationRequired,
    JobCancelled,
    JobFailed,
    NotFound,
    UsageError,
)
from comfynb.models import JobStatus
from comfynb.sandbox import Sandbox
from comfynb.workbench import StoppedWaiting


def test_what_the_readme_shows_works_in_a_plain_script(wb, portrait, quick):
    wf = wb.workflows.load("portrait.json")
    assert "seed" in wf.parameters
    assert wf.parameters["steps"].constraints.min_value == 1
    job = wf.run(**quick(steps=3))
    assert job.wait() is job
    assert job.status is JobStatus.COMPLETED
    assert job.error is None
    assert job.backend == "one"
    assert job.images.paths[0].is_file()
    with job.images.open() as picture:
        assert picture.size == (384, 480)
    assert job.outputs
    assert [each.id for each in wb.jobs.last(20)] == [job.id]
    assert [dict(row) for row in wb.sql("select status, count(*) as n from jobs group by 1")] == [
        {"status": "completed", "n": 1}
    ]
    assert job.raise_for_status() is job


async def test_the_same_in_a_coroutine(tmp_path, sandbox, portrait, quick):
    async with Workbench("lab.duckdb") as wb:
        wb.backends.add(sandbox.url, name="one")
        wf = wb.workflows.load(portrait)
        job = wf.run(quick())
        assert await job is job
        assert job.status is JobStatus.COMPLETED
        jobs = await wf.run_many([quick() for _ in range(3)])
        assert [each.status for each in jobs] == [JobStatus.COMPLETED] * 3


async def test_cancel_works_while_somebody_awaits(tmp_path, sandbox, portrait, quick):
    async with Workbench() as wb:
        wb.backends.add(sandbox.url)
        job = wb.workflows.load(portrait).run(quick(steps=1000, seconds_per_step=0.05))
        started = asyncio.Event()
        job.watch(lambda view: started.set() if view.progress > 0 else None)
        waiting = asyncio.ensure_future(job._wait())
        await started.wait()
        job.cancel()
        await waiting
        assert job.status is JobStatus.CANCELLED
        with pytest.raises(JobCancelled):
            job.raise_for_status()


async def test_who_stops_waiting_does_not_stop_the_job(tmp_path, sandbox, portrait, quick):
    async with Workbench() as wb:
        wb.backends.add(sandbox.url)
        job = wb.workflows.load(portrait).run(quick(steps=4, seconds_per_step=0.05))
        waiting = asyncio.ensure_future(job._wait())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(StoppedWaiting, match="still runs"):
            await waiting
        await job
        assert job.status is JobStatus.COMPLETED


def test_waiting_has_a_limit_and_the_job_goes_on(wb, portrait, quick):
    job = wb.workflows.load(portrait).run(quick(steps=4, seconds_per_step=0.1))
    with pytest.raises(TimeoutError):
        job.wait(timeout=0.01)
    assert job.wait().status is JobStatus.COMPLETED


def test_everything_is_known_again_by_the_next_workbench(tmp_path, sandbox, portrait, quick):
    with Workbench("lab.duckdb") as wb:
        wb.backends.add(sandbox.url, name="one", tags=["fast"], capabilities=["sdxl"])
        wf = wb.workflows.load(portrait)
        first = wf.run(quick()).wait()
    with Workbench("lab.duckdb") as wb:
        assert wb.backends["one"].config.tags == ["fast"]
        (job,) = wb.jobs.last()
        assert job.id == first.id
        assert job.status is JobStatus.COMPLETED
        assert job.images.paths == first.images.paths
        assert job.values == first.values
        assert wb.jobs[first.id].id == first.id
        again = wb.workflows["portrait"].run(quick()).wait()
        assert again.status is JobStatus.COMPLETED
        assert len(wb.workflows) == 1
        assert wb.sql("select count(*) as n from workflow_versions").rows[0][0] == 1
        with pytest.raises(NotFound, match=r"wb\.jobs\.last"):
            wb.jobs["no such job"]


def test_an_edited_workflow_is_a_new_version_of_the_same(wb, portrait, quick):
    wb.workflows.load(portrait).run(quick()).wait()
    edited = json.loads(portrait.read_text())
    edited["nodes"][0]["title"] = "Another title"
    portrait.write_text(json.dumps(edited))
    wb.workflows.load(portrait).run(quick()).wait()
    rows = wb.sql("select version from workflow_versions order by 1").rows
    assert [row[0] for row in rows] == [1, 2]


def test_a_picture_carries_its_workflow_and_can_be_loaded(wb, portrait, quick):
    first = wb.workflows.load(portrait).run(quick(seed=77)).wait()
    wf = wb.workflows.load(first.images.paths[0], name="from the picture")
    assert wf.parameters["seed"].default_value == 77


def test_a_file_on_this_machine_is_an_input(wb, tmp_path, quick):
    Image.new("RGB", (20, 12), (9, 99, 200)).save(tmp_path / "mine.png")
    wf = wb.workflows.load(
        {
            "1": {"class_type": "LoadImage", "inputs": {"image": "gradient.png"}},
            "2": {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}},
            "3": {
                "class_type": "SaveImage",
                "inputs": {"images": ["2", 0], "filename_prefix": "inverted"},
            },
        },
        name="invert",
    )
    job = wf.run(image="mine.png").wait()
    assert job.error is None
    with job.images.open() as picture:
        inverted = picture.getpixel((0, 0))
    # Saving truncates, so a colour may lose one step on its way through floats.
    assert all(abs(a - b) <= 1 for a, b in zip(inverted, (246, 156, 55), strict=True))
    assert wf.run().wait().status is JobStatus.COMPLETED


def test_a_failed_job_says_why_and_raises_only_when_asked(wb):
    wf = wb.workflows.load(
        {
            "1": {
                "class_type": "EmptyImage",
                "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": 1},
            },
            "2": {
                "class_type": "LabFail",
                "inputs": {"image": ["1", 0], "key": "always", "times": 9999, "kind": "error"},
                "_meta": {"title": "Trouble"},
            },
            "3": {
                "class_type": "SaveImage",
                "inputs": {"images": ["2", 0], "filename_prefix": "x"},
            },
        },
        name="trouble",
    )
    job = wf.run().wait()
    assert job.status is JobStatus.FAILED
    assert job.error.startswith("Trouble: lab failure")
    assert "RuntimeError" in job.traceback or "lab failure" in job.traceback
    with pytest.raises(JobFailed, match="Trouble"):
        job.raise_for_status()


def test_backends_are_named_changed_and_removed(wb, sandbox):
    assert len(wb.backends) == 1
    again = wb.backends.add(sandbox.url, name="renamed", tags=["a"])
    assert len(wb.backends) == 1
    assert again.name == "renamed"
    again.change(max_concurrent_jobs=2)
    again.disable()
    with Sandbox() as other:
        wb.backends.add(other.url, name="other")
        with pytest.raises(UsageError, match="another backend called renamed"):
            wb.backends.add(other.url, name="renamed")
        wb.backends.remove("other").wait(10)
    stored = wb.sql("select name, enabled, max_concurrent_jobs from backends").rows
    assert stored == [("renamed", False, 2)]
    with pytest.raises(NotFound, match="there are: renamed"):
        wb.backends["one"]
    again.enable()
    assert "renamed" in repr(wb.backends)


@pytest.mark.parametrize(
    ("served", "auth"),
    [
        ("basic:me:s3cr3t-word", BasicAuth("me", "s3cr3t-word")),
        ("bearer:s3cr3t-word", BearerAuth("s3cr3t-word")),
    ],
)
def test_a_password_is_kept_for_the_next_kernel_and_shown_nowhere(
    tmp_path, portrait, quick, served, auth
):
    with Sandbox(auth=served) as guarded:
        with Workbench("lab.duckdb") as wb:
            with pytest.raises(AuthenticationRequired) as refused:
                wb.backends.add(guarded.url)
            assert len(wb.backends) == 0
            backend = wb.backends.add(guarded.url, name="guarded", auth=auth)
            shown = [repr(backend), str(refused.value), repr(auth), repr(wb.backends), repr(wb)]
            assert not any("s3cr3t-word" in text for text in shown)
        with Workbench("lab.duckdb") as wb:
            job = wb.workflows.load(portrait).run(quick()).wait()
            assert job.status is JobStatus.COMPLETED, job.error
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.name != "secrets.json":
            assert b"s3cr3t-word" not in file.read_bytes(), file


def test_a_password_can_be_named_by_an_environment_variable(tmp_path, monkeypatch):
    with Sandbox(auth="bearer:s3cr3t-word") as guarded, Workbench() as wb:
        with pytest.raises(UsageError, match="GPU_TOKEN is not set"):
            wb.backends.add(guarded.url, auth_env="GPU_TOKEN")
        monkeypatch.setenv("GPU_TOKEN", "s3cr3t-word")
        wb.backends.add(guarded.url, auth_env="GPU_TOKEN")
        assert not (tmp_path / "settings" / "secrets.json").exists()


def test_reprs_are_plain_and_bundles_have_every_form(wb, portrait, quick):
    wf = wb.workflows.load(portrait)
    job = wf.run(quick()).wait()
    for shown in (wb.backends, wf, wf.parameters, job, wb.jobs.last(), wb.jobs, job.images):
        bundle = shown._repr_mimebundle_()
        assert bundle["text/plain"].strip()
        assert bundle["text/html"].strip()
    assert "Workbench" in repr(wb)


def test_a_store_on_postgresql_serves_as_a_file_does(
    postgres_server, sandbox, portrait, quick, tmp_path
):
    place = postgres_server.new()
    with Workbench(place) as wb:
        wb.backends.add(sandbox.url, name="one")
        job = wb.workflows.load(portrait).run(quick()).wait()
        assert job.status == "completed", job.error
        assert [path.parent.parent.parent for path in job.images.paths] == [
            tmp_path / "comfynb_files" / "outputs"
        ]
        assert list(wb.sql("select status from jobs")) == [{"status": "completed"}]
        assert wb.problems == []
    with Workbench(place, files=tmp_path / "elsewhere") as again:
        assert again.jobs.last(1)[0].id == job.id
        assert again.backends["one"].url == sandbox.url
        assert again.files == tmp_path / "elsewhere"
