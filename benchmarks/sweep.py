"""What a sweep costs: 2,000 tiny points over four backends, beside bare pipelined loops.

All send prompts of the same kind to the same servers and fetch the same files; see ``bare.py``.
They run in one Jupyter kernel, in turn, several times; what counts is the median of the ratios.
The sweep is shown meanwhile as a person would see it, with its grid, the table of jobs and the
table of backends; somebody scrolls in the grid, and each answer is counted. A ticker on the
kernel's event loop tells how late the loop is ("late", by the clock), and how much processor time
the loop's thread used from one tick to the next ("own").

The servers and the page stand in for other machines, so they take only the processor time that the
kernel and its threads leave, for all loops alike. ``--equal`` lets them take as much as the kernel:
on a machine with few processors the loop then waits longer for one than it works.

    python benchmarks/sweep.py [--points 2000] [--backends 4] [--rounds 5] [--equal] [--plain]

``--plain`` runs all in this process, without kernel and widgets: for profilers.
"""

import argparse
import asyncio
import contextlib
import json
import os
import queue
import resource
import signal
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Self

from bare import bare, prompt

from comfynb import Workbench
from comfynb.sandbox import Sandbox

TICK = 0.002
"""Seconds between two ticks."""
WARM = 200
"""Points of the round that does not count."""
WANTED_RATE, WANTED_LATENESS = 0.85, 25.0
SIGHT = 40
"""Cells that are in sight at once."""
GLANCE = 0.25
"""Seconds between two scrolls."""
DONE = "comfynb benchmark: "
AUTOGROUP = Path("/proc/self/autogroup")
"""Where Linux keeps the weight of this session's processes."""


class Ticker:
    """Measures how late the event loop calls what is due: that long something blocked it."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self.own: list[float] = []
        """Processor time of the loop's thread from one tick to the next."""
        self._ran = time.thread_time()
        self._ticked = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._due = self._loop.time() + TICK
        self._handle = self._loop.call_at(self._due, self._tick)
        return self

    def _tick(self) -> None:
        now = self._loop.time()
        self.late.append(1000 * (now - self._due))
        ran = time.thread_time()
        self.own.append(1000 * (ran - self._ran))
        self._ran = ran
        self._ticked.set()
        self._due = now + TICK
        self._handle = self._loop.call_at(self._due, self._tick)

    async def forget(self) -> None:
        """Leave the tick out that is due now: a cell has just held the loop up."""
        told = len(self.late)
        self._ticked.clear()
        await self._ticked.wait()
        del self.late[told:], self.own[told:]

    async def __aexit__(self, *_: object) -> None:
        self._handle.cancel()

    def told(self) -> dict[str, float]:
        """Milliseconds: the worst, and the 999 of a thousand; and that of the thread's own time."""
        late, own = sorted(self.late), sorted(self.own)
        at = int(0.999 * (len(late) - 1))
        return {"p99.9": late[at], "worst": late[-1], "own": own[at]}


class Cost:
    """Processor time of this process, and of the thread that the loop runs on."""

    def __enter__(self) -> Self:
        self._began = self._now()
        return self

    def __exit__(self, *_: object) -> None:
        self.all, self.thread = (
            now - then for now, then in zip(self._now(), self._began, strict=True)
        )

    @staticmethod
    def _now() -> tuple[float, float]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        return used.ru_utime + used.ru_stime, time.thread_time()


async def bare_round(urls: list[str], count: int, color: int, folder: str, client: str) -> dict:
    """A bare loop once."""
    async with Ticker() as ticker:
        with Cost() as cost:
            seconds = await bare(urls, count, color, Path(folder), client)
    return {"seconds": seconds, "cpu": cost.all, "thread": cost.thread, **ticker.told()}


async def sweep_round(urls: list[str], count: int, color: int, store: str, show: bool) -> dict:
    """The same as a sweep: each point, job, prompt and file in the store."""
    async with Workbench(store) as workbench:
        for number, url in enumerate(urls):
            workbench.backends.add(url, name=f"gpu{number}")
        workflow = workbench.workflows.load(prompt(0, uuid.uuid4().hex), name="overhead")
        workflow.expose("1.color", name="color")
        await workbench.check_backends()
        async with Ticker() as ticker:
            with Cost() as cost:
                shown = 0.0
                start = time.perf_counter()
                sweep = workbench.sweep(workflow, {"color": range(color, color + count)})
                made = time.perf_counter() - start
                # The cell itself: a person waits for it and sees nothing move. The tick that was
                # due meanwhile comes first, and is not told.
                await ticker.forget()
                if show:
                    shown = await look(workbench, sweep, ticker)
                await sweep
                seconds = time.perf_counter() - start
        assert sweep.counts == {"completed": count}, sweep.counts
        (stored,) = workbench.sql(
            "select count(*) as points, count(distinct job_id) as jobs, "
            "(select count(*) from output_files where sha256 is not null) as files "
            "from sweep_points where state = 'completed'"
        )
        assert stored == {"points": count, "jobs": count, "files": count}, stored
        assert not workbench.problems, workbench.problems[:3]
    told = {
        "seconds": seconds,
        "made": made,
        "shown": shown,
        "cpu": cost.all,
        "thread": cost.thread,
    }
    return {**told, **ticker.told()}


