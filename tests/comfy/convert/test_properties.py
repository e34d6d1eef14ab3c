"""What holds for every workflow: nothing invented, nothing alive lost, nothing raised."""

import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfynb.comfy.convert import convert, is_api_prompt, to_api_prompt
from comfynb.comfy.graph import links_of
from comfynb.comfy.object_info import ObjectInfo
from comfynb.errors import NotAWorkflow, WorkflowError

Make = Callable[[random.Random], dict[str, Any]]
VIRTUAL = {"Reroute", "PrimitiveNode"}
seeds = st.integers(0, 2**32)


def definitions(workflow: dict[str, Any]) -> dict[str, Any]:
    return {d["id"]: d for d in workflow.get("definitions", {}).get("subgraphs", [])}


def alive(workflow: dict[str, Any]) -> Iterator[str]:
    """Ids of nodes that run: neither they nor instances around them are muted or bypassed."""
    defs = definitions(workflow)

    def inside(graph: dict[str, Any], prefix: str) -> Iterator[str]:
        for node in graph["nodes"]:
            if node["mode"] in {2, 4} or node["type"] in VIRTUAL:
                continue
            if node["type"] in defs:
                yield from inside(defs[node["type"]], f"{prefix}{node['id']}:")
            else:
                yield f"{prefix}{node['id']}"

    yield from inside(workflow, "")


class Flow:
    """Every way that data could take, written down without the rules of the conversion.

    Points are ``(path, node id, "in" or "out", slot)``. A bypassed node lets any input through to
    any output, which is more than the conversion may use; each link it makes must be a way here.
    """

    def __init__(self, workflow: dict[str, Any]) -> None:
        self.defs = definitions(workflow)
        self.sources: dict[Any, set[Any]] = {}
        self.names: dict[tuple[str, int], list[str]] = {}
        self.walk(workflow, "", None)

    def edge(self, target: Any, source: Any) -> None:
        self.sources.setdefault(target, set()).add(source)

    def walk(self, graph: dict[str, Any], path: str, host: int | None) -> None:
        outer = path[: -len(f"{host}:")] if host is not None else ""
        for link in graph["links"]:
            if isinstance(link, dict):
                origin, out = link["origin_id"], link["origin_slot"]
                target, place = link["target_id"], link["target_slot"]
            else:
                _, origin, out, target, place, _ = link
            end = (path, target, "in", place) if target != -20 else (outer, host, "out", place)
            begin = (path, origin, "out", out) if origin != -10 else (outer, host, "in", out)
            self.edge(end, begin)
        for node in graph["nodes"]:
            self.names[path, node["id"]] = [slot["name"] for slot in node["inputs"]]
            passes = node["mode"] == 4 or node["type"] == "Reroute"
            if passes:
                for out in range(len(node["outputs"])):
                    for place in range(len(node["inputs"])):
                        self.edge((path, node["id"], "out", out), (path, node["id"], "in", place))
            if node["type"] in self.defs:
                self.walk(self.defs[node["type"]], f"{path}{node['id']}:", node["id"])

    def explains(self, target: str, name: str, source: str, slot: int) -> bool:
        """Whether data could flow from an output to an input."""
        path, node_id = self.split(target)
        start = (path, node_id, "in", self.names[path, node_id].index(name))
        source_path, source_id = self.split(source)
        goal = (source_path, source_id, "out", slot)
        seen, waiting = set(), [start]
        while waiting:
            point = waiting.pop()
            if point == goal:
                return True
            if point not in seen:
                seen.add(point)
                waiting.extend(self.sources.get(point, ()))
        return False

    @staticmethod
    def split(node_id: str) -> tuple[str, int]:
        path, separator, last = node_id.rpartition(":")
        return path + separator, int(last)


