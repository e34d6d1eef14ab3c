"""Fetches what may hold a workflow from a URL, with limits, and without telling secrets to others.

Any address is allowed, private ones too: that is where ComfyUI servers are. What was fetched is
said in ``Fetched.shown``.
"""

import posixpath
import urllib.request
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urljoin, urlsplit

import aiohttp
from yarl import URL

from comfynb.comfy.answers import REDIRECTS, first_line
from comfynb.comfy.credentials import BasicAuth, Credentials
from comfynb.errors import NotAWorkflow

__all__ = ["Fetched", "fetch_url", "is_url", "without_secrets"]

MOST_BYTES = 256 * 2**20
"""More than this is not fetched; videos that carry a workflow are large."""
_MOST_REDIRECTS = 5
_CONNECT_SECONDS = 10.0
_READ_SECONDS = 20.0
_WHOLE_SECONDS = 120.0
_DEFAULT_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Fetched:
    """A URL's content; ``name`` is the file's name without its folder and extension."""

    content: bytes
    name: str
    shown: str
    """Where it came from in the end, without user name, password and query."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A URL taken apart; ``origin`` is scheme, host and port."""

    url: str
    origin: tuple[str, str, int]
    credentials: Credentials | None


def is_url(text: str) -> bool:
    """Whether a text is meant as an http or https URL."""
    start = text.lstrip()[:8].lower()
    return start.startswith(("http://", "https://")) and "\n" not in text.strip()


def without_secrets(url: str) -> str:
    """A URL fit for a message: no user name, password, query and fragment."""
    head, _, rest = url.strip().partition("://")
    rest = rest.partition("?")[0].partition("#")[0]
    netloc, slash, path = rest.partition("/")
    # A password may hold a slash: then everything up to the last at sign goes.
    if "@" in path and "@" not in netloc and ":" in netloc and not netloc[-1:].isdigit():
        netloc, slash, path = path.rpartition("@")[2].partition("/")
    return f"{head}://{netloc.rpartition('@')[2]}{slash}{path}"[:300]


async def fetch_url(url: str, *, credentials: Credentials | None = None) -> Fetched:
    """GET a URL. ``credentials``, or those in the URL itself, are shown to its own origin only.

    Follows at most five redirects, to http and https alone. A ``/view`` URL of a ComfyUI server is
    asked for the file itself rather than a preview of it, which carries no workflow. Raises
    :class:`~comfynb.errors.NotAWorkflow` in one sentence where nothing useful comes back.
    """
    # Raised here, where no handler is active: the library's exceptions hold whole URLs.
    outcome = await _fetch(url, credentials)
    if isinstance(outcome, Fetched):
        return outcome
    raise NotAWorkflow(outcome)


async def _fetch(url: str, credentials: Credentials | None) -> Fetched | str:
    target = _target(_whole_file(url.strip()), credentials)
    if isinstance(target, str):
        return target
    home, secret = target.origin, target.credentials
    limits = aiohttp.ClientTimeout(
        total=_WHOLE_SECONDS, sock_connect=_CONNECT_SECONDS, sock_read=_READ_SECONDS
    )
    async with aiohttp.ClientSession(
        cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": "comfynb"}, timeout=limits
    ) as session:
        for _ in range(_MOST_REDIRECTS + 1):
            allowed = secret if target.origin == home else None
            answer = await _get(session, target.url, allowed)
            if isinstance(answer, str):
                return answer
            if isinstance(answer, Fetched):
                return answer
            following = _target(answer.location, None)
            if isinstance(following, str):
                return f"{without_secrets(target.url)} leads elsewhere: {following}"
            target = following
    return f"{without_secrets(url)} is redirected again and again: open it in a browser first."


@dataclass(frozen=True, slots=True)
class _Redirect:
    location: str


