"""How well sweeps use a fleet: makespans beside the lower bound, on servers with known speeds.

    python benchmarks/fleet.py [--only NAME ...] [--scale 1] [--quiet]
    python benchmarks/fleet.py --cost

Each scenario starts sandbox servers of its own, whose nodes wait for as long as they are told,
divided by the server's speed. The bound is what no schedule can beat: all samples and the loads
that cannot be avoided, divided by the speed of all servers together.

Beside each makespan the surplus over the bound is taken apart, in per cent of the bound, from the
servers' own histories. ``schedule`` is what a better schedule or a quicker engine could have
saved: servers that waited for the first prompt, ran dry between two, had nothing to do at the end,
loaded what need not have been loaded. ``servers`` is what the servers themselves took beyond what
they were told: they draw and encode pictures, sleep too long, and wait for a processor where other
things run on the machine. A line for each server follows, in seconds of it.

``--scale`` multiplies all seconds: with longer samples, the machine's noise counts for less.

With COMFYNB_TEST_URLS (comma-separated; servers that have the Lab node classes) the scenarios that
need no special speeds run on those.

``--cost`` measures the scheduler alone, without servers: processor time for each point, for 4 to
200 backends and 100 to 20,000 points.
"""

import argparse
import itertools
import os
import random
from dataclasses import dataclass

from fleets.cost import cost
from fleets.servers import Outcome, Servers, prompt
from fleets.timeline import SCHEDULE, table

CHECKPOINTS = ["small", "medium", "large", "xl"]
LORAS = ["detail", "style", "light"]


@dataclass(frozen=True)
class Terms:
    """What is measured, and how long it takes."""

    scale: float
    quiet: bool

    @property
    def many(self) -> float:
        """Seconds of a sample at speed 1 where there are fast servers and many points."""
        return 0.8 * self.scale

    @property
    def few(self) -> float:
        """The same elsewhere."""
        return 0.4 * self.scale


def tell(
    terms: Terms,
    name: str,
    outcome: Outcome,
    *,
    bound: float,
    needed: float,
    pace: float,
    limit: float | None,
    **more: object,
) -> bool:
    """Print what a scenario took; whether its ratio is within the limit."""
    ratio = outcome.seconds / bound
    good = limit is None or ratio <= limit
    verdict = "" if limit is None else f"limit {limit:.2f} {'ok' if good else 'MISSED'}"
    parts = outcome.account.surplus(bound, needed, pace)
    schedule = sum(parts[part] for part in (*SCHEDULE, "loads"))
    others = parts["turn"] + parts["slow"]
    extra = "  ".join(f"{key} {value}" for key, value in more.items())
    print(
        f"{name:<34} {outcome.seconds:7.2f} s  bound {bound:7.2f} s  ratio {ratio:.3f}  {verdict}"
    )
    told = ", ".join(f"{part} {100 * parts[part]:.2f}" for part in (*SCHEDULE, "loads"))
    print(f"      surplus {100 * (ratio - 1):.2f} %: schedule {100 * schedule:.2f} ({told})")
    print(
        f"      and servers {100 * others:.2f} (turn {100 * parts['turn']:.2f}, "
        f"slow {100 * parts['slow']:.2f}); {1000 * outcome.processor:.1f} ms of processor for each "
        f"point; {extra}"
    )
    if not terms.quiet:
        print(table(outcome.account))
    print(end="", flush=True)
    return good


def grid(**axes: list) -> list[dict]:
    names = list(axes)
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*axes.values())]


def files(names: list[str]) -> list[str]:
    return [f"{name}.safetensors" for name in names]


def loads_of(outcome: Outcome, names: list[str]) -> int:
    return sum(outcome.loads[each] for each in files(names))


def scenario_a(terms: Terms) -> bool:
    """Four backends of speeds 1:1:2:4, 400 points."""
    speeds, sample = [1.0, 1.0, 2.0, 4.0], terms.many
    with Servers(speeds) as fleet:
        points = [{"draw_seed": seed} for seed in range(400)]
        outcome = fleet.run(prompt(sample), {"seeds": points})
    work = 400 * sample
    return tell(
        terms,
        "a: speeds 1:1:2:4, 400 points",
        outcome,
        bound=work / sum(speeds),
        needed=work,
        pace=sum(speeds),
        limit=1.05,
        shares=outcome.shares,
    )


