"""ComfyUI's own templates: all models that they name, each once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from comfynb.deploy.catalogue import Catalogue, model_url
from comfynb.deploy.sync import SyncRunner, TemplateModels
from comfynb.models import CustomNode, Model, ModelType, ModelVersion, SyncStatus
from comfynb.store import Store

Rows = Callable[[Store], dict[str, list[Any]]]


def named(value: Any) -> list[dict[str, Any]]:
    """What a workflow names, found in the plainest way."""
    if isinstance(value, list):
        return [one for item in value for one in named(item)]
    if not isinstance(value, dict):
        return []
    properties = value.get("properties")
    found = [one for item in value.values() for one in named(item)]
    models = properties.get("models", []) if isinstance(properties, dict) else []
    return [*found, *(one for one in models if "url" in one)]  # a 3D scene has models, too


async def test_the_real_templates_give_all_their_models(
    runner: SyncRunner, store: Store, rows: Rows
) -> None:
    package = pytest.importorskip(
        "comfyui_workflow_templates_json",
        reason="comfyui-workflow-templates-json is not installed: its models are NOT TESTED",
    )
    folder = Path(package.__path__[0]) / "templates"
    wanted = [one for file in folder.glob("*.json") for one in named(json.loads(file.read_text()))]
    job = await runner.run(TemplateModels())
    assert (job.status, job.failedItems) == (SyncStatus.COMPLETED, 0)
    assert job.processedItems == len(wanted) > 1000
    files = {(model_url(one["url"]), one["name"]) for one in wanted}
    models = await store.find(Model)
    assert {(model.downloadUrl, model.filename) for model in models} == files
    assert job.results["counts"] == {"new": len(files), "merged": len(wanted) - len(files)}
    hashes = {one["hash"] for one in wanted if "hash" in one}
    assert {version.sha256 for version in await store.find(ModelVersion)} == hashes
    assert all(model.metadata["directory"] for model in models)
    # They are ComfyUI's own: their nodes say which classes are, and the catalogue knows them then.
    asked = await Catalogue(store).nodes_by_class("KSampler", "Note", "Reroute", "nobody's")
    assert [one.how for one in asked["KSampler"]] == ["core"]
    assert not any(asked[name] for name in ("Note", "Reroute", "nobody's"))
    before = rows(store)
    again = await runner.run(TemplateModels())
    assert again.results["counts"] == {"same": len(files), "merged": len(wanted) - len(files)}
    assert rows(store) == before


async def test_a_folder_of_workflows_with_every_kind_of_dirt(
    runner: SyncRunner, store: Store, tmp_path: Path
) -> None:
    url = "https://huggingface.co/o/r/resolve/main/a.safetensors"
    good = {"name": "a.safetensors", "url": url, "directory": "loras"}
    nodes = [
        {
            "id": 1,
            "type": "X",
            "properties": {"cnr_id": "comfy-core", "models": [good, {**good, "directory": "vae"}]},
        },
        {
            "id": 2,
            "type": "X",
            "properties": {
                "models": [
                    {**good, "url": url + "?download=true", "hash": "A" * 64},
                    {**good, "directory": "../../x"},
                    {**good, "name": "../x"},
                    {**good, "url": "file:///x"},
                    {"name": "x"},
                    "text",
                ]
            },
        },
        {"id": 3, "type": "X", "properties": {"models": "none"}},
    ]
    workflow = {
        "nodes": nodes,
        "definitions": {
            "subgraphs": [
                {
                    "nodes": [
                        {
                            "type": "Y",
                            "properties": {
                                "models": [
                                    {**good, "name": "inner.safetensors", "url": url + "/inner"}
                                ]
                            },
                        }
                    ]
                }
            ]
        },
        "models": [{**good, "name": "top.safetensors", "url": url + "/top"}],
    }
    (tmp_path / "one.json").write_text(json.dumps(workflow))
    (tmp_path / "two.json").write_text("{")
    (tmp_path / "three.json").write_text('{"models": [{"position": 1}], "nodes": 5}')
    job = await runner.run(TemplateModels(tmp_path))
    assert job.results["parts"] == {
        "models": {"new": 3, "merged": 2, "refused": 4},
        "files": {"refused": 1},
    }
    found = {model.filename: model for model in await store.find(Model)}
    assert await store.count(CustomNode) == 0, "anybody's workflows say nothing of ComfyUI"
    first = found["a.safetensors"]
    assert (first.type, first.metadata["directory"]) == (ModelType.LORA, "loras")
    assert first.metadata["directories"] == ["vae"]
    assert first.metadata["templates"] == ["one"]
    assert [one.sha256 for one in await store.find(ModelVersion)] == ["a" * 64]
    assert set(found) == {"a.safetensors", "inner.safetensors", "top.safetensors"}


async def test_no_folder_is_no_success(runner: SyncRunner, tmp_path: Path) -> None:
    job = await runner.run(TemplateModels(tmp_path / "nowhere"))
    assert job.status is SyncStatus.FAILED
    assert "no folder with workflows" in str(job.errorLog)
