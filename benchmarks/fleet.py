"""How well sweeps use a fleet: makespans beside the lower bound, on servers with known speeds.

    python benchmarks/fleet.py [--only NAME ...] [--sample 0.3]
    python benchmarks/fleet.py --cost

Each scenario starts sandbox servers of its own, whose nodes wait for as long as they are told,
divided by the server's speed. The bound is what no schedule can beat: all samples and the loads
that cannot be avoided, divided by the speed of all servers together. Two ratios to it are printed:
to the bound as the nodes' seconds add up, and to the bound as the servers themselves measured
(they need a few milliseconds more for each prompt, which is no fault of the schedule).

With COMFYNB_TEST_URLS (comma-separated; servers that have the Lab node classes) the scenarios that
need no special speeds run on those.

``--cost`` measures the scheduler alone, without servers: processor time for each point, for 4 to
200 backends and 100 to 20,000 points.
"""

import argparse
import asyncio
import contextlib
import dataclasses
import itertools
import os
import random
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path

from comfynb import Workbench
from comfynb.engine.scheduling.simulate import Fleet, Machine, point
from comfynb.models import new_id
from comfynb.sandbox import Sandbox

CHECKPOINTS = ["small", "medium", "large", "xl"]
LORAS = ["detail", "style", "light"]
URLS = [url for url in os.environ.get("COMFYNB_TEST_URLS", "").split(",") if url]


def prompt(sample: float, load: float = 0.0, lora: float = 0.0, encode: float = 0.0) -> dict:
    """A checkpoint, a LoRA, a text, and a sampler that takes ``sample`` seconds at speed 1."""
    return {
        "ckpt": {
            "class_type": "LabLoader",
            "inputs": {"name": "small.safetensors", "seconds": load},
        },
        "lora": {
            "class_type": "LabLora",
            "inputs": {"model": ["ckpt", 0], "name": "detail.safetensors", "seconds": lora},
        },
        "text": {
            "class_type": "LabEncode",
            "inputs": {"model": ["ckpt", 0], "text": "a", "seconds": encode},
        },
        "draw": {
            "class_type": "LabSampler",
            "inputs": {
                "model": ["lora", 0],
                "seed": 0,
                "steps": 4,
                "seconds_per_step": sample / 4,
                "text": ["text", 0],
                "width": 32,
                "height": 32,
            },
        },
        "save": {
            "class_type": "SaveImage",
            "inputs": {"images": ["draw", 0], "filename_prefix": f"fleet/{new_id()[:8]}"},
        },
    }


@dataclasses.dataclass
class Outcome:
    """What a scenario took, and what it loaded."""

    seconds: float
    loads: Counter
    prompts: list[dict]
    """backend, seconds and cached_nodes of each prompt that ended well."""
    groups: dict[str, float]


class Fleet4Real:
    """Sandbox servers and a Workbench that knows them."""

    def __init__(self, speeds: list[float], *, real: bool = False) -> None:
        self.speeds = speeds
        self._stack = contextlib.ExitStack()
        self._real = real and len(URLS) >= len(speeds)
        self.servers: list[Sandbox] = []
        self.store = Path(self._stack.enter_context(tempfile.TemporaryDirectory())) / "f.duckdb"

    def __enter__(self):
        if not self._real:
            self.servers = [self._stack.enter_context(Sandbox(speed=s)) for s in self.speeds]
        return self

    def __exit__(self, *args):
        self._stack.close()

    @property
    def urls(self):
        return URLS[: len(self.speeds)] if self._real else [s.url for s in self.servers]

    def loads(self) -> Counter:
        found: Counter = Counter()
        for server in self.servers:
            with contextlib.suppress(Exception):  # the one that was killed
                found.update(server.stats()["model_loads"])
        return found

    def run(self, api: dict, sweeps: dict[str, list[dict]], *, turns=False, kill=None) -> Outcome:
        return asyncio.run(self._run(api, sweeps, turns=turns, kill=kill))

    async def _run(self, api, sweeps, *, turns, kill):
        async with Workbench(self.store) as wb:
            for number, url in enumerate(self.urls):
                wb.backends.add(url, name=f"gpu{number}")
            wf = wb.workflows.load(api, name="fleet")
            for key in ("ckpt.name", "lora.name", "text.text", "draw.seed"):
                wf.expose(key, name=key.replace(".", "_"))
            await wb.check_backends()
            backends = [backend.id for backend in wb.backends]
            before = self.loads()
            plans = []
            for name, points in sweeps.items():
                for number, plan in enumerate(wf.plans(points)):
                    if turns:
                        chosen = backends[number % len(backends)]
                        plans.append(dataclasses.replace(plan, backend_id=chosen))
                    else:
                        plans.append(dataclasses.replace(plan, group=name))
            start = time.perf_counter()
            jobs = wb.submit(plans)
            ends: dict[str, float] = {}
            names = [name for name, points in sweeps.items() for _ in points]

            async def wait(job, name):
                await job
                ends[name] = time.perf_counter() - start

            waiting = [asyncio.create_task(wait(j, n)) for j, n in zip(jobs, names, strict=True)]
            if kill is not None:
                await asyncio.sleep(kill[0])
                await asyncio.to_thread(self.servers[kill[1]].kill)
            await asyncio.gather(*waiting)
            seconds = max(ends.values())
            failed = [job for job in jobs if job.error]
            assert not failed, failed[:3]
            rows = wb.sql(
                "select b.name as backend, p.cached_nodes as cached, "
                "epoch(p.completed_at) - epoch(p.started_at) as seconds "
                "from prompts p join backends b on b.id = p.backend_id where p.state = 'completed'"
            )
            if os.environ.get("FLEET_DEBUG"):
                gaps(wb)
            prompts = [dict(row) for row in rows]
            assert len(prompts) == len(jobs)
            return Outcome(seconds, self.loads() - before, prompts, ends)


