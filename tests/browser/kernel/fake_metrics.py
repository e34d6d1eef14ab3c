"""What a notebook of the browser tests imports to see metrics: machines that only pretend."""

import asyncio
import math
import random
import time
from collections.abc import Iterable
from datetime import UTC, datetime

from fakes import saved

from comfynb.errors import NotFound
from comfynb.models import JobStatus
from comfynb.widgets.metrics.views import (
    JobDetails,
    JobSpan,
    MetricLine,
    MetricsWindow,
    NodeSpan,
)

BACKENDS = ("PC1 - RTX 4090", "PC2 - RTX 3060", "<b>basement</b> & attic")
HOSTILE = '%{y} <img src=x onerror="window.hacked=1"><a href="javascript:window.hacked=1">x</a>'
STATUSES = (
    JobStatus.COMPLETED,
    JobStatus.COMPLETED,
    JobStatus.COMPLETED,
    JobStatus.FAILED,
    JobStatus.COMPLETED,
    JobStatus.CANCELLED,
    JobStatus.LOST,
)


class FakeMetrics:
    """Three machines at 1 Hz, the third with a gap of ten minutes and without an agent."""

    def __init__(self, hours: float = 1.0) -> None:
        self.begin = time.time() - 3600 * hours
        self.asked: list[tuple[float, float]] = []
        draw = random.Random(3)
        self.jobs: list[JobSpan] = []
        for place, backend in enumerate(BACKENDS):
            at = self.begin + 60 * place
            while at < time.time() - 90:
                length = draw.uniform(40, 260)
                number = len(self.jobs)
                end: float | None = at + length
                status = STATUSES[number % len(STATUSES)]
                if at + length > time.time():
                    end, status = None, JobStatus.RUNNING
                self.jobs.append(
                    JobSpan(
                        f"job-{number}",
                        HOSTILE if number == 2 else f"portrait {number}",
                        backend,
                        status,
                        at,
                        end,
                        f"seed {number}, steps 20, text a lighthouse at dusk",
                    )
                )
                at += length + (draw.uniform(5, 90) if place else -draw.uniform(-60, 40))

    def now(self) -> float:
        return time.time()

    def value(self, field: str, place: int, at: float) -> float | None:
        """None in the third one's gap, and for what it does not measure."""
        if place == 2 and (
            self.begin + 1500 < at < self.begin + 2100
            or field not in {"gpu_memory_used", "ram_used", "queue_depth"}
        ):
            return None
        busy = any(
            job.backend == BACKENDS[place] and job.start <= at and (job.end or at + 1) > at
            for job in self.jobs
        )
        wave = math.sin(at / 7 + place) + math.sin(at / 31)
        load = (90 - 18 * place if busy else 4) + 3 * wave
        return {
            "gpu_utilization": min(max(load, 0), 100),
            "gpu_memory_used": 1500 + (12_000 if busy else 300) / (place + 1),
            "gpu_temperature": 40 + load / 3,
            "power_watts": 30 + 3.5 * max(load, 0),
            "cpu_utilization": 20 + 8 * wave,
            "ram_used": 14_000 + 1500 * place + 40 * wave,
            "queue_depth": int(busy) * (1 + int(at / 200) % 3),
        }[field]

    def lines(self, start: float, end: float, points: int) -> Iterable[MetricLine]:
        start = max(start, self.begin)
        step = max((end - start) / points, 1.0)
        times = [start + step * n for n in range(int((end - start) / step))]
        for field in (
            *("gpu_utilization", "gpu_memory_used", "gpu_temperature", "power_watts"),
            *("cpu_utilization", "ram_used", "queue_depth"),
        ):
            for place, backend in enumerate(BACKENDS):
                values = [self.value(field, place, at) for at in times]
                yield MetricLine(backend, field, times, values)

    def read(self, start: float, end: float, points: int) -> MetricsWindow:
        jobs = [j for j in self.jobs if j.start < end and (j.end is None or j.end > start)]
        lines = tuple(self.lines(start, end, min(points, 300)))
        return MetricsWindow(start, end, BACKENDS, lines, tuple(jobs))

    async def window(self, start: float, end: float, points: int) -> MetricsWindow:
        self.asked.append((start, end))
        return await asyncio.to_thread(self.read, start, end, points)

    async def job(self, job_id: str) -> JobDetails:
        found = next((job for job in self.jobs if job.id == job_id), None)
        if found is None:
            raise NotFound(f"There is no job {job_id}.")
        length = (found.end or time.time()) - found.start
        spans = [("Load Checkpoint", 0.0, 0.3), ("KSampler", 0.3, 0.85), ("VAE Decode", 0.85, 1.0)]
        return JobDetails(
            id=found.id,
            name=found.name,
            status=found.status,
            backends=(found.backend,),
            started_at=datetime.fromtimestamp(found.start, UTC),
            completed_at=None if found.end is None else datetime.fromtimestamp(found.end, UTC),
            waited=12.5,
            vram_peak=13_480,
            vram_total=24_564,
            energy_joules=length * 310,
            gpu_utilization=88.0,
            gpu_temperature_max=71,
            error="CUDA out of memory" if found.status is JobStatus.FAILED else None,
            values={"seed": 7, "steps": 20, "text": "a lighthouse at dusk, heavy weather"},
            nodes=[NodeSpan(t, t, length * a, length * b) for t, a, b in spans],
            images=saved(2) if found.status is JobStatus.COMPLETED else (),
        )
