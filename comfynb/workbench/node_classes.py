"""What node classes the backends have: asked for once, and read by those of the fullest backend."""

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from comfynb.comfy import ComfyClient
from comfynb.comfy.object_info import ObjectInfo
from comfynb.engine.backend import LiveBackend
from comfynb.engine.engine import Engine
from comfynb.engine.host import LoopHost, run_blocking
from comfynb.errors import BackendError, UsageError

__all__ = ["NodeClasses"]

logger = logging.getLogger("comfynb")


class NodeClasses:
    """Each backend's ``/object_info``, as it is now; the engine keeps it and revalidates it."""

    def __init__(self, engine: Engine, host: LoopHost) -> None:
        self._engine = engine
        self._host = host
        self._parsed: dict[str, tuple[dict[str, Any], ObjectInfo]] = {}

    def of(self, live: LiveBackend) -> dict[str, Any]:
        """A backend's node classes; asked for now if they are not known yet."""
        if live.object_info is None:
            if not self._host.on_loop:
                return self._host.wait(live.learn_object_info())
            # The loop runs the very cell that asks, so it cannot be waited for.
            fetched = run_blocking(_fetch(live))
            self._host.ask(live.take_object_info, fetched)
            return fetched
        return live.object_info

    def known(self) -> list[tuple[LiveBackend, dict[str, Any]]]:
        """The enabled backends whose node classes are known, with them."""
        return [
            (live, live.object_info)
            for live in self._engine.backends.values()
            if live.config.enabled and live.object_info is not None
        ]

    def reference(self, wanted: Iterable[str]) -> ObjectInfo:
        """Node classes to read a workflow by: those of the backend that has most of ``wanted``.

        Raises:
            UsageError: there is no backend to ask.
            BackendUnreachable: none of them answers, and none answered before.
        """
        classes = set(wanted)
        known = self.known()
        if not known:
            candidates = [b for b in self._engine.backends.values() if b.config.enabled]
            if not candidates:
                raise UsageError(
                    "A backend must say what its nodes are, and there is none yet: "
                    'wb.backends.add("http://gpu1:8188").'
                )
            known = [self._first(candidates)]
        best = max(known, key=lambda each: len(classes & each[1].keys()))
        return self._parse(best[0].id, best[1])

    def _first(self, candidates: Sequence[LiveBackend]) -> tuple[LiveBackend, dict[str, Any]]:
        for live in candidates[:-1]:
            try:
                return live, self.of(live)
            except BackendError as error:
                logger.info("%s does not say what its nodes are: %s", live.name, error)
        return candidates[-1], self.of(candidates[-1])

    def _parse(self, backend_id: str, raw: dict[str, Any]) -> ObjectInfo:
        cached = self._parsed.get(backend_id)
        if cached is None or cached[0] is not raw:
            cached = (raw, ObjectInfo(raw))
            self._parsed[backend_id] = cached
        return cached[1]


async def _fetch(live: LiveBackend) -> dict[str, Any]:
    client = ComfyClient(live.config.base_url, name=live.name, auth=live.credentials)
    async with client:
        return await client.object_info()
