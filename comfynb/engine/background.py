"""Tasks that nobody waits for: kept until they end, and their errors reported."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["Background", "Spawn"]

Spawn = Callable[[Awaitable[Any], str], "asyncio.Task[Any]"]
"""Runs something in the background, under a name; its errors are reported."""


class Background:
    """What runs beside all else on one loop (the running one, unless it is given)."""

    def __init__(
        self,
        report: Callable[[BaseException], None],
        loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._report = report
        self._loop = loop
        # asyncio keeps weak references only: a task that nobody holds may vanish while it runs.
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, coroutine: Awaitable[Any], name: str) -> "asyncio.Task[Any]":
        """Run something in the background; its errors are reported."""
        task: asyncio.Task[Any] = asyncio.ensure_future(coroutine, loop=self._loop)
        task.set_name(f"comfynb {name}")
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._report(error)

    def stop(self) -> list[asyncio.Task[Any]]:
        """Cancel everything; the tasks that are returned clean up when the loop runs again."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        return tasks

    async def close(self) -> None:
        """As :meth:`stop`, and wait until all is cleaned up."""
        await asyncio.gather(*self.stop(), return_exceptions=True)
