"""What a server's odd answers and broken connections mean: one sentence each, without secrets."""

import errno
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from comfynb.comfy.address import Address
from comfynb.errors import (
    AuthenticationRequired,
    BackendError,
    BackendUnreachable,
    NotComfyUI,
    ServerError,
)

__all__ = ["Judge", "Reply", "first_line"]

REDIRECTS = {301, 302, 303, 307, 308}
# What reverse proxies and tunnels (nginx, Traefik, Cloudflare) answer when they do not reach the
# server behind them; 504 and 524 also when it took too long, so the request may have arrived.
_GATEWAY = {502, 503, 504, *range(520, 531)}
_LOGIN_WORDS = ("login", "log-in", "signin", "sign-in", "oauth", "auth", "sso", "account")


@dataclass(frozen=True, slots=True)
class Reply:
    """One complete answer; ``headers`` whatever their case."""

    status: int
    headers: Mapping[str, str]
    content: bytes = b""

    @property
    def content_type(self) -> str:
        """The media type without its parameters, in lower case."""
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def is_html(self) -> bool:
        """Whether the body is a web page."""
        start = self.content[:256].lstrip().lower()
        return "html" in self.content_type or start.startswith((b"<html", b"<!doctype"))

    def json(self) -> Any:
        """Read the body as JSON; ValueError where it is none."""
        try:
            return json.loads(self.content)
        except RecursionError:
            raise ValueError("nested too deeply") from None

    def json_object(self) -> dict[str, Any]:
        """Give a 200 answer's JSON object; empty where it is none, or the route is not there."""
        try:
            answer = self.json() if self.status == 200 else None
        except ValueError:
            answer = None
        return answer if isinstance(answer, dict) else {}


def first_line(content: bytes) -> str:
    """Give a body's first words, fit for a message."""
    for line in content[:2000].decode("utf-8", "replace").splitlines():
        words = " ".join("".join(c if c.isprintable() else " " for c in line).split())
        if words:
            return words[:200]
    return ""


