"""Who shows a deployment, and is told when a command changes it, from whatever cell or handle."""

import threading
import weakref
from typing import Protocol

__all__ = ["Follower", "Followers"]


class Follower(Protocol):
    """What shows a deployment."""

    def changed(self) -> None:
        """Hear that the deployment is otherwise now; on any thread, so that this must not wait."""


class Followers:
    """Followers by the deployment that they show, held weakly; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_id: dict[str, weakref.WeakSet[Follower]] = {}

    def add(self, deployment_id: str, follower: Follower) -> None:
        """Tell a follower from now on."""
        with self._lock:
            self._by_id.setdefault(deployment_id, weakref.WeakSet()).add(follower)

    def tell(self, deployment_id: str) -> None:
        """Tell all who show a deployment."""
        with self._lock:
            told = list(self._by_id.get(deployment_id, ()))
        for follower in told:
            follower.changed()
