"""The agent's routes: the same for its own port and for ComfyUI's."""

import asyncio
import functools
import json
import math
import urllib.parse
from collections.abc import Awaitable, Callable

from aiohttp import hdrs, web

from . import openmetrics
from .collector import Collector, Snapshot
from .openapi import document
from .settings import LONGEST_INTERVAL, SHORTEST_INTERVAL, Settings, is_loopback
from .tokens import TOKEN_VARIABLE

__all__ = ["PREFIX", "Agent"]

PREFIX = "/comfynb"

FRESH = 0.5
"""Seconds: whoever asks sooner is told the last snapshot, so a flood of questions costs little."""
WRITE_PATIENCE = 10.0
"""Seconds that a stream's client may take to read what is sent before it is dropped."""
KEEP_ALIVE = 15.0
"""Seconds after which something is sent in any case, since proxies drop what is silent."""
LOOK = 2.0
"""Seconds after which a waiting stream sees whether its client is still there."""

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Agent:
    """Answers requests out of a collector, to whom ``settings`` admit."""

    def __init__(self, settings: Settings, collector: Collector) -> None:
        self._settings = settings
        self._collector = collector
        self._streams = 0
        self._closing: asyncio.Event | None = None

    def routes(self) -> dict[str, Handler]:
        """Return the handler of each path; all are for GET (and so for HEAD) alone.

        A handler refuses on its own whom it does not admit: inside ComfyUI there is no other
        place for that, since a middleware would change ComfyUI's routes too.
        """
        handlers = {
            f"{PREFIX}/metrics.json": self._json,
            f"{PREFIX}/metrics": self._openmetrics,
            f"{PREFIX}/metrics/stream": self._stream,
            f"{PREFIX}/openapi.json": self._openapi,
        }
        return {path: self._guarded(handler) for path, handler in handlers.items()}

    async def close(self) -> None:
        """End all streams and readers."""
        self._closing_event().set()
        await self._collector.close()

    def _closing_event(self) -> asyncio.Event:
        # Made late: inside ComfyUI there may be no event loop yet when the agent is made.
        if self._closing is None:
            self._closing = asyncio.Event()
        return self._closing

    # who is admitted

    def _guarded(self, handler: Handler) -> Handler:
        @functools.wraps(handler)
        async def guarded(request: web.Request) -> web.StreamResponse:
            refusal = self._refusal(request)
            if refusal is not None:
                return refusal
            return await handler(request)

        return guarded

    def _refusal(self, request: web.Request) -> web.Response | None:
        settings = self._settings
        if settings.token is not None:
            if not settings.token.admits(request.headers.get(hdrs.AUTHORIZATION, "")):
                response = _error(401, "The agent's token is missing or wrong.")
                response.headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="comfynb-agent"'
                return response
        elif settings.wide:
            return _error(
                403,
                f"Others can reach this port, so the agent tells nothing without a token: set "
                f"{TOKEN_VARIABLE} where it runs, and start it again.",
            )
        elif not self._is_our_name(request):
            # A page whose name suddenly means this machine (DNS rebinding) has no other token.
            return _error(403, "The agent does not answer under this host name.")
        if _is_foreign(request):
            return _error(403, "The agent answers no pages of other sites.")
        return None

    def _is_our_name(self, request: web.Request) -> bool:
        name = _host_name(request.headers.get(hdrs.HOST, ""))
        return name is not None and (is_loopback(name) or name in self._settings.allowed_hosts)

    # what is answered

    async def _json(self, _: web.Request) -> web.StreamResponse:
        snapshot = await self._collector.snapshot(FRESH)
        return web.Response(body=snapshot.body, content_type="application/json", headers=_HEADERS)

    async def _openmetrics(self, _: web.Request) -> web.StreamResponse:
        snapshot = await self._collector.snapshot(FRESH)
        headers = {**_HEADERS, hdrs.CONTENT_TYPE: openmetrics.CONTENT_TYPE}
        return web.Response(body=snapshot.openmetrics, headers=headers)

    async def _openapi(self, _: web.Request) -> web.StreamResponse:
        return web.Response(body=_document(), content_type="application/json", headers=_HEADERS)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        interval = _interval(request.query.get("interval", "1"))
        if interval is None:
            return _error(
                400,
                f"interval is the seconds between two snapshots: a number from "
                f"{SHORTEST_INTERVAL} to {LONGEST_INTERVAL:.0f}.",
            )
        if self._streams >= self._settings.max_streams:
            full = _error(
                503, f"{self._streams} streams are open already: close one, or poll metrics.json."
            )
            full.headers[hdrs.RETRY_AFTER] = "5"
            return full
        headers = {
            **_HEADERS,
            hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
            "X-Accel-Buffering": "no",
        }
        if request.method == hdrs.METH_HEAD:
            return web.Response(headers=headers)
        self._streams += 1
        try:
            response = web.StreamResponse(headers=headers)
            await response.prepare(request)
            await self._feed(request, response, interval)
            return response
        finally:
            self._streams -= 1

    async def _feed(
        self, request: web.Request, response: web.StreamResponse, interval: float
    ) -> None:
        """Send snapshots until the client goes, does not read, or the agent ends.

        Nothing is queued for a client: when it is ready again, it is sent what is then the
        newest, and the ``id`` of the events shows what it missed.
        """
        loop = asyncio.get_running_loop()
        closing = self._closing_event()
        due = loop.time()
        last: Snapshot | None = None
        try:
            while not closing.is_set() and _is_open(request):
                snapshot = await self._collector.snapshot(min(FRESH, interval / 2))
                if snapshot is last:
                    # It was long in the making, so it is not old enough to be replaced.
                    snapshot = await self._collector.snapshot(0)
                last = snapshot
                head = f"id: {snapshot.data['sequence']}\nevent: snapshot\ndata: ".encode()
                event = b"".join((head, snapshot.body, b"\n\n"))
                await asyncio.wait_for(response.write(event), WRITE_PATIENCE)
                sent = loop.time()
                due = max(due + interval, sent)
                while (rest := due - loop.time()) > 0 and _is_open(request):
                    if await _happened(closing, min(rest, LOOK)):
                        return
                    if loop.time() - sent >= KEEP_ALIVE:
                        await asyncio.wait_for(response.write(b":\n\n"), WRITE_PATIENCE)
                        sent = loop.time()
        except ConnectionError:
            return  # it hung up
        except asyncio.TimeoutError:
            if request.transport is not None:
                request.transport.abort()


