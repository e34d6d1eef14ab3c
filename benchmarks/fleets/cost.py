"""The scheduler's processor time for each point, on simulated servers."""

import cProfile
import gc
import pstats
import statistics

from comfynb.engine.scheduling.simulate import Fleet, Machine, point
from fleets.servers import prompt

__all__ = ["cost"]

COSTS = {"LabLoader": 0.5, "LabLora": 0.1, "LabEncode": 0.1, "LabSampler": 0.1}
SIZES = [(4, 100), (4, 1_000), (4, 20_000), (50, 20_000), (200, 20_000)]
TOGETHER = 10_000
"""Points of one measurement, at least: all are about as long."""
FLAT = 1.2
"""No size may cost more than so many times what another one does."""


def tasks(count: int) -> list:
    """Points of a sweep over four checkpoints, as the engine makes them: nodes are shared."""
    api = prompt(0.1, 0.5, 0.1, 0.1)
    found = []
    for number in range(count):
        each = dict(api)
        name = f"{number % 4}.safetensors"
        each["ckpt"] = {"class_type": "LabLoader", "inputs": {"name": name}}
        inputs = {**api["draw"]["inputs"], "seed": number}
        each["draw"] = {"class_type": "LabSampler", "inputs": inputs}
        found.append(point(each))
    return found


def waiting(backends: int, count: int) -> Fleet:
    """Servers, and a sweep that has yet to begin."""
    machines = [Machine(f"gpu{n}", 1.0 + n % 4) for n in range(backends)]
    fleet = Fleet(machines, lambda node: COSTS.get(node["class_type"], 0.0))
    fleet.arrive(tasks(count))
    return fleet


def calls(backends: int, count: int) -> float:
    """Python's and built-in functions that are called for each point: the same on any machine."""
    fleet = waiting(backends, count)
    profile = cProfile.Profile()
    profile.runcall(fleet.run)
    return pstats.Stats(profile).total_calls / count  # type: ignore[attr-defined]


def several(backends: int, count: int) -> float:
    """Microseconds for each point of one sweep, or of several small ones, one after the other."""
    # All are there before the first begins: to make them, and to look for garbage, empties the
    # processor's caches, and a hundred points would pay for that a hundred times.
    fleets = [waiting(backends, count) for _ in range(max(1, TOGETHER // count))]
    gc.collect()
    gc.disable()
    try:
        done = sum(len(fleet.run().done) for fleet in fleets)
    finally:
        gc.enable()
    assert done == count * len(fleets)
    return sum(fleet.spent for fleet in fleets) / done * 1e6


def cost(sizes: list[tuple[int, int]] = SIZES, rounds: int = 9) -> bool:
    """Print the processor time for each point; whether it is the same for all sizes."""
    shares: dict[tuple[int, int], list[float]] = {size: [] for size in sizes}
    means = []
    for _ in range(rounds):
        took = {size: several(*size) for size in sizes}
        # A machine that others share is slower at one time than at another: what counts is how
        # sizes compare within a round.
        means.append(statistics.mean(took.values()))
        for size, found in took.items():
            shares[size].append(found / means[-1])
    usual = statistics.median(means)
    typical = {size: usual * statistics.median(found) for size, found in shares.items()}
    print("microseconds of processor time for each point (the scheduler alone, medians)")
    print("  backends   points      us   to the first   calls   to the first")
    first, called = typical[sizes[0]], {size: calls(*size) for size in sizes}
    for (backends, count), found in typical.items():
        each = called[backends, count]
        print(
            f"  {backends:8} {count:8} {found:7.1f}   {found / first:12.2f} "
            f"{each:7.0f}   {each / called[sizes[0]]:12.2f}"
        )
    worst = max(typical.values()) / min(typical.values())
    good = worst <= FLAT
    print(f"largest to smallest {worst:.2f}, limit {FLAT:.2f} {'ok' if good else 'MISSED'}")
    return good