async def look(workbench: Workbench, sweep: object, ticker: Ticker) -> float:
    """Show all that a person would: the sweep, the backends, and the jobs once there are some.

    Each is a cell like the one before; gives the seconds of the longest.
    """
    from IPython.display import display

    async def show(what: object) -> float:
        began = time.perf_counter()
        display(what)
        took = time.perf_counter() - began
        await ticker.forget()
        return took

    times = [await show(sweep), await show(workbench.backends)]
    handed_out = asyncio.Event()
    stop = sweep._run.watch(  # noqa: SLF001 - people look at the grid
        lambda view: any(p.job_id for p in view.points) and handed_out.set()
    )
    await handed_out.wait()
    stop()
    return max(*times, await show(workbench.jobs))


class Kernel:
    """A Jupyter kernel with this module in it, and a page that looks at what it shows."""

    def __init__(self) -> None:
        from jupyter_client.manager import start_new_kernel

        self._manager, self._client = start_new_kernel(cwd=str(Path(__file__).parent))
        self._pages: dict[str, str] = {}
        self._newest: str | None = None
        self.messages = 0
        self.asked = 0
        self.slowest = 0.0
        self._waiting: dict[int, float] = {}
        self._sight = 0
        self.points = 0
        """How many cells there are."""

    def __enter__(self) -> Self:
        self.run("import sys, json, sweep; sys.path.insert(0, '..')", None)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)

    def do(self, function: str, *args: object) -> dict:
        """Await a function of this module there; a task of its own, so that widgets answer."""
        given = ", ".join(map(repr, args))
        code = f"""
import asyncio, traceback
async def work():
    try:
        print({DONE!r} + json.dumps(await sweep.{function}({given})))
    except BaseException:
        print({DONE!r} + json.dumps(traceback.format_exc()))
working = asyncio.ensure_future(work())
"""
        told = json.loads(self.run(code, DONE))
        if isinstance(told, str):
            raise SystemExit(told)
        return told

    def run(self, code: str, until: str | None) -> str:
        """Run a cell, until it is idle, or until it prints a line that begins so."""
        asked = self._client.execute(code)
        self._newest, self._waiting, self._sight = None, {}, 0
        glanced = time.monotonic()
        while True:
            if self._newest is not None and time.monotonic() - glanced > GLANCE:
                glanced = time.monotonic()
                self._scroll()
            try:
                message = self._client.get_iopub_msg(timeout=0.05)
            except queue.Empty:
                continue
            kind, content = message["header"]["msg_type"], message["content"]
            if kind == "error":
                raise SystemExit("\n".join(content["traceback"]))
            if kind == "stream" and until is not None and content["text"].startswith(until):
                return content["text"].removeprefix(until)
            mine = message["parent_header"].get("msg_id") == asked
            if until is None and mine and content.get("execution_state") == "idle":
                return ""
            self._heard(kind, content)

    def _heard(self, kind: str, content: dict) -> None:
        if not kind.startswith("comm_"):
            return
        self.messages += 1
        data = content["data"]
        if kind == "comm_open" and "row_heads" in data.get("state", ()):
            self._newest = content["comm_id"]
        elif data.get("method") == "custom" and content["comm_id"] == self._newest:
            for cell in data["content"].get("cells", ()):
                sent = self._waiting.pop(cell["place"], None)
                if sent is not None:
                    self.slowest = max(self.slowest, time.monotonic() - sent)

    def _scroll(self) -> None:
        """Look at the next cells, as a page that shows them for the first time."""
        places = list(range(self._sight, self._sight + SIGHT))
        self._sight = (self._sight + SIGHT) % (self.points - SIGHT)
        self.asked += 1
        for place in places:
            self._waiting.setdefault(place, time.monotonic())
        told = {"event": "see", "view": "page", "places": places, "lacking": places}
        data = {"method": "custom", "content": told}
        message = self._client.session.msg(
            "comm_msg", {"comm_id": self._newest, "data": data, "buffers": []}
        )
        self._client.shell_channel.send(message)

    @property
    def unanswered(self) -> int:
        """Cells that were asked for more than a second ago and have not come."""
        return sum(time.monotonic() - sent > 1 for sent in self._waiting.values())


