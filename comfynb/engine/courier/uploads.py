"""Files that prompts read, sent to one server once, however many prompts want them."""

import asyncio
from pathlib import Path

from comfynb.comfy import FileRef
from comfynb.engine.courier.board import Board
from comfynb.errors import BackendError

__all__ = ["Uploads"]


class Uploads:
    """What the server has of our files, as far as we know."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._sent: dict[Path, asyncio.Task[FileRef]] = {}

    def forget(self) -> None:
        """It may be another machine now: send again what is wanted."""
        self._sent.clear()

    async def send(self, path: Path | None, sha256: str | None = None) -> str:
        """Send a file unless it is there; returns the name that a loader there knows.

        Raises:
            BackendError: there is no copy here, it cannot be read, or the server refuses it.
        """
        if path is None:
            raise BackendError("A file that a prompt needs has no copy on this machine.")
        sending = self._sent.get(path)
        if sending is None:
            sending = asyncio.get_running_loop().create_task(self._send(path, sha256))
            self._sent[path] = sending
        try:
            # Whoever stops waiting does not stop it for the others.
            ref = await asyncio.shield(sending)
        except BaseException:
            if sending.done() and self._sent.get(path) is sending:
                del self._sent[path]  # the next one tries again
            raise
        return f"{ref.subfolder}/{ref.filename}" if ref.subfolder else ref.filename

    async def _send(self, path: Path, sha256: str | None) -> FileRef:
        # A kept input's folder is named by its content, an output's name begins with its prompt.
        name = f"{(sha256 or path.parent.name)[:12]}-{path.name}"
        try:
            return await self._board.client.upload(path, filename=name, subfolder="comfynb")
        except OSError as error:
            why = error.strerror or str(error)
            raise BackendError(
                f"{path} cannot be sent to {self._board.home.name}: {why}."
            ) from error

    async def close(self) -> None:
        """Stop what is being sent."""
        sending = list(self._sent.values())
        for task in sending:
            task.cancel()
        await asyncio.gather(*sending, return_exceptions=True)
