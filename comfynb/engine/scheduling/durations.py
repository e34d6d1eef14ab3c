"""How long nodes take on which backend, learned from what ran, and guessed before anything did."""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Final

from comfynb.engine.scheduling.shapes import Reading, Shape

__all__ = ["Durations", "Kind"]

LOADS: Final = 10.0
PATCHES: Final = 2.0
USES: Final = 3.0
ENCODES: Final = 0.3
OTHER: Final = 0.05
"""Seconds of a node that nobody has seen run: one that loads a model, one that changes a model,
one that makes something else of a model, one that makes something of another loaded thing, and
any other. Only their order matters, and only until the first prompt is home."""
PLAIN: Final = frozenset(
    {"IMAGE", "LATENT", "MASK", "STRING", "INT", "FLOAT", "BOOLEAN", "COMBO", "AUDIO", "VIDEO", "*"}
)
"""Types that hold what a person made or sees; nodes that hand these on load no weights."""
LATEST: Final = 0.25
"""The weight of the newest measurement, once there are a few."""
CLIP: Final = 4.0
"""A measurement counts at most so many times what was expected: a hiccup is no new speed."""


class Kind:
    """What a node class takes and gives, as far as guessing needs it."""

    __slots__ = ("outputs",)

    def __init__(self, outputs: Iterable[str]) -> None:
        self.outputs = frozenset(outputs)

    def __repr__(self) -> str:
        return f"Kind({sorted(self.outputs)})"


Describe = Callable[[str], Kind | None]


class _Mean:
    __slots__ = ("n", "value")

    def __init__(self) -> None:
        self.n = 0
        self.value = 0.0

    def add(self, seconds: float) -> None:
        if self.n >= 3:
            seconds = min(seconds, CLIP * max(self.value, 0.01))
        self.n += 1
        self.value += max(LATEST, 1 / self.n) * (seconds - self.value)


