"""The event loop that comfynb lives on: the kernel's own, or a thread's where there is none."""

import asyncio
import atexit
import concurrent.futures
import threading
from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

from comfynb.errors import UsageError

__all__ = ["Doing", "LoopHost", "run_blocking"]

T = TypeVar("T")


class Doing(Generic[T]):
    """Work under way on the loop: ``await`` it, or ``wait()`` where there is no await."""

    def __init__(self, host: "LoopHost", coroutine: Coroutine[Any, Any, T], name: str) -> None:
        self._host = host
        self._name = name
        self._future: concurrent.futures.Future[T] = concurrent.futures.Future()
        try:
            host.start(self._run(coroutine), name)
        except UsageError:
            coroutine.close()  # or Python complains that nobody awaited it
            raise

    async def _run(self, coroutine: Coroutine[Any, Any, T]) -> None:
        try:
            result = await coroutine
        except BaseException as error:
            # Whoever awaits it gets the error; nobody else needs it.
            self._future.set_exception(error)
            if not isinstance(error, Exception):
                raise
        else:
            self._future.set_result(result)

    async def _wait(self) -> T:
        if not self._future.done():
            # Shielded: who stops waiting does not stop the work.
            await asyncio.shield(asyncio.wrap_future(self._future))
        return self._future.result()

    def __await__(self) -> Generator[Any, None, T]:
        return self._wait().__await__()

    def wait(self, timeout: float | None = None) -> T:
        """Block until it is done and give its result; in a cell, widgets go on meanwhile."""
        return self._host.wait(self._wait(), timeout)

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self._future.done()

    @property
    def failed(self) -> bool:
        """Whether it ended with an error."""
        return self._future.done() and self._future.exception() is not None

    @property
    def result(self) -> T:
        """What came out; only once it is ``done``."""
        return self._future.result(timeout=0)

    def __repr__(self) -> str:
        return f"<{self._name}: {'done' if self._future.done() else 'under way, await it'}>"


class LoopHost:
    """Runs coroutines on one event loop and lets synchronous code wait for them.

    Created while a loop runs (a notebook cell, ``asyncio.run``) it uses that loop; created in a
    plain script it starts a loop in a daemon thread. Either way there is exactly one loop, chosen
    once: widget callbacks may arrive on others (ipykernel 7.0-7.3 runs them on a subshell's).
    """

    def __init__(self) -> None:
        # asyncio keeps weak references only: a task that nobody holds may vanish while it runs.
        self._tasks: set[asyncio.Task[Any]] = set()
        self._thread: threading.Thread | None = None
        self._closed = False
        try:
            self.loop = asyncio.get_running_loop()
        except RuntimeError:
            self.loop = asyncio.new_event_loop()
            self._thread = threading.Thread(
                target=self.loop.run_forever, name="comfynb-loop", daemon=True
            )
            self._thread.start()
            self._loop_thread = self._thread.ident
            atexit.register(self.close)
        else:
            self._loop_thread = threading.get_ident()

    def do(self, coroutine: Coroutine[Any, Any, T], name: str) -> Doing[T]:
        """Start ``coroutine`` on the loop; the result can be awaited or waited for."""
        return Doing(self, coroutine, name)

    def ask(self, function: Callable[..., T], *args: Any) -> T:
        """Call ``function`` on the loop's thread and return its result; thread-safe."""
        if self.on_loop:
            return function(*args)

        async def call() -> T:
            return function(*args)

        return self.wait(call())

    @property
    def on_loop(self) -> bool:
        """Whether the caller runs on the loop's own thread."""
        return threading.get_ident() == self._loop_thread

    @property
    def own_thread(self) -> bool:
        """Whether the loop runs in a thread of ours, so that a caller may block."""
        return self._thread is not None

    @property
    def usable(self) -> bool:
        """Whether the loop still takes work (``asyncio.run`` closes its loop when it ends)."""
        return not self._closed and not self.loop.is_closed()

    def call(self, function: Callable[..., object], *args: Any) -> None:
        """Call ``function`` on the loop, now if the caller is on it, else soon; thread-safe."""
        if self.on_loop:
            function(*args)
        elif self.usable:
            self.loop.call_soon_threadsafe(function, *args)

    def start(self, coroutine: Coroutine[Any, Any, T], name: str) -> "asyncio.Task[T] | None":
        """Run ``coroutine`` as a task; thread-safe. On the loop's thread the task is returned."""
        if self.on_loop:
            return self._create(coroutine, name)
        if not self.usable:
            coroutine.close()
            raise UsageError("This Workbench's event loop has ended; make a new Workbench().")
        self.loop.call_soon_threadsafe(self._create, coroutine, name)
        return None

    def _create(self, coroutine: Coroutine[Any, Any, T], name: str) -> "asyncio.Task[T]":
        task = self.loop.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: "asyncio.Task[Any]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            # Without this an error in a background task stays silent until garbage collection.
            self.loop.call_exception_handler(
                {
                    "message": f"comfynb task {task.get_name()} ended with an error",
                    "exception": error,
                    "task": task,
                }
            )

    def wait(self, coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
        """Run ``coroutine`` on the loop and wait for it from synchronous code.

        On the loop's own thread (a notebook cell) the loop is entered again, so that everything
        else on it goes on; from another thread the caller simply blocks.

        Raises:
            TimeoutError: after ``timeout`` seconds.
            UsageError: inside a coroutine of a plain ``asyncio.run``: there, use ``await``.
        """
        if timeout is not None:
            coroutine = _limited(coroutine, timeout)
        if not self.on_loop:
            if not self.usable:
                coroutine.close()
                raise UsageError("This Workbench's event loop has ended; make a new Workbench().")
            return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()
        if not self.loop.is_running():
            return self.loop.run_until_complete(coroutine)
        # nest-asyncio breaks Run All on ipykernel >= 7; this continuation of it does not.
        # It patches the whole process, so it is applied where somebody asks for it and only then.
        import nest_asyncio2

        nest_asyncio2.apply(self.loop)
        return self.loop.run_until_complete(coroutine)

    async def _cancel_everything(self) -> None:
        """Cancel all tasks of a loop of ours, also what tasks started, and wait until they ended.

        A script may end without closing its Workbench, and asyncio complains on the way out about
        each task that is still pending when its loop is dropped.
        """
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        """End the loop if it is ours; idempotent."""
        if self._closed:
            return
        self._closed = True
        if self._thread is None:
            return
        atexit.unregister(self.close)
        if not self.loop.is_closed():
            asyncio.run_coroutine_threadsafe(self._cancel_everything(), self.loop).result(
                timeout=10
            )
            self.loop.call_soon_threadsafe(self.loop.stop)
            self._thread.join(timeout=10)
            self.loop.close()


async def _limited(coroutine: Coroutine[Any, Any, T], seconds: float) -> T:
    async with asyncio.timeout(seconds):
        return await coroutine


def run_blocking(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a self-contained ``coroutine`` on a loop of its own in a thread, and wait for it.

    For short questions from synchronous code in a cell, where the kernel's loop is busy running
    that very cell. The coroutine must make its own connections.
    """
    result: list[T] = []
    error: list[BaseException] = []

    def work() -> None:
        try:
            result.append(asyncio.run(coroutine))
        except BaseException as problem:  # noqa: BLE001 - raised again in the caller's thread
            error.append(problem)

    thread = threading.Thread(target=work, name="comfynb-ask", daemon=True)
    thread.start()
    thread.join()
    if error:
        raise error[0]
    return result[0]
