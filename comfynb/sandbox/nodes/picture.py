"""Pictures of plane waves for the bench sampler: cheap, and the same for the same inputs."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from comfynb.sandbox.nodes.arrays import Array

__all__ = ["Waves", "waves"]

_COUNT = 6

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Waves:
    """Plane waves ``[N]`` over the unit square, each with a colour ``[N, 3]`` of its own."""

    seed: int
    down: Floats
    across: Floats
    phase: Floats
    colour: Floats

    def draw(self, height: int, width: int, noise: float) -> Array:
        """Return the picture ``[height, width, 3]``, ``noise`` (0..1) of it white noise."""
        y = (np.arange(height) + 0.5)[:, None, None] / height
        x = (np.arange(width) + 0.5)[None, :, None] / width
        angle = 2 * np.pi * (self.down * y + self.across * x + self.phase)
        picture = 0.5 + 0.5 * np.tanh(np.sin(angle) @ self.colour)
        static = np.random.default_rng(self.seed).random((height, width, 3))
        return ((1 - noise) * picture + noise * static).astype(np.float32)


def waves(**parts: Any) -> Waves:
    """Return the waves of ``parts`` (whatever JSON can say): equal parts give equal waves."""
    text = json.dumps(parts, sort_keys=True)
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
    random = np.random.default_rng(seed)
    down, across = random.uniform(-4, 4, (2, _COUNT))
    return Waves(seed, down, across, random.random(_COUNT), random.normal(0, 0.8, (_COUNT, 3)))
