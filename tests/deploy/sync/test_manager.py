"""ComfyUI-Manager's lists: the real ones, and every kind of dirt in small."""

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from comfynb.deploy.catalogue import CORE, Catalogue
from comfynb.deploy.catalogue.urls import repository
from comfynb.deploy.sync import ManagerLists, SyncRunner
from comfynb.errors import UsageError
from comfynb.models import CustomNode, Model, ModelType, SyncJob, SyncStatus
from comfynb.store import Store

Rows = Callable[[Store], dict[str, list[Any]]]
Lists = Callable[..., Path]


def listed(url: str = "https://github.com/ada/pack", **fields: Any) -> dict[str, Any]:
    return {
        "title": url.rpartition("/")[2],
        "author": "Ada",
        "reference": url,
        "files": [url],
        "install_type": "git-clone",
        "description": "d",
        **fields,
    }


def model(name: str = "a.safetensors", **fields: Any) -> dict[str, Any]:
    return {
        "name": name,
        "type": "checkpoint",
        "base": "SDXL",
        "save_path": "default",
        "description": "d",
        "reference": "https://huggingface.co/o/r",
        "filename": name,
        "url": f"https://huggingface.co/o/r/resolve/main/{name}",
        "size": "4.71MB",
        **fields,
    }


def notes(job: SyncJob, outcome: str) -> dict[str, str]:
    return {
        note["entry"]: note["reason"]
        for note in job.results["entries"]
        if note["outcome"] == outcome
    }


async def test_the_real_lists_are_accounted_for_to_the_last_entry(
    runner: SyncRunner, store: Store, manager: Path, rows: Rows
) -> None:
    files = {
        "custom-node-list.json": "custom_nodes",
        "extension-node-map.json": None,
        "github-stats.json": None,
        "alter-list.json": "items",
        "model-list.json": "models",
    }
    entries = {}
    raw = {}
    for name, key in files.items():
        data = json.loads((manager / name).read_text())
        raw[name] = data if key is None else data[key]
        entries[name] = len(raw[name])
    job = await runner.run(ManagerLists(manager))
    assert job.status is SyncStatus.COMPLETED
    assert job.totalItems == job.processedItems == sum(entries.values())
    assert job.successItems + job.failedItems == job.processedItems
    parts = job.results["parts"]
    assert {name: sum(counts.values()) for name, counts in parts.items()} == entries
    # What is in the store is what was counted, and every refusal has its reason.
    nodes = await store.find(CustomNode)
    new = sum(counts.get("new", 0) for counts in parts.values())
    assert len(nodes) + await store.count(Model) == new
    refused = [one for one in job.results["entries"] if one["outcome"] == "refused"]
    assert len(refused) == job.failedItems == job.results["counts"]["refused"]
    assert all(one["reason"] for one in refused)
    assert job.results["entries_left_out"] == 0
    # Looked at the other way round: each repository of the raw list is one row.
    places = Counter(
        repository(item["files"][0]).key
        for item in raw["custom-node-list.json"]
        if item["install_type"].lower().startswith("git")
    )
    known = {repository(node.githubUrl).key: node for node in nodes}
    assert set(places) <= set(known)
    assert len(known) == len(nodes)
    core = [node for node in nodes if node.installType == CORE]
    assert [len(node.nodeClasses) > 500 for node in core] == [True]
    claimed = {name for node in nodes for name in node.nodeClasses}
    mapped = raw["extension-node-map.json"]
    lost = {one["entry"] for one in refused if one["part"] == "extension-node-map.json"}
    wanted = {name for url, item in mapped.items() if url not in lost for name in item[0]}
    assert claimed == wanted
    before = rows(store)
    again = await runner.run(ManagerLists(manager))
    assert set(again.results["counts"]) == {"same", "merged", "refused"}
    assert again.processedItems == job.processedItems
    assert again.failedItems == job.failedItems
    assert rows(store) == before


