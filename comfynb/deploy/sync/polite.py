"""Asking a service no faster than it likes, and again when it was in trouble."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from comfynb.deploy.net import Answer, Fetcher
from comfynb.errors import AddressRefused, FetchError

__all__ = ["Asker", "Reply", "pause_of"]

Params = Mapping[str, str | int | list[str]]

LONGEST_WAIT_S = 900.0
"""What a service may ask us to wait; beyond that the sync ends, and is resumed by somebody."""

_ATTEMPTS = 6
_STRANGE_ATTEMPTS = 3
_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504, 520, 521, 522, 523, 524, 529})
_PART = re.compile(r'(?:^|;)\s*(r|t)\s*=\s*"?(\d{1,9})"?')


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer that was JSON."""

    data: Any
    headers: Mapping[str, str]


def pause_of(headers: Mapping[str, str]) -> float:
    """Return the seconds that a service's headers want us to pause: it says that none is left.

    RateLimit (``"api";r=0;t=55``), and the older RateLimit-Remaining with RateLimit-Reset, with
    and without X- in front; a reset may be seconds from now or a time since 1970.
    """
    low = {name.lower(): value for name, value in headers.items()}
    pause = 0.0
    for policy in low.get("ratelimit", "").split(","):
        parts = {name: int(value) for name, value in _PART.findall(policy)}
        if parts.get("r") == 0:
            pause = max(pause, float(parts.get("t", 0)))
    for mark in ("", "x-"):
        left, reset = low.get(f"{mark}ratelimit-remaining"), low.get(f"{mark}ratelimit-reset")
        try:
            if left is not None and reset is not None and float(left) <= 0:
                seconds = float(reset)
                pause = max(pause, seconds - time.time() if seconds > 10**8 else seconds)
        except ValueError:
            continue  # a header that is no number says nothing
    return min(max(pause, 0.0), LONGEST_WAIT_S)


@dataclass
class Asker:
    """Asks for one source: spaced, patient with 429 and 5xx, and with what should be JSON."""

    fetcher: Fetcher
    spacing: float = 0.0
    """Seconds between two requests to one host, at least."""
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    clock: Callable[[], float] = time.monotonic
    on_wait: Callable[[float, str], None] | None = None
    """Told how long, and why, whenever it waits for longer than the spacing."""
    requests: int = 0
    _not_before: dict[str, float] = field(default_factory=dict)

    async def get(self, url: str, *, params: Params | None = None) -> Answer:
        """GET; raises FetchError when the service does not answer well in spite of patience."""
        return (await self._ask(url, params, json=False))[0]

    async def json(
        self, url: str, *, params: Params | None = None, key: str | None = None
    ) -> Reply:
        """GET what must be JSON; raises FetchError as :meth:`get`, and where it is none.

        With ``key`` it must be an object with a list under that key.
        """
        answer, data = await self._ask(url, params, json=True, key=key)
        return Reply(data, answer.headers)

    async def _ask(
        self, url: str, params: Params | None, *, json: bool, key: str | None = None
    ) -> tuple[Answer, Any]:
        host = urlsplit(url).netloc
        attempt = strange = 0
        while True:
            attempt += 1
            await self._turn(host)
            try:
                answer = await self.fetcher.get(
                    url, params=params, headers={"Accept": "application/json"} if json else None
                )
                self._after(host, answer.headers)
                answer.check()
                if not json:
                    return answer, None
                small = len(answer.body) < 2**18
                data = answer.json() if small else await asyncio.to_thread(answer.json)
                if key is not None and not (
                    isinstance(data, dict) and isinstance(data.get(key), list)
                ):
                    raise FetchError(
                        f"{answer.url.partition('?')[0]} answered with JSON that has no list "
                        f'"{key}": is the address right?',
                        url=answer.url.partition("?")[0],
                        status=answer.status,
                    )
                return answer, data
            except AddressRefused:
                raise
            except FetchError as error:
                strange += 200 <= error.status < 300
                await self._again(host, error, attempt, strange)

    async def _again(self, host: str, error: FetchError, attempt: int, strange: int) -> None:
        """Wait before the next attempt, or raise."""
        if error.status not in _BUSY and error.status >= 300:
            raise error
        # A 200 that is not JSON is a page of somebody in between, which may go away.
        if attempt >= _ATTEMPTS or strange >= _STRANGE_ATTEMPTS:
            raise error
        wait = error.retry_after
        if wait is None:
            wait = float(min(2 ** (attempt - 1), 30))
        if wait > LONGEST_WAIT_S:
            raise error
        now = self.clock()
        self._not_before[host] = max(self._not_before.get(host, 0.0), now + wait)
        if self.on_wait is not None:
            self.on_wait(self._not_before[host] - now, str(error))

    async def _turn(self, host: str) -> None:
        wait = self._not_before.get(host, 0.0) - self.clock()
        if wait > 0:
            await self.sleep(wait)
        self._not_before[host] = self.clock() + self.spacing
        self.requests += 1

    def _after(self, host: str, headers: Mapping[str, str]) -> None:
        pause = pause_of(headers)
        if pause > 0:
            now = self.clock()
            self._not_before[host] = max(self._not_before.get(host, 0.0), now + pause)
            if self.on_wait is not None and pause > self.spacing:
                self.on_wait(pause, f"{host} has answered as often as it does for now")
