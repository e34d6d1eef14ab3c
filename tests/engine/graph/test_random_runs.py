"""Random graphs with random faults on real backends: they end as the plain model says.

Network faults (lost answers, cut downloads, refusals, dropped sockets) must change nothing; nodes
that are made to fail fail in the model, too.
"""

import asyncio
import random
from collections import Counter

import pytest

from comfynb.models import JobStatus, NodeType

DONE, SKIPPED, FAILED = JobStatus.COMPLETED, JobStatus.SKIPPED, JobStatus.FAILED
BAD = {JobStatus.FAILED, JobStatus.LOST, JobStatus.CANCELLED}
GRAPHS = 36
FAULTS = (
    ("lost", {"count": 2}),
    ("refuse", {"status": 502, "count": 2}),
    ("cut", {"path": "/view", "count": 3}),
    ("drop", {}),
    ("cut", {"path": "/history*", "count": 2}),
)


KINDS = {
    "I": "input",
    "P": "paint",
    "V": "invert",
    "S": "stitch",
    "X": "failing",
    "C": "condition",
    "F": "fanout",
    "M": "merge",
    "O": "output",
}


class Maker:
    """Draws one graph of painting, inverting and stitching."""

    def __init__(self, rng, g, kinds):
        self.rng = rng
        self.g = g
        self.kinds = kinds
        self.made = {}
        self.batch = {}
        self.faults = set()
        self.numbers = []
        self.files = []

    def draw(self, most):
        for number in range(self.rng.randint(3, most)):
            name = f"n{number}"
            kinds = "IPPP" if not self.files else "IPPVVVSCCFMMOX"
            getattr(self, f"add_{KINDS[self.rng.choice(kinds)]}")(name)
        return self

    def _take(self, count):
        return [self.rng.choice(self.files) for _ in range(count)]

    def _maybe_after(self, name):
        if self.files and self.rng.random() < 0.25:
            self.g.connect(self.rng.choice(self.files), f"{name}.trigger")

    def add_input(self, name):
        self.g.input(name, values=[self.rng.randint(8, 40) for _ in range(self.rng.randint(1, 3))])
        self.numbers.append(f"{name}.output")

    def add_paint(self, name):
        self.batch[name] = self.rng.choice([1, 1, 2])
        self.g.workflow(name)
        self.made[name] = self.kinds.paint(count=self.batch[name])
        if self.numbers and self.rng.random() < 0.6:
            self.g.connect(self.rng.choice(self.numbers), f"{name}.width")
        self._maybe_after(name)
        self.files.append(f"{name}.keep_9")

    def add_invert(self, name):
        self.batch[name] = 1
        self.g.workflow(name)
        self.made[name] = self.kinds.invert()
        self.g.connect(self._take(1)[0], f"{name}.loadimage_1")
        self._maybe_after(name)
        self.files.append(f"{name}.keep_9")

    def add_stitch(self, name):
        self.batch[name] = 1
        self.g.workflow(name)
        self.made[name] = self.kinds.stitch()
        for source, port in zip(self._take(2), ("left_1", "right_2"), strict=True):
            self.g.connect(source, f"{name}.{port}")
        self.files.append(f"{name}.keep_9")

    def add_failing(self, name):
        """A workflow that always fails."""
        self.add_invert(name)
        prompt = self.made[name][0]
        prompt["3"] = self.kinds.failing()[0]["3"]
        prompt["3"]["inputs"]["image"] = ["2", 0]
        prompt["9"]["inputs"]["images"] = ["3", 0]
        self.faults |= {(name, run) for run in range(1, 1000)}

    def add_condition(self, name):
        self.g.condition(
            name, self.rng.choice(["output.count > 1", "output.count > 1", "output.missing"])
        )
        self.g.connect(self._take(1)[0], name)
        self.files += [f"{name}.true", f"{name}.false"]

    def add_fanout(self, name):
        count = self.rng.randint(2, 3)
        self.g.fanout(name, self.rng.choice(["broadcast", "distribute"]), count)
        self.g.connect(self._take(1)[0], name)
        self.files += [f"{name}.output_{n}" for n in range(1, count + 1)]

    def add_merge(self, name):
        self.g.merge(name)
        for source in self._take(self.rng.randint(1, 3)):
            self.g.connect(source, name)
        self.files.append(f"{name}.output")

    def add_output(self, name):
        self.g.output(name, "never", naming_pattern="{name}")
        self.g.connect(self._take(1)[0], name)


def bad_nodes(rows):
    return {row.canvas_node_id for row in rows if row.status in BAD}


@pytest.mark.faults
@pytest.mark.timeout(240)
async def test_random_graphs_end_as_the_model_says(two, servers, kinds, builder, model_of):
    rng = random.Random(20)
    makers = [Maker(rng, builder(), kinds).draw(rng.choice([6, 12, 12, 40])) for _ in range(GRAPHS)]
    lives = []
    for number, maker in enumerate(makers):
        for node in maker.g.nodes.values():
            if node.node_type is NodeType.OUTPUT:
                node.config["output_folder"] = str(two.kernel.folder / f"out{number}" / node.id)
        lives.append(await two.start(maker.g, maker.made))
        if number % 4 == 0:
            kind, options = rng.choice(FAULTS)
            await rng.choice(servers).fault(kind, **options)
    await asyncio.gather(*(two.end(live) for live in lives))
    seen = Counter(row.status for live in lives for row in live.job.node_executions)
    assert min(seen[DONE], seen[SKIPPED], seen[FAILED]) > 10  # else it shows nothing
    executed = {}
    for server in servers:
        stats = await server.stats()
        executed |= {id_: each["executions"] for id_, each in stats["prompts"].items()}
    for maker, live in zip(makers, lives, strict=True):
        # A prompt that fails is executed, too.
        for row in live.job.node_executions:
            if row.comfy_prompt_id is not None:
                assert executed[row.comfy_prompt_id] == 1
        agree(maker, live, model_of(maker.g.layout, maker.faults, maker.batch))


def agree(maker, live, model):
    rows = live.job.node_executions
    ended = {}
    for node_id in maker.g.nodes:
        mine = [row for row in rows if row.canvas_node_id == node_id]
        statuses = {row.status for row in mine}
        what, ports = model.of(node_id)
        if what == "ok":
            assert statuses == {JobStatus.COMPLETED}, (node_id, [r.error_message for r in mine])
            for port, items in ports.items():
                got = [i for r in mine for i in r.output_data["ports"].get(port, [])]
                assert len(got) == len(items), (node_id, port)
        elif what == "bad":
            assert statuses & BAD, node_id
        else:
            assert statuses == {JobStatus.SKIPPED}, (node_id, statuses)
        ended[node_id] = max(row.completed_at for row in mine)
    for connection in maker.g.layout.connections:
        for row in rows:
            if row.canvas_node_id == connection.target_node_id and row.started_at is not None:
                assert row.started_at >= ended[connection.source_node_id]
    failed = bool(bad_nodes(rows))
    assert live.job.status is (JobStatus.FAILED if failed else JobStatus.COMPLETED)
