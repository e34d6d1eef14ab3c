"""HTTP requests to one server: one connection pool, and credentials put on at the last moment."""

import asyncio
import json
import ssl
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import certifi
import httpx

from comfynb.comfy.address import Address
from comfynb.comfy.answers import REDIRECTS, Judge, Reply, looks_like_login
from comfynb.comfy.credentials import Credentials
from comfynb.errors import BackendError, ComfynbError, UsageError

__all__ = ["Transport"]

Headers = list[tuple[bytes, bytes]]
Content = bytes | AsyncIterable[bytes] | None

MAX_ANSWER_BYTES = 512 * 2**20
# Shorter than aiohttp's 75 s on the server, so that it is we who drop an idle connection.
_KEEPALIVE_SECONDS = 30.0
_CONNECTIONS = 32
_MAX_REDIRECTS = 3


class Transport:
    """Requests to one ``address``; ``judge`` says what failures mean; ``timeout`` in seconds.

    It works on httpx's transport, below its client: that halves the time per request, and nothing
    logs a URL. Failures are raised as comfynb's own errors where no handler is active, so neither
    the library's exceptions nor the frames that hold the signed request are on any chain.
    """

    def __init__(
        self,
        address: Address,
        *,
        name: str = "",
        credentials: Credentials | None = None,
        timeout: float = 10.0,
    ) -> None:
        self.address = address
        self.timeout = timeout
        self.credentials = credentials
        self.judge = Judge(address, name, credentials is not None)
        self.ssl_context: ssl.SSLContext | None = None
        self.proxy = _proxy_for(address)
        self._http: httpx.AsyncHTTPTransport | None = None
        self._sign = _Signer(address, credentials, timeout)

    async def open(self) -> None:
        """Make the pool ready; connections are made when first needed."""
        if self._http is not None:
            return
        if self.address.scheme == "https":
            # Reading the certificates takes tens of milliseconds.
            self.ssl_context = await asyncio.to_thread(_ssl_context)
        self._http = httpx.AsyncHTTPTransport(
            verify=self.ssl_context or False,
            limits=httpx.Limits(
                max_connections=_CONNECTIONS,
                max_keepalive_connections=_CONNECTIONS,
                keepalive_expiry=_KEEPALIVE_SECONDS,
            ),
            proxy=self.proxy,
        )

    async def aclose(self) -> None:
        """Close every connection."""
        http, self._http = self._http, None
        if http is not None:
            await http.aclose()

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, wait: float | None = None
    ) -> Reply:
        """GET; follows redirects within the same origin only. ``wait``: seconds per read."""
        target = _target(self.address, path, params)
        reply = await self._send("GET", target, wait=wait, again=True)
        for _ in range(_MAX_REDIRECTS):
            following = self._same_origin(reply, target)
            if following is None:
                break
            target = following
            reply = await self._send("GET", target, wait=wait, again=True)
        return reply

    async def get_json(
        self, path: str, params: Mapping[str, str] | None = None, *, wait: float | None = None
    ) -> Any:
        """GET what must be JSON."""
        return self.judge.json_of(await self.get(path, params, wait=wait), path)

    async def get_dict(
        self, path: str, params: Mapping[str, str] | None = None, *, wait: float | None = None
    ) -> dict[str, Any]:
        """GET what must be a JSON object."""
        return self.judge.dict_of(await self.get(path, params, wait=wait), path)

    async def post_json(
        self, path: str, body: Mapping[str, Any], *, wait: float | None = None
    ) -> Reply:
        """POST ``body``, once: who does not get an answer must find out what became of it."""
        content = json.dumps(body, separators=(",", ":")).encode()
        return await self.post(path, content, content_type="application/json", wait=wait)

    async def post(
        self,
        path: str,
        content: bytes | AsyncIterable[bytes],
        *,
        content_type: str,
        content_length: int | None = None,
        wait: float | None = None,
    ) -> Reply:
        """POST ``content``, once."""
        headers = [(b"Content-Type", content_type.encode("ascii"))]
        if content_length is not None:
            headers.append((b"Content-Length", str(content_length).encode()))
        target = _target(self.address, path, None)
        return await self._send("POST", target, headers, content, wait=wait)

    async def stream(
        self, path: str, params: Mapping[str, str] | None, started: Callable[[Reply], None]
    ) -> AsyncGenerator[bytes]:
        """GET a body piece by piece; ``started`` is first told status and headers.

        Where the status is not 200, the body is read whole and told too.
        """
        http = self._opened()
        problem: BackendError | None = None
        # Compressed on the way, Content-Length would not be the file's.
        headers = [(b"Accept-Encoding", b"identity")]
        target = _target(self.address, path, params)
        try:
            response = await http.handle_async_request(
                self._sign("GET", target, headers, None, self.timeout)
            )
            try:
                if response.status_code == 200:
                    started(Reply(200, dict(response.headers)))
                    async for chunk in response.aiter_bytes():
                        yield chunk
                else:
                    body = await _read(response)
                    started(Reply(response.status_code, dict(response.headers), body))
            finally:
                await response.aclose()
        except httpx.HTTPError as error:
            problem = self.judge.failure(error)
        if problem is not None:
            raise problem

    async def _send(
        self,
        method: str,
        target: str,
        headers: Headers | None = None,
        content: Content = None,
        *,
        wait: float | None = None,
        again: bool = False,
    ) -> Reply:
        """Send one request and read the whole answer, whatever its status.

        ``again``: send it once more where a kept connection turned out to be closed.
        """
        seconds = self.timeout if wait is None else wait
        outcome = await self._try(method, target, headers or [], content, seconds)
        if again and outcome is _STALE:
            outcome = await self._try(method, target, headers or [], content, seconds)
        if isinstance(outcome, Reply):
            return outcome
        raise self.judge.broke_off() if outcome is _STALE else outcome

    async def _try(
        self, method: str, target: str, headers: Headers, content: Content, seconds: float
    ) -> Reply | BaseException:
        """Return the answer, or what is to be raised."""
        http = self._opened()
        begun = False
        try:
            # Each read has a limit of its own; this one is for an answer that drips for ever.
            async with asyncio.timeout(seconds * 6 if isinstance(content, bytes | None) else None):
                response = await http.handle_async_request(
                    self._sign(method, target, headers, content, seconds)
                )
                begun = True
                try:
                    body = await _read(response)
                finally:
                    await response.aclose()
                return Reply(response.status_code, dict(response.headers), body)
        except httpx.HTTPError as error:
            if not begun and _is_closed_connection(error):
                return _STALE
            return self.judge.failure(error)
        except TimeoutError:
            return self.judge.too_slow()
        except (OSError, ComfynbError) as error:
            # From the content: a file that cannot be read.
            return error.with_traceback(None)
        except asyncio.CancelledError as error:
            # Raised anew by the caller, without the frames that hold the signed request.
            return asyncio.CancelledError(*error.args)

    def _opened(self) -> httpx.AsyncHTTPTransport:
        if self._http is None:
            raise UsageError(
                f"The client for {self.judge.label} is not open: use it in 'async with'."
            )
        return self._http

    def _same_origin(self, reply: Reply, target: str) -> str | None:
        """Give the target that a redirect leads to, if it stays with this server."""
        location = reply.headers.get("location")
        if reply.status not in REDIRECTS or not location:
            return None
        try:
            parts = urlsplit(
                urljoin(f"{self.address.scheme}://{self.address.netloc}{target}", location)
            )
            port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
            path = parts.path.encode("ascii").decode()
            query = parts.query.encode("ascii").decode()
        except ValueError:
            return None
        origin = (parts.scheme, (parts.hostname or "").lower(), port)
        if origin != (self.address.scheme, self.address.host, self.address.port):
            return None
        if parts.username is not None or looks_like_login(path):
            return None
        return (path or "/") + ("?" + query if query else "")


