"""Work that is put off until it has been quiet for a while."""

import asyncio
from collections.abc import Callable

from comfynb.widgets.live import current_loop

__all__ = ["Later"]


class Later:
    """Timers by name; ``do`` is what runs the work (and catches what it raises)."""

    def __init__(self, do: Callable[[Callable[[], None]], None]) -> None:
        self._do = do
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def put_off(self, name: str, seconds: float, work: Callable[[], None]) -> None:
        """Do it when nobody has put it off again for so long; at once where there is no loop."""
        self.cancel(name)
        loop = current_loop()
        if loop is None:
            self._do(work)
        else:
            self._timers[name] = loop.call_later(seconds, self._do, work)

    def cancel(self, name: str) -> None:
        """Do not do it after all."""
        timer = self._timers.pop(name, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Do nothing of it any more."""
        for name in list(self._timers):
            self.cancel(name)
