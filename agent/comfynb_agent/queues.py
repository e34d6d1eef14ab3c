"""Reads ComfyUI's queue: inside it from its memory, from outside over HTTP, or not at all."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import aiohttp

from .worker import Worker

__all__ = ["HttpQueue", "InnerQueue", "NoQueue", "QueueReading", "QueueSource"]

_MOST_JSON = 64 * 1024 * 1024
_MOST_IDS = 16
_TIMEOUT = aiohttp.ClientTimeout(total=2.0)


@dataclass
class QueueReading:
    """What is known of the queue; ``online`` None means that nobody asked."""

    source: str
    online: bool | None = None
    running: int | None = None
    pending: int | None = None
    running_prompt_ids: list[str] | None = None
    missing: list[str] = field(default_factory=list)


class QueueSource(Protocol):
    """Something that tells the queue."""

    async def ask(self) -> QueueReading:
        """Return the queue as it is; never raises for what ComfyUI does."""

    async def close(self) -> None:
        """Let go of everything."""


class NoQueue:
    """For an agent that was not told where ComfyUI is."""

    async def ask(self) -> QueueReading:
        """Say so."""
        sentence = "ComfyUI's queue is not read: give --comfyui with ComfyUI's address."
        return QueueReading("none", missing=[sentence])

    async def close(self) -> None:
        """Do nothing."""


class InnerQueue:
    """The queue object of the ComfyUI in which this runs, which ``find`` returns.

    It is read in a thread: its lock may be held while ComfyUI sorts a long queue.
    """

    def __init__(self, find: Callable[[], Any]) -> None:
        self._find = find
        self._worker = Worker("comfynb-agent-queue", self._read)

    async def ask(self) -> QueueReading:
        """Return the queue, or say what this ComfyUI does not let us see."""
        answer = await self._worker.ask(0.2)
        if answer.error is not None:
            what = f"This ComfyUI's queue cannot be read ({answer.error:.200})."
        elif answer.late is not None:
            what = f"ComfyUI's queue has been locked for {answer.late:.0f} s."
        elif answer.value is not None:
            return answer.value
        else:
            what = "ComfyUI's queue is no longer read: the agent has ended."
        return QueueReading("comfyui", online=True, missing=[what])

    async def close(self) -> None:
        """Let the thread end."""
        self._worker.close()

    def _read(self) -> QueueReading:
        queue = self._find()
        # get_current_queue copies every graph in it: too much for once a second.
        if hasattr(queue, "get_current_queue_volatile"):
            running, pending = queue.get_current_queue_volatile()
        else:
            with queue.mutex:
                running, pending = list(queue.currently_running.values()), list(queue.queue)
        ids = [str(item[1]) for item in running[:_MOST_IDS]]
        return QueueReading("comfyui", True, len(running), len(pending), ids)


class HttpQueue:
    """Polls a ComfyUI at ``url``: ``/prompt`` always, more only while something is queued."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._url = url.rstrip("/")
        self._clock = clock
        self._session: aiohttp.ClientSession | None = None
        self._last: QueueReading | None = None
        self._made = float("-inf")
        self._has_jobs = True

    async def ask(self) -> QueueReading:
        """Return the queue; asks ComfyUI at most twice a second."""
        if self._last is not None and self._clock() - self._made < 0.5:
            return self._last
        try:
            reading = await self._ask()
        except asyncio.TimeoutError:
            reading = self._silent(f"it did not answer within {_TIMEOUT.total:.0f} s")
        except (aiohttp.ClientError, OSError) as error:
            reading = self._silent(f"{type(error).__name__}: {error}")
        except (ValueError, RecursionError) as error:
            reading = self._silent(f"its answer is none of ComfyUI's: {error}")
        self._last, self._made = reading, self._clock()
        return reading

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _silent(self, why: str) -> QueueReading:
        self._has_jobs = True  # what answers next may be a newer ComfyUI
        sentence = f"ComfyUI's queue at {self._url} cannot be read: {why:.300}."
        return QueueReading("http", online=False, missing=[sentence])

    async def _ask(self) -> QueueReading:
        answer = await self._get("/prompt")
        try:
            remaining = int(answer["exec_info"]["queue_remaining"])
        except (KeyError, TypeError, ValueError):
            raise ValueError("/prompt does not tell queue_remaining") from None
        if remaining == 0:
            return QueueReading("http", True, 0, 0, [])
        ids = await self._running()
        return QueueReading("http", True, len(ids), max(0, remaining - len(ids)), ids[:_MOST_IDS])

    async def _running(self) -> list[str]:
        """Return the ids of running prompts; by way of the whole queue where there are no jobs."""
        if self._has_jobs:
            answer = await self._get(f"/api/jobs?status=in_progress&limit={_MOST_IDS}")
            if isinstance(answer, dict) and isinstance(answer.get("jobs"), list):
                return [
                    str(job["id"])
                    for job in answer["jobs"]
                    if isinstance(job, dict) and "id" in job
                ]
            self._has_jobs = False
        answer = await self._get("/queue")
        try:
            return [str(item[1]) for item in answer["queue_running"]]
        except (KeyError, TypeError, IndexError):
            raise ValueError("/queue does not tell queue_running") from None

    async def _get(self, path: str) -> Any:
        """Return an answer's JSON, None for a 404; raises ValueError for what is no JSON."""
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT, auto_decompress=True)
        # Redirects are not followed: they could lead anywhere.
        async with self._session.get(self._url + path, allow_redirects=False) as answer:
            if answer.status == 404 and path.startswith("/api/jobs"):
                return None
            if answer.status != 200:
                raise ValueError(f"HTTP status {answer.status} at {path.partition('?')[0]}")
            body = await _read(answer)
        # A queue of thousands of graphs takes its time.
        return (
            await asyncio.to_thread(json.loads, body) if len(body) > 100_000 else json.loads(body)
        )


async def _read(answer: aiohttp.ClientResponse) -> bytes:
    parts, size = [], 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > _MOST_JSON:
            raise ValueError(f"it is longer than {_MOST_JSON // 1024**2} MiB")
        parts.append(part)
    return b"".join(parts)
