"""Politeness, on a clock of the tests' own: how many at once, how far apart, how long to wait."""

import asyncio
import heapq
import itertools
from typing import Any

import pytest
from aiohttp import web

from comfynb.deploy.net import Answer
from comfynb.deploy.net.checking import UrlChecker, validate_urls
from comfynb.deploy.net.verdicts import CheckTarget, UrlClass, Verdict
from comfynb.errors import FetchError


class Clock:
    """Time that passes only when everybody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Event]] = []
        self._numbers = itertools.count()

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        event = asyncio.Event()
        heapq.heappush(self._sleepers, (self.now + seconds, next(self._numbers), event))
        await event.wait()

    async def run(self) -> None:
        while True:
            # Let everything that can go on without time do so.
            for _ in range(50):
                await asyncio.sleep(0)
            if self._sleepers:
                self.now, _, event = heapq.heappop(self._sleepers)
                event.set()


class Service:
    """Stands for the fetcher: answers by host, and notes when it was asked."""

    def __init__(self, clock: Clock, **answers: Any) -> None:
        self.clock = clock
        self.asked: list[tuple[float, str, str]] = []
        self.answers = answers
        self.together: dict[str, int] = {}
        self.most: dict[str, int] = {}
        self.takes = 0.0

    async def head(self, url: str) -> Answer:
        return await self._answer("HEAD", url)

    async def probe(self, url: str) -> Answer:
        return await self._answer("GET", url)

    async def _answer(self, method: str, url: str) -> Answer:
        host = url.split("/")[2]
        self.asked.append((self.clock(), method, url))
        for one in (host, ""):
            self.together[one] = self.together.get(one, 0) + 1
            self.most[one] = max(self.most.get(one, 0), self.together[one])
        if self.takes:
            await self.clock.sleep(self.takes)
        self.together[host] -= 1
        self.together[""] -= 1
        plan = self.answers.get(host.partition(".")[0], (200, {}))
        status, headers = plan(url, len(self.asked)) if callable(plan) else plan
        if isinstance(headers, Exception):
            raise headers
        return Answer(status, headers, b"", url)

    def times(self, host: str) -> list[float]:
        return [at - 1000 for at, _, url in self.asked if url.split("/")[2] == host]


def targets(host: str, count: int) -> list[CheckTarget]:
    return [CheckTarget(f"https://{host}/{i}") for i in range(count)]


async def check(service: Service, some: list[CheckTarget], **options: Any) -> list[Verdict]:
    clock = service.clock
    checker = UrlChecker(service, sleep=clock.sleep, clock=clock, **options)  # type: ignore[arg-type]
    running = asyncio.ensure_future(clock.run())
    try:
        return [verdict async for verdict in checker.check(some)]
    finally:
        running.cancel()


async def test_requests_to_a_host_are_spaced_and_hosts_do_not_wait_for_one_another() -> None:
    service = Service(Clock())
    some = targets("a.example", 5) + targets("b.example", 5)
    verdicts = await check(service, some, spacing={"a.example": 2.0}, default_spacing=1.0)
    assert service.times("a.example") == [0, 2, 4, 6, 8]
    assert service.times("b.example") == [0, 1, 2, 3, 4]
    assert {verdict.target for verdict in verdicts} == set(some)
    assert len(verdicts) == 10


@pytest.mark.parametrize(("together", "most"), [(5, 5), (50, 20)])
async def test_few_are_under_way_at_once(together: int, most: int) -> None:
    service = Service(Clock())
    service.takes = 100.0
    some = [one for i in range(10) for one in targets(f"h{i}.example", 6)]
    await check(service, some, default_spacing=0.01, per_host=2, together=together)
    assert len(service.asked) == 60
    assert max(service.most[f"h{i}.example"] for i in range(10)) <= 2
    assert service.most[""] == most


async def test_who_asks_for_patience_gets_it_and_nobody_else_waits() -> None:
    def busy(url: str, count: int) -> tuple[int, dict[str, str]]:
        first = clock() < 1050
        return (429, {"Retry-After": "60"}) if first else (200, {})

    clock = Clock()
    service = Service(clock, busy=busy)
    waits: list[tuple[float, str]] = []
    some = targets("busy.example", 4) + targets("idle.example", 3)
    verdicts = await check(
        service, some, default_spacing=1.0, on_wait=lambda s, why: waits.append((s, why))
    )
    assert {verdict.kind for verdict in verdicts} == {UrlClass.OK}
    # Two were under way, or about to be; nobody asks again before the minute is over.
    times = service.times("busy.example")
    assert [at for at in times if at < 60] == times[: len(times) - 4]
    assert len(times) <= 6
    assert service.times("idle.example") == [0, 1, 2]
    assert waits[0] == (60.0, "busy.example wants to be asked later")


async def test_rate_limit_headers_are_obeyed_before_anything_is_refused() -> None:
    def counted(url: str, count: int) -> tuple[int, dict[str, str]]:
        return 200, {"RateLimit": f'"resolvers";r={max(0, 2 - count)};t=300'} if count <= 2 else {}

    service = Service(Clock(), hub=counted)
    verdicts = await check(service, targets("hub.example", 4), default_spacing=1.0, per_host=1)
    assert {verdict.kind for verdict in verdicts} == {UrlClass.OK}
    assert service.times("hub.example") == [0, 1, 301, 302]


@pytest.mark.parametrize("wait", ["100000", "60", None])
async def test_who_is_never_ready_is_left_alone(wait: str | None) -> None:
    headers = {} if wait is None else {"Retry-After": wait}
    service = Service(Clock(), busy=(429, headers))
    verdicts = await check(service, targets("busy.example", 50), default_spacing=1.0)
    assert {verdict.kind for verdict in verdicts} == {UrlClass.RATE_LIMITED}
    assert len(verdicts) == 50
    assert len(service.asked) <= 6
    assert not any(verdict.isValid for verdict in verdicts)


async def test_services_that_do_not_answer_head_are_not_asked_by_it() -> None:
    service = Service(Clock())
    some = [CheckTarget("https://civitai.com/api/download/models/1"), *targets("a.example", 1)]
    await check(service, some)
    assert sorted((method, url) for _, method, url in service.asked) == [
        ("GET", "https://civitai.com/api/download/models/1"),
        ("HEAD", "https://a.example/0"),
    ]


async def test_what_cannot_be_fetched_is_a_verdict_and_what_is_a_fault_is_raised() -> None:
    lost = Service(Clock(), a=(0, FetchError("nobody answers.")))
    (verdict,) = await check(lost, targets("a.example", 1))
    assert verdict.kind is UrlClass.UNREACHABLE
    broken = Service(Clock(), a=(0, RuntimeError("a fault")))
    with pytest.raises(RuntimeError, match="a fault"):
        await check(broken, targets("a.example", 3))


async def test_nothing_asked_is_nothing_answered() -> None:
    assert await check(Service(Clock()), []) == []


async def test_who_stops_looking_stops_asking() -> None:
    clock = Clock()
    service = Service(clock)
    checker = UrlChecker(service, sleep=clock.sleep, clock=clock, default_spacing=1.0)  # type: ignore[arg-type]
    running = asyncio.ensure_future(clock.run())
    found = checker.check(targets("a.example", 1000))
    async for _ in found:
        break
    await found.aclose()  # type: ignore[attr-defined]
    asked = len(service.asked)
    for _ in range(200):
        await asyncio.sleep(0)
    running.cancel()
    assert len(service.asked) == asked < 10


async def test_real_urls_are_judged_in_their_order(world: Any) -> None:
    async def answer(request: web.Request) -> web.Response:
        if request.path == "/file":
            return web.Response(body=b"x" * 5000, content_type="application/octet-stream")
        if request.path == "/page":
            return web.Response(text="<html>", content_type="text/html")
        if request.path == "/to-login":
            raise web.HTTPFound("/login?next=/file")
        if request.path == "/login":
            return web.Response(text="<html>", content_type="text/html")
        if request.path == "/inside":
            raise web.HTTPFound("https://169.254.169.254/")
        if request.path == "/no-head" and request.method == "HEAD":
            return web.Response(status=401)
        if request.path == "/no-head":
            return web.Response(status=206, body=b"x", headers={"Content-Range": "bytes 0-0/5000"})
        return web.Response(status=404)

    await world.serve("models.example", answer)
    here = "https://models.example"
    asked = [
        CheckTarget(f"{here}/file", size=5000),
        f"{here}/page",
        f"{here}/to-login",
        f"{here}/inside",
        CheckTarget(f"{here}/no-head", size=5000),
        CheckTarget(f"{here}/no-head", size=500_000),
        f"{here}/gone",
        "https://127.0.0.1/x",
        "http://models.example/x",
        "https://nobody.example/x",
        f"{here}/file",
    ]
    async with world.fetcher() as fetcher:
        verdicts = await validate_urls(fetcher, asked, default_spacing=0.0)
    assert [verdict.kind.value for verdict in verdicts] == [
        "OK",
        "HTML_INSTEAD_OF_FILE",
        "REDIRECT_LOGIN",
        "REFUSED",
        "OK",
        "SIZE_CHANGED",
        "GONE",
        "REFUSED",
        "REFUSED",
        "UNREACHABLE",
        "OK",
    ]
    assert world.trap.count() == 0