@functools.cache
def _document() -> bytes:
    return json.dumps(document(PREFIX)).encode()


def _interval(text: str) -> float | None:
    try:
        seconds = float(text) if len(text) < 32 else math.nan
    except ValueError:
        return None
    return seconds if SHORTEST_INTERVAL <= seconds <= LONGEST_INTERVAL else None


async def _happened(event: asyncio.Event, seconds: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except asyncio.TimeoutError:
        return False
    return True


def _is_open(request: web.Request) -> bool:
    return request.transport is not None and not request.transport.is_closing()


def _error(status: int, sentence: str) -> web.Response:
    return web.json_response({"error": sentence}, status=status, headers=_HEADERS)


def _host_name(host: str) -> str | None:
    """Return the name in a ``Host`` header, in lower case, or None for what is no host."""
    try:
        parts = urllib.parse.urlsplit(f"//{host}")
        name, _ = parts.hostname, parts.port
    except ValueError:
        return None
    return name if name and parts.netloc == host and not parts.username else None


def _is_foreign(request: web.Request) -> bool:
    """Say whether a browser sent this for a page that the agent did not serve."""
    if request.headers.get("Sec-Fetch-Site", "none").lower() not in {"none", "same-origin"}:
        return True
    origin = request.headers.get(hdrs.ORIGIN)
    if origin is None:
        return False
    try:
        theirs = urllib.parse.urlsplit(origin.lower()).netloc
    except ValueError:
        return True
    return not theirs or theirs != request.headers.get(hdrs.HOST, "").lower()
