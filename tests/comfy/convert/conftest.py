"""Random workflows: graphs with subgraphs in subgraphs, bypasses, mutes, reroutes, primitives."""

import random
from collections.abc import Callable
from typing import Any

import pytest

CLASSES: dict[str, tuple[dict[str, Any], dict[str, Any], list[str]]] = {
    "Src": ({}, {}, ["IMAGE", "MASK", "INT", "LATENT", "*"]),
    "Pass": (
        {"image": ["IMAGE", {}], "mask": ["MASK", {}], "k": ["INT", {"default": 3}]},
        {"latent": ["LATENT", {}]},
        ["IMAGE", "MASK", "INT", "LATENT"],
    ),
    "Pass2": (
        {"mask": ["MASK", {}], "image": ["IMAGE", {}], "image2": ["IMAGE", {}]},
        {},
        ["IMAGE", "MASK"],
    ),
    "Seeds": (
        {
            "latent": ["LATENT", {}],
            "seed": ["INT", {"control_after_generate": True}],
            "n": ["INT", {"default": 5}],
            "c": [["a", "b"], {"control_after_generate": True}],
            "t": ["STRING", {"default": "x"}],
        },
        {},
        ["LATENT"],
    ),
    "Sink": (
        {"images": ["IMAGE", {}]},
        {"any": ["*", {}], "im": ["IMAGE,MASK", {}], "i": ["INT", {"default": 1}]},
        [],
    ),
}
INFO: dict[str, Any] = {
    name: {
        "name": name,
        "display_name": f"{name} node",
        "input": {"required": required, "optional": optional},
        "input_order": {"required": list(required), "optional": list(optional)},
        "output": outputs,
        "output_name": outputs,
        "output_is_list": [False] * len(outputs),
        "output_node": name == "Sink",
        "description": "",
        "category": "x",
        "python_module": "x",
    }
    for name, (required, optional, outputs) in CLASSES.items()
}
WIDGETS = {"INT", "STRING", "COMBO"}


def type_of(config: list[Any]) -> str:
    return config[0] if isinstance(config[0], str) else "COMBO"


def slots_of(class_type: str) -> list[tuple[str, str, bool]]:
    """``(name, type, has a widget)``, sockets first, as the front-end saves them."""
    required, optional, _ = CLASSES[class_type]
    every = [(n, type_of(c), type_of(c) in WIDGETS) for n, c in {**required, **optional}.items()]
    return sorted(every, key=lambda slot: slot[2])


