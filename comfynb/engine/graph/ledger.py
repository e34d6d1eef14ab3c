"""What was about to be put where: what a delivery after a kill finds its own files by."""

import contextlib
import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, Self

from comfynb.engine.graph.files import hash_of, to_disk

__all__ = ["Ledger"]


class Ledger:
    """What one node of one job was about to put where: a file with one JSON line for each link."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None
        self._noted: dict[int, list[dict[str, Any]]] = {}

    def __enter__(self) -> Self:
        for line in self._lines():
            self._noted.setdefault(line["index"], []).append(line)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def _lines(self) -> Iterator[dict[str, Any]]:
        try:
            text = self._path.read_bytes()
        except FileNotFoundError:
            return
        for line in text.splitlines():
            # The last line may be torn by a kill: what it was about was not linked then.
            with contextlib.suppress(ValueError):
                yield json.loads(line)

    def knows(self, index: int) -> bool:
        """Whether anything was noted for an item."""
        return index in self._noted

    def find(self, index: int, sha256: str) -> Path | None:
        """Where an item of that content lies already, put there by us."""
        for line in reversed(self._noted.get(index, ())):
            path = Path(line["path"])
            try:
                found = path.lstat()
            except OSError:
                continue
            same = stat.S_ISREG(found.st_mode) and found.st_ino == line["inode"]
            if same and line["sha256"] == sha256 and hash_of(path) == sha256:
                return path
        return None

    def note(self, index: int, sha256: str, path: Path, copied: os.stat_result) -> None:
        """Write down, durably, that ``copied`` is about to be ``path``."""
        line = {"index": index, "sha256": sha256, "path": str(path), "inode": copied.st_ino}
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab")
            # After a torn line, a new one begins on a line of its own.
            self._file.write(b"\n")
        self._file.write(json.dumps(line).encode() + b"\n")
        to_disk(self._file)
