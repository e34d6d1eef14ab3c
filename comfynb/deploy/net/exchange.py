"""One request and the redirects that follow: each address checked anew, secrets kept at home."""

import asyncio
import re
import socket
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar
from urllib.parse import urljoin

import aiohttp
from multidict import CIMultiDictProxy

from comfynb.deploy.net.answer import Answer
from comfynb.deploy.net.gate import Gate, StoppedError
from comfynb.deploy.net.policy import NetPolicy, Target, shown, without_secrets
from comfynb.errors import AddressRefused, ComfynbError, FetchError, SecretError

__all__ = ["Ask", "Exchange"]

T = TypeVar("T")
Secrets = Callable[[str], str | None]

MAX_REDIRECTS = 5
_SHORT = 4096
_HEADER = re.compile(r"[!-~]+")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})


@dataclass
class Ask(Generic[T]):
    """What is asked: ``consume`` reads the last answer while its connection is open.

    ``total``: seconds for everything together, None for as long as it comes.
    """

    method: str
    url: str
    consume: Callable[[aiohttp.ClientResponse, tuple[Answer, ...]], Awaitable[T]]
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    follow: bool = True
    total: float | None = None


class Exchange:
    """Carries requests out. Errors are raised where no handler is active, so without a chain:

    the library's own exceptions hold whole URLs, and with them signatures.
    """

    def __init__(
        self, policy: NetPolicy, session: aiohttp.ClientSession, gate: Gate, secrets: Secrets | None
    ) -> None:
        self._policy = policy
        self._session = session
        self._gate = gate
        self._secrets = secrets

    async def run(self, ask: Ask[T]) -> T:
        """Ask, follow, and return what ``consume`` made of the last answer."""
        target = self._policy.check(ask.url)
        home = target.origin if self._secrets is not None else None
        history: list[Answer] = []
        asked = {target.url}
        problem: BaseException | None = None
        try:
            async with asyncio.timeout(ask.total):
                while True:
                    outcome = await self._once(ask, target, home, tuple(history))
                    if not isinstance(outcome, _Redirect):
                        return outcome
                    history.append(outcome.answer)
                    target = self._next(ask, target, outcome, len(history))
                    if target.url in asked:
                        raise _refused(target, "its redirects lead in a circle")
                    asked.add(target.url)
                    if target.origin != home:
                        # Nor does it get its token back by coming home.
                        home = None
        except TimeoutError:
            problem = FetchError(
                f"{target} did not answer in time: try again, or later.", url=str(target)
            )
        except aiohttp.ClientError as error:
            problem = _failure(error, target)
        except ComfynbError as error:
            problem = error.with_traceback(None)
        except asyncio.CancelledError as error:
            problem = asyncio.CancelledError(*error.args)
        except OSError as error:
            problem = FetchError(
                f"{target} cannot be reached ({error.strerror or type(error).__name__}).",
                url=str(target),
            )
        assert problem is not None
        raise problem

    async def _once(
        self,
        ask: Ask[T],
        target: Target,
        home: tuple[str, str, int] | None,
        history: tuple[Answer, ...],
    ) -> "T | _Redirect":
        self._gate.admit(target)
        headers = {**ask.headers}
        if home is not None and self._secrets is not None and target.may_carry_secrets:
            secret = self._secrets(target.host)
            if secret and not _HEADER.fullmatch(secret):
                raise SecretError(
                    f"The token for {target.host} holds a blank, a line break or the like: enter "
                    "it anew."
                )
            if secret:
                headers["Authorization"] = f"Bearer {secret}"
        async with self._session.request(
            ask.method, target.url, headers=headers, data=ask.body, allow_redirects=False
        ) as response:
            location = response.headers.get("Location")
            if response.status in _REDIRECTS and location and ask.follow:
                answer = Answer(
                    response.status,
                    CIMultiDictProxy(response.headers.copy()),
                    b"",
                    without_secrets(str(target.url)),
                )
                # Its body is of no use and might have no end; after a short one, the connection
                # can be used again.
                length = response.content_length
                if length is not None and length <= _SHORT:
                    await response.read()
                response.close()
                return _Redirect(answer, location)
            return await ask.consume(response, history)

    def _next(self, ask: Ask[T], target: Target, found: "_Redirect", count: int) -> Target:
        if ask.method not in {"GET", "HEAD"}:
            raise FetchError(
                f"{target} answered {found.answer.status}: it lies elsewhere now, and what was to "
                "be sent is sent nowhere else.",
                url=str(target),
                status=found.answer.status,
            )
        if count > MAX_REDIRECTS:
            raise _refused(target, f"it redirects more than {MAX_REDIRECTS} times")
        try:
            there = urljoin(str(target.url), found.location)
        except ValueError:
            there = ""
        try:
            following = self._policy.check(there)
        except AddressRefused as error:
            reason = str(error).partition(" cannot be asked: ")[2] or str(error)
            problem = reason.removesuffix(".")
        else:
            if target.scheme == "https" and following.scheme != "https":
                problem = "it redirects from https to plain http"
            else:
                return following
        raise AddressRefused(
            f"{target} cannot be asked: it redirects to {shown(there)!r}, and there {problem}.",
            url=str(target),
            status=found.answer.status,
        )


@dataclass(frozen=True)
class _Redirect:
    answer: Answer
    location: str


def _refused(target: Target, why: str) -> FetchError:
    return FetchError(f"{target} cannot be fetched: {why}.", url=str(target))


def _failure(error: aiohttp.ClientError, target: Target) -> FetchError:
    """Say what went wrong, without the library's words: they may hold the whole URL."""
    label = str(target)
    if isinstance(getattr(error, "os_error", None), StoppedError):
        text = f"{label} cannot be asked: a connection was stopped, its address is not public."
        return AddressRefused(text, url=label)
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        text = f"{label} cannot be reached: {_dns_reason(error.os_error, target.host)}."
    elif isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        why = _tls_reason(error)
        text = f"{label} cannot be trusted: its certificate or encryption is wrong{why}."
    elif isinstance(error, aiohttp.ClientConnectorError):
        text = f"{label} cannot be reached: {error.os_error.strerror or 'nobody answers there'}."
    elif isinstance(error, aiohttp.ClientPayloadError | aiohttp.ServerDisconnectedError):
        text = f"The answer of {label} broke off."
    elif isinstance(error, aiohttp.ClientResponseError):
        text = f"{label} does not speak HTTP as it should."
    else:
        text = f"The connection to {label} broke off ({type(error).__name__})."
    return FetchError(text, url=label)


def _dns_reason(error: OSError, host: str) -> str:
    if not isinstance(error, socket.gaierror):
        return str(error)
    if error.errno == socket.EAI_AGAIN:
        return f"no name server says where {host} is"
    return f"there is no host named {host}"


def _tls_reason(error: aiohttp.ClientError) -> str:
    cause = getattr(error, "certificate_error", None) or getattr(error, "os_error", None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return f" ({cause.verify_message})"
    return ""
