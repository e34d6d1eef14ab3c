"""Moves files to and from a server: streamed both ways, complete or not there at all."""

import asyncio
import hashlib
import re
import secrets
import threading
import unicodedata
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import BinaryIO

from comfynb.comfy.answers import Reply
from comfynb.comfy.protocol import DownloadedFile, FileRef
from comfynb.comfy.transport import Transport
from comfynb.errors import BackendUnreachable, InvalidValue, NotFound, ServerError
from comfynb.models import new_id

__all__ = ["download", "safe_name", "upload", "view"]

_CHUNK = 1 << 20
_LONGEST_NAME = 200  # bytes; file systems take 255, and .part and a number must fit too
_WINDOWS_DEVICES = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
_RESERVED = dict.fromkeys(map(ord, '<>:"|?*'), "_")


def safe_name(filename: str, default: str = "file") -> str:
    r"""Make a server's file name one that stays in its folder on every system.

    Folders ("..", "/", "\\", "C:"), control and reserved characters, leading dots, Windows' device
    names and excess length go; the suffix stays. Gives ``default`` where nothing is left. Two names
    may become one: whoever stores them must look whether the name is taken.
    """
    name = unicodedata.normalize("NFC", filename).replace("\\", "/").rpartition("/")[2]
    if not name.isascii() or not name.isprintable():
        name = "".join(
            "_" if unicodedata.category(c) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else c for c in name
        )
    name = name.translate(_RESERVED)
    name = name.strip(". ")
    if _WINDOWS_DEVICES.fullmatch(name):
        name = "_" + name
    stem, dot, suffix = name.rpartition(".")
    if not dot or len(suffix.encode()) > 20:
        stem, suffix = name, ""
    room = _LONGEST_NAME - len((dot + suffix if suffix else "").encode())
    stem = stem.encode()[:room].decode("utf-8", "ignore")
    return (f"{stem}.{suffix}" if suffix else stem.rstrip(". ")) or default


def _query(ref: FileRef) -> dict[str, str]:
    query = {"filename": ref.filename, "type": ref.type}
    if ref.subfolder:
        query["subfolder"] = ref.subfolder
    return query


async def view(transport: Transport, ref: FileRef, *, preview: str | None = None) -> bytes:
    """Give a file's bytes; ``preview`` ("webp;90", "jpeg;80") has the server convert a picture."""
    query = _query(ref)
    if preview is not None:
        query["preview"] = preview
    reply = await transport.get("/view", query)
    _check_view(transport, reply, ref)
    return reply.content


def _check_view(transport: Transport, reply: Reply, ref: FileRef) -> None:
    judge = transport.judge
    if reply.status == 404:
        raise ServerError(
            f"{judge.label} has no file {ref.annotated!r} any more: it was deleted there, or, if"
            " it is a temp file, the server was restarted; run the prompt again.",
            backend=judge.name,
            status=404,
        )
    if reply.status == 400 or (reply.status == 403 and ".." in ref.subfolder):
        raise ServerError(
            f"{judge.label} refuses to give out {ref.annotated!r}: the name leads out of its"
            " folders.",
            backend=judge.name,
            status=reply.status,
        )
    judge.check(reply, "/view")
    # ComfyUI itself never sends a file as a web page: this is somebody's sign-in page.
    if reply.content_type == "text/html":
        raise judge.not_comfyui("a web page", "/view")


async def download(
    transport: Transport, shelf: "Shelf", ref: FileRef, destination: Path
) -> DownloadedFile:
    """Stream a file to ``destination``, which appears whole or not at all.

    What is being written lies beside it as ``.part``. An existing file is replaced. OSError where
    the destination cannot be written.
    """
    announced: list[Reply] = []
    chunks = transport.stream("/view", _query(ref), announced.append)
    part = _Part(destination)
    waiting: list[bytes] = []
    waiting_size = 0
    try:
        async for chunk in chunks:
            waiting.append(chunk)
            waiting_size += len(chunk)
            if waiting_size >= _CHUNK:
                _check_view(transport, announced[0], ref)
                await asyncio.to_thread(part.write, waiting)
                waiting, waiting_size = [], 0
        _check_view(transport, announced[0], ref)
        _check_end(transport, announced[0], ref)
        return await shelf.finish(part, waiting)
    except BaseException:
        await asyncio.to_thread(part.discard)
        raise
    finally:
        await chunks.aclose()


