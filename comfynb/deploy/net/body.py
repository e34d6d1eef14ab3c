"""Reads bodies that may be endless, dripping or bombs: never more than was allowed."""

import asyncio
import zlib
from collections.abc import AsyncIterator

import aiohttp

from comfynb.deploy.net.policy import shown
from comfynb.errors import FetchError

__all__ = ["read_body", "read_start", "steadily"]

_PIECE = 64 * 1024
# Slower than this, over a whole waiting time, a download counts as broken off.
_SLOWEST = 1024


async def read_body(response: aiohttp.ClientResponse, max_bytes: int) -> bytes:
    """Read a body whole and unpack it; raises FetchError beyond ``max_bytes``, unpacked."""
    length = response.content_length
    if length is not None and length > max_bytes:
        raise too_large(response, max_bytes)
    unpack = _unpacker(response)
    parts: list[bytes] = []
    size = 0
    async for chunk in response.content.iter_chunked(_PIECE):
        for part in unpack(chunk) if unpack is not None else (chunk,):
            size += len(part)
            if size > max_bytes:
                raise too_large(response, max_bytes)
            parts.append(part)
    if unpack is not None and parts and not unpack.done:
        raise FetchError(
            f"The answer of {shown(str(response.url))} broke off.",
            url=shown(str(response.url)),
            status=0,
        )
    return b"".join(parts)


async def read_start(response: aiohttp.ClientResponse, most: int) -> bytes:
    """Read at most ``most`` bytes of a body and leave the rest; packed ones give nothing."""
    if response.headers.get("Content-Encoding", "identity").lower() not in {"identity", ""}:
        return b""
    start = bytearray()
    while len(start) < most:
        chunk = await response.content.read(most - len(start))
        if not chunk:
            break
        start += chunk
    return bytes(start)


async def steadily(
    response: aiohttp.ClientResponse, piece: int, window: float
) -> AsyncIterator[bytes]:
    """Yield a body in pieces; raises TimeoutError where it only drips through a ``window`` in s."""
    loop = asyncio.get_running_loop()
    since, got = loop.time(), 0
    async for chunk in response.content.iter_chunked(piece):
        yield chunk
        got += len(chunk)
        spent = loop.time() - since
        if spent >= window:
            if got < _SLOWEST * spent:
                raise TimeoutError
            since, got = loop.time(), 0


def too_large(response: aiohttp.ClientResponse, max_bytes: int) -> FetchError:
    """Return the error for a body that has no end, or not where it should."""
    label = shown(str(response.url))
    return FetchError(
        f"The answer of {label} is larger than the {max_bytes:,} bytes that are taken from it.",
        url=label,
        status=response.status,
    )


class _Unpacker:
    """Unpacks gzip or zlib piece by piece, so that a bomb is noticed before it is unpacked."""

    def __init__(self, label: str) -> None:
        self._label = label
        # 32 more: the header says whether it is gzip or zlib.
        self._inflate = zlib.decompressobj(zlib.MAX_WBITS | 32)

    @property
    def done(self) -> bool:
        """Whether the packed data has come to its own end."""
        return self._inflate.eof

    def __call__(self, chunk: bytes) -> "list[bytes] | _Pieces":
        return _Pieces(self._inflate, chunk, self._label)


class _Pieces:
    def __init__(self, inflate: "zlib._Decompress", chunk: bytes, label: str) -> None:
        self._inflate, self._rest, self._label = inflate, chunk, label

    def __iter__(self) -> "_Pieces":
        return self

    def __next__(self) -> bytes:
        broken = False
        part = b""
        while self._rest and not self._inflate.eof and not part:
            try:
                part = self._inflate.decompress(self._rest, _PIECE)
            except zlib.error:
                broken = True
                break
            self._rest = self._inflate.unconsumed_tail
        if broken:
            raise FetchError(
                f"The answer of {self._label} says that it is compressed, but cannot be unpacked.",
                url=self._label,
            )
        if not part:
            raise StopIteration
        return part


def _unpacker(response: aiohttp.ClientResponse) -> _Unpacker | None:
    coding = response.headers.get("Content-Encoding", "").strip().lower()
    if coding in {"", "identity"}:
        return None
    label = shown(str(response.url))
    if coding not in {"gzip", "x-gzip", "deflate"}:
        raise FetchError(
            f"The answer of {label} is packed as {coding!r:.40}, which nobody asked for.", url=label
        )
    return _Unpacker(label)