def aside(work: Callable[[], int]) -> int:
    """Do it in a process that, with its children, takes only the time that others leave.

    Only Linux can, which shares time among sessions; one that a child begins (a Jupyter kernel
    does) is another.
    """
    child = os.fork()
    if not child:
        os.setsid()
        AUTOGROUP.write_text("19")
        with contextlib.suppress(KeyboardInterrupt):
            sys.exit(work())
        sys.exit(1)
    while True:
        try:
            return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        except KeyboardInterrupt:
            os.kill(child, signal.SIGINT)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=2000)
    parser.add_argument("--backends", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--equal", action="store_true")
    parser.add_argument("--plain", action="store_true")
    options = parser.parse_args()
    options.equal = options.equal or options.plain or not AUTOGROUP.exists()
    raise SystemExit(run(options) if options.equal else aside(lambda: run(options)))


def run(options: argparse.Namespace) -> int:
    """Start what is needed and measure; the exit status."""
    with contextlib.ExitStack() as cleanup:
        urls = [cleanup.enter_context(Sandbox()).url for _ in range(options.backends)]
        folder = Path(cleanup.enter_context(tempfile.TemporaryDirectory()))
        kernel = None if options.plain else cleanup.enter_context(Kernel())
        return 0 if measure(options, urls, folder, kernel) else 1


def measure(
    options: argparse.Namespace, urls: list[str], folder: Path, kernel: Kernel | None
) -> bool:
    """Run the rounds and print what came out; whether all is as wanted."""

    def do(function: str, *args: object) -> dict:
        if kernel is not None:
            return kernel.do(function, *args)
        return asyncio.run(globals()[function](*args))

    count, color = options.points, int(time.time()) % 5_000_000
    rates: dict[str, list[float]] = {"httpx": [], "aiohttp": []}
    lates: list[float] = []
    shown = kernel is not None
    print(
        f"{count} points on {len(urls)} sandboxes, {'in a kernel' if shown else 'no kernel'}; "
        f"{os.cpu_count()} processors, of which all others take "
        + ("as much as they can get" if options.equal else "what the kernel leaves")
    )
    for number in range(-1, options.rounds):
        # The first loads modules and fills caches; it does not count.
        each = count if number >= 0 else WARM
        if kernel is not None:
            kernel.points = each
        told = {}
        for name in rates:
            files = str(folder / f"{name}-{number}")
            told[name] = do("bare_round", urls, each, color, files, name)
            color += each
        told["sweep"] = do("sweep_round", urls, each, color, str(folder / f"{number}.db"), shown)
        color += each
        if number < 0:
            continue
        for name, one in told.items():
            print(
                f"  {name:<8}{one['seconds']:6.2f} s  {1e3 * one['cpu'] / count:5.2f} ms of "
                f"processor a point, {1e3 * one['thread'] / count:5.2f} on the loop  "
                f"late p99.9 {one['p99.9']:5.1f} ms, worst {one['worst']:5.1f} ms, "
                f"own p99.9 {one['own']:4.1f} ms"
                + (
                    f"  (cells: wb.sweep() {1e3 * one['made']:.0f} ms, "
                    f"display() {1e3 * one['shown']:.0f} ms)"
                    if "made" in one
                    else ""
                ),
                flush=True,
            )
        for name, several in rates.items():
            several.append(told[name]["seconds"] / told["sweep"]["seconds"])
        lates.append(told["sweep"]["p99.9"])
    for name, several in rates.items():
        print(
            f"median {statistics.median(several):.2f} of the rate of a bare loop with {name}"
            + (f" (at least {WANTED_RATE} wanted)" if name == "httpx" else "")
        )
    rate, late = statistics.median(rates["httpx"]), statistics.median(lates)
    print(f"median of p99.9 {late:.1f} ms late (at most {WANTED_LATENESS:.0f} wanted)")
    good = rate >= WANTED_RATE and late <= WANTED_LATENESS
    if kernel is not None:
        print(
            f"{kernel.messages} messages to widgets; {kernel.asked} looks of {SIGHT} cells, "
            f"the slowest answered in {kernel.slowest:.2f} s, {kernel.unanswered} cells not"
        )
        good = good and kernel.asked > 0 and not kernel.unanswered
    return good


if __name__ == "__main__":
    main()
