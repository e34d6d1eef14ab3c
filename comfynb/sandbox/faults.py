"""The faults that can be switched on from outside, and the rules for when they strike."""

import asyncio
import contextlib
import fnmatch
import itertools
import random
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

__all__ = ["FAULT_KINDS", "Fault", "Faults"]

FAULT_KINDS = {
    "slow": "requests wait `latency` seconds, nodes take `factor` times as long",
    "dead": "connections are reset at once, or (`mode` refuse) not accepted at all",
    "restart": "happens once: queue, running prompt, history, cache and temp folder are lost",
    "deaf": "websockets stay open but nothing is sent over them",
    "drop": "happens once: websockets are cut without a closing handshake",
    "oom": "nodes of `node_class` raise the out-of-memory error",
    "stuck": "nodes of `node_class` never end, whatever interrupts them, until cleared",
    "refuse": "requests are answered with `status` and `body`",
    "cut": "the connection ends in the middle of the answer's body",
    "lost": "the request is carried out, but the connection ends without an answer",
    "hang": "requests get no answer until cleared, `when` before or after being carried out",
}

_FOR_NODES = frozenset({"oom", "stuck"})
_PROMPT_ONLY = frozenset({"refuse", "lost"})


@dataclass(slots=True, eq=False)
class Fault:
    """One fault. Whatever limits it combines: path, method, count, probability, duration.

    ``path`` is a shell pattern for the request's path without prefix and ``/api``; by default
    ``/prompt`` for refuse and lost, anything for the others. ``count`` is how often it strikes at
    most. ``probability`` is drawn from a generator seeded with ``seed``. ``duration`` is in
    seconds. ``client_id`` limits deaf and drop to one client.
    """

    kind: str
    path: str = "*"
    method: str | None = None
    count: int | None = None
    probability: float = 1.0
    seed: int = 0
    duration: float | None = None
    latency: float = 0.0
    factor: float = 1.0
    mode: str = "reset"
    status: int = 503
    body: str = "the sandbox was told to refuse this"
    fraction: float = 0.5
    when: str = "before"
    down: float = 0.0
    node_class: str = "*"
    client_id: str | None = None
    id: int = 0
    struck: int = 0
    _random: random.Random = field(default_factory=random.Random, repr=False)
    _until: float | None = field(default=None, repr=False)
    _released: threading.Event = field(default_factory=threading.Event, repr=False)
    _waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = field(
        default_factory=list, repr=False
    )

    @classmethod
    def parse(cls, spec: Mapping[str, Any]) -> "Fault":
        """Read a fault from JSON; raises ValueError that names what is wrong."""
        kind = spec.get("kind")
        if kind not in FAULT_KINDS:
            raise ValueError(f"{kind!r} is no fault; there are {', '.join(FAULT_KINDS)}")
        known = {f.name for f in fields(cls) if not f.name.startswith("_")} - {"id", "struck"}
        unknown = spec.keys() - known
        if unknown:
            raise ValueError(
                f"a fault has no {', '.join(sorted(unknown))}; it may have "
                f"{', '.join(sorted(known))}"
            )
        options = dict(spec)
        if kind in _PROMPT_ONLY:
            options.setdefault("path", "/prompt")
            options.setdefault("method", "POST")
        fault = cls(**options)
        fault._check()
        fault._random.seed(fault.seed)
        if fault.duration is not None:
            fault._until = time.monotonic() + fault.duration
        return fault

    def _check(self) -> None:
        numbers = ("probability", "latency", "factor", "fraction", "down", "status", "seed")
        for name in numbers:
            if not isinstance(getattr(self, name), int | float):
                raise ValueError(f"a fault's {name} is a number, not {getattr(self, name)!r}")  # noqa: TRY004
        for name in ("count", "duration"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int | float) or value <= 0):
                raise ValueError(f"a fault's {name} is a number above 0, not {value!r}")
        if not 0 <= self.probability <= 1 or not 0 <= self.fraction <= 1:
            raise ValueError("a fault's probability and fraction lie between 0 and 1")
        if self.factor <= 0:
            raise ValueError("a fault's factor is greater than 0")
        if self.mode not in {"reset", "refuse"}:
            raise ValueError(f"the mode of dead is reset or refuse, not {self.mode!r}")
        if self.when not in {"before", "after"}:
            raise ValueError(f"the when of hang is before or after, not {self.when!r}")
        if self.refuses_connections and not self._is_unlimited:
            raise ValueError(
                "the fault dead with the mode refuse hits every connection: path, method, count "
                "and probability do not go with it"
            )

    @property
    def refuses_connections(self) -> bool:
        """Whether it closes the listening socket."""
        return self.kind == "dead" and self.mode == "refuse"

    @property
    def kills_connections(self) -> bool:
        """Whether it ends the connections that are open when it comes."""
        return self.kind == "dead" and self._is_unlimited

    @property
    def _is_unlimited(self) -> bool:
        everything = self.path == "*" and self.method is None and self.count is None
        return everything and self.probability == 1

    @property
    def over(self) -> bool:
        """Whether it cannot strike any more."""
        if self._released.is_set():
            return True
        if self._until is not None and time.monotonic() >= self._until:
            return True
        return self.count is not None and self.struck >= self.count

    @property
    def remaining(self) -> float | None:
        """Seconds until it ends by itself; ``None`` when it does not."""
        return None if self._until is None else max(0.0, self._until - time.monotonic())

    def strikes(self) -> bool:
        """Draw whether it strikes now, and count it."""
        if self.probability < 1 and self._random.random() >= self.probability:
            return False
        self.struck += 1
        return True

    def matches_request(self, method: str, path: str) -> bool:
        """Say whether a request is among those it is for."""
        return (self.method is None or self.method.upper() == method) and fnmatch.fnmatchcase(
            path, self.path
        )

    def release(self) -> None:
        """End it and let go whatever waits for that."""
        self._released.set()
        for loop, event in self._waiters:
            loop.call_soon_threadsafe(event.set)

    def wait(self, unless: threading.Event) -> None:
        """Block this thread until it is released or has run out, or ``unless`` is set."""
        while not unless.is_set() and self.remaining != 0 and not self._released.wait(0.02):
            pass

    async def wait_async(self) -> None:
        """Wait until it is released or has run out."""
        event = asyncio.Event()
        self._waiters.append((asyncio.get_running_loop(), event))
        if self._released.is_set():
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(event.wait(), self.remaining)

    def to_json(self) -> dict[str, Any]:
        """Return it as `parse` takes it, with its id and how often it has struck."""
        return {f.name: getattr(self, f.name) for f in fields(self) if not f.name.startswith("_")}