class Builder:
    """Builds one graph of a random workflow."""

    def __init__(self, rng: random.Random, defs: list[dict[str, Any]], start: int) -> None:
        self.rng = rng
        self.defs = defs
        self.nodes: list[dict[str, Any]] = []
        self.links: list[list[Any]] = []
        self.outputs: list[tuple[int, int, str]] = []
        self.inputs: list[dict[str, Any]] = []
        self.next = start

    def connect(self, origin: tuple[int, int], target: int, slot: int, type_: str) -> int:
        link_id = len(self.links) + 1
        self.links.append([link_id, *origin, target, slot, type_])
        return link_id

    def pick(self, type_: str) -> tuple[int, int] | None:
        fitting = [
            (node, slot)
            for node, slot, out in self.outputs
            if out == "*" or type_ == "*" or out in type_.split(",")
        ]
        return self.rng.choice(fitting) if fitting else None

    def add(
        self, type_: str, slots: list[tuple[str, str, bool]], outs: list[str]
    ) -> dict[str, Any]:
        node_id = self.next
        self.next += 1
        inputs = [
            {"name": n, "type": t, "link": None, **({"widget": {"name": n}} if w else {})}
            for n, t, w in slots
        ]
        node = {
            "id": node_id,
            "type": type_,
            "pos": [0, 0],
            "size": [10, 10],
            "flags": {},
            "order": 0,
            "mode": self.rng.choices([0, 2, 4], [8, 1, 2])[0],
            "inputs": inputs,
            "outputs": [{"name": o, "type": o, "links": []} for o in outs],
            "properties": {},
        }
        self.nodes.append(node)
        return node

    def fill(self, node: dict[str, Any], boundary: bool) -> None:
        """Link inputs of a node to earlier outputs, or to the graph's own inputs."""
        for slot, entry in enumerate(node["inputs"]):
            roll, has_widget = self.rng.random(), "widget" in entry
            if boundary and roll < 0.25:
                fitting = [i for i, b in enumerate(self.inputs) if b["type"] == entry["type"]]
                if fitting and self.rng.random() < 0.4:
                    place = self.rng.choice(fitting)
                else:
                    place = len(self.inputs)
                    name = f"{entry['name']}_{place}"
                    self.inputs.append({"name": name, "type": entry["type"], "linkIds": []})
                entry["link"] = self.connect((-10, place), node["id"], slot, entry["type"])
                self.inputs[place]["linkIds"].append(entry["link"])
            elif roll < (0.45 if has_widget else 0.9):
                origin = self.pick(entry["type"])
                if origin is not None:
                    if self.rng.random() < 0.2:
                        origin = self.reroute(origin)
                    entry["link"] = self.connect(origin, node["id"], slot, entry["type"])

    def reroute(self, origin: tuple[int, int]) -> tuple[int, int]:
        node = self.add("Reroute", [("", "*", False)], ["*"])
        node["mode"] = 0
        node["inputs"][0]["link"] = self.connect(origin, node["id"], 0, "*")
        return node["id"], 0

    def plain(self, boundary: bool) -> None:
        class_type = self.rng.choice(["Src", "Pass", "Pass", "Pass2", "Seeds", "Sink"])
        node = self.add(class_type, slots_of(class_type), CLASSES[class_type][2])
        number = self.rng.randint(1, 999)
        values = {
            "Pass": [number],
            "Seeds": [
                number,
                "fixed",
                number + 1,
                self.rng.choice("ab"),
                "fixed",
                "",
                f"t{number}",
            ],
            "Sink": [number],
        }
        if class_type in values:
            node["widgets_values"] = values[class_type]
        self.fill(node, boundary)
        self.offer(node, CLASSES[class_type][2])

    def offer(self, node: dict[str, Any], outs: list[str]) -> None:
        self.outputs += [(node["id"], slot, out) for slot, out in enumerate(outs)]

    def primitive(self) -> None:
        wanted = [
            (node, slot)
            for node in self.nodes
            for slot, entry in enumerate(node["inputs"])
            if node["type"] in CLASSES and entry["type"] == "INT" and entry["link"] is None
        ]
        if not wanted:
            return
        node = self.add("PrimitiveNode", [], ["INT"])
        node["mode"] = 0
        node["widgets_values"] = [self.rng.randint(1000, 1999), "fixed"]
        for target, slot in self.rng.sample(wanted, min(len(wanted), self.rng.randint(1, 2))):
            link = self.connect((node["id"], 0), target["id"], slot, "INT")
            target["inputs"][slot]["link"] = link

    def instance(self, boundary: bool) -> None:
        definition = self.rng.choice(self.defs)
        slots = [(b["name"], b["type"], b["type"] in WIDGETS) for b in definition["inputs"]]
        outs = [out["type"] for out in definition["outputs"]]
        node = self.add(definition["id"], slots, outs)
        self.fill(node, boundary)
        self.offer(node, outs)
        widgets = [b for b in definition["inputs"] if b["type"] in WIDGETS]
        values: list[Any] = [
            {"STRING": "h", "COMBO": "b"}.get(b["type"], self.rng.randint(2000, 2999))
            for b in widgets
        ]
        if self.rng.random() < 0.3:
            self.promote(node, definition)
        elif values and self.rng.random() < 0.7:
            node["widgets_values"] = values[: self.rng.randint(0, len(values))]

    def promote(self, node: dict[str, Any], definition: dict[str, Any]) -> None:
        """Promote inner widgets in the older way: pairs, and values in the order of the pairs."""
        pairs = [
            [str(inner["id"]), entry["name"]]
            for inner in definition["nodes"]
            for entry in inner["inputs"]
            if entry["type"] in {"INT", "STRING"} and "widget" in entry
        ]
        pairs += [["-1", b["name"]] for b in definition["inputs"] if b["type"] in WIDGETS]
        chosen = self.rng.sample(pairs, min(len(pairs), self.rng.randint(1, 3)))
        node["properties"]["proxyWidgets"] = chosen
        values = [3000 + self.rng.randint(0, 999) for _ in chosen]
        node["widgets_values"] = values[: self.rng.randint(0, len(values))]

    def save(self) -> None:
        for node in self.nodes:
            for slot, out in enumerate(node["outputs"]):
                out["links"] = [li[0] for li in self.links if li[1] == node["id"] and li[2] == slot]


def make_graph(rng: random.Random, defs: list[dict[str, Any]], start: int, inner: bool) -> Builder:
    graph = Builder(rng, defs, start)
    for _ in range(rng.randint(1, 7)):
        if defs and rng.random() < 0.35:
            graph.instance(inner)
        else:
            graph.plain(inner)
    if rng.random() < 0.5:
        graph.primitive()
    return graph


def random_workflow(rng: random.Random) -> dict[str, Any]:
    """A workflow as the front-end saves one; node ids are unique in the whole file."""
    defs: list[dict[str, Any]] = []
    for number in range(rng.randint(0, 3)):
        graph = make_graph(rng, list(defs), 100 * (number + 1), True)
        outputs = []
        for place, (node, slot, type_) in enumerate(
            rng.sample(graph.outputs, min(len(graph.outputs), rng.randint(1, 3)))
        ):
            link = graph.connect((node, slot), -20, place, type_)
            outputs.append({"id": f"o{place}", "name": type_, "type": type_, "linkIds": [link]})
        graph.save()
        keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot", "type")
        defs.append(
            {
                "id": f"{number:08x}-0000-4000-8000-000000000000",
                "version": 1,
                "state": {},
                "revision": 0,
                "config": {},
                "name": f"Sub {number}",
                "inputNode": {"id": -10, "bounding": [0, 0, 1, 1]},
                "outputNode": {"id": -20, "bounding": [0, 0, 1, 1]},
                "inputs": [{"id": f"i{k}", **b} for k, b in enumerate(graph.inputs)],
                "outputs": outputs,
                "widgets": [],
                "nodes": graph.nodes,
                "groups": [],
                "links": [dict(zip(keys, link, strict=True)) for link in graph.links],
                "extra": {},
            }
        )
    root = make_graph(rng, defs, 1, False)
    root.save()
    return {
        "last_node_id": 999,
        "last_link_id": 999,
        "nodes": root.nodes,
        "links": root.links,
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
        **({"definitions": {"subgraphs": defs}} if defs else {}),
    }


@pytest.fixture(scope="session")
def info() -> dict[str, Any]:
    """``/object_info`` of the classes that random workflows are made of."""
    return INFO


@pytest.fixture(scope="session")
def make_workflow() -> Callable[[random.Random], dict[str, Any]]:
    """Makes a random workflow."""
    return random_workflow
