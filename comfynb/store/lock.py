"""Whose turn it is: our own lock around the database file, handed over between programs.

Three small files lie beside the database. Whoever has the database open holds an exclusive flock
on ``.lock``. Whoever wants it first takes ``.ask``, so that there is one asker at a time, writes a
byte into the FIFO ``.bell`` to wake an idle holder, and blocks on ``.lock``. The holder looks at
``.ask`` after every batch. A program that just let go must queue for ``.ask`` like everybody else,
so nobody gets two turns while another waits for its first.

DuckDB's own lock is not enough: version 2.0.0 reads the file's header before it locks, and what
another program commits in between is lost.
"""

import contextlib
import errno
import fcntl
import json
import os
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

from comfynb.errors import StoreError, StoreLocked

__all__ = ["TurnLock", "beside"]

_OPEN = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)


def beside(database: Path, suffix: str) -> Path:
    """Return the path of a file of ours beside the database: ``lab.duckdb`` + ``.lock``."""
    return database.with_name(database.name + suffix)


def try_flock(fd: int, *, shared: bool = False) -> bool:
    """Take the flock if it is free."""
    try:
        fcntl.flock(fd, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class _Wait:
    """A blocking flock with a time limit: the kernel's queue is fair, and polling is not."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.Lock()
        self._abandoned = False
        self._done = threading.Event()
        self._fd = -1
        self._error: OSError | None = None

    def _block(self) -> None:
        try:
            fd = os.open(self._path, _OPEN, 0o666)
            fcntl.flock(fd, fcntl.LOCK_EX)
        except OSError as error:
            self._error = error
        else:
            with self._guard:
                if self._abandoned:
                    os.close(fd)
                else:
                    self._fd = fd
        self._done.set()

    def run(self, deadline: float, stop: threading.Event) -> int | None:
        """Return the locked file descriptor, or None when time is over or ``stop`` is set."""
        threading.Thread(target=self._block, name="comfynb-store-lock", daemon=True).start()
        while not self._done.wait(max(0.0, min(0.25, deadline - time.monotonic()))):
            if stop.is_set() or time.monotonic() >= deadline:
                with self._guard:
                    if self._fd < 0:
                        self._abandoned = True
                        return None
                break
        if self._error is not None:
            raise self._error
        return self._fd


def _take(
    path: Path,
    deadline: float,
    stop: threading.Event,
    before_waiting: Callable[[], None] = lambda: None,
) -> int | None:
    """Return a locked descriptor of ``path``, or None when time is over or ``stop`` is set."""
    while True:
        fd: int | None = os.open(path, _OPEN, 0o666)
        assert fd is not None
        if not try_flock(fd):
            os.close(fd)
            before_waiting()
            fd = _Wait(path).run(deadline, stop)
        if fd is None or _is_same_file(fd, path):
            return fd
        # Somebody deleted the lock file meanwhile: a lock on a file without a name locks nothing.
        os.close(fd)


def _is_same_file(fd: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(fd), path.stat(follow_symlinks=False))
    except FileNotFoundError:
        return False


class TurnLock:
    """The right to have the database file open; used by one thread.

    ``bell`` is a file descriptor that becomes readable when somebody asks, or -1 where the file
    system has no FIFOs; then ``wanted()`` must be looked at now and then.
    """

    def __init__(self, database: Path, label: str = "comfynb") -> None:
        self._path = database
        self._label = label
        self._lock_path = beside(database, ".lock")
        self._ask_path = beside(database, ".ask")
        self._bell_path = beside(database, ".bell")
        self._lock = -1
        self._ask = -1
        self._bell_out = -1
        self.bell = -1

    @property
    def held(self) -> bool:
        """Whether this program holds the lock."""
        return self._lock >= 0

    def acquire(self, timeout: float = 30.0, stop: threading.Event | None = None) -> None:
        """Wait for the turn; raises StoreLocked, naming the holder, after ``timeout`` seconds."""
        if self.held:
            return
        try:
            self._acquire(time.monotonic() + timeout, stop or threading.Event(), timeout)
        except OSError as error:
            raise StoreError(
                f"The lock file {self._lock_path} cannot be used ({error.strerror}): make its "
                "folder writable, or put the store elsewhere.",
                path=str(self._path),
            ) from error

    def _acquire(self, deadline: float, stop: threading.Event, timeout: float) -> None:
        ask = _take(self._ask_path, deadline, stop)
        if ask is None:
            raise self._locked(timeout)
        try:
            lock = _take(self._lock_path, deadline, stop, before_waiting=self._ring)
            if lock is None:
                raise self._locked(timeout)
        except BaseException:
            os.close(ask)
            raise
        self._lock, self._ask = lock, ask
        self._sign()
        # Before the next one may ask: its ring must find a listener.
        self._listen()
        fcntl.flock(ask, fcntl.LOCK_UN)

    def wanted(self) -> bool:
        """Tell whether another program waits for its turn."""
        if self.bell >= 0:
            with contextlib.suppress(BlockingIOError):
                os.read(self.bell, 4096)
        if not try_flock(self._ask, shared=True):
            return True
        fcntl.flock(self._ask, fcntl.LOCK_UN)
        return False

    def release(self) -> None:
        """Let go; the database must be closed. Does nothing when not held."""
        if not self.held:
            return
        self._hush()
        # Unlocked by name: a forked child may still have a copy of the descriptor.
        fcntl.flock(self._lock, fcntl.LOCK_UN)
        os.close(self._lock)
        os.close(self._ask)
        self._lock = self._ask = -1

    def forget_after_fork(self) -> None:
        """Close the child's copies of the descriptors without unlocking the parent's lock."""
        for fd in (self._lock, self._ask, self.bell, self._bell_out):
            if fd >= 0:
                os.close(fd)
        self._lock = self._ask = self.bell = self._bell_out = -1

    def holder(self) -> str:
        """Say who holds the lock, as it signed the file: ``comfynb (PID 7, since 10:31:02)``."""
        try:
            signed = json.loads(self._lock_path.read_text(encoding="utf-8"))
            return f"{signed['label']} (PID {int(signed['pid'])}, since {signed['since']})"
        except (OSError, ValueError, KeyError, TypeError):
            return "another program"

    def _locked(self, timeout: float) -> StoreLocked:
        return StoreLocked(
            f"{self._path} is held by {self.holder()}, which did not hand it over within "
            f"{timeout:g} s: close that program, or interrupt what it runs.",
            path=str(self._path),
        )

    def _sign(self) -> None:
        since = time.strftime("%H:%M:%S")
        text = json.dumps({"label": self._label, "pid": os.getpid(), "since": since})
        # Only for messages: a full disk must not keep anybody from their turn.
        with contextlib.suppress(OSError):
            os.ftruncate(self._lock, 0)
            os.pwrite(self._lock, text.encode(), 0)

    def _ring(self) -> None:
        try:
            fd = os.open(self._bell_path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            # No bell, or nobody listens: then the holder is busy and looks after its batch, or
            # it looks now and then because it could not make a bell.
            if error.errno in {errno.ENOENT, errno.ENXIO}:
                return
            raise
        try:
            if stat.S_ISFIFO(os.fstat(fd).st_mode):
                with contextlib.suppress(BlockingIOError, BrokenPipeError):
                    os.write(fd, b"!")
        finally:
            os.close(fd)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            os.mkfifo(self._bell_path)
        flags = os.O_NONBLOCK | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
        try:
            bell = os.open(self._bell_path, os.O_RDONLY | flags)
        except OSError:
            return
        if not stat.S_ISFIFO(os.fstat(bell).st_mode):
            os.close(bell)
            return
        self.bell = bell
        # A writer of our own, or the FIFO would look hung up as soon as the first asker left.
        self._bell_out = os.open(self._bell_path, os.O_WRONLY | flags)

    def _hush(self) -> None:
        for fd in (self.bell, self._bell_out):
            if fd >= 0:
                os.close(fd)
        self.bell = self._bell_out = -1
