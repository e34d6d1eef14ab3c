"""Makes the jobs of points that are about to be handed out, and their keys."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from comfynb.engine.slices import Slice
from comfynb.errors import UsageError
from comfynb.models import WorkflowVersion
from comfynb.store.sweeps import HandOut
from comfynb.workbench.sweeps.graph_targets import AnyTarget
from comfynb.workbench.sweeps.keys import Keys, Signatures, TargetKeys, keys_of
from comfynb.workbench.sweeps.points import Point

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["HandOuts"]


class HandOuts:
    """Remembers what all points of a sweep have in common: their workflows, what backends say."""

    def __init__(self, workbench: "Workbench") -> None:
        self._store = workbench.store
        self._engine = workbench.engine
        self._keys: dict[str, Keys] = {}
        self._signatures = Signatures()

    async def make(
        self, points: Sequence[Point], targets: Sequence[AnyTarget], sweep: str
    ) -> list[HandOut]:
        """A job and a key for each point; ``sweep`` is the name that people know.

        Raises:
            UsageError: one of the workflows is not in the store any more.
        """
        used = {point.target for point in points}
        keys = {number: await self._keys_of(targets[number], sweep) for number in used}
        backends = list(self._engine.backends.values())
        signatures = {number: self._signatures.of(backends, key) for number, key in keys.items()}
        made = []
        # Not in a thread: all of it is Python, whose lock a thread would hold for milliseconds at
        # a time while the loop waits.
        work = Slice()
        for point in points:
            await work.rest()
            target = targets[point.target]
            key = keys[point.target].key(point.values, signatures[point.target])
            made.append(HandOut(point.number, key, target.job(point.values)))
        return made

    async def _keys_of(self, target: AnyTarget, sweep: str) -> TargetKeys:
        for version_id in target.version_ids:
            if version_id not in self._keys:
                version = await self._store.get(WorkflowVersion, version_id)
                if version is None:
                    raise UsageError(f"{sweep}: its workflow is not in the store any more.")
                self._engine.know_version(version)
                self._keys[version_id] = await asyncio.to_thread(Keys, version)
        return keys_of(target, self._keys)
