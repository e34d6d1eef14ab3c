"""The gate before every connection: resolves a name once, and connects to nothing unchecked."""

import asyncio
import errno
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence

from aiohttp.abc import AbstractResolver, ResolveResult

from comfynb.deploy.net.addresses import why_refused
from comfynb.deploy.net.policy import NetPolicy, Target
from comfynb.errors import AddressRefused

__all__ = ["Gate", "Lookup", "StoppedError", "look_up"]

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]
"""Gives the addresses of a host, as texts; raises OSError where it has none."""

AddrInfo = tuple[
    int, int, int, str, tuple[str, int] | tuple[str, int, int, int] | tuple[int, bytes]
]

_MAX_ADDRESSES = 64


async def look_up(host: str, port: int) -> list[str]:
    """Ask the system's resolver, in a thread of the loop's."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(info[4][0]) for info in found))


class StoppedError(OSError):
    """The last look found an address that is not public: an OSError, as the library expects."""

    def __init__(self) -> None:
        super().__init__(errno.EACCES, "the address is not public")


class Gate(AbstractResolver):
    """What the connector asks for addresses, and what makes its sockets.

    A name is resolved once for each connection; every address that it has must be public, and the
    connection goes to one of these very addresses, so that a second answer of the name server
    changes nothing. ``socket_for`` looks again at the one that is about to be connected to.
    """

    def __init__(self, policy: NetPolicy, lookup: Lookup = look_up, *, timeout: float = 30) -> None:
        self._policy = policy
        self._lookup = lookup
        self._timeout = timeout
        self._vouched: set[tuple[str, int]] = set()

    def admit(self, target: Target) -> None:
        """Let an operator's own address through, which is asked without being resolved."""
        if target.allowed and target.literal:
            self._vouched.add((str(ipaddress.ip_address(target.host)), target.port))

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - all of them are looked at
    ) -> list[ResolveResult]:
        """Give the addresses of ``host``; raises AddressRefused if any of them is not public."""
        try:
            async with asyncio.timeout(self._timeout):
                addresses = await self._lookup(host, port)
        except TimeoutError:
            raise OSError(f"the name {host} was not resolved in time") from None
        except UnicodeError:
            raise OSError(f"{host} is no name that can be resolved") from None
        if not addresses:
            raise OSError(f"the name {host} has no address")
        allowed = f"{host}:{port}".lower() in self._policy.allow
        for address in addresses[:_MAX_ADDRESSES]:
            reason = why_refused(address)
            if reason is None:
                continue
            if not allowed:
                # Not even the public ones: who mixes them is up to something.
                raise AddressRefused(
                    f"https://{host} cannot be asked: its name leads to an address that is "
                    f"{reason}, not public.",
                    url=f"https://{host}",
                )
            self._vouched.add((address, port))
        return [_result(host, address, port) for address in addresses[:_MAX_ADDRESSES]]

    def socket_for(self, info: AddrInfo) -> socket.socket:
        """Make the socket for a connection to ``info``: the last look at where it goes."""
        family, kind, protocol, _, place = info
        address, port = str(place[0]), int(place[1])
        reason = why_refused(address)
        if reason is not None and (address, port) not in self._vouched:
            raise StoppedError
        made = socket.socket(family, kind, protocol)
        made.setblocking(False)
        return made

    async def close(self) -> None:
        """Nothing is held."""


def _result(host: str, address: str, port: int) -> ResolveResult:
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if ":" in address else socket.AF_INET,
        proto=0,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
