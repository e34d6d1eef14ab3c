"""Looks at many URLs without being a nuisance: few at once per host, spaced, waiting when told."""

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from comfynb.deploy.net.fetch import Fetcher
from comfynb.deploy.net.verdicts import CheckTarget, UrlClass, Verdict, judge, judge_error
from comfynb.deploy.sync.polite import LONGEST_WAIT_S, pause_of
from comfynb.errors import FetchError
from comfynb.models import utcnow

__all__ = ["SPACING_S", "UrlChecker", "validate_urls"]

SPACING_S: Mapping[str, float] = {
    "huggingface.co": 0.15,  # 3,000 files in 5 minutes for those without a token
    "github.com": 1.0,
    "civitai.com": 1.0,
    "civitai.red": 1.0,
}
"""Seconds between two requests to a host, at least."""

_SPACING = 0.5
_PER_HOST = 2
_TOGETHER = 12
_ATTEMPTS = 3
# They answer HEAD with 401, whatever the token.
_NO_HEAD = frozenset({"civitai.com", "civitai.red"})

OnWait = Callable[[float, str], None]


@dataclass
class _Host:
    name: str
    spacing: float
    waiting: deque[CheckTarget] = field(default_factory=deque)
    next_turn: float = 0.0
    paused_until: float = 0.0
    given_up: str = ""
    """Why the rest is not asked any more: it was told to wait for too long, or too often."""


class UrlChecker:
    """Judges URLs; ``spacing`` replaces seconds by host, ``on_wait(seconds, why)`` is told waits.

    ``sleep`` and ``clock`` (seconds) are the loop's own unless a test hands in others.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        *,
        spacing: Mapping[str, float] = SPACING_S,
        default_spacing: float = _SPACING,
        per_host: int = _PER_HOST,
        together: int = _TOGETHER,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
        on_wait: OnWait | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._spacing = spacing
        self._default = default_spacing
        self._per_host = per_host
        self._slots = asyncio.Semaphore(together)
        self._sleep = sleep
        self._clock = clock
        self._on_wait = on_wait
        self.requests = 0

    async def check(self, targets: Iterable[CheckTarget]) -> AsyncIterator[Verdict]:
        """Yield a verdict for each target, as they come; closing it ends what is under way."""
        hosts: dict[str, _Host] = {}
        count = 0
        for target in targets:
            name = _host_of(target.url)
            if name not in hosts:
                hosts[name] = _Host(name, self._spacing.get(name, self._default))
            hosts[name].waiting.append(target)
            count += 1
        done: asyncio.Queue[Verdict | Exception] = asyncio.Queue()
        workers = [
            asyncio.ensure_future(self._work(host, done))
            for host in hosts.values()
            for _ in range(min(self._per_host, len(host.waiting)))
        ]
        try:
            for _ in range(count):
                found = await done.get()
                if isinstance(found, Exception):
                    raise found
                yield found
        finally:
            for worker in workers:
                worker.cancel()
            await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, host: _Host, done: asyncio.Queue[Verdict | Exception]) -> None:
        try:
            while host.waiting:
                target = host.waiting.popleft()
                done.put_nowait(await self._judged(host, target))
        except Exception as error:  # noqa: BLE001 - raised where the verdicts are waited for
            done.put_nowait(error)

    async def _judged(self, host: _Host, target: CheckTarget) -> Verdict:
        for attempt in range(1, _ATTEMPTS + 1):
            await self._turn(host)
            if host.given_up:
                break
            async with self._slots:
                verdict = await self._look(host, target)
            if verdict.kind is not UrlClass.RATE_LIMITED:
                return verdict
            wait = verdict.retry_after
            if wait is None:
                wait = float(15 * 2**attempt)
            if attempt == _ATTEMPTS or wait > LONGEST_WAIT_S:
                host.given_up = f"the service wants to be asked later (in {wait:.0f} s)."
                return verdict
            self._pause(host, wait, f"{host.name} wants to be asked later")
        return Verdict(target, UrlClass.RATE_LIMITED, host.given_up, None, utcnow())

    async def _turn(self, host: _Host) -> None:
        while not host.given_up:
            now = self._clock()
            wait = max(host.paused_until, host.next_turn) - now
            if wait <= 0:
                host.next_turn = now + host.spacing
                return
            # Others wait for the same moment: who wakes first takes it.
            await self._sleep(wait)

    async def _look(self, host: _Host, target: CheckTarget) -> Verdict:
        self.requests += 1
        try:
            if host.name in _NO_HEAD:
                answer = await self._fetcher.probe(target.url)
            else:
                answer = await self._fetcher.head(target.url)
        except FetchError as error:
            return judge_error(target, error, utcnow())
        pause = pause_of(answer.headers)
        if pause > 0:
            self._pause(host, pause, f"{host.name} has answered as often as it does for now")
        return judge(target, answer, utcnow())

    def _pause(self, host: _Host, seconds: float, why: str) -> None:
        host.paused_until = max(host.paused_until, self._clock() + seconds)
        if self._on_wait is not None:
            self._on_wait(seconds, why)


def _host_of(url: str) -> str:
    try:
        return (urlsplit(url).hostname or "").lower()
    except ValueError:
        return ""


async def validate_urls(
    fetcher: Fetcher,
    targets: Iterable[CheckTarget | str],
    *,
    spacing: Mapping[str, float] = SPACING_S,
    default_spacing: float = _SPACING,
    on_wait: OnWait | None = None,
) -> list[Verdict]:
    """Judge some URLs and return the verdicts, in the order of the targets."""
    asked = [CheckTarget(one) if isinstance(one, str) else one for one in targets]
    checker = UrlChecker(fetcher, spacing=spacing, default_spacing=default_spacing, on_wait=on_wait)
    found: dict[CheckTarget, Verdict] = {}
    async for verdict in checker.check(dict.fromkeys(asked)):
        found[verdict.target] = verdict
    return [found[target] for target in asked]
