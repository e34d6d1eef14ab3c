"""Downloads of large files: into a .part beside the place, resumed, hashed, then renamed."""

import asyncio
import fcntl
import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, TypeVar

import aiohttp

from comfynb.deploy.net.answer import Answer, Downloaded
from comfynb.deploy.net.body import steadily
from comfynb.deploy.net.policy import shown, without_secrets
from comfynb.errors import FetchError

__all__ = ["BrokenOffError", "Partial", "Progress", "on_disk", "receive"]

Progress = Callable[[int, int | None], None]
"""Told of the bytes that are there and of the size, None where nobody knows it."""

T = TypeVar("T")

_PIECE = 2**20
_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)")


class BrokenOffError(Exception):
    """The answer ended early; what came is kept in the part."""


@dataclass
class Partial:
    """What is there of a file already: ``path``.part, and a note of which version it is of.

    ``validator`` is the server's own name for that version (a strong ETag, or Last-Modified);
    without one nothing can be resumed, since the file may have changed meanwhile.
    """

    path: Path
    file: BinaryIO
    size: int = 0
    validator: str | None = None
    total: int | None = None

    @property
    def part(self) -> Path:
        """Where the bytes are collected."""
        return self.path.with_name(self.path.name + ".part")

    @property
    def note(self) -> Path:
        """Where it is written down which version they are of."""
        return self.path.with_name(self.path.name + ".part.json")

    @classmethod
    def open(cls, path: Path, resume: bool) -> "Partial":
        """Open the part of ``path`` for this download alone; blocks."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        file = os.fdopen(os.open(part, flags, 0o666), "r+b")
        try:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(file.fileno()).st_nlink == 0:
                # It got its final name, or went, between the two calls.
                raise BlockingIOError
            self = cls(path, file)
            if resume:
                self._read_note()
            if self.validator is None:
                self.restart()
        except BlockingIOError:
            file.close()
            raise FetchError(
                f"{path} is being downloaded already: wait until it is there."
            ) from None
        except BaseException:
            file.close()
            raise
        return self

    def _read_note(self) -> None:
        try:
            note: Any = json.loads(self.note.read_bytes())
        except (OSError, ValueError):
            return
        if not isinstance(note, dict) or not isinstance(note.get("validator"), str):
            return
        total = note.get("total")
        self.validator = note["validator"]
        self.total = total if isinstance(total, int) else None
        self.size = os.fstat(self.file.fileno()).st_size

    def begin(self, validator: str | None, total: int | None) -> None:
        """Write down which version is being collected; blocks."""
        self.validator, self.total = validator, total
        if validator is None:
            self.note.unlink(missing_ok=True)
            return
        spare = self.note.with_name(self.note.name + ".new")
        spare.write_text(json.dumps({"validator": validator, "total": total}))
        spare.replace(self.note)

    def restart(self) -> None:
        """Forget what is there; blocks."""
        self.file.seek(0)
        self.file.truncate()
        self.size, self.validator, self.total = 0, None, None
        self.note.unlink(missing_ok=True)

    def digest(self) -> "hashlib._Hash":
        """Hash what is there, and stand at its end; blocks."""
        digest = hashlib.sha256()
        self.file.seek(0)
        while piece := self.file.read(_PIECE):
            digest.update(piece)
        return digest

    def finish(self) -> None:
        """Put the file into its place; blocks."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.part.replace(self.path)
        self.note.unlink(missing_ok=True)
        self.file.close()

    def close(self) -> None:
        """Let the part go, and keep it only if it can be resumed; blocks."""
        if not self.file.closed:
            if not self.size or self.validator is None:
                self.discard()
            self.file.close()

    def discard(self) -> None:
        """Leave nothing behind; blocks."""
        self.part.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)


async def on_disk(path: Path, fn: Callable[..., T], *args: Any) -> T:
    """Run what reads or writes files in a thread; raises FetchError where ``path`` cannot be."""
    try:
        return await asyncio.to_thread(fn, *args)
    except OSError as error:
        problem = error.strerror or type(error).__name__
    raise FetchError(f"{path} cannot be written: {problem}.")