def test_random_workflows_hold_what_the_rules_are_about(make_workflow: Make) -> None:
    seen: Counter[str] = Counter()
    for seed in range(150):
        workflow = make_workflow(random.Random(seed))
        defs = definitions(workflow)
        inner = [node for graph in defs.values() for node in graph["nodes"]]
        kinds = {
            "subgraph": any(node["type"] in defs for node in workflow["nodes"]),
            "subgraph in a subgraph": any(node["type"] in defs for node in inner),
        }
        for node in (*workflow["nodes"], *inner):
            kinds["bypassed"] = kinds.get("bypassed", False) or node["mode"] == 4
            kinds["muted"] = kinds.get("muted", False) or node["mode"] == 2
            kinds["bypassed subgraph"] = kinds.get("bypassed subgraph", False) or (
                node["mode"] == 4 and node["type"] in defs
            )
            for name in VIRTUAL:
                kinds[name] = kinds.get(name, False) or node["type"] == name
        seen.update(name for name, there in kinds.items() if there)
    assert len(seen) == 7
    assert min(seen.values()) > 30, seen


@settings(max_examples=150)
@given(seeds)
def test_no_link_is_invented(make_workflow: Make, info: dict[str, Any], seed: int) -> None:
    workflow = make_workflow(random.Random(seed))
    prompt = to_api_prompt(workflow, info)
    flow = Flow(workflow)
    for node_id, node in prompt.items():
        for name, source, slot in links_of(node):
            assert source in prompt
            assert 0 <= slot < len(info[prompt[source]["class_type"]]["output"])
            assert flow.explains(node_id, name, source, slot), (node_id, name, source, slot)


@settings(max_examples=150)
@given(seeds)
def test_nothing_alive_is_dropped(make_workflow: Make, info: dict[str, Any], seed: int) -> None:
    workflow = make_workflow(random.Random(seed))
    conversion = convert(workflow, info)
    expected = set(alive(workflow))
    assert expected <= set(conversion.prompt)
    # What is sent beyond that lies in a muted or bypassed instance that is not at the root.
    for node_id in set(conversion.prompt) - expected:
        assert ":" in node_id
    for node in conversion.prompt.values():
        assert node["class_type"] in info
        required = info[node["class_type"]]["input"]["required"]
        widgets = {n for n, c in required.items() if c[0] in ("INT", "STRING")}
        assert widgets <= set(node["inputs"])


@given(seeds)
def test_conversion_is_idempotent_and_deterministic(
    make_workflow: Make, info: dict[str, Any], seed: int
) -> None:
    workflow = make_workflow(random.Random(seed))
    before = json.dumps(workflow)
    prompt = to_api_prompt(workflow, info)
    assert json.dumps(workflow) == before
    assert json.loads(json.dumps(prompt)) == prompt
    assert to_api_prompt(workflow, ObjectInfo(info)) == prompt
    assert list(to_api_prompt(workflow, info)) == list(prompt)
    if prompt:
        again = convert(prompt, info)
        assert again.prompt == prompt
        assert again.prompt is not prompt
        assert len(again.report) == 0


@given(seeds)
def test_remarks_name_nodes_by_title_and_path(
    make_workflow: Make, info: dict[str, Any], seed: int
) -> None:
    workflow = make_workflow(random.Random(seed))
    conversion = convert(workflow, info)
    for remark in conversion.report:
        assert len(remark.path) == remark.node_id.count(":")
        assert remark.title
        assert str(remark)
    quiet = {remark.node_id for remark in conversion.report.of("muted", "bypassed")}
    assert not quiet & set(conversion.prompt)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(JSON)
def test_any_value_is_a_workflow_or_one_error(info: dict[str, Any], value: Any) -> None:
    if is_api_prompt(value):
        assert convert(value, info).prompt == value
    else:
        with pytest.raises(NotAWorkflow, match="not a ComfyUI workflow"):
            convert(value, info)


KEYS = st.sampled_from(
    [
        "nodes",
        "links",
        "definitions",
        "subgraphs",
        "id",
        "type",
        "mode",
        "inputs",
        "outputs",
        "name",
        "link",
        "widget",
        "widgets_values",
        "origin_id",
        "target_id",
        "origin_slot",
        "target_slot",
        "linkIds",
        "properties",
        "proxyWidgets",
        "extra",
        "groupNodes",
        "external",
        "config",
        "title",
        "class_type",
        "-10",
        "-20",
        "0",
        "1",
    ]
)
SCALARS = st.sampled_from(
    [
        None,
        True,
        0,
        1,
        -10,
        -20,
        2,
        4,
        1.5,
        float("nan"),
        "",
        "1",
        "a",
        "Pass",
        "Sink",
        "workflow>a",
        "PrimitiveNode",
        "Reroute",
        "GetNode",
    ]
)
NONSENSE = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(KEYS, inner, max_size=6),
    max_leaves=40,
)


