"""Reads processors, memory and this process from the operating system."""

import os
import time
from collections.abc import Callable
from typing import Any

import psutil

__all__ = ["HostReader"]

_SHORT = 0.1
_LONG = 10.0


class HostReader:
    """Owned by one thread: the processors' use is that since its last reading."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last: float | None = None
        self._process = psutil.Process()

    def read(self) -> dict[str, Any]:
        """Return the fields of a host."""
        memory = psutil.virtual_memory()
        times = self._process.cpu_times()
        return {
            "cpu_utilization": self._cpu(),
            "cpu_count": psutil.cpu_count(),
            "load_average_1m": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
            "ram_total_bytes": int(memory.total),
            "ram_used_bytes": int(memory.total - memory.available),
            "process_cpu_seconds": float(times.user + times.system),
            "process_memory_bytes": int(self._process.memory_info().rss),
        }

    def _cpu(self) -> float:
        now, last = self._clock(), self._last
        # There is nothing to compare the first reading with, and an average over the hours
        # since somebody last looked would say nothing about now.
        fresh = last is not None and now - last <= _LONG
        used = psutil.cpu_percent(interval=None if fresh else _SHORT)
        self._last = self._clock()
        return min(100.0, max(0.0, float(used)))
