"""How one agent is set up, and whether it may listen where it was told to."""

import ipaddress
import socket
import urllib.parse
from dataclasses import dataclass, field

from .tokens import TOKEN_VARIABLE, SettingsError, Token

__all__ = ["LONGEST_INTERVAL", "PORT", "SHORTEST_INTERVAL", "Settings", "check_url", "is_loopback"]

PORT = 8189
"""Where it listens, unless told otherwise."""
SHORTEST_INTERVAL = 0.25
"""Seconds between two samples of a stream, at least."""
LONGEST_INTERVAL = 60.0


def is_loopback(host: str) -> bool:
    """Say whether an address or name reaches this machine only; a name we don't know does not."""
    name = host.strip().strip("[]").lower()
    if name in {"localhost", "localhost."}:
        return True
    try:
        return ipaddress.ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class Settings:
    """Everything that is chosen before the start.

    ``folders`` are (role, path) pairs whose disk space is told; ``gpus`` indexes or UUIDs to keep
    to (none: all); ``allowed_hosts`` are further names that requests may give in ``Host`` where
    no token is asked for. ``host`` may be several addresses, separated by commas, as ComfyUI's
    ``--listen`` may.
    """

    host: str = "127.0.0.1"
    port: int = PORT
    token: Token | None = None
    backend_id: str = field(default_factory=socket.gethostname)
    comfyui: str | None = None
    folders: tuple[tuple[str, str], ...] = ()
    gpus: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    max_streams: int = 16

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise SettingsError(f"a port lies between 0 and 65535, not at {self.port}")
        if self.comfyui is not None:
            check_url(self.comfyui)

    @property
    def wide(self) -> bool:
        """Whether others than this machine can reach the agent."""
        return not all(is_loopback(host) for host in self.host.split(","))

    def check_reach(self) -> None:
        """Raise `SettingsError` where the agent would be open to others without a token."""
        if self.wide and self.token is None:
            raise SettingsError(
                f"the agent would listen on {self.host}, where others can reach it, without a "
                f"token: set {TOKEN_VARIABLE}, give --token-file, or listen on 127.0.0.1"
            )


def check_url(url: str) -> None:
    """Raise `SettingsError` unless this is a plain http(s) address without a password in it."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host, parts = None, urllib.parse.SplitResult("", "", "", "", "")
    if parts.username is not None or parts.password is not None:
        # The address is not quoted: it holds a password.
        raise SettingsError("the address of ComfyUI must hold no user name or password")
    if parts.scheme not in {"http", "https"} or not host or parts.query or parts.fragment:
        raise SettingsError(
            f"{url!r:.100} is no address of a ComfyUI: it is written http://127.0.0.1:8188"
        )
