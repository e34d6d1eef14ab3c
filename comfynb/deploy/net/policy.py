"""Which URLs may be asked at all: HTTPS at its own port, no secrets in them, no odd spellings."""

import ipaddress
import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, quote, urlencode

from yarl import URL

from comfynb.deploy.net.addresses import why_refused
from comfynb.errors import AddressRefused, InvalidValue

__all__ = ["NetPolicy", "Target", "shown", "without_secrets"]

_MAX_URL = 8192
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)(\.(?!-)[a-z0-9_-]{1,63}(?<!-))*")
# What browsers and resolvers may take for an IPv4 address: the last part is a number.
_NUMERIC = re.compile(r"(.*\.)?(0x[0-9a-f]*|[0-9]+)")
_SECRET = re.compile(
    r"token|secret|passw|signature|credential|api_?key|^(sig|key|auth|policy|authorization)$",
    re.IGNORECASE,
)
_ALLOWED = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+):([0-9]{1,5})")
# What a request line may carry as it is; everything else is percent-encoded.
_SAFE = "%/:@!$&'()*+,;=~-._?[]|^{}`\""


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that may be asked: ``host`` in lower case, ``url`` as it is sent, ``allowed`` if named.

    ``allowed`` is True where the operator named this host and port, whatever address they have.
    """

    scheme: str
    host: str
    port: int
    url: URL = field(repr=False)
    allowed: bool

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port: what a secret belongs to."""
        return self.scheme, self.host, self.port

    @property
    def literal(self) -> bool:
        """Whether the host is an address rather than a name."""
        return _address(self.host) is not None

    @property
    def may_carry_secrets(self) -> bool:
        """Whether a token may go there: encrypted at HTTPS's own port, or on this very machine."""
        if self.scheme == "https":
            return self.port == 443 or self.allowed
        address = _address(self.host)
        return self.allowed and address is not None and address.is_loopback

    def __str__(self) -> str:
        return shown(str(self.url))


@dataclass(frozen=True, slots=True)
class NetPolicy:
    """What may be asked beyond public addresses over HTTPS.

    ``allow`` holds ``host:port`` (``[::1]:8080`` for IPv6) that may be private and may speak plain
    HTTP: an operator's or a test's switch, never filled from a catalogue or a workflow.
    """

    allow: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        entries = frozenset(entry.lower() for entry in self.allow)
        for entry in entries:
            match = _ALLOWED.fullmatch(entry)
            if match is None or not 1 <= int(match[2]) <= 65535:
                raise InvalidValue(
                    f"{entry!r:.80} cannot be allowed: write host:port, such as 127.0.0.1:8080 or "
                    "[::1]:8080."
                )
        object.__setattr__(self, "allow", entries)

    def check(self, text: str) -> Target:
        """Read a URL; raises AddressRefused where it may not be asked. Looks nothing up."""
        label = shown(text)
        url, problem = _parse(text)
        if url is None:
            raise AddressRefused(f"{label} cannot be asked: {problem}.", url=label)
        host = (url.raw_host or "").lower()
        port = url.port or 0
        named = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        allowed = named in self.allow
        reason = _why_not(url, host, port, allowed=allowed)
        if reason is not None:
            raise AddressRefused(f"{label} cannot be asked: {reason}.", url=label)
        return Target(url.scheme, host, port, _as_sent(url, text), allowed)


def _parse(text: str) -> tuple[URL | None, str]:
    if len(text) > _MAX_URL:
        return None, f"it is longer than {_MAX_URL} characters"
    if not text.isprintable() or any(character in text for character in ' \\<>"'):
        return None, "it holds a blank, a backslash, a quote or a control character"
    if "@" in re.split(r"[/?#]", text.partition("://")[2], maxsplit=1)[0]:
        return None, "it holds a user name or password"
    try:
        url = URL(text)
        absolute = url.absolute and url.raw_host
    except (ValueError, TypeError, UnicodeError):
        return None, "it is not a URL"
    return (url, "") if absolute else (None, "it is not a URL with a scheme and a host")


def _why_not(url: URL, host: str, port: int, *, allowed: bool) -> str | None:
    if url.scheme not in {"http", "https"}:
        return "only https is asked"
    if url.scheme == "http" and not allowed:
        return "only https is asked, since anybody on the way can change plain http"
    address = _address(host)
    if address is None and (":" in host or _NUMERIC.fullmatch(host)):
        return "its host is an odd spelling of an address"
    if address is None and (len(host) > 253 or not _HOST.fullmatch(host)):
        return "its host is not a host name"
    if allowed:
        return None
    if host == "localhost" or host.endswith(".localhost"):
        return "its host is this machine, which is loopback, not public"
    if port != 443:
        return f"port {port} is not one that files are served at"
    if address is not None:
        reason = why_refused(host)
        return reason and f"its address is {reason}, not public"
    return None


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _as_sent(url: URL, text: str) -> URL:
    """Give the URL with path and query as they were written: signatures are made over them."""
    rest = text.partition("#")[0].partition("://")[2]
    place = min((i for i in (rest.find("/"), rest.find("?")) if i >= 0), default=len(rest))
    path, mark, query = rest[place:].partition("?")
    path = quote(path or "/", safe=_SAFE)
    if "/./" in f"{path}/" or "/../" in f"{path}/":
        # yarl resolves the dots; so does every server that counts.
        return url.with_fragment(None)
    return URL.build(
        scheme=url.scheme,
        host=url.host_subcomponent or "",
        port=url.explicit_port,
        path=path,
        query_string=quote(query, safe=_SAFE) if mark else "",
        encoded=True,
    )


def shown(text: str) -> str:
    """Give a URL as messages may show it: no user, password, query or fragment; not too long."""
    scheme, separator, rest = text[:_MAX_URL].partition("://")
    if not separator:
        scheme, rest = "", scheme
    netloc = re.split(r"[/?#]", rest, maxsplit=1)[0]
    path = re.split(r"[?#]", rest[len(netloc) :], maxsplit=1)[0]
    if "@" in netloc:
        netloc = netloc.rpartition("@")[2]
    elif "@" in rest and not re.fullmatch(r"(\[[^]]*\]|[^:]*)(:[0-9]*)?", netloc):
        # The start of a password that holds a slash, a question mark or the like.
        netloc, path = "", "…"
    label = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in netloc + path)
    label = scheme + separator + label
    return label if len(label) <= 200 else label[:199] + "…"


def without_secrets(url: str) -> str:
    """Give a URL as it may be stored: no user, password, fragment, nor parameters with secrets."""
    parsed, _ = _parse(url)
    if parsed is None:
        return shown(url)
    pairs = parse_qsl(parsed.raw_query_string, keep_blank_values=True)
    kept = [(key, value) for key, value in pairs if not _SECRET.search(key)]
    plain = parsed.with_user(None).with_fragment(None)
    if len(kept) == len(pairs):
        return str(plain)
    return str(plain.with_query(None)) + (f"?{urlencode(kept)}" if kept else "")