def _check_end(transport: Transport, reply: Reply, ref: FileRef) -> None:
    """Refuse a body whose end is that of its connection: it may be a half.

    One with Content-Length, or in chunks, is complete when it ends without an exception.
    """
    judge = transport.judge
    chunked = "chunked" in reply.headers.get("transfer-encoding", "").lower()
    if "content-length" not in reply.headers and not chunked:
        raise ServerError(
            f"{judge.label} sent {ref.annotated!r} without its length, so nobody can tell whether"
            " it is whole: the proxy in front of it must pass Content-Length on.",
            backend=judge.name,
            status=reply.status,
        )


class _Part:
    """The file being written, beside its destination; used in worker threads only.

    A cancelled download leaves its worker thread running, so writing and discarding exclude each
    other, and nothing is written after the discarding.
    """

    def __init__(self, destination: Path) -> None:
        # Another name for each attempt: two downloads of one file must not share a part.
        self.path = destination.with_name(f"{destination.name[:60]}.{new_id()[:8]}.part")
        self.size = 0
        self._destination = destination
        self._sha256 = hashlib.sha256()
        self._file: BinaryIO | None = None
        self._discarded = False
        self._lock = threading.Lock()

    def write(self, chunks: list[bytes]) -> None:
        with self._lock:
            if self._discarded:
                return
            if self._file is None:
                self._file = self._open()
            for chunk in chunks:
                self._file.write(chunk)
                self._sha256.update(chunk)
                self.size += len(chunk)

    def _open(self) -> BinaryIO:
        try:
            return self.path.open("xb")
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return self.path.open("xb")

    def finish(self, chunks: list[bytes]) -> DownloadedFile:
        try:
            self.write(chunks)
            with self._lock:
                if self._file is not None:
                    self._file.close()
                    self.path.replace(self._destination)
                    self._file = None
        except BaseException:
            self.discard()
            raise
        return DownloadedFile(self._destination, self.size, self._sha256.hexdigest())

    def discard(self) -> None:
        with self._lock:
            self._discarded = True
            file, self._file = self._file, None
            if file is not None:
                file.close()
                self.path.unlink(missing_ok=True)


