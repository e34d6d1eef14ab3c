"""Puts the files that reach an OUTPUT node into its folder: once each, over nothing, nowhere else.

A file is copied byte for byte (so the workflow embedded in a picture stays in it) beside its place,
under a hidden name, and then linked to its name, which fails if that name is taken: then the next
free one is used, ``name (2).png``. Before the link, a line in the *ledger* says which file is about
to appear where. It names the copy's inode, which a link keeps, so that after a kill between any two
of these steps the next kernel finds the file that is there already instead of making a second one:

====================================  ==========================================================
killed                                what the next call finds and does
====================================  ==========================================================
while copying                         a hidden copy, which it replaces
before the line in the ledger         a hidden copy, which it replaces
between the line and the link         a line whose file is not there: it copies again
after the link, or at any time later  a line whose file is there, with that inode and content: done
====================================  ==========================================================

On a file system without hard links (FAT, some network shares) the file is created exclusively
under its name instead; a kill just then can leave a part of it behind, which is never taken for
the whole.
"""

import errno
import hashlib
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from comfynb.engine.crashpoints import crash_point
from comfynb.engine.graph.files import CHUNK, Folder, hash_of, reading, to_disk
from comfynb.engine.graph.ledger import Ledger
from comfynb.engine.graph.patterns import PLACEHOLDERS, check_pattern, fill_pattern, numbered
from comfynb.engine.outputs import describe
from comfynb.errors import ComfynbError, InvalidValue

__all__ = [
    "CRASH_POINTS",
    "PLACEHOLDERS",
    "Delivered",
    "Delivery",
    "DeliveryItem",
    "check_pattern",
    "deliver",
    "resolve_folder",
]

CRASH_POINTS: Final = ("delivery copied", "delivery noted", "delivered")
"""Where a test may kill the process; see :mod:`comfynb.engine.crashpoints`."""
MOST_NUMBERS: Final = 100_000
"""How many files of one name a folder may have."""
_NO_LINKS: Final = frozenset(
    {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS, errno.EACCES}
)


@dataclass(frozen=True, slots=True)
class DeliveryItem:
    """One file to be delivered."""

    path: Path
    """Where it lies now; read, never changed."""
    name: str = ""
    """The name that it had on its backend; that of ``path`` if there is none."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """What is known of it by placeholder: seed, width, height, backend, workflow."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """All that one OUTPUT node delivers; the same after every restart."""

    job_id: str
    node_id: str
    node: str
    """The node's title."""
    folder: Path
    """Absolute; made if it is not there. See :func:`resolve_folder`."""
    pattern: str
    items: Sequence[DeliveryItem]
    at: datetime
    """When the job was made, aware: {date} and {time} in the kernel's own time zone."""
    ledger: Path
    """The folder in which deliveries are noted, e.g. ``<store>_files/deliveries``."""
    graph: str = ""


@dataclass(frozen=True, slots=True)
class Delivered:
    """A file that lies in its folder; ``index`` counts from 1."""

    index: int
    path: Path
    source: Path
    sha256: str
    size: int

    def to_json(self) -> dict[str, Any]:
        """Plain data, e.g. for a node execution's output."""
        return {
            "index": self.index,
            "path": str(self.path),
            "source": str(self.source),
            "sha256": self.sha256,
            "size": self.size,
        }


def resolve_folder(folder: str, base: Path) -> Path:
    """An OUTPUT's folder as an absolute path; a relative one lies in ``base``.

    Raises:
        InvalidValue: it is no path, or a file of that name is there.
    """
    if not isinstance(folder, str) or not folder.strip() or "\0" in folder:
        raise InvalidValue(f"The output folder {folder!r:.80} is no path of a folder.")
    try:
        path = Path(os.path.abspath(base / Path(folder).expanduser()))  # noqa: PTH100 - keeps links
    except RuntimeError:  # ~somebody
        raise InvalidValue(f"The output folder {folder!r:.80} names an unknown user.") from None
    if path.exists() and not path.is_dir():
        raise InvalidValue(f"The output folder {path} is a file.")
    return path