@settings(max_examples=300)
@given(st.lists(NONSENSE, max_size=5), st.dictionaries(KEYS, NONSENSE, max_size=6))
def test_nonsense_in_a_workflow_never_raises(
    info: dict[str, Any], nodes: list[Any], rest: dict[str, Any]
) -> None:
    conversion = convert({**rest, "nodes": nodes}, info)
    for node in conversion.prompt.values():
        assert set(node) == {"inputs", "class_type", "_meta"}


@settings(max_examples=150)
@given(seeds, st.data())
def test_a_damaged_workflow_never_raises(
    make_workflow: Make, info: dict[str, Any], seed: int, data: st.DataObject
) -> None:
    workflow = make_workflow(random.Random(seed))
    for _ in range(data.draw(st.integers(1, 4))):
        place: Any = workflow
        while isinstance(place, dict | list) and place:
            keys = sorted(place) if isinstance(place, dict) else list(range(len(place)))
            key = data.draw(st.sampled_from(keys))
            if not isinstance(place[key], dict | list) or data.draw(st.integers(0, 9)) == 0:
                place[key] = data.draw(NONSENSE)
                break
            place = place[key]
    if isinstance(workflow.get("nodes"), list):
        convert(workflow, info)


def test_subgraphs_that_contain_themselves_end() -> None:
    def instance(of: str) -> dict[str, Any]:
        return {"id": 1, "type": of, "inputs": [], "outputs": []}

    subgraphs = [
        {"id": "a", "name": "A", "nodes": [instance("b")], "links": []},
        {"id": "b", "name": "B", "nodes": [instance("a")], "links": []},
    ]
    workflow = {"nodes": [instance("a")], "links": [], "definitions": {"subgraphs": subgraphs}}
    conversion = convert(workflow, {})
    assert conversion.prompt == {}
    assert "contains itself" in str(conversion.report)


def test_subgraphs_that_expand_without_measure_are_refused() -> None:
    def instances(of: str) -> list[dict[str, Any]]:
        return [{"id": n, "type": of, "inputs": [], "outputs": []} for n in range(10)]

    subgraphs = [{"id": "s0", "nodes": [{"id": 1, "type": "Src"}], "links": []}]
    subgraphs += [
        {"id": f"s{n}", "nodes": instances(f"s{n - 1}"), "links": []} for n in range(1, 30)
    ]
    workflow = {"nodes": instances("s29"), "links": [], "definitions": {"subgraphs": subgraphs}}
    with pytest.raises(WorkflowError, match="expand to more than"):
        convert(workflow, {})


def test_a_ring_of_bypassed_nodes_ends(info: dict[str, Any]) -> None:
    def node(node_id: int, mode: int, link: int) -> dict[str, Any]:
        inputs = [{"name": "image", "type": "IMAGE", "link": link}]
        return {"id": node_id, "type": "Pass", "mode": mode, "inputs": inputs, "outputs": []}

    workflow = {
        "nodes": [node(1, 4, 2), node(2, 4, 1), node(3, 0, 3)],
        "links": [[1, 1, 0, 2, 0, "IMAGE"], [2, 2, 0, 1, 0, "IMAGE"], [3, 1, 0, 3, 0, "IMAGE"]],
    }
    assert "image" not in to_api_prompt(workflow, info)["3"]["inputs"]


def test_deep_chains_of_reroutes_are_followed(info: dict[str, Any]) -> None:
    count = 3000
    nodes: list[dict[str, Any]] = [{"id": 0, "type": "Src", "inputs": [], "outputs": []}]
    nodes += [
        {"id": n, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": n}]}
        for n in range(1, count)
    ]
    nodes.append(
        {
            "id": count,
            "type": "Sink",
            "inputs": [{"name": "images", "type": "IMAGE", "link": count}],
        }
    )
    links = [[n, n - 1, 0, n, 0, "*"] for n in range(1, count + 1)]
    prompt = to_api_prompt({"nodes": nodes, "links": links}, info)
    assert prompt[str(count)]["inputs"]["images"] == ["0", 0]