async def test_every_kind_of_dirt_has_its_end(
    runner: SyncRunner, store: Store, lists: Lists, rows: Rows
) -> None:
    raw = "https://raw.githubusercontent.com/ada/copy/main/n.py"
    place = lists(
        nodes=[
            listed(),
            listed("https://GitHub.com/Ada/PACK.git/", title="Second", tags=["t"]),
            listed("https://github.com/ada/git", install_type="git"),
            listed("https://github.com/ada/upper", install_type="Git-Clone"),
            listed("htps://github.com/ada/typo"),
            listed("https://github.fcom/x", files=["https://github.com/ada/fcom"]),
            listed("https://github.com/ada/copy", files=[raw], install_type="copy"),
            listed(
                "https://civitai.com/models/5/x",
                files=["https://civitai.com/api/download/models/6"],
                install_type="unzip",
            ),
            listed("https://github.com/ada/id", id="../../x", nodename_pattern="\ud800\n"),
            listed("https://github.com/ada/two", title="a\x00b\n\u202ec", author=7, pip="numpy"),
            # Nothing can be made of these.
            "text",
            None,
            {},
            listed("https://github.com/ada"),
            listed("https://github.com/ada/no", install_type="svn"),
            listed("https://github.com/ada/nofiles", files=[], install_type="copy"),
            listed("https://github.com/ada/http", files=["http://x.org/n.py"], install_type="copy"),
        ],
        classes={
            "https://github.com/ada/pack": [["A", "A", "", 3, "x\x00y"], {}],
            "https://github.com/ADA/pack.git": [["B"], {"nodename_pattern": "^B"}],
            raw: [["C"], {"preemptions": ["C"]}],
            "https://github.com/comfyanonymous/ComfyUI": [["KSampler"], {}],
            "https://github.com/nobody/nothing": [["D"], {}],
            "nonsense": [["E"], {}],
            "https://github.com/ada/git": {"not": "a list"},
            "https://github.com/ada/id": [],
        },
        stats={
            "https://github.com/ada/pack": {
                "stars": 3,
                "last_update": "2025-01-02 03:04:05",
                "author_account_age_days": 9,
            },
            "htps://github.com/ada/pack": {"stars": 99},
            "https://github.com/ada/git": {"stars": "many"},
            "https://github.com/ada/id": {"stars": -1},
            "https://github.com/ada/two": {"last_update": "long ago"},
            "https://github.com/nobody/nothing": {"stars": 1},
            "https://github.com/ada/upper": [],
        },
        alter=[
            {"id": "https://github.com/ada/pack", "tags": "one, two,,one"},
            {"id": "https://github.com/nobody/nothing", "tags": "x"},
            {"tags": "x"},
            5,
        ],
    )
    job = await runner.run(ManagerLists(place))
    assert job.status is SyncStatus.COMPLETED
    assert job.processedItems == job.totalItems == 17 + 8 + 7 + 4 + 1
    assert job.results["parts"] == {
        "custom-node-list.json": {"new": 9, "merged": 1, "refused": 7},
        "extension-node-map.json": {"new": 1, "merged": 3, "refused": 4},
        "github-stats.json": {"merged": 2, "refused": 5},
        "alter-list.json": {"merged": 1, "refused": 3},
        "model-list.json": {"refused": 1},
    }
    refused = notes(job, "refused")
    assert refused["model-list.json"] == "the file is not there"
    assert refused["no"] == "its install type 'svn' is not known"
    assert refused["ada"] == "its URL names no repository at github.com"
    assert refused["https://github.com/nobody/nothing"] == "no listed pack has this URL"
    assert "the same repository as 'pack'" in notes(job, "merged")["Second"]
    nodes = {node.githubUrl: node for node in await store.find(CustomNode)}
    pack = nodes["https://github.com/ada/pack"]
    assert pack.nodeClasses == ["A", "B"]
    assert sorted(pack.tags) == ["one", "t", "two"]
    known = (await Catalogue(store).nodes_by_url(pack.githubUrl))[pack.githubUrl]
    assert known is not None
    assert known.facts is not None
    assert (known.facts.stars, known.facts.authorAgeDays) == (3, 9)
    assert known.facts.nodenamePattern == "^B"
    two = nodes["https://github.com/ada/two"]
    assert (two.name, two.author, two.pipRequirements) == ("a b c", None, ["numpy"])
    assert nodes["https://github.com/ada/copy"].nodeClasses == ["C"]
    assert nodes["https://github.com/ada/copy"].installType == "copy"
    assert "https://github.com/ada/typo" in nodes
    assert "https://github.com/ada/fcom" in nodes or "https://github.fcom/x" in nodes
    before = rows(store)
    again = await runner.run(ManagerLists(place))
    assert set(again.results["counts"]) == {"same", "merged", "refused"}
    assert rows(store) == before


