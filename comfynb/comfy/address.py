"""Reads the addresses that people paste into scheme, host, port, path prefix and credentials."""

import ipaddress
import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qs, quote, unquote

from comfynb.comfy.credentials import BasicAuth, Credentials, TokenAuth
from comfynb.errors import InvalidValue

__all__ = ["Address", "parse_address"]

COMFYUI_PORT = 8188
_DEFAULT_PORT = {"http": 80, "https": 443}
_SCHEMES: dict[str, Literal["http", "https"]] = {
    "http": "http",
    "https": "https",
    "ws": "http",
    "wss": "https",
}
# Underscores are not in the standard, but Docker Compose makes such names and they resolve.
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*\.?")
_FORMS = "write it like gpu1, gpu1:8188, https://host/prefix or [::1]:8188"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a ComfyUI server listens; holds no secret, so it may be shown and stored."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    path_prefix: str = ""

    @property
    def base_url(self) -> str:
        """``https://host:port/prefix``, IPv6 in brackets, no slash at the end."""
        return f"{self.scheme}://{self.netloc}{self.path_prefix}"

    @property
    def ws_url(self) -> str:
        """``wss://host:port/prefix/ws``."""
        scheme = "wss" if self.scheme == "https" else "ws"
        return f"{scheme}://{self.netloc}{self.path_prefix}/ws"

    @property
    def netloc(self) -> str:
        """``host:port``, IPv6 in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether the server is on this machine."""
        if self.host == "localhost" or self.host.endswith(".localhost"):
            return True
        try:
            return ipaddress.ip_address(self.host.partition("%")[0]).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return self.base_url


def parse_address(text: str) -> tuple[Address, Credentials | None]:
    """Read what people paste: a host, host:port or URL, perhaps with user:password@ or ?token=.

    Without a scheme, http and ComfyUI's port 8188 are meant (https where the port is 443); with a
    scheme, that scheme's own port. ws and wss read as http and https. Fragments and query
    parameters other than ``token`` belong to the page that was open and are dropped.

    Raises :class:`InvalidValue`; its message never holds a password or token.
    """
    shown = _without_secrets(text)
    if not text.strip():
        raise InvalidValue(f"The backend's address is empty: {_FORMS}.")
    stripped = text.strip()
    if any(c.isspace() or not c.isprintable() for c in stripped) or "\\" in stripped:
        raise InvalidValue(f"{shown!r} is not an address (it holds a blank or the like): {_FORMS}.")

    scheme_text, separator, rest = stripped.partition("://")
    if not separator:
        scheme_text, rest = "", stripped
    scheme = _SCHEMES.get(scheme_text.lower()) if separator else "http"
    if scheme is None:
        raise InvalidValue(f"{shown!r} starts with {scheme_text!r}, not with http or https.")

    rest = rest.partition("#")[0]
    rest, _, query = rest.partition("?")
    netloc, slash, path = rest.partition("/")
    userinfo, _, hostport = netloc.rpartition("@")

    host, port_text = _split_port(hostport, shown)
    port = _port(port_text, shown)
    if port is None:
        port = _DEFAULT_PORT[scheme] if separator else COMFYUI_PORT
    elif port == 443 and not separator:
        scheme = "https"

    credentials = _credentials(userinfo, query, shown)
    return Address(scheme, _host(host, shown), port, _prefix(slash + path, shown)), credentials


def _without_secrets(text: str) -> str:
    """Give the address without anything that may be a password or token, however malformed."""
    shown = text.strip()
    shown = re.sub(r"[?#].*", "", shown, flags=re.DOTALL)
    scheme, separator, rest = shown.partition("://")
    if not separator:
        scheme, rest = "", shown
    # A password may itself contain "/" or "@", so everything up to the last "@" goes.
    rest = rest.rpartition("@")[2]
    return f"{scheme}{separator}{rest}"


def _split_port(hostport: str, shown: str) -> tuple[str, str]:
    if hostport.startswith("["):
        host, bracket, after = hostport[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise InvalidValue(f"{shown!r} has an IPv6 address without its closing bracket.")
        return host, after[1:]
    if hostport.count(":") > 1:
        # A bare IPv6 address: its last group cannot be told from a port, so it is no port.
        return hostport, ""
    host, _, port = hostport.partition(":")
    return host, port


def _port(text: str, shown: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535 and len(text) <= 5):
        raise InvalidValue(f"{shown!r} has the port {text!r}: a port is a number from 1 to 65535.")
    return int(text)


def _host(text: str, shown: str) -> str:
    if not text:
        raise InvalidValue(f"{shown!r} names no host: {_FORMS}.")
    if ":" in text:
        address, percent, zone = text.replace("%25", "%").partition("%")
        try:
            compressed = ipaddress.IPv6Address(address).compressed
        except ValueError:
            # raised below, so that the exception carries no chain
            compressed = ""
        if not compressed or not re.fullmatch(r"[A-Za-z0-9._~-]*", zone):
            raise InvalidValue(f"{shown!r} has {text!r} where an IPv6 address should be: {_FORMS}.")
        return compressed + percent + zone
    try:
        host = text.lower() if text.isascii() else text.encode("idna").decode("ascii").lower()
    except UnicodeError:
        host = ""
    if not _HOST.fullmatch(host) or len(host) > 253:
        raise InvalidValue(f"{shown!r} has {text!r} where a host name should be: {_FORMS}.")
    return host


def _prefix(path: str, shown: str) -> str:
    segments = [segment for segment in path.split("/") if segment]
    if any(unquote(segment) in {".", ".."} for segment in segments):
        raise InvalidValue(f"{shown!r} has '..' in its path: paste the path that it leads to.")
    if segments and segments[-1] in {"ws", "index.html"}:
        segments.pop()
    # "%" stays, so that what was encoded already is not encoded twice.
    return "".join("/" + quote(segment, safe="%:@!$&'()*+,;=~-._") for segment in segments)


def _credentials(userinfo: str, query: str, shown: str) -> Credentials | None:
    tokens = parse_qs(query).get("token", [])
    if userinfo and tokens:
        raise InvalidValue(f"{shown!r} carries both a user name and a token: give one of them.")
    if tokens:
        return TokenAuth(tokens[-1])
    if not userinfo:
        return None
    username, _, password = userinfo.partition(":")
    return BasicAuth(unquote(username), unquote(password))