def gaps(wb: Workbench) -> None:
    """Where the time went on each server: for whoever finds a ratio too high."""
    for row in wb.sql(
        "with runs as (select b.name, p.started_at s, p.completed_at e, p.created_at c, "
        "lag(p.completed_at) over (partition by b.name order by p.completed_at) as before, "
        "(select min(created_at) from jobs) as began "
        "from prompts p join backends b on b.id = p.backend_id where p.state = 'completed') "
        "select name, count(*) n, epoch(min(s) - min(began)) first_start, "
        "sum(epoch(e - s)) busy, epoch(max(e) - min(s)) span, "
        "max(epoch(s - before)) longest_gap, sum(greatest(0, epoch(s - before))) gaps, "
        "epoch(max(e) - min(began)) last_end from runs group by name order by name"
    ):
        print("   ", {k: round(v, 2) if isinstance(v, float) else v for k, v in dict(row).items()})


def tell(name: str, outcome: Outcome, bound: float, measured: float, limit: float, **more) -> bool:
    """Print one line; whether the ratio is within its limit."""
    ratio, fair = outcome.seconds / bound, outcome.seconds / measured
    good = fair <= limit
    extra = "  ".join(f"{key} {value}" for key, value in more.items())
    print(
        f"{name:<34} {outcome.seconds:6.2f} s  bound {bound:6.2f} s  ratio {ratio:.3f}  "
        f"as measured {fair:.3f}  wanted {limit:.2f} {'ok' if good else 'MISSED'}  {extra}",
        flush=True,
    )
    return good


def as_measured(
    outcome: Outcome, speeds: list[float], samples: int, sample: float, loads: float
) -> float:
    """The bound with what the servers say that a sample took them, instead of ``sample`` seconds.

    ``loads`` are seconds at speed 1 of the loads that cannot be avoided.
    """
    units = []
    for number in range(len(speeds)):
        own = [p for p in outcome.prompts if p["backend"] == f"gpu{number}"]
        if own:
            warmest = max(p["cached"] for p in own)
            units.append(statistics.mean(p["seconds"] for p in own if p["cached"] == warmest))
    pace = sum(1 / unit for unit in units)
    # A machine that is busy with other things is slow at loading as well.
    slower = sum(speeds) / (pace * sample)
    return samples / pace + loads * max(1.0, slower) / sum(speeds)


def scenario_a(sample: float) -> bool:
    """Four backends of speeds 1:1:2:4, 400 points."""
    speeds = [1.0, 1.0, 2.0, 4.0]
    with Fleet4Real(speeds) as fleet:
        points = [{"draw_seed": seed} for seed in range(400)]
        outcome = fleet.run(prompt(sample), {"seeds": points})
        bound = 400 * sample / sum(speeds)
        measured = as_measured(outcome, speeds, 400, sample, 0)
        shares = Counter(p["backend"] for p in outcome.prompts)
        return tell(
            "a: speeds 1:1:2:4, 400 points",
            outcome,
            bound,
            measured,
            1.05,
            shares=[shares[f"gpu{n}"] for n in range(4)],
        )


def grid(**axes: list) -> list[dict]:
    names = list(axes)
    return [dict(zip(names, values, strict=True)) for values in itertools.product(*axes.values())]


def files(names: list[str]) -> list[str]:
    return [f"{name}.safetensors" for name in names]


def scenario_b(sample: float) -> bool:
    """Four checkpoints x 16 seeds on 2 backends; a load is as long as 5 samples."""
    good = True
    points = grid(draw_seed=list(range(16)), ckpt_name=files(CHECKPOINTS))
    bound = (64 * sample + 4 * 5 * sample) / 2
    rounds = (("b: 4 checkpoints x 16 seeds", False, 1.05), ("", True, 99.0))
    if os.environ.get("FLEET_DEBUG"):
        rounds = rounds[:1]
    for name, turns, limit in rounds:
        with Fleet4Real([1.0, 1.0], real=True) as fleet:
            outcome = fleet.run(prompt(sample, 5 * sample), {"sweep": points}, turns=turns)
            measured = as_measured(outcome, [1.0, 1.0], 64, sample, 20 * sample)
            loads = sum(outcome.loads[each] for each in files(CHECKPOINTS))
            title = name or "   plain round robin"
            good &= tell(title, outcome, bound, measured, limit, loads=loads)
            if not turns and fleet.servers:
                good &= loads == 4
    return good


