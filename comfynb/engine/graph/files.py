"""Files that are delivered: read, hashed, and named in folders that nobody can swap meanwhile."""

import contextlib
import errno
import hashlib
import os
from collections.abc import Sequence
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Final, Self

from comfynb.errors import ComfynbError

__all__ = ["CHUNK", "IN_FOLDERS", "Folder", "hash_of", "reading", "to_disk"]

CHUNK: Final = 1 << 20
"""Bytes that are copied at once."""
IN_FOLDERS: Final = {os.open, os.link, os.mkdir, os.stat, os.unlink} <= os.supports_dir_fd
"""Whether names can be looked up in an open folder, which nobody can swap for a link meanwhile."""


def reading(path: Path) -> BufferedReader:
    """A file, open for reading.

    Raises:
        ComfynbError: it cannot be read.
    """
    try:
        return path.open("rb")
    except OSError as error:
        raise ComfynbError(f"{path} cannot be read: {error.strerror or error}.") from error


def hash_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal digits.

    Raises:
        ComfynbError: it cannot be read.
    """
    with reading(path) as source:
        return hashlib.file_digest(source, "sha256").hexdigest()


def to_disk(file: BinaryIO) -> None:
    """Have what was written on disk."""
    file.flush()
    os.fsync(file.fileno())


class Folder:
    """An open folder in which names are looked up; it never follows a link that it finds there."""

    def __init__(self, path: Path, fd: int | None) -> None:
        self.path = path
        self._fd = fd

    @classmethod
    def open(cls, root: Path, folders: Sequence[str]) -> Self:
        """The folder ``folders`` deep in ``root``, made if need be."""
        root.mkdir(parents=True, exist_ok=True)
        path = root
        if not IN_FOLDERS:
            for folder in folders:
                path /= folder
                path.mkdir(exist_ok=True)
                if path.is_symlink():
                    raise NotADirectoryError(errno.ENOTDIR, f"{path} is a link", str(path))
            return cls(path, None)
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
        try:
            for folder in folders:
                path /= folder
                with contextlib.suppress(FileExistsError):
                    os.mkdir(folder, dir_fd=fd)
                inner = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=fd)
                os.close(fd)
                fd = inner
        except BaseException:
            os.close(fd)
            raise
        return cls(path, fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._fd is not None:
            os.close(self._fd)

    def _at(self, name: str) -> str:
        return name if self._fd is not None else str(self.path / name)

    def create(self, name: str) -> BinaryIO:
        """A new file, open for writing; FileExistsError if anything has that name."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        return os.fdopen(os.open(self._at(name), flags, 0o666, dir_fd=self._fd), "wb")

    def read(self, name: str) -> BinaryIO:
        """A file, open for reading; OSError if a link has that name."""
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        return os.fdopen(os.open(self._at(name), flags, dir_fd=self._fd), "rb")

    def link(self, name: str, new: str) -> None:
        """Another name for a file; FileExistsError if anything has it."""
        ends = {"src_dir_fd": self._fd, "dst_dir_fd": self._fd}
        os.link(self._at(name), self._at(new), **ends, follow_symlinks=False)

    def stat(self, name: str) -> os.stat_result | None:
        """What has that name, a link itself rather than what it leads to."""
        try:
            return os.stat(self._at(name), dir_fd=self._fd, follow_symlinks=False)
        except FileNotFoundError:
            return None

    def unlink(self, name: str) -> None:
        """Remove a file of our own, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._at(name), dir_fd=self._fd)

    def sync(self) -> None:
        """Have the names themselves on disk."""
        if self._fd is not None:
            os.fsync(self._fd)
