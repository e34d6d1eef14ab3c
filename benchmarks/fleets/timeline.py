"""What each server did when, read from the servers' own histories: where the time went.

A makespan is more than its bound because servers stood still, worked on what need not have been
done, or took longer than they were told. Each second of each server belongs to one of these:

``work``     what the nodes that ran were told to take, at the server's speed
``start``    from the submission until the first prompt began
``dry``      nothing was in the server's queue: the next prompt came too late
``turn``     the server's own time from the end of a prompt to the start of the next in its queue
``slow``     what a prompt took beyond what its nodes were told: encoding, sleeping too long,
             waiting for a processor
``tail``     from its last prompt's end to the end of the fleet's last one
``home``     from there until the last picture was here and recorded
``lost``     what a server had begun when it was killed

All clocks are one machine's.
"""

import json
import urllib.request
from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Account", "Run", "Server", "account", "read"]

SHARES = ("start", "dry", "turn", "slow", "tail", "home", "lost")
SCHEDULE = ("start", "dry", "tail", "home", "lost")
"""Those that a better schedule, or a quicker engine, could make less."""


@dataclass(frozen=True)
class Run:
    """One prompt on a server, in seconds of its clock."""

    prompt_id: str
    came: float
    began: float
    ended: float
    work: float
    """Seconds at speed 1 of the nodes that were not in the cache."""
    loads: tuple[str, ...]
    """Models that it loaded."""


@dataclass
class Server:
    """A server of known speed, and what it ran."""

    name: str
    speed: float
    runs: list[Run] = field(default_factory=list)
    until: float | None = None
    """When it was killed."""
    at: dict[str, float] = field(default_factory=dict)
    """Seconds by what they went to."""
    gaps: list[tuple[float, float]] = field(default_factory=list)
    """When it was dry, and for how long."""


def _nominal(node: dict) -> float:
    inputs = node["inputs"]
    return float(inputs.get("seconds", 0.0)) + (
        float(inputs.get("seconds_per_step", 0.0)) * int(inputs.get("steps", 0))
    )


def read(url: str, since: float) -> list[Run]:
    """All prompts that ended well on a server after a certain time, in the order in which they ran.

    Raises:
        OSError: the server does not answer.
    """
    with urllib.request.urlopen(f"{url}/history", timeout=30) as answer:
        history = json.load(answer)
    runs = []
    for prompt_id, entry in history.items():
        told = dict(entry["status"]["messages"])
        if "execution_success" not in told:
            continue
        _, _, prompt, extra_data, _ = entry["prompt"]
        cached = set(told.get("execution_cached", {}).get("nodes", ()))
        ran = [node for node_id, node in prompt.items() if node_id not in cached]
        run = Run(
            prompt_id,
            came=extra_data["create_time"] / 1000,
            began=told["execution_start"]["timestamp"] / 1000,
            ended=told["execution_success"]["timestamp"] / 1000,
            work=sum(_nominal(node) for node in ran),
            loads=tuple(node["inputs"]["name"] for node in ran if "name" in node["inputs"]),
        )
        if run.came >= since - 0.002:
            runs.append(run)
    return sorted(runs, key=lambda run: run.began)


@dataclass
class Account:
    """Where the fleet's time went."""

    servers: list[Server]
    loads: Counter
    work: float
    """Seconds at speed 1 that were really worked."""
    shares: dict[str, float]
    """Seconds at speed 1 by what they went to."""

    def surplus(self, bound: float, needed: float, pace: float) -> dict[str, float]:
        """What the makespan is over ``bound``, as parts of it.

        ``needed`` are the seconds at speed 1 that had to be worked, ``pace`` the speed of all
        servers that were there until the end.
        """
        parts = {name: seconds / pace / bound for name, seconds in self.shares.items()}
        parts["loads"] = (self.work - needed) / pace / bound
        return parts


def account(servers: list[Server], start: float, end: float) -> Account:
    """Sort all seconds between ``start`` and ``end`` by what they went to."""
    last = max(run.ended for server in servers for run in server.runs)
    loads: Counter = Counter()
    total: Counter = Counter()
    work = 0.0
    for server in servers:
        at = dict.fromkeys(SHARES, 0.0)
        before = start
        over = server.until if server.until is not None else last
        for run in server.runs:
            gap = run.began - before
            if before == start:
                at["start"] += gap
            elif run.came > before:
                at["dry"] += run.came - before
                at["turn"] += run.began - run.came
                server.gaps.append((before - start, run.came - before))
            else:
                at["turn"] += gap
            at["slow"] += run.ended - run.began - run.work / server.speed
            work += run.work
            loads.update(run.loads)
            before = run.ended
        if server.until is not None:
            at["lost"] += over - before
        else:
            at["tail"] += last - before
            at["home"] += end - last
        server.at = at
        for name, seconds in at.items():
            total[name] += seconds * server.speed
    return Account(servers, loads, work, {name: total[name] for name in SHARES})


def _gaps(server: Server) -> str:
    longest = sorted(server.gaps, key=lambda gap: -gap[1])[:3]
    told = ", ".join(f"{seconds:.3f} at {at:.1f}" for at, seconds in longest)
    return f"dry {len(server.gaps)} times: {told}" if told else ""


def table(found: Account) -> str:
    """A line for each server."""
    lines = []
    for server in found.servers:
        parts = "  ".join(f"{name} {seconds:6.3f}" for name, seconds in server.at.items())
        lines.append(
            f"      {server.name:<6} x{server.speed:g}  {len(server.runs):4} prompts  {parts}  "
            f"{_gaps(server)}"
        )
    return "\n".join(lines)