async def receive(
    response: aiohttp.ClientResponse,
    history: tuple[Answer, ...],
    partial: Partial,
    *,
    max_bytes: int | None,
    window: float,
    progress: Progress | None,
) -> Downloaded | None:
    """Take the body of an answer into ``partial``; None where it must be asked for from the start.

    Raises FetchError, and BrokenOffError where the rest may be asked for.
    """
    label = shown(str(response.url))
    if response.status == 416 and partial.size:
        if (whole := _whole_of(response)) is not None and whole == partial.size == partial.total:
            # If-Range held, and there is nothing after what is there: only the renaming is missing.
            digest = await on_disk(partial.path, partial.digest)
            url = history[0].url if history else without_secrets(str(response.url))
            return Downloaded(partial.path, whole, digest.hexdigest(), whole, url)
        await on_disk(partial.path, partial.restart)
        return None
    if response.status not in {200, 206}:
        Answer(response.status, response.headers, b"", label).check()
    if response.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        raise FetchError(
            f"{label} sends the file compressed although it was asked for as it is.", url=label
        )
    total = response.content_length
    if response.status == 206:
        first, total = _range_of(response, label)
        if first != partial.size or (partial.total is not None and total != partial.total):
            await on_disk(partial.path, partial.restart)
            return None
    elif partial.size:
        # The server has another version now, or resumes nothing.
        await on_disk(partial.path, partial.restart)
    resumed = partial.size
    if max_bytes is not None and total is not None and total > max_bytes:
        await on_disk(partial.path, partial.restart)
        raise _too_large(label, max_bytes)
    if not resumed:
        await on_disk(partial.path, partial.begin, _validator(response), total)
    digest = await on_disk(partial.path, partial.digest)
    broken = False
    try:
        async for chunk in steadily(response, _PIECE, window):
            partial.size += len(chunk)
            if max_bytes is not None and partial.size > max_bytes:
                await on_disk(partial.path, partial.restart)
                raise _too_large(label, max_bytes)
            await on_disk(partial.path, _take, partial.file, digest, chunk)
            if progress is not None:
                progress(partial.size, total)
    except (aiohttp.ClientPayloadError, aiohttp.ClientOSError, TimeoutError):
        broken = True
    await on_disk(partial.path, partial.file.flush)
    if broken or (total is not None and partial.size < total):
        raise BrokenOffError
    if total is not None and partial.size != total:
        await on_disk(partial.path, partial.restart)
        raise FetchError(f"{label} sent more than the {total:,} bytes it had promised.", url=label)
    return Downloaded(
        partial.path,
        partial.size,
        digest.hexdigest(),
        resumed,
        (history[0].url if history else without_secrets(str(response.url))),
        response.headers.get("ETag"),
    )


def _take(file: BinaryIO, digest: "hashlib._Hash", chunk: bytes) -> None:
    file.write(chunk)
    digest.update(chunk)


def _range_of(response: aiohttp.ClientResponse, label: str) -> tuple[int, int | None]:
    match = _RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    if match is None:
        raise FetchError(f"{label} answered 206 without saying which part it sends.", url=label)
    return int(match[1]), None if match[3] == "*" else int(match[3])


def _whole_of(response: aiohttp.ClientResponse) -> int | None:
    match = re.fullmatch(r"bytes \*/(\d{1,18})", response.headers.get("Content-Range", "").strip())
    return int(match[1]) if match else None


def _validator(response: aiohttp.ClientResponse) -> str | None:
    etag = response.headers.get("ETag", "")
    if etag.startswith('"') and etag.isprintable():
        return etag
    modified = response.headers.get("Last-Modified", "")
    return modified if modified and modified.isprintable() and not etag else None


def _too_large(label: str, max_bytes: int) -> FetchError:
    return FetchError(
        f"{label} is larger than the {max_bytes:,} bytes that are allowed.", url=label
    )
