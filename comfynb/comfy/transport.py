"""HTTP requests to one server: one connection pool, and credentials put on at the last moment."""

import asyncio
import io
import json
import re
import ssl
import urllib.request
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Mapping
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

import aiohttp
import certifi
from yarl import URL

from comfynb.comfy.address import Address
from comfynb.comfy.answers import REDIRECTS, Judge, Reply, looks_like_login
from comfynb.comfy.credentials import Credentials
from comfynb.errors import BackendError, InvalidValue, UsageError

__all__ = ["Transport"]

Content = bytes | AsyncIterable[bytes] | None

MAX_ANSWER_BYTES = 512 * 2**20
# Shorter than aiohttp's 75 s on the server, so that it is we who drop an idle connection.
_KEEPALIVE_SECONDS = 30.0
_CONNECTIONS = 64
_MAX_REDIRECTS = 3
# An answer may take this many times as long as each wait for a part of it.
_WHOLE_ANSWER = 6
_LARGE_BODY = 2**20
_PRINTABLE = re.compile(r"[!-~]*")


class Transport:
    """Requests to one ``address``; ``judge`` says what failures mean; ``timeout`` in seconds.

    Failures are raised as comfynb's own errors where no handler is active and no response is held,
    so neither the library's exceptions (whose texts hold whole URLs) nor anything that was signed
    is on a chain or in a traceback.
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
        self.judge = Judge(address, name, credentials is not None)
        self.proxy = _proxy_for(address)
        self._sign = Signer(address, credentials)
        self._session: aiohttp.ClientSession | None = None
        self._limits = _limits(timeout, timeout)

    async def open(self) -> None:
        """Make the pool ready; connections are made when first needed."""
        if self._session is not None:
            return
        tls: ssl.SSLContext | bool = True
        if self.address.scheme == "https":
            # Reading the certificates takes tens of milliseconds.
            tls = await asyncio.to_thread(_ssl_context)
        watch_redirects = aiohttp.TraceConfig()
        watch_redirects.on_request_redirect.append(_refuse_redirect)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                ssl=tls, limit=_CONNECTIONS, keepalive_timeout=_KEEPALIVE_SECONDS
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            # No Origin: on loopback ComfyUI answers 403 to one that does not match.
            headers={"User-Agent": "comfynb"},
            trust_env=False,
            trace_configs=[watch_redirects],
        )

    async def aclose(self) -> None:
        """Close every connection."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def get(
        self, path: str, params: Mapping[str, str] | None = None, *, wait: float | None = None
    ) -> Reply:
        """GET; follows redirects within the same origin only. ``wait``: seconds per read.

        Sent once more where the connection turns out to be closed before an answer came.
        """
        target = _target(self.address, path, params)
        reply = await self._send("GET", target, wait=wait)
        for _ in range(_MAX_REDIRECTS):
            following = self._same_origin(reply, target)
            if following is None:
                break
            target = following
            reply = await self._send("GET", target, wait=wait)
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
        headers = {"Content-Type": "application/json"}
        return await self.post(path, _encode(body), headers, wait=wait)

    async def post(
        self,
        path: str,
        content: bytes | AsyncIterable[bytes],
        headers: Mapping[str, str],
        *,
        wait: float | None = None,
    ) -> Reply:
        """POST ``content``, once."""
        target = _target(self.address, path, None)
        return await self._send("POST", target, headers, content, wait=wait)

    async def stream(
        self,
        path: str,
        params: Mapping[str, str] | None,
        started: Callable[[Reply], None],
        *,
        wait: float | None = None,
    ) -> AsyncGenerator[bytes]:
        """GET a body piece by piece; ``started`` is first told status and headers.

        ``wait`` is how many seconds may pass between two pieces, if not ``timeout``.

        Where the status is not 200, the body is read whole and told too.
        """
        session = self._opened()
        problem: BackendError | None = None
        try:
            # Pictures and videos are compressed as they are.
            async with session.get(
                self._sign.url(_target(self.address, path, params)),
                headers=self._sign.headers({"Accept-Encoding": "identity"}),
                timeout=_limits(self.timeout, wait or self.timeout, streamed=True),
                allow_redirects=False,
                proxy=self.proxy,
            ) as response:
                if response.status == 200:
                    started(Reply(200, response.headers))
                    async for chunk in response.content.iter_any():
                        yield chunk
                else:
                    body = await self._read(response)
                    started(Reply(response.status, response.headers, body))
        except (aiohttp.ClientError, TimeoutError) as error:
            problem = self.judge.failure(error)
        # It shows the signed URL wherever a traceback lists the variables.
        response = None  # type: ignore[assignment]
        if problem is not None:
            raise problem

    async def websocket(self, query: Mapping[str, str], **options: Any) -> Any:
        """Open the websocket; raises the library's errors, which hold secrets: see Socket."""
        return await self._opened().ws_connect(
            self._sign.url(_target(self.address, "/ws", query)),
            headers=self._sign.headers({}),
            proxy=self.proxy,
            **options,
        )

    async def _send(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | None = None,
        content: Content = None,
        *,
        wait: float | None = None,
    ) -> Reply:
        """Send one request and read the whole answer, whatever its status."""
        streamed = not isinstance(content, bytes | None)
        if wait is None and not streamed:
            limits = self._limits
        else:
            limits = _limits(self.timeout, wait or self.timeout, streamed=streamed)
        outcome = await self._try(method, target, headers or {}, content, limits)
        if isinstance(outcome, Reply):
            return outcome
        raise outcome

    async def _try(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str],
        content: Content,
        limits: aiohttp.ClientTimeout,
    ) -> Reply | BaseException:
        """Return the answer, or what is to be raised."""
        session = self._opened()
        large = isinstance(content, bytes) and len(content) > _LARGE_BODY
        try:
            async with session.request(
                method,
                self._sign.url(target),
                headers=self._sign.headers(headers),
                # In one piece, a large body would hold up the event loop.
                data=io.BytesIO(content) if large and isinstance(content, bytes) else content,
                timeout=limits,
                allow_redirects=False,
                proxy=self.proxy,
            ) as response:
                return Reply(response.status, response.headers, await self._read(response))
        except (aiohttp.ClientError, TimeoutError) as error:
            return self.judge.failure(error)
        except BackendError as error:
            return error.with_traceback(None)
        except asyncio.CancelledError as error:
            # Raised anew by the caller, without the frames that hold the signed request.
            return asyncio.CancelledError(*error.args)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        length = response.content_length
        # What was compressed may unfold to any size.
        if (
            "Content-Encoding" not in response.headers
            and (length or MAX_ANSWER_BYTES) < MAX_ANSWER_BYTES
        ):
            return await response.read()
        parts: list[bytes] = []
        size = 0
        async for part in response.content.iter_any():
            parts.append(part)
            size += len(part)
            if size > MAX_ANSWER_BYTES:
                raise self.judge.not_comfyui("an answer without end", response.url.path)
        return b"".join(parts)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            raise UsageError(
                f"The client for {self.judge.label} is not open: use it in 'async with'."
            )
        return self._session

    def _same_origin(self, reply: Reply, target: str) -> str | None:
        """Give the target that a redirect leads to, if it stays with this server."""
        location = reply.headers.get("location")
        if reply.status not in REDIRECTS or not location:
            return None
        origin = f"{self.address.scheme}://{self.address.netloc}"
        try:
            parts = urlsplit(urljoin(origin + target, location))
            port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        except ValueError:
            return None
        following = (parts.path or "/") + ("?" + parts.query if parts.query else "")
        there = (parts.scheme, (parts.hostname or "").lower(), port)
        if there != (self.address.scheme, self.address.host, self.address.port):
            return None
        if parts.username is not None or looks_like_login(parts.path):
            return None
        return following if _PRINTABLE.fullmatch(following) else None


