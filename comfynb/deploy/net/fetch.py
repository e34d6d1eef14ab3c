"""The only way out to services and files for everything in comfynb.deploy."""

import asyncio
import json
import re
import ssl
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import aiohttp
import certifi
from multidict import CIMultiDictProxy
from yarl import URL

from comfynb.deploy.net.answer import Answer, Downloaded
from comfynb.deploy.net.body import read_body, read_start
from comfynb.deploy.net.download import BrokenOffError, Partial, Progress, on_disk, receive
from comfynb.deploy.net.exchange import Ask, Exchange, Secrets
from comfynb.deploy.net.gate import Gate, Lookup, look_up
from comfynb.deploy.net.policy import NetPolicy, shown, without_secrets
from comfynb.errors import FetchError, InvalidValue, UsageError

__all__ = ["Fetcher"]

Params = Mapping[str, str | int | list[str]]

MAX_BYTES = 64 * 2**20
_WHOLE = 6
_START = 16 * 1024
_CONNECTIONS = 16
_NAME = re.compile(r"[A-Za-z0-9-]+")
_PER_HOST = 8
_ATTEMPTS = 5
# A browser's name makes CivitAI send its login page, and Python's makes Cloudflare refuse.
_USER_AGENT = "comfynb"
_STRICT = NetPolicy()
# Sizes are those of the files, and what is hashed are their bytes.
_AS_IT_IS = {"Accept-Encoding": "identity"}
# HEAD is not answered although GET would be: CivitAI says 401 even to a good token.
_NO_HEAD = frozenset({400, 401, 403, 404, 405, 501})