def scenario_c(sample: float) -> bool:
    """Axes in any order, further expensive axes, two sweeps at once."""
    good = True
    axes = {
        "draw_seed": list(range(8)),
        "text_text": ["a fox", "a crow", "a hare"],
        "lora_name": files(LORAS[:2]),
        "ckpt_name": files(CHECKPOINTS[:2]),
    }
    load, lora, encode = 5 * sample, 2 * sample, 1 * sample
    # On each backend one checkpoint; texts and LoRAs with it: 2 + 4, and 2 x 2 + 2 LoRA changes
    # cost less than texts again for each LoRA.
    least = 2 * load + 4 * lora + (2 * 3 * 2 - 2) * encode
    bound = (96 * sample + least) / 2
    chance = random.Random(5)
    for name in ("seed first", "seed last", "shuffled"):
        keys = list(axes) if name == "seed first" else list(axes)[::-1]
        points = grid(**{key: axes[key] for key in keys})
        if name == "shuffled":
            chance.shuffle(points)
        with Fleet4Real([1.0, 1.0], real=True) as fleet:
            outcome = fleet.run(prompt(sample, load, lora, encode), {"sweep": points})
            measured = as_measured(outcome, [1.0, 1.0], 96, sample, least)
            loads = {
                "checkpoints": sum(outcome.loads[each] for each in files(CHECKPOINTS)),
                "LoRAs": sum(outcome.loads[each] for each in files(LORAS)),
            }
            good &= tell(f"c: LoRA and text too, {name}", outcome, bound, measured, 1.05, **loads)
    points = grid(draw_seed=list(range(16)), ckpt_name=files(CHECKPOINTS))
    sweeps = {
        "one": [{**p, "text_text": "a fox"} for p in points],
        "two": [{**p, "text_text": "a crow"} for p in points],
    }
    with Fleet4Real([1.0, 1.0], real=True) as fleet:
        outcome = fleet.run(prompt(sample, 5 * sample), sweeps)
        bound = (128 * sample + 8 * 5 * sample) / 2
        measured = as_measured(outcome, [1.0, 1.0], 128, sample, 40 * sample)
        loads = sum(outcome.loads[each] for each in files(CHECKPOINTS))
        ends = {name: f"{seconds:.1f} s" for name, seconds in outcome.groups.items()}
        good &= tell("c: two sweeps", outcome, bound, measured, 1.05, loads=loads, ends=ends)
    return good


def scenario_d(sample: float) -> bool:
    """A backend is killed at half time; the bound knew that."""
    speeds = [1.0, 1.0, 2.0, 4.0]
    half = 400 * sample / sum(speeds) / 2
    with Fleet4Real(speeds) as fleet:
        points = [{"draw_seed": seed} for seed in range(400)]
        outcome = fleet.run(prompt(sample), {"seeds": points}, kill=(half, 2))
        bound = half + (400 - half * sum(speeds) / sample) * sample / (sum(speeds) - 2.0)
        fair = as_measured(outcome, speeds, 400, sample, 0) / (400 * sample / sum(speeds))
        return tell("d: one dies at half time", outcome, bound, bound * fair, 1.10)


SCENARIOS = {"a": scenario_a, "b": scenario_b, "c": scenario_c, "d": scenario_d}


def cost() -> None:
    """Processor time of the scheduler for each point, on simulated servers."""
    costs = {"LabLoader": 0.5, "LabLora": 0.1, "LabEncode": 0.1, "LabSampler": 0.1}
    api = prompt(0.1, 0.5, 0.1, 0.1)

    def tasks(count: int):
        found = []
        for number in range(count):
            each = dict(api)
            name = f"{number % 4}.safetensors"
            each["ckpt"] = {"class_type": "LabLoader", "inputs": {"name": name}}
            inputs = {**api["draw"]["inputs"], "seed": number}
            each["draw"] = {"class_type": "LabSampler", "inputs": inputs}
            found.append(point(each))
        return found

    print("microseconds of processor time for each point (the scheduler alone)")
    base = None
    for backends, count in [(4, 100), (4, 2_000), (4, 20_000), (50, 20_000), (200, 20_000)]:
        best = float("inf")
        for _ in range(3):
            machines = [Machine(f"gpu{n}", 1.0 + n % 4) for n in range(backends)]
            fleet = Fleet(machines, lambda node: costs.get(node["class_type"], 0.0))
            fleet.arrive(tasks(count))
            report = fleet.run()
            assert len(report.done) == count
            best = min(best, fleet.spent / count * 1e6)
        base = base or best
        print(f"  {backends:4} backends {count:6} points  {best:6.1f} us  x {best / base:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", nargs="*", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--sample", type=float, default=0.3, help="seconds at speed 1")
    parser.add_argument("--cost", action="store_true")
    options = parser.parse_args()
    if options.cost:
        cost()
        return
    results = {name: SCENARIOS[name](options.sample) for name in options.only}
    good = all(results.values())
    raise SystemExit(0 if good else 1)


if __name__ == "__main__":
    main()