class RefusedRedirectError(Exception):
    """A redirect of the websocket's handshake: ``reply`` has status and headers."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.status)
        self.reply = reply


async def _refuse_redirect(
    _session: aiohttp.ClientSession,
    _context: object,
    params: aiohttp.TraceRequestRedirectParams,
) -> None:
    """Stop the library from following: the credentials were given for this server alone."""
    params.response.close()
    raise RefusedRedirectError(Reply(params.response.status, params.response.headers))


class Signer:
    """Makes URLs and headers with the credentials in them; shows nothing of them itself."""

    __slots__ = ("_base", "_credentials")

    def __init__(self, address: Address, credentials: Credentials | None) -> None:
        self._base = f"{address.scheme}://{address.netloc}"
        self._credentials = credentials

    def url(self, target: str) -> URL:
        """Give the URL of ``target``, a path with its query."""
        query = self._credentials.query() if self._credentials is not None else None
        if query:
            target += ("&" if "?" in target else "?") + urlencode(query)
        return URL(self._base + target, encoded=True)

    def headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Give ``headers`` and those of the credentials."""
        signed = self._credentials.headers() if self._credentials is not None else {}
        return {**headers, **signed}


def _encode(body: Mapping[str, Any]) -> bytes:
    try:
        # NaN goes through: ComfyUI reads it, and workflows have it.
        return json.dumps(body, separators=(",", ":")).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValue(
            f"JSON cannot carry a value in what should be sent ({error}): use plain numbers, texts,"
            " lists and dicts."
        ) from None


def _limits(connect: float, read: float, *, streamed: bool = False) -> aiohttp.ClientTimeout:
    # An answer must not drip on for ever; a file may take as long as it comes.
    whole = None if streamed else read * _WHOLE_ANSWER
    return aiohttp.ClientTimeout(total=whole, sock_connect=connect, sock_read=read)


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