def deliver(delivery: Delivery) -> list[Delivered]:
    """Deliver all items, in order; those that were delivered before are found, not copied.

    Blocks while it copies: call it in a thread. Only one call for a job's node may run at a time,
    as is so where one kernel owns the job; any number of others may use the same folder.

    Raises:
        InvalidValue: the pattern cannot be used.
        ComfynbError: a file cannot be read or written; what was delivered before it stays.
    """
    check_pattern(delivery.pattern)
    numbers: dict[tuple[str, ...], int] = {}
    name = _digest(delivery.job_id, delivery.node_id)[:32]
    with Ledger(delivery.ledger / f"{name}.jsonl") as ledger:
        return [
            _deliver_one(delivery, index, item, ledger, numbers)
            for index, item in enumerate(delivery.items, 1)
        ]


def _deliver_one(
    delivery: Delivery,
    index: int,
    item: DeliveryItem,
    ledger: Ledger,
    numbers: dict[tuple[str, ...], int],
) -> Delivered:
    hidden = f".comfynb-{_digest(delivery.job_id, delivery.node_id, str(index))[:16]}.part"
    sha256 = hash_of(item.path) if ledger.knows(index) else ""
    found = ledger.find(index, sha256)
    if found is not None:
        found.with_name(hidden).unlink(missing_ok=True)  # its other name, after a kill
        return Delivered(index, found, item.path, sha256, found.stat().st_size)
    folders, name = fill_pattern(delivery.pattern, _values(delivery, index, item), _suffix(item))
    path = delivery.folder.joinpath(*folders)
    try:
        with Folder.open(delivery.folder, folders) as folder:
            folder.unlink(hidden)
            try:
                sha256, size = _copy(item.path, folder, hidden)
                key = (*folders, name.casefold())
                start = numbers.get(key, 1)
                number = _place(folder, hidden, name, ledger, (index, sha256), start=start)
                numbers[key] = number + 1
            finally:
                folder.unlink(hidden)
            folder.sync()
    except OSError as error:
        where = path / name
        raise ComfynbError(f"{where} could not be written: {error.strerror or error}.") from error
    return Delivered(index, path / numbered(name, number), item.path, sha256, size)


def _place(
    folder: Folder,
    hidden: str,
    name: str,
    ledger: Ledger,
    which: tuple[int, str],
    *,
    start: int,
) -> int:
    """Give the copy its name, or the first free one like it; returns the number in it."""
    copied = folder.stat(hidden)
    assert copied is not None
    for number in range(start, MOST_NUMBERS):
        wanted = numbered(name, number)
        if folder.stat(wanted) is not None:
            continue
        ledger.note(*which, folder.path / wanted, copied)
        crash_point("delivery noted")
        try:
            folder.link(hidden, wanted)
        except FileExistsError:
            continue  # another process was faster
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            if not _create(folder, hidden, wanted, ledger, which):
                continue
        crash_point("delivered")
        return number
    raise FileExistsError(errno.EEXIST, f"there are {MOST_NUMBERS} files of that name", name)


def _create(
    folder: Folder, hidden: str, wanted: str, ledger: Ledger, which: tuple[int, str]
) -> bool:
    """Without links: create the file exclusively and fill it; False if the name was taken."""
    try:
        target = folder.create(wanted)
    except FileExistsError:
        return False
    with target, folder.read(hidden) as source:
        ledger.note(*which, folder.path / wanted, os.fstat(target.fileno()))
        while chunk := source.read(CHUNK):
            target.write(chunk)
        to_disk(target)
    return True


def _values(delivery: Delivery, index: int, item: DeliveryItem) -> dict[str, Any]:
    moment = delivery.at.astimezone()
    values = dict(item.values)
    named = [each for each in ("{width", "{height") if each in delivery.pattern]
    if named and (values.get("width") is None or values.get("height") is None):
        values["width"], values["height"] = describe(item.path)
    return {
        **values,
        "date": moment,
        "time": moment,
        "graph": delivery.graph,
        "index": index,
        "job": delivery.job_id[:8],
        "name": Path(_original(item)).stem,
        "node": delivery.node,
    }


def _original(item: DeliveryItem) -> str:
    return item.name.replace("\\", "/").rpartition("/")[2] or item.path.name


def _suffix(item: DeliveryItem) -> str:
    suffix = Path(_original(item)).suffix or item.path.suffix
    plain = "".join(c for c in suffix if c.isascii() and (c.isalnum() or c in "._-"))
    return plain if 1 < len(plain) <= 16 else ""


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()


def _copy(path: Path, folder: Folder, name: str) -> tuple[str, int]:
    digest = hashlib.sha256()
    size = 0
    with reading(path) as source, folder.create(name) as target:
        while chunk := source.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
            target.write(chunk)
        to_disk(target)
    crash_point("delivery copied")
    return digest.hexdigest(), size
