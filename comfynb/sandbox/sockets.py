"""The websockets of the server's clients and what is sent over them, in one order for all."""

import asyncio
import io
import json
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from aiohttp import web
from PIL import Image

__all__ = ["PREVIEW", "PREVIEW_WITH_METADATA", "TEXT", "Sockets", "encode_preview", "encode_text"]

PREVIEW = 1
TEXT = 3
PREVIEW_WITH_METADATA = 4

_UNREAD_BYTES = 1 << 18

_IMAGE_TYPES = {"JPEG": 1, "PNG": 2}


class Sockets:
    """Who is connected under which client id, and the queue of messages to them.

    A client id belongs to the newest socket. When a socket closes, its client id is taken out
    whoever holds it by then: an old socket that closes late makes its successor deaf. That is
    ComfyUI's behaviour, and clients must cope with it.

    ``is_deaf`` says whether messages to a client id are to be swallowed (a fault).
    """

    def __init__(self, is_deaf: Callable[[str], bool]) -> None:
        self._is_deaf = is_deaf
        self._loop = asyncio.get_running_loop()
        self._by_id: dict[str, web.WebSocketResponse] = {}
        self._features: dict[str, dict[str, Any]] = {}
        self._open: dict[web.WebSocketResponse, asyncio.Transport] = {}
        self._outbox: deque[tuple[bytes, str | None]] = deque()
        self._wake = asyncio.Event()
        self._awake = False
        self.client_id: str | None = None
        """Whose prompt runs, or ran last; ``None`` for a prompt without a client id."""
        self.last_node: str | None = None
        """The node that is being executed for `client_id`."""

    def publish(self, event: str, data: Any, client_id: str | None = None) -> None:
        """Queue a message, from any thread; without a client id it goes to everybody.

        ``data`` is a JSON value, or bytes for a binary message (``event`` then has no meaning).
        Raises TypeError when it is neither.
        """
        self._outbox.append((_frame(event, data), client_id))
        if not self._awake:
            self._awake = True
            self._loop.call_soon_threadsafe(self._wake.set)

    async def run(self) -> None:
        """Send what is published, for ever."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            self._awake = False
            frames: dict[str, list[bytes]] = {}
            while self._outbox:
                frame, client_id = self._outbox.popleft()
                for receiver in self._receivers(client_id):
                    frames.setdefault(receiver, []).append(frame)
            for receiver, parts in frames.items():
                await self._write(receiver, b"".join(parts))

    async def send(self, event: str, data: Any, client_id: str) -> None:
        """Send a message to one client now."""
        if self._receivers(client_id):
            await self._write(client_id, _frame(event, data))

    def _receivers(self, client_id: str | None) -> list[str]:
        wanted = list(self._by_id) if client_id is None else [client_id]
        return [sid for sid in wanted if sid in self._by_id and not self._is_deaf(sid)]

    async def _write(self, client_id: str, frames: bytes) -> None:
        """Write whole frames in one go: a call for each would cost more than all the rest.

        Like ComfyUI's, the messages to all wait for a client that does not read.
        """
        ws = self._by_id.get(client_id)
        transport = None if ws is None else self._open.get(ws)
        if ws is None or transport is None or ws.closed or transport.is_closing():
            return
        transport.write(frames)
        # a transport tells nobody but its protocol when its buffer empties
        while (  # noqa: ASYNC110
            transport.get_write_buffer_size() > _UNREAD_BYTES and not transport.is_closing()
        ):
            await asyncio.sleep(0.01)

    def register(
        self, client_id: str, ws: web.WebSocketResponse, transport: asyncio.Transport
    ) -> None:
        """Let a new socket take over a client id."""
        self._by_id[client_id] = ws
        self._features[client_id] = {}
        self._open[ws] = transport

    def unregister(self, client_id: str, ws: web.WebSocketResponse) -> None:
        """Forget a socket that has closed, and with it whoever has its client id now."""
        self._by_id.pop(client_id, None)
        self._features.pop(client_id, None)
        self._open.pop(ws, None)

    def set_features(self, client_id: str, features: dict[str, Any]) -> None:
        """Note what a client says it can do."""
        self._features[client_id] = features

    def supports(self, client_id: str | None, feature: str) -> bool:
        """Say whether a client has declared a feature."""
        if client_id is None:
            return False
        return bool(self._features.get(client_id, {}).get(feature, False))

    def connected(self) -> list[str]:
        """Return the client ids that messages reach."""
        return list(self._by_id)

    def drop(self, client_id: str | None = None) -> int:
        """Cut connections without a closing handshake; return how many."""
        dropped = 0
        for ws, transport in list(self._open.items()):
            if client_id is None or self._by_id.get(client_id) is ws:
                transport.abort()
                dropped += 1
        return dropped

    async def close(self) -> None:
        """Close all sockets in order, as a server does that shuts down."""
        await asyncio.gather(
            *(ws.close(code=1001, message=b"Server shutdown") for ws in list(self._open))
        )


def _frame(event: str, data: Any) -> bytes:
    """Return a message as a websocket frame of a server: whole, not masked, not compressed."""
    if isinstance(data, bytes):
        kind, payload = 0x82, data
    else:
        kind, payload = 0x81, json.dumps({"type": event, "data": data}).encode()
    size = len(payload)
    if size < 126:
        head = struct.pack(">BB", kind, size)
    elif size < 1 << 16:
        head = struct.pack(">BBH", kind, 126, size)
    else:
        head = struct.pack(">BBQ", kind, 127, size)
    return head + payload


def encode_preview(image: Image.Image, image_format: str, metadata: dict[str, Any] | None) -> bytes:
    """Return the binary message for a preview picture (``JPEG`` or ``PNG``).

    With ``metadata`` it is of type 4 (JSON before the picture), without of type 1.
    """
    picture = io.BytesIO()
    if image_format == "JPEG" and image.mode not in {"RGB", "L"}:
        image = image.convert("RGB")
    image.save(picture, format=image_format, quality=95, compress_level=1)
    if metadata is None:
        return struct.pack(">II", PREVIEW, _IMAGE_TYPES[image_format]) + picture.getvalue()
    head = json.dumps({**metadata, "image_type": f"image/{image_format.lower()}"}).encode()
    return struct.pack(">II", PREVIEW_WITH_METADATA, len(head)) + head + picture.getvalue()


def encode_text(node_id: str, text: str) -> bytes:
    """Return the binary message (type 3) that shows a text on a node."""
    name = node_id.encode()
    return struct.pack(">II", TEXT, len(name)) + name + text.encode()
