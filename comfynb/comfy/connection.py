"""What clients share: an address, a name, and a pool of connections that ``async with`` opens."""

from types import TracebackType
from typing import Self

from comfynb.comfy.address import parse_address
from comfynb.comfy.credentials import Credentials
from comfynb.comfy.transport import Transport

__all__ = ["Connection"]


class Connection:
    """A server at ``base_url``, whatever :func:`parse_address` reads, used in ``async with``.

    Credentials in the address are used unless ``auth`` is given. ``name`` is what people call the
    server. ``timeout`` (seconds) limits connecting and each wait for a part of an answer.
    """

    def __init__(
        self,
        base_url: str,
        *,
        name: str = "",
        auth: Credentials | None = None,
        timeout: float = 10.0,
    ) -> None:
        self.address, found = parse_address(base_url)
        self.name = name or self.address.netloc
        self._transport = Transport(
            self.address, name=self.name, credentials=auth or found, timeout=timeout
        )

    @property
    def base_url(self) -> str:
        """The server's address, without secrets."""
        return self.address.base_url

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_url!r}, name={self.name!r})"

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def open(self) -> None:
        """Do what entering ``async with`` does."""
        await self._transport.open()

    async def aclose(self) -> None:
        """Close every connection."""
        await self._transport.aclose()