async def _get(
    session: aiohttp.ClientSession, url: str, credentials: Credentials | None
) -> "Fetched | _Redirect | str":
    shown = without_secrets(url)
    signed = url
    headers: dict[str, str] = {}
    if credentials is not None:
        headers = dict(credentials.headers())
        query = credentials.query()
        if query:
            signed += ("&" if "?" in url else "?") + urlencode(query)
    try:
        async with session.get(
            URL(signed, encoded=True), headers=headers, allow_redirects=False, proxy=_proxy(url)
        ) as response:
            location = response.headers.get("location")
            if response.status in REDIRECTS and location:
                return _Redirect(urljoin(url, location))
            if response.status != 200:
                return _refusal(shown, response.status, credentials is not None)
            return await _body(response, url, shown)
    except TimeoutError:
        return f"{shown} does not answer in time: try again, or download the file by hand."
    except aiohttp.ClientError as error:
        return f"{shown} cannot be reached ({_reason(error)}): check the address."
    except (ValueError, OSError):
        return f"{shown} is no URL that can be asked: check how it is written."


async def _body(response: aiohttp.ClientResponse, url: str, shown: str) -> Fetched | str:
    too_large = (
        f"{shown} is larger than {MOST_BYTES // 2**20} MiB: download it and give the file's path."
    )
    if (response.content_length or 0) > MOST_BYTES:
        return too_large
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > MOST_BYTES:
            return too_large
    content = b"".join(parts)
    start = content[:256].lstrip().lower()
    if "html" in response.content_type or start.startswith((b"<html", b"<!doctype html")):
        return f"{shown} is a web page, not a workflow: give the link to the raw file."
    return Fetched(content, _name(url), shown)


def _refusal(shown: str, status: int, had_credentials: bool) -> str:
    if status in {401, 403}:
        if had_credentials:
            return f"{shown} refuses the credentials given for it (HTTP {status}): check them."
        return (
            f"{shown} asks who you are (HTTP {status}): add the server with wb.backends.add and "
            "its credentials, or write user:password@ before the host."
        )
    if status == 404:
        return f"{shown} is not there (HTTP 404): check the address."
    return f"{shown} answered with HTTP {status}: try again later, or download the file by hand."


def _target(url: str, credentials: Credentials | None) -> _Target | str:
    shown = without_secrets(url)
    try:
        parts = urlsplit(url)
        port = parts.port or _DEFAULT_PORTS.get(parts.scheme, 0)
    except ValueError:
        return f"{shown} is no URL that can be asked: check how it is written."
    if parts.scheme not in _DEFAULT_PORTS:
        return f"{shown} does not start with http:// or https://: nothing else is fetched."
    host = (parts.hostname or "").lower()
    if any(c.isspace() for c in parts.netloc):
        return f"{shown} is no URL that can be asked: check how it is written."
    if not host:
        return f"{shown} names no host: check how it is written."
    if parts.username is not None and credentials is None:
        credentials = BasicAuth(unquote(parts.username), unquote(parts.password or ""))
    netloc = parts.netloc.rpartition("@")[2]
    plain = parts._replace(netloc=netloc, fragment="").geturl()
    # What a browser's address line shows decoded must be encoded on the wire.
    try:
        wire = str(URL(plain, encoded=plain.isascii() and " " not in plain))
    except ValueError:
        return f"{shown} is no URL that can be asked: check how it is written."
    return _Target(wire, (parts.scheme, host, port), credentials)


def _whole_file(url: str) -> str:
    """Ask a ComfyUI server's ``/view`` for the file itself: previews are made anew, without it."""
    head, question, query = url.partition("?")
    if not question or not head.rstrip("/").endswith("/view"):
        return url
    query, hash_, fragment = query.partition("#")
    pairs = parse_qsl(query, keep_blank_values=True)
    kept = [(key, value) for key, value in pairs if key not in {"preview", "channel"}]
    if len(kept) == len(pairs):
        return url
    return f"{head}?{urlencode(kept)}{hash_}{fragment}"


def _name(url: str) -> str:
    parts = urlsplit(url)
    named = dict(parse_qsl(parts.query)).get("filename")
    path = named or unquote(unquote(parts.path.rpartition("/")[2]))
    base = posixpath.basename(path.replace("\\", "/"))
    stem = base.rpartition(".")[0] or base
    return "".join(c for c in stem if c.isprintable())[:100]


def _proxy(url: str) -> str | None:
    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in {"localhost", "127.0.0.1", "::1"} or urllib.request.proxy_bypass(host):
        return None
    return urllib.request.getproxies().get(parts.scheme) or None


def _reason(error: Any) -> str:
    system = getattr(error, "os_error", None) or error
    words = getattr(system, "strerror", None)
    return first_line(str(words).encode()) if words else type(error).__name__