class Fetcher:
    """Asks public HTTPS servers; use it in ``async with``, in one event loop.

    ``policy`` names what else may be asked. ``secrets(host)`` gives the bearer token for exactly
    that host, or None; it goes there alone, over HTTPS, and is dropped at any redirect elsewhere.
    ``timeout``: seconds to connect, and for each wait for a part of the answer; a whole answer may
    take six times as long, a download as long as it keeps coming. ``lookup`` and ``tls`` replace
    the system's name resolution and its certificates.

    Raises AddressRefused where an address is not public, before anything is sent there, and
    FetchError for everything else that goes wrong; neither holds a query, a token or a password.
    """

    def __init__(
        self,
        *,
        policy: NetPolicy = _STRICT,
        secrets: Secrets | None = None,
        timeout: float = 30,
        user_agent: str = _USER_AGENT,
        lookup: Lookup = look_up,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.policy = policy
        self.timeout = timeout
        self._secrets = secrets
        self._agent = user_agent
        self._lookup = lookup
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._exchange: Exchange | None = None

    async def __aenter__(self) -> Self:
        if self._session is None:
            gate = Gate(self.policy, self._lookup, timeout=self.timeout)
            # Reading the certificates takes tens of milliseconds.
            tls = self._tls
            if tls is None:
                tls = await asyncio.to_thread(_ssl_context)
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    ssl=tls,
                    limit=_CONNECTIONS,
                    limit_per_host=_PER_HOST,
                    resolver=gate,
                    use_dns_cache=False,
                    socket_factory=gate.socket_for,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"User-Agent": self._agent},
                # Neither proxies of the environment, which resolve names by themselves, nor .netrc.
                trust_env=False,
                auto_decompress=False,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=self.timeout, sock_read=self.timeout
                ),
            )
            self._exchange = Exchange(self.policy, self._session, gate, self._secrets)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection; the second time does nothing."""
        session, self._session, self._exchange = self._session, None, None
        if session is not None:
            await session.close()

    async def get(
        self,
        url: str,
        *,
        params: Params | None = None,
        headers: Mapping[str, str] | None = None,
        max_bytes: int = MAX_BYTES,
    ) -> Answer:
        """GET, following redirects; returns the answer whatever its status (``Answer.check``)."""
        return await self._ask("GET", _with(url, params), headers, max_bytes=max_bytes)

    async def get_json(
        self, url: str, *, params: Params | None = None, max_bytes: int = MAX_BYTES
    ) -> Any:
        """GET what must be JSON; raises FetchError where the status is 400 or more."""
        headers = {"Accept": "application/json"}
        answer = await self._ask("GET", _with(url, params), headers, max_bytes=max_bytes)
        return await _json_of(answer)

    async def post_json(self, url: str, payload: Any, *, max_bytes: int = MAX_BYTES) -> Any:
        """POST JSON, get JSON; raises FetchError where the status is 400 or more, or a redirect."""
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        body = _encode(payload)
        answer = await self._ask("POST", url, headers, body=body, max_bytes=max_bytes)
        return await _json_of(answer)

    async def head(self, url: str, *, follow: bool = True) -> Answer:
        """HEAD, or the first byte by GET where HEAD is refused; whatever the status.

        With ``follow=False`` a redirect is itself the answer. After a GET, ``body`` holds what
        came of at most 16 KiB: what a server says beside a 403, say.
        """
        answer = await self._ask("HEAD", url, _AS_IT_IS, follow=follow, start_only=True)
        if answer.status not in _NO_HEAD:
            return answer
        return await self.probe(url, follow=follow)

    async def probe(self, url: str, *, follow: bool = True) -> Answer:
        """GET the first byte; as ``head``, for servers that treat HEAD otherwise."""
        first = {"Range": "bytes=0-0", **_AS_IT_IS}
        return await self._ask("GET", url, first, follow=follow, start_only=True)

    async def download(
        self,
        url: str,
        path: str | Path,
        *,
        resume: bool = True,
        max_bytes: int | None = None,
        progress: Progress | None = None,
        sha256: str | None = None,
    ) -> Downloaded:
        """Download a file to ``path``: into ``path``.part first, renamed when it is whole.

        A download that breaks off is resumed, here and by the next call, where the server names
        its versions (ETag, Last-Modified); a file that changed meanwhile starts anew. ``sha256`` is
        what the file must have: another one leaves nothing behind. ``progress(bytes, total)``.
        """
        self.policy.check(url)
        place = Path(path)
        partial = await _opened_part(place, resume=resume)
        try:
            done = await self._download(url, partial, max_bytes, progress)
            if sha256 is not None and done.sha256 != sha256.lower():
                await on_disk(place, partial.discard)
                raise FetchError(
                    f"{shown(url)} is not what was expected: its sha256 is {done.sha256}, not "
                    f"{sha256.lower():.64}.",
                    url=shown(url),
                )
            await on_disk(place, partial.finish)
        finally:
            # Not in a thread: when this is cancelled, it must be done before anybody tries again.
            partial.close()
        return done

    async def _download(
        self, url: str, partial: Partial, max_bytes: int | None, progress: Progress | None
    ) -> Downloaded:
        async def take(
            response: aiohttp.ClientResponse, history: tuple[Answer, ...]
        ) -> Downloaded | None:
            return await receive(
                response,
                history,
                partial,
                max_bytes=max_bytes,
                window=self.timeout,
                progress=progress,
            )

        for _ in range(_ATTEMPTS):
            before = partial.size
            headers = {**_AS_IT_IS}
            if partial.size and partial.validator is not None:
                headers |= {"Range": f"bytes={partial.size}-", "If-Range": partial.validator}
            with suppress(BrokenOffError):
                done = await self._opened().run(Ask("GET", url, take, headers))
                if done is not None:
                    return done
                continue
            if partial.validator is None or partial.size <= before:
                break
        raise FetchError(
            f"The download of {shown(url)} broke off after {partial.size:,} bytes: start it again"
            f"{', and it goes on from there' if partial.validator else ''}.",
            url=shown(url),
        )

    async def _ask(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str] | None,
        *,
        body: bytes | None = None,
        follow: bool = True,
        max_bytes: int = MAX_BYTES,
        start_only: bool = False,
    ) -> Answer:
        async def read(response: aiohttp.ClientResponse, history: tuple[Answer, ...]) -> Answer:
            if start_only:
                content = await read_start(response, _START)
                response.close()
            else:
                content = await read_body(response, max_bytes)
            return Answer(
                response.status,
                CIMultiDictProxy(response.headers.copy()),
                content,
                without_secrets(str(response.url)),
                history,
            )

        asked = {"Accept-Encoding": "gzip", **_checked(headers or {})}
        ask = Ask(method, url, read, asked, body, follow, self.timeout * _WHOLE)
        return await self._opened().run(ask)

    def _opened(self) -> Exchange:
        if self._exchange is None:
            raise UsageError("The fetcher is not open: use it in 'async with'.")
        return self._exchange

    def __repr__(self) -> str:
        return f"<Fetcher {'open' if self._session is not None else 'closed'}>"


async def _opened_part(place: Path, *, resume: bool) -> Partial:
    """Open a part; where this is cancelled meanwhile, it is closed as soon as it is open."""
    opening = asyncio.ensure_future(on_disk(place, Partial.open, place, resume))
    try:
        return await asyncio.shield(opening)
    except asyncio.CancelledError:
        opening.add_done_callback(_close_part)
        raise


def _close_part(opening: "asyncio.Future[Partial]") -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


def _with(url: str, params: Params | None) -> str:
    if not params:
        return url
    try:
        return str(URL(url).update_query(params))
    except (ValueError, TypeError):
        problem = f"{shown(url)} cannot be asked with these parameters: give texts and numbers."
    raise InvalidValue(problem)


def _checked(headers: Mapping[str, str]) -> Mapping[str, str]:
    for name, value in headers.items():
        if not _NAME.fullmatch(name) or not (value.isascii() and value.isprintable()):
            raise UsageError(f"The header {name!r:.40} holds what no header can carry.")
        if name.lower() in {"authorization", "cookie", "host", "proxy-authorization"}:
            raise UsageError(f"The header {name} is not the caller's: give the fetcher secrets=.")
    return headers


def _encode(payload: Any) -> bytes:
    try:
        return json.dumps(payload, allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise InvalidValue(f"JSON cannot carry what should be sent ({error}).") from None


async def _json_of(answer: Answer) -> Any:
    answer.check()
    if len(answer.body) < 2**20:
        return answer.json()
    return await asyncio.to_thread(answer.json)


def _ssl_context() -> ssl.SSLContext:
    """Trust the system's authorities (a company's own among them) and certifi's."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