class Faults:
    """The faults that are switched on; every method is safe in any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._faults: list[Fault] = []
        self._ids = itertools.count(1)

    def add(self, fault: Fault) -> Fault:
        """Switch a fault on and give it an id."""
        with self._lock:
            fault.id = next(self._ids)
            self._faults.append(fault)
        return fault

    def clear(self, fault_id: int | None = None) -> list[Fault]:
        """Switch one fault (or all) off and return what was; what hangs on it goes on."""
        with self._lock:
            gone = [f for f in self._faults if fault_id is None or f.id == fault_id]
            self._faults = [f for f in self._faults if f not in gone]
        for fault in gone:
            fault.release()
        return gone

    def active(self, kind: str | None = None) -> list[Fault]:
        """Return the faults that can still strike."""
        with self._lock:
            return [f for f in self._faults if (kind is None or f.kind == kind) and not f.over]

    def strike(
        self, kind: str, *, method: str = "", path: str = "", node_class: str = "", when: str = ""
    ) -> Fault | None:
        """Return the fault of this kind that strikes a request or a node now, if any."""
        if not self._faults:
            return None
        with self._lock:
            for fault in self._faults:
                if fault.kind != kind or fault.over or (when and fault.when != when):
                    continue
                if kind in _FOR_NODES:
                    hit = fnmatch.fnmatchcase(node_class, fault.node_class)
                else:
                    hit = fault.matches_request(method, path)
                if hit and fault.strikes():
                    return fault
        return None

    def slowness(self) -> float:
        """Return how many times slower nodes are than they should be."""
        factor = 1.0
        if self._faults:
            for fault in self.active("slow"):
                factor *= fault.factor
        return factor

    def is_deaf(self, client_id: str) -> bool:
        """Say whether messages to this client are swallowed."""
        if not self._faults:
            return False
        return any(f.client_id in {None, client_id} for f in self.active("deaf"))

    def snapshot(self) -> list[dict[str, Any]]:
        """Return the active faults as JSON values."""
        return [fault.to_json() for fault in self.active()]