class Shelf:
    """Puts the ends of downloads on disk: what arrives together goes to one thread together.

    Most files are small, and many small ones come at once; a way to a thread and back for each
    would cost more than the writing.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[_Part, list[bytes], asyncio.Future[DownloadedFile]]] = []
        self._working: asyncio.Task[None] | None = None

    async def finish(self, part: "_Part", chunks: list[bytes]) -> DownloadedFile:
        """Write the last chunks and give the file its name; OSError where that cannot be."""
        finished: asyncio.Future[DownloadedFile] = asyncio.get_running_loop().create_future()
        self._waiting.append((part, chunks, finished))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await finished

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting, []
            try:
                ends = await asyncio.to_thread(_finish_all, [each[:2] for each in batch])
            except BaseException:  # the loop ends: nobody may wait for this task any more
                for _, _, finished in batch + self._waiting:
                    finished.cancel()
                raise
            for (_, _, finished), end in zip(batch, ends, strict=True):
                if finished.done():  # whoever waited was cancelled
                    continue
                if isinstance(end, DownloadedFile):
                    finished.set_result(end)
                else:
                    finished.set_exception(end)


def _finish_all(parts: "list[tuple[_Part, list[bytes]]]") -> list[DownloadedFile | Exception]:
    ends: list[DownloadedFile | Exception] = []
    for part, chunks in parts:
        try:
            ends.append(part.finish(chunks))
        except Exception as error:  # noqa: BLE001 - told to the one who waits for this file
            ends.append(error)
    return ends


async def upload(
    transport: Transport,
    source: Path | str | bytes,
    *,
    filename: str,
    subfolder: str = "",
    type: str = "input",  # noqa: A002
    overwrite: bool = False,
    limit: int | None = None,
) -> FileRef:
    """Send a file of any kind, streamed from disk; gives the name that the server chose.

    ``limit`` is the server's largest body in bytes, where it is known.
    """
    if not filename or filename in {".", ".."} or re.search(r"[/\\\x00-\x1f\x7f]", filename):
        raise InvalidValue(f"{filename!r} is no plain file name: give the folder as subfolder.")
    if isinstance(source, str):
        source = Path(source)
    size = len(source) if isinstance(source, bytes) else await asyncio.to_thread(_size_of, source)
    if limit is not None and size > limit:
        raise _too_large(transport, filename, size, limit)
    boundary = "comfynb" + secrets.token_hex(16)
    fields = {"type": type, "subfolder": subfolder, "overwrite": "true" if overwrite else ""}
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
        if value
    )
    # Browsers write a quote as %22, and servers read it as they would from a browser.
    quoted = filename.replace('"', "%22")
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{quoted}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    before, after = head.encode("utf-8", "replace"), f"\r\n--{boundary}--\r\n".encode()
    headers = {
        "Content-Type": f"multipart/form-data; boundary={boundary}",
        "Content-Length": str(len(before) + size + len(after)),
    }
    wait = max(60.0, transport.timeout)
    if isinstance(source, bytes):
        reply = await transport.post("/upload/image", before + source + after, headers, wait=wait)
    else:
        body = _Body(before, source, size, after)
        try:
            reply = await transport.post("/upload/image", body, headers, wait=wait)
        except BackendUnreachable:
            if body.error is None:
                raise
        if body.error is not None:
            raise body.error
    judge = transport.judge
    if reply.status == 413:
        if limit is None:
            said = (await transport.get("/features")).json_object().get("max_upload_size")
            limit = said if isinstance(said, int) else None
        raise _too_large(transport, filename, size, limit)
    if reply.status == 400:
        raise ServerError(
            f"{judge.label} refuses to store {filename!r} in subfolder {subfolder!r}: the name"
            " leads out of its input folder.",
            backend=judge.name,
            status=400,
        )
    answer = judge.dict_of(reply, "/upload/image")
    if not isinstance(answer.get("name"), str):
        raise judge.not_comfyui("JSON of another shape than ComfyUI's", "/upload/image")
    return FileRef(
        filename=answer["name"],
        subfolder=str(answer.get("subfolder") or ""),
        type=str(answer.get("type") or type),
    )


def _size_of(path: Path) -> int:
    try:
        size = path.stat().st_size
        is_file = path.is_file()
    except FileNotFoundError:
        is_file = False
    if not is_file:
        raise NotFound(f"There is no file {str(path)!r} to upload: check the path.")
    return size


class _Body:
    """Exactly the bytes that were announced; ``error`` tells why they could not be had."""

    def __init__(self, before: bytes, path: Path, size: int, after: bytes) -> None:
        self._before, self._path, self._size, self._after = before, path, size, after
        self.error: InvalidValue | None = None

    async def __aiter__(self) -> AsyncGenerator[bytes]:
        yield self._before
        left = self._size
        try:
            file = await asyncio.to_thread(self._path.open, "rb")
            try:
                while left:
                    chunk = await asyncio.to_thread(file.read, min(_CHUNK, left))
                    if not chunk:
                        break
                    left -= len(chunk)
                    yield chunk
            finally:
                await asyncio.to_thread(file.close)
        except OSError as error:
            self.error = InvalidValue(f"{str(self._path)!r} cannot be read: {error.strerror}.")
            raise
        if left:
            self.error = InvalidValue(
                f"{str(self._path)!r} became shorter while it was sent: try again."
            )
            raise self.error
        yield self._after


def _too_large(transport: Transport, filename: str, size: int, limit: int | None) -> ServerError:
    judge = transport.judge
    allowed = f"no more than {_mebibytes(limit)}" if limit else "less"
    return ServerError(
        f"{judge.label} takes {allowed} in one upload and {filename!r} has {_mebibytes(size)}:"
        " start it with a larger --max-upload-size.",
        backend=judge.name,
        status=413,
    )


def _mebibytes(size: int) -> str:
    return f"{size / 2**20:.1f}".removesuffix(".0") + " MiB"
