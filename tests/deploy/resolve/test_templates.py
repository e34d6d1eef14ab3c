"""Every official template resolves, or says what it cannot; and ComfyUI-Manager's real lists."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfynb.deploy.catalogue import CORE, Catalogue, NodeEntry, repository
from comfynb.deploy.resolve import (
    Knowledge,
    Needs,
    Resolution,
    Status,
    core_classes_of,
    look_up,
    needs_of,
    resolve_needs,
)
from comfynb.store import open_store


@pytest.fixture(scope="module")
def all_needs(templates: dict[str, dict[str, Any]]) -> dict[str, Needs]:
    return {name: needs_of(workflow) for name, workflow in templates.items()}


def declared_models(workflow: dict[str, Any]) -> set[str]:
    """The model names in all metadata, wherever the file keeps them."""
    text = json.dumps(workflow)
    found: set[str] = set()

    def look(value: dict[str, Any]) -> dict[str, Any]:
        for model in value.get("models") or []:
            if isinstance(model, dict) and "name" in model:
                found.add(model["name"].rsplit("/", 1)[-1])
        return value

    json.loads(text, object_hook=look)
    return found


def test_nothing_that_a_template_declares_is_overlooked(
    templates: dict[str, dict[str, Any]], all_needs: dict[str, Needs]
) -> None:
    missing = {}
    for name, workflow in templates.items():
        needs = all_needs[name]
        found = {need.filename for need in (*needs.models, *needs.inactive_models)}
        used = json.dumps(_used(workflow))
        left = {one for one in declared_models(workflow) - found if f'"{one}"' in used}
        if left:
            missing[name] = left
    # What is left is declared by a node that has chosen another file since.
    for name, left in missing.items():
        chosen = {need.filename for need in all_needs[name].models}
        assert chosen, (name, left)
    assert sum(map(len, missing.values())) <= 3, missing


def _used(workflow: dict[str, Any]) -> list[Any]:
    graphs = {g["id"]: g for g in (workflow.get("definitions") or {}).get("subgraphs", [])}
    waiting, seen = [workflow["nodes"]], []
    while waiting:
        nodes = waiting.pop()
        seen.append([node.get("widgets_values") for node in nodes])
        waiting += [graphs.pop(n["type"])["nodes"] for n in nodes if n["type"] in graphs]
    return seen


def report(resolutions: dict[str, Resolution]) -> str:
    total: Counter[str] = Counter()
    for resolution in resolutions.values():
        total.update(resolution.counts())
    complete = sum(resolution.complete for resolution in resolutions.values())
    distinct = {
        (model.path, model.need.filename): model.status
        for resolution in resolutions.values()
        for model in resolution.models
    }
    counts = ", ".join(f"{total[key]} {key}" for key in sorted(total))
    return (
        f"{len(resolutions)} workflows, {complete} of them wholly resolved: {counts}; "
        f"{len(distinct)} distinct models"
    )


def every_item_is_settled_or_explained(resolution: Resolution) -> None:
    for item in resolution.items:
        if item.status is Status.RESOLVED:
            assert item.by
            assert not item.candidates
        elif item.status is Status.AMBIGUOUS:
            assert item.candidates
        else:
            assert not any(candidate.reason == "" for candidate in item.candidates)
    for model in resolution.models:
        assert (model.url is not None) == (model.status is Status.RESOLVED)
        assert model.path is None or model.path.startswith("models/")


async def test_every_template_resolves_or_says_what_it_cannot(
    all_needs: dict[str, Needs], catalogue: Catalogue, capsys: pytest.CaptureFixture[str]
) -> None:
    await catalogue.seed()
    knowledge = await look_up(catalogue, *all_needs.values())
    found = {name: resolve_needs(needs, knowledge) for name, needs in all_needs.items()}
    for resolution in found.values():
        every_item_is_settled_or_explained(resolution)
    with capsys.disabled():
        print(f"\nOwn catalogue: {report(found)}.")
    assert len(found) == len(all_needs) >= 600
    models = [model for resolution in found.values() for model in resolution.models]
    resolved = sum(model.status is Status.RESOLVED for model in models)
    # A template that names a file at one address has said where it comes from.
    sure = sum(len(need.urls) == 1 for needs in all_needs.values() for need in needs.models)
    assert resolved >= sure
    assert len(models) > 900
    # What official templates say about ComfyUI's own classes serves those that say nothing.
    core = core_classes_of(need for needs in all_needs.values() for need in needs.classes)
    taught = {n: resolve_needs(needs, knowledge, core=core) for n, needs in all_needs.items()}
    with capsys.disabled():
        print(f"The templates' word on core classes: {report(taught)}.")
    complete, better = (sum(one.complete for one in some.values()) for some in (found, taught))
    assert better > complete


def manager_entries(folder: Path) -> list[NodeEntry]:
    """Packs of ComfyUI-Manager's lists: just classes, ids, patterns and claims."""
    packs = {}
    for item in json.loads((folder / "custom-node-list.json").read_bytes())["custom_nodes"]:
        try:
            place = repository(item["reference"])
        except ValueError:
            continue
        packs[place.key] = NodeEntry(
            item["title"],
            place.url,
            (place.key,),
            name=item["title"],
            registryId=item.get("id"),
            preempts=item.get("preemptions"),
            nodenamePattern=item.get("nodename_pattern"),
        )
    for url, (classes, about) in json.loads(
        (folder / "extension-node-map.json").read_bytes()
    ).items():
        try:
            place = repository(url)
        except ValueError:
            continue
        entry = packs.setdefault(
            place.key,
            NodeEntry(
                about.get("title_aux", place.key),
                place.url,
                (place.key,),
                name=about.get("title_aux", place.key),
            ),
        )
        entry.nodeClasses = classes
        if place.key == "github.com/comfyanonymous/comfyui":
            entry.installType = CORE
    return list(packs.values())