def scenario_b(terms: Terms) -> bool:
    """Four checkpoints x 16 seeds on 2 backends; a load is as long as 5 samples."""
    good = True
    points = grid(draw_seed=list(range(16)), ckpt_name=files(CHECKPOINTS))
    # Round robin is only there to compare with, and takes four times as long.
    rounds = (
        ("b: 4 checkpoints x 16 seeds", False, terms.few, 1.05),
        ("   plain round robin", True, terms.few / 3, None),
    )
    for name, turns, sample, limit in rounds:
        needed = 64 * sample + 4 * 5 * sample
        with Servers([1.0, 1.0], real=True) as fleet:
            outcome = fleet.run(prompt(sample, 5 * sample), {"sweep": points}, turns=turns)
        loads = loads_of(outcome, CHECKPOINTS)
        good &= tell(
            terms,
            name,
            outcome,
            bound=needed / 2,
            needed=needed,
            pace=2.0,
            limit=limit,
            loads=f"{loads} of at least 4",
        )
        good &= turns or loads == 4
    return good


def scenario_c(terms: Terms) -> bool:
    """Axes in any order, and further expensive axes."""
    good, sample = True, terms.few
    axes = {
        "draw_seed": list(range(8)),
        "text_text": ["a fox", "a crow", "a hare"],
        "lora_name": files(LORAS[:2]),
        "ckpt_name": files(CHECKPOINTS[:2]),
    }
    load, lora, encode = 5 * sample, 2 * sample, 1 * sample
    # On each backend one checkpoint; texts and LoRAs with it: 2 + 4, and 2 x 2 + 2 LoRA changes
    # cost less than texts again for each LoRA.
    needed = 96 * sample + 2 * load + 4 * lora + (2 * 3 * 2 - 2) * encode
    chance = random.Random(5)
    for name in ("seed first", "seed last", "shuffled"):
        keys = list(axes) if name == "seed first" else list(axes)[::-1]
        points = grid(**{key: axes[key] for key in keys})
        if name == "shuffled":
            chance.shuffle(points)
        with Servers([1.0, 1.0], real=True) as fleet:
            outcome = fleet.run(prompt(sample, load, lora, encode), {"sweep": points})
        checkpoints, loras = loads_of(outcome, CHECKPOINTS), loads_of(outcome, LORAS)
        good &= tell(
            terms,
            f"c: LoRA and text too, {name}",
            outcome,
            bound=needed / 2,
            needed=needed,
            pace=2.0,
            limit=1.05,
            checkpoints=f"{checkpoints} of at least 2",
            LoRAs=f"{loras} of at least 4",
        )
        good &= checkpoints == 2
    return good


def scenario_d(terms: Terms) -> bool:
    """Two sweeps at once, over the same checkpoints with different texts."""
    sample = terms.few
    points = grid(draw_seed=list(range(16)), ckpt_name=files(CHECKPOINTS))
    sweeps = {
        "one": [{**p, "text_text": "a fox"} for p in points],
        "two": [{**p, "text_text": "a crow"} for p in points],
    }
    needed = 128 * sample + 4 * 5 * sample
    with Servers([1.0, 1.0], real=True) as fleet:
        outcome = fleet.run(prompt(sample, 5 * sample), sweeps)
    loads = loads_of(outcome, CHECKPOINTS)
    return tell(
        terms,
        "d: two sweeps at once",
        outcome,
        bound=needed / 2,
        needed=needed,
        pace=2.0,
        limit=1.05,
        loads=f"{loads} of at least 4",
        ends={name: f"{seconds:.1f} s" for name, seconds in outcome.ends.items()},
    )


def scenario_e(terms: Terms) -> bool:
    """A backend is killed at half time; the bound knew that."""
    speeds, sample = [1.0, 1.0, 2.0, 4.0], terms.many
    work = 400 * sample
    half = work / sum(speeds) / 2
    left = sum(speeds) - speeds[2]
    with Servers(speeds) as fleet:
        points = [{"draw_seed": seed} for seed in range(400)]
        outcome = fleet.run(prompt(sample), {"seeds": points}, kill=(half, 2))
    return tell(
        terms,
        "e: one dies at half time",
        outcome,
        bound=half + (work - half * sum(speeds)) / left,
        needed=work,
        pace=left,
        limit=1.10,
        shares=outcome.shares,
        elsewhere=f"after {outcome.noticed:.2f} s" if outcome.noticed is not None else "never",
    )


SCENARIOS = {"a": scenario_a, "b": scenario_b, "c": scenario_c, "d": scenario_d, "e": scenario_e}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--scale", type=float, default=1.0, help="makes all seconds longer")
    parser.add_argument("--quiet", action="store_true", help="no line for each server")
    parser.add_argument("--cost", action="store_true", help="the scheduler's processor time")
    options = parser.parse_args()
    if options.cost:
        raise SystemExit(0 if cost() else 1)
    terms = Terms(options.scale, options.quiet)
    print(f"load of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    results = {name: SCENARIOS[name](terms) for name in options.only}
    print(f"load of this machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    raise SystemExit(0 if all(results.values()) else 1)


if __name__ == "__main__":
    main()