class Durations:
    """Seconds per node: measured there, else measured elsewhere and scaled, else guessed.

    What is measured is kept for the node in its workflow, and for its class; for a node that
    names a model, for that model too, since a large one takes longer.
    """

    def __init__(self, describe: Describe = lambda _: None) -> None:
        self._describe = describe
        self._there: dict[tuple[str, Hashable], _Mean] = {}
        self._anywhere: dict[Hashable, _Mean] = {}
        self._slowness: dict[str, _Mean] = {}
        self._guesses: dict[Hashable, tuple[float, ...]] = {}
        self._vectors: dict[tuple[str, Hashable], tuple[int, list[float]]] = {}
        self._ages: dict[str, int] = {}
        self.seen: dict[Hashable, int] = {}
        """How many prompts of each shape were measured."""

    def slowness(self, seat: str) -> float:
        """How many times longer than usual things take there; 1 where nothing is known."""
        mean = self._slowness.get(seat)
        return mean.value if mean is not None else 1.0

    def age(self, seat: str) -> int:
        """Changes whenever something was learned about a backend."""
        return self._ages.get(seat, 0)

    def costs(self, seat: str, shape: Shape) -> Sequence[float]:
        """Seconds of each node of a shape on a backend, whatever model it names."""
        key = seat, shape.key
        age = self._ages.get(seat, 0)
        kept = self._vectors.get(key)
        if kept is not None and kept[0] == age:
            return kept[1]
        slow = self.slowness(seat)
        guesses = self._guess(shape)
        vector = [
            self._known(seat, slow, ((shape.key, number), node_class), guesses[number])
            for number, node_class in enumerate(shape.classes)
        ]
        self._vectors[key] = age, vector
        return vector

    def _known(
        self, seat: str, slow: float, keys: Iterable[Hashable], guess: float | None
    ) -> float:
        for key in keys:
            mean = self._there.get((seat, key))
            if mean is not None:
                return mean.value
            mean = self._anywhere.get(key)
            if mean is not None:
                return mean.value * slow
        return -1.0 if guess is None else guess * slow

    def usual(self, shape: Shape) -> Sequence[float]:
        """Seconds of each node on no backend in particular."""
        return self.costs("", shape)

    def estimate(self, seat: str, reading: Reading, warm: frozenset[int]) -> float:
        """Seconds that a prompt takes on a backend that still has what ``warm`` signs."""
        shape = reading.shape
        vector = self.costs(seat, shape)
        seconds = 0.0
        for number, sig in enumerate(reading.sigs):
            if sig not in warm:
                cost = vector[number]
                if shape.loads[number]:
                    there = self._known(
                        seat, self.slowness(seat), (("model", reading.own[number]),), None
                    )
                    cost = there if there >= 0 else cost
                seconds += cost
        return seconds

    def observe(
        self,
        seat: str,
        reading: Reading,
        warm: frozenset[int],
        seconds: float,
        spans: Mapping[str, float] | None = None,
    ) -> None:
        """Learn from a prompt that took so long.

        ``spans`` are the seconds of its nodes, as far as they were told. Without them the whole
        duration is shared out among the nodes that were not ``warm``, as they were expected.
        """
        shape = reading.shape
        ran = [number for number, sig in enumerate(reading.sigs) if sig not in warm]
        told = {}
        for node_id, span in (spans or {}).items():
            number = shape.number.get(node_id)
            if number is not None:
                told[number] = span
        expected = list(self.usual(shape))
        for number, loads in enumerate(shape.loads):
            if loads:
                model = self._anywhere.get(("model", reading.own[number]))
                expected[number] = expected[number] if model is None else model.value
        if sum(told.values()) > seconds / 2:
            # What was not worth a message took no time.
            told = {**dict.fromkeys(ran, 0.0), **told}
        known = sum(expected[number] for number in ran)
        if not told and ran and known > 0:
            told = {number: seconds * expected[number] / known for number in ran}
        if not told:
            return
        usual = sum(expected[number] for number in told)
        spent = sum(told.values())
        if self.seen.get(shape.key) and usual > 0:
            self._slowness.setdefault(seat, _Mean()).add(max(0.02, min(50.0, spent / usual)))
        else:
            self._slowness.setdefault(seat, _Mean())
            self._slowness[seat].value = self._slowness[seat].value or 1.0
        slow = self.slowness(seat)
        for number, span in told.items():
            for key in self._keys(reading, number):
                self._there.setdefault((seat, key), _Mean()).add(span)
                self._anywhere.setdefault(key, _Mean()).add(span / slow)
        self.seen[shape.key] = self.seen.get(shape.key, 0) + 1
        self._ages[seat] = self._ages.get(seat, 0) + 1
        self._ages[""] = self._ages.get("", 0) + 1

    @staticmethod
    def _keys(reading: Reading, number: int) -> tuple[Hashable, ...]:
        shape = reading.shape
        keys: tuple[Hashable, ...] = ((shape.key, number), shape.classes[number])
        if shape.loads[number]:
            return (("model", reading.own[number]), *keys)
        return keys

    def know(self, seats: Mapping[str, float]) -> None:
        """Take over how slow backends were in earlier sessions, where nothing is known yet."""
        for seat, slowness in seats.items():
            if seat not in self._slowness:
                mean = self._slowness.setdefault(seat, _Mean())
                mean.n, mean.value = 1, max(0.02, min(50.0, slowness))
                self._ages[seat] = self._ages.get(seat, 0) + 1

    def _guess(self, shape: Shape) -> tuple[float, ...]:
        guesses = self._guesses.get(shape.key)
        if guesses is None:
            guesses = tuple(self._prior(shape))
            self._guesses[shape.key] = guesses
        return guesses

    def _prior(self, shape: Shape) -> Iterable[float]:
        """From the structure alone: what loads weights costs most, then what uses them."""
        holds: list[bool] = []  # whether a node hands on something made of loaded weights
        for number, node_class in enumerate(shape.classes):
            kind = self._describe(node_class)
            outputs = kind.outputs if kind is not None else None
            made_of = any(holds[source] for source in shape.sources[number])
            plain = outputs is not None and outputs <= PLAIN
            model = outputs is not None and "MODEL" in outputs
            if shape.loads[number] or (
                not shape.sources[number] and outputs and not outputs & PLAIN
            ):
                holds.append(not plain)
                yield PATCHES if made_of else LOADS
            elif made_of and model:
                holds.append(True)
                yield PATCHES
            elif made_of and (outputs is None or plain):
                holds.append(outputs is None)
                yield USES
            elif made_of:
                holds.append(False)
                yield ENCODES
            else:
                holds.append(False)
                yield OTHER