@pytest.fixture(scope="module")
def manager(tmp_path_factory: pytest.TempPathFactory, manager_lists: Path) -> Iterator[Catalogue]:
    store = open_store(tmp_path_factory.mktemp("manager") / "lab.duckdb")
    catalogue = Catalogue(store)
    asyncio.run(catalogue.upsert_nodes(manager_entries(manager_lists), source="comfyui-manager"))
    yield catalogue
    store.close().result()


async def test_with_managers_lists_most_classes_of_templates_are_comfyuis_own(
    all_needs: dict[str, Needs], manager: Catalogue, capsys: pytest.CaptureFixture[str]
) -> None:
    knowledge: Knowledge = await look_up(manager, *all_needs.values())
    found = {name: resolve_needs(needs, knowledge) for name, needs in all_needs.items()}
    for resolution in found.values():
        every_item_is_settled_or_explained(resolution)
    with capsys.disabled():
        print(f"\nComfyUI-Manager's lists: {report(found)}.")
    classes = [item for resolution in found.values() for item in resolution.classes]
    core = sum(item.is_core for item in classes)
    assert core / len(classes) > 0.85


async def test_classes_of_managers_map_are_settled_as_the_rules_say(
    manager: Catalogue, manager_lists: Path
) -> None:
    owners: Counter[str] = Counter()
    core: set[str] = set()
    claimed: set[str] = set()
    for url, (classes, _) in json.loads(
        (manager_lists / "extension-node-map.json").read_bytes()
    ).items():
        try:
            key = repository(url).key
        except ValueError:
            continue
        if key == "github.com/comfyanonymous/comfyui":
            core.update(classes)
        owners.update(set(classes))
    for item in json.loads((manager_lists / "custom-node-list.json").read_bytes())["custom_nodes"]:
        claimed.update(item.get("preemptions") or ())
    prompt = {
        str(i): {"class_type": name, "inputs": {}}
        for i, name in enumerate(owners)
        if name.strip() and (i % 6 == 0 or name in core)
    }
    needs = needs_of(prompt)
    resolution = resolve_needs(needs, await look_up(manager, needs))
    for item in resolution.classes:
        name = item.need.class_type
        if name in core:
            assert item.is_core, name
        elif name not in claimed and owners[name] == 1:
            assert (item.status, item.by) == (Status.RESOLVED, "owner"), name
        elif name not in claimed:
            # Two lines of the map may be one repository in two spellings.
            assert item.status is Status.AMBIGUOUS or item.by == "owner", name
    assert resolution.counts()["classes ambiguous"] > 80