class _Signer:
    """Makes requests with the credentials on them; shows nothing of them."""

    __slots__ = ("_base", "_connect", "_credentials", "_headers")

    def __init__(self, address: Address, credentials: Credentials | None, connect: float) -> None:
        self._base = httpx.URL(f"{address.scheme}://{address.netloc}")
        self._connect = connect
        self._credentials = credentials
        # No Origin: on loopback ComfyUI answers 403 to one that does not match.
        self._headers = [
            (b"Host", self._base.netloc),
            (b"Accept", b"*/*"),
            (b"User-Agent", b"comfynb"),
        ]

    def __call__(
        self, method: str, target: str, headers: Headers, content: Content, seconds: float
    ) -> httpx.Request:
        lines = self._headers + headers
        if self._credentials is not None:
            signed = self._credentials.headers()
            lines += [(key.encode(), value.encode("latin-1")) for key, value in signed.items()]
            query = self._credentials.query()
            if query:
                target += ("&" if "?" in target else "?") + urlencode(query)
        return httpx.Request(
            method,
            self._base.copy_with(raw_path=target.encode("ascii")),
            headers=lines,
            content=content,
            extensions={
                "timeout": {
                    "connect": self._connect,
                    "read": seconds,
                    "write": seconds,
                    "pool": seconds * 4,
                }
            },
        )


_STALE = ConnectionResetError("a kept connection was closed")


def _is_closed_connection(error: httpx.HTTPError) -> bool:
    if isinstance(error, httpx.RemoteProtocolError):
        return "disconnected" in str(error)
    return isinstance(error, httpx.ReadError)


async def _read(response: httpx.Response) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in response.aiter_bytes():
        parts.append(part)
        size += len(part)
        if size > MAX_ANSWER_BYTES:
            raise httpx.DecodingError("too large")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _target(address: Address, path: str, params: Mapping[str, str] | None) -> str:
    return address.path_prefix + (f"{path}?{urlencode(params)}" if params else path)


def _proxy_for(address: Address) -> str | None:
    """Give the proxy that the environment sets for ``address``; never one for this machine."""
    if address.is_loopback or urllib.request.proxy_bypass(address.host):
        return None
    return urllib.request.getproxies().get(address.scheme) or None


def _ssl_context() -> ssl.SSLContext:
    """Trust the system's authorities (a company's own among them) and certifi's."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
