"""Who is alive: each open store holds a lock on a file of its own in ``<database>.owners/``.

A process that is killed loses its locks at once, and a new process with the same id does not get
them, so the lock says what a process id cannot.
"""

import contextlib
import fcntl
import os
import time
from pathlib import Path

from comfynb.store.database import Database
from comfynb.store.lock import beside, try_flock
from comfynb.store.transaction import View

__all__ = ["FileLiveness", "Liveness"]

_SUFFIX = ".alive"
_NEW = ".new-"
# A file that its maker has not locked yet is left alone for this long.
_NEW_GRACE_S = 60.0


class FileLiveness:
    """The liveness of stores on one DuckDB file, as store.py asks for it."""

    def __init__(self, database: Path, owner_id: str) -> None:
        self.owner_id = owner_id
        self._files = Liveness(database, owner_id)

    def ensure(self, _: Database) -> None:
        """Make this store seen as alive."""
        self._files.ensure()

    def is_alive(self, _: View, owner_id: str) -> bool:
        """Tell whether a store is open."""
        return self._files.is_alive(owner_id)

    def live(self, _: View) -> set[str]:
        """Return the ids of all open stores."""
        return self._files.live()

    def leave(self) -> None:
        """This store is closed."""
        self._files.leave()

    def forget_after_fork(self) -> None:
        """In a forked child: leave the parent's lock alone."""
        self._files.forget_after_fork()


class Liveness:
    """This store's own liveness file, and the test of the others'."""

    def __init__(self, database: Path, owner_id: str) -> None:
        self.owner_id = owner_id
        self.folder = beside(database, ".owners")
        self._path = self.folder / f"{owner_id}{_SUFFIX}"
        self._fd = -1

    def enter(self) -> None:
        """Lock this store's file; from now on others see it alive."""
        self.folder.mkdir(exist_ok=True)
        # Locked under another name first: nobody may ever see it unlocked under its own.
        new = self.folder / f"{_NEW}{self.owner_id}"
        fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
        fcntl.flock(fd, fcntl.LOCK_EX)
        new.rename(self._path)
        self._fd = fd

    def ensure(self) -> None:
        """Make the file again if somebody removed it: without it this store would look dead."""
        if self._fd >= 0:
            try:
                if os.path.samestat(os.fstat(self._fd), self._path.stat()):
                    return
            except FileNotFoundError:
                pass
            os.close(self._fd)
            self._fd = -1
        self.enter()

    def leave(self) -> None:
        """Remove this store's file and its lock; does nothing the second time."""
        if self._fd < 0:
            return
        self._path.unlink(missing_ok=True)
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        os.close(self._fd)
        self._fd = -1

    def forget_after_fork(self) -> None:
        """Close the child's copy of the descriptor; the parent keeps its lock."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def is_alive(self, owner_id: str) -> bool:
        """Tell whether the store with this id is open somewhere; removes a dead one's file."""
        if owner_id == self.owner_id:
            return self._fd >= 0
        # Ids come from the database; one with a path in it names no file of ours.
        if not owner_id or os.sep in owner_id or owner_id.startswith("."):
            return False
        return self._test(self.folder / f"{owner_id}{_SUFFIX}")

    def live(self) -> set[str]:
        """Return the ids of all open stores on this database, this one included."""
        found = set()
        for entry in list(self.folder.iterdir()) if self.folder.is_dir() else []:
            if entry.name.startswith(_NEW):
                with contextlib.suppress(FileNotFoundError):
                    if time.time() - entry.stat().st_mtime > _NEW_GRACE_S:
                        self._test(entry)
            elif entry.name.endswith(_SUFFIX):
                owner_id = entry.name.removesuffix(_SUFFIX)
                if self.is_alive(owner_id):
                    found.add(owner_id)
        return found

    @staticmethod
    def _test(path: Path) -> bool:
        try:
            fd = os.open(path, os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
        except FileNotFoundError:
            return False
        try:
            if not try_flock(fd):
                return True
            # The lock was free, so its owner is gone for good: ids are never used twice.
            path.unlink(missing_ok=True)
            return False
        finally:
            os.close(fd)