@dataclass(frozen=True, slots=True)
class Judge:
    """Turns one server's failures into comfynb's errors; ``name`` is what people call it."""

    address: Address
    name: str
    has_credentials: bool

    @property
    def label(self) -> str:
        """``PC1 (http://gpu1:8188)``: the server in messages."""
        url = self.address.base_url
        named = self.name and self.name not in {url, self.address.netloc}
        return f"{self.name} ({url})" if named else url

    # Answers

    def json_of(self, reply: Reply, path: str) -> Any:
        """Give the JSON of a 2xx answer; raise what any other answer means."""
        self.check(reply, path)
        try:
            return reply.json()
        except ValueError:
            pass
        what = "a web page" if reply.is_html else "something that is not JSON"
        raise self.not_comfyui(what, path)

    def dict_of(self, reply: Reply, path: str) -> dict[str, Any]:
        """Like :meth:`json_of` where ComfyUI sends an object."""
        answer = self.json_of(reply, path)
        if not isinstance(answer, dict):
            raise self.not_comfyui("JSON of another shape than ComfyUI's", path)
        return answer

    def check(self, reply: Reply, path: str) -> None:
        """Raise what a status other than 2xx means."""
        status = reply.status
        if 200 <= status < 300:
            return
        if status in REDIRECTS:
            raise self._redirected(reply)
        if status in {401, 403, 407}:
            raise self.refused(status, reply.headers.get("www-authenticate", ""))
        if status in _GATEWAY and reply.content_type != "application/json":
            raise BackendUnreachable(
                f"{self.label} is answered by a proxy that does not reach ComfyUI behind it"
                f" (HTTP {status}): check that ComfyUI runs there.",
                backend=self.name,
                sent=True,
            )
        said = "a web page" if reply.is_html else first_line(reply.content) or "no text"
        raise ServerError(
            f"{self.label} answered {path} with HTTP {status} ({said}): its log says more.",
            backend=self.name,
            status=status,
        )

    def not_comfyui(self, what: str, path: str) -> NotComfyUI:
        """Say that somebody else listens there."""
        return NotComfyUI(
            f"{self.label} answered {path} with {what}: check that ComfyUI itself listens at this"
            " address, and the path in front of it if it is behind a proxy.",
            backend=self.name,
        )

    def refused(self, status: int, challenge: str = "") -> AuthenticationRequired:
        """Say that the server wants credentials, or others."""
        if self.has_credentials:
            said = f"refuses the credentials given for it (HTTP {status}): check them"
        else:
            wanted = {"basic": "a user name and password", "bearer": "a bearer token"}.get(
                challenge.partition(" ")[0].lower(),
                "a user name and password, a token or a header",
            )
            said = f"asks who you are (HTTP {status}): give {wanted} for this backend"
        return AuthenticationRequired(f"{self.label} {said}.", backend=self.name)

    def _redirected(self, reply: Reply) -> NotComfyUI:
        location = reply.headers.get("location", "")
        try:
            parts = urlsplit(urljoin(self.address.base_url + "/", location))
        except ValueError:
            parts = urlsplit("")
        # Without userinfo and query: they may carry somebody's session.
        place = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        place = first_line(place.encode("utf-8", "replace")) if parts.netloc else "nowhere"
        if looks_like_login(parts.path):
            cure = "it is a sign-in page for browsers: ask for a token or a direct address"
        else:
            cure = "add the backend under that address if ComfyUI lives there"
        return NotComfyUI(f"{self.label} redirects to {place}: {cure}.", backend=self.name)

    # Broken connections

    def failure(self, error: aiohttp.ClientError | TimeoutError) -> BackendError:
        """Say what a failure of the connection means, in a new exception."""
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return self.unreachable(
                "does not answer: check that the machine is on and that no firewall drops"
                f" connections to port {self.address.port}"
            )
        if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
            return self.unreachable(
                "is behind a proxy (HTTP_PROXY or HTTPS_PROXY) that lets nothing through: add"
                f" {self.address.host} to NO_PROXY if it needs none"
            )
        if isinstance(error, aiohttp.ClientConnectorError | ssl.SSLError):
            unreachable = self.unreachable(why_no_connection(error, self.address))
            unreachable.refused = any(
                isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED
                for cause in _causes(error)
            )
            return unreachable
        if isinstance(error, TimeoutError):
            return self.too_slow()
        if isinstance(error, aiohttp.ClientResponseError):
            return NotComfyUI(
                f"{self.label} does not speak HTTP: check the port ({self.address.port}).",
                backend=self.name,
            )
        return self.broke_off()

    def unreachable(self, what: str) -> BackendUnreachable:
        """Say why no connection came about, so that nothing was sent."""
        return BackendUnreachable(f"{self.label} {what}.", backend=self.name, sent=False)

    def broke_off(self) -> BackendUnreachable:
        """Say that the answer never came, or not whole."""
        return BackendUnreachable(
            f"{self.label} closed the connection without a whole answer, so what became of the"
            " request is unknown: check that ComfyUI still runs there.",
            backend=self.name,
            sent=True,
        )

    def too_slow(self) -> BackendUnreachable:
        """Say that the answer took too long."""
        return BackendUnreachable(
            f"{self.label} did not answer in time, so what became of the request is unknown: check"
            " whether it is overloaded, or give the backend a longer timeout.",
            backend=self.name,
            sent=True,
        )


def why_no_connection(error: BaseException, address: Address) -> str:
    """Say why no connection came about: half a sentence that ends in the cure."""
    host, port = address.host, address.port
    for cause in _causes(error):
        if isinstance(cause, socket.gaierror):
            return f"has a name that cannot be found ({host}): check its spelling and the DNS"
        if isinstance(cause, ssl.SSLCertVerificationError):
            # The library's own subclass of it lacks the message; the cause behind it has it.
            said = getattr(cause, "verify_message", None) or getattr(
                cause.__cause__, "verify_message", "it cannot be verified"
            )
            return (
                f"shows a certificate that is not trusted ({said}): put its authority into the"
                " file that SSL_CERT_FILE names"
            )
        if isinstance(cause, ssl.SSLError):
            return f"does not speak TLS on port {port}: try http:// instead of https://"
        if isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
            return (
                "refuses connections: start ComfyUI there, with --listen if it is another machine,"
                f" and check the port ({port})"
            )
    return "cannot be reached: check the address, that the machine is on, and the network"


def looks_like_login(path: str) -> bool:
    """Whether a redirect's path is that of a sign-in page."""
    words = path.lower().replace("_", "-").split("/")
    return any(word.startswith(_LOGIN_WORDS) for word in words)


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Walk an exception's whole chain, groups included, nearest first."""
    waiting: list[BaseException] = [error]
    seen: set[int] = set()
    while waiting:
        cause = waiting.pop(0)
        if id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        if isinstance(cause, BaseExceptionGroup):
            waiting.extend(cause.exceptions)
        waiting.extend(c for c in (cause.__cause__, cause.__context__) if c is not None)