async def test_models_of_every_kind_of_dirt(runner: SyncRunner, store: Store, lists: Lists) -> None:
    civitai = "https://civitai.com/api/download/models"
    place = lists(
        models=[
            model(),
            model(
                save_path="checkpoints/SDXL",
                name="same file, elsewhere",
                filename="a.safetensors",
                url="https://huggingface.co/o/r/blob/main/a.safetensors?download=true",
            ),
            model("b.pth", type="upscale"),
            model(
                "c.pt",
                url=f"{civitai}/60938",
                type="embedding",
                reference="https://civitai.com/models/56519/x",
            ),
            model("d.pt", url=f"{civitai}/60939", reference="https://civitai.com/models/56519/x"),
            model("e.bin", type="New Kind", save_path="text_encoders\\t5"),
            model("f.pth", url="https://github.com/o/r/releases/download/v1/f.pth", filename=""),
            # Nothing can be made of these.
            model(filename="<huggingface>", url="o/r"),
            model("g", save_path="../../etc"),
            model("h", save_path="custom_nodes/x"),
            model("i", filename="../i.bin"),
            model("j", url="file:///etc/passwd"),
            model("k", url=None),
            [],
        ]
    )
    job = await runner.run(ManagerLists(place))
    assert job.results["parts"]["model-list.json"] == {"new": 5, "merged": 2, "refused": 7}
    found = {one.filename: one for one in await store.find(Model)}
    first = found["a.safetensors"]
    assert first.metadata["directory"] == "checkpoints"
    assert first.metadata["directories"] == ["checkpoints/SDXL"]
    assert (first.sourceId, first.fileSize, first.metadata["file_size"]) == ("o/r", None, "4.71MB")
    assert found["b.pth"].type is ModelType.UPSCALER
    assert found["c.pt"].sourceId == "56519"
    assert found["e.bin"].metadata["directory"] == "text_encoders/t5"
    assert found["f.pth"].sourceId == "o/r"
    known = await Catalogue(store).models_by_filename("c.pt", "d.pt")
    assert known["c.pt"] == known["d.pt"]
    assert {one.revision for one in known["c.pt"][0].versions} == {"60938", "60939"}
    reasons = notes(job, "refused")
    assert "custom_nodes" in reasons["h"]
    assert "whole repository" in reasons["a.safetensors"]


async def test_what_left_the_list_is_retired_and_said(
    runner: SyncRunner, store: Store, lists: Lists
) -> None:
    urls = [f"https://github.com/ada/p{number}" for number in range(4)]
    await runner.run(ManagerLists(lists(nodes=[listed(url) for url in urls])))
    job = await runner.run(ManagerLists(lists(nodes=[listed(url) for url in urls[1:]])))
    assert notes(job, "note") == {"p0": "the list has it no more"}
    active = {node.name: node.isActive for node in await store.find(CustomNode)}
    assert active == {"p0": False, "p1": True, "p2": True, "p3": True}


async def test_lists_come_from_a_url_with_a_channel(
    runner: SyncRunner, service: Any, store: Store, fault: Any, clock: Any
) -> None:
    nodes = {"custom_nodes": [listed()]}
    service.say("/m/node_db/dev/custom-node-list.json", nodes)
    service.faults += [fault.cut, fault.status(500), fault.status(429, Retry_After="9")]
    job = await runner.run(ManagerLists(f"{service.base}/m/", channel="dev"))
    assert (job.status, job.processedItems) == (SyncStatus.COMPLETED, 5)
    assert clock.waits == [1, 2, 9]
    known = await Catalogue(store).nodes_by_url("ada/pack")
    assert known["ada/pack"] is not None
    assert known["ada/pack"].facts is not None
    assert known["ada/pack"].facts.channel == "dev"
    with pytest.raises(UsageError, match="default, recent"):
        ManagerLists(channel="other")


@pytest.mark.parametrize("body", ["<html>", "[]", '{"custom_nodes": {}}', "{}"])
async def test_what_is_no_list_fails_the_sync_and_writes_nothing(
    runner: SyncRunner, lists: Lists, store: Store, body: str
) -> None:
    place = lists(nodes=[])
    (place / "custom-node-list.json").write_text(body)
    job = await runner.run(ManagerLists(place))
    assert job.status is SyncStatus.FAILED
    assert "custom-node-list.json" in str(job.errorLog)
    assert await store.count(CustomNode) == 0
    empty = await runner.run(ManagerLists(place / "nowhere"))
    assert "give the address or the folder" in str(empty.errorLog)
