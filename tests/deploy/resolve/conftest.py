"""What resolving is tested against: a real catalogue, and the official templates."""

import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfynb.comfy.object_info import ObjectInfo
from comfynb.deploy.catalogue import Catalogue, NodeEntry
from comfynb.store import Store, open_store

SHARED = Path(os.environ.get("COMFYNB_SHARED", Path(__file__).parents[4] / "shared"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    store = open_store(tmp_path_factory.mktemp("store") / "lab.duckdb")
    yield store
    store.close().result()


@pytest.fixture(scope="module")
def catalogue(store: Store) -> Catalogue:
    """One for each module: resolving only asks."""
    return Catalogue(store)


@pytest.fixture(scope="session")
def templates() -> dict[str, dict[str, Any]]:
    """The official templates by name."""
    spec = importlib.util.find_spec("comfyui_workflow_templates_json")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("comfyui-workflow-templates-json is not installed")
    found = {}
    for path in sorted(Path(spec.submodule_search_locations[0]).rglob("*.json")):
        data = json.loads(path.read_bytes())
        if isinstance(data, dict) and isinstance(data.get("nodes"), list):
            found[path.stem] = data
    assert found
    return found


@pytest.fixture(scope="session")
def manager_lists() -> Path:
    """The folder of ComfyUI-Manager's real lists."""
    folder = SHARED / "catalogue" / "comfyui-manager-4.3"
    if not folder.is_dir():
        pytest.skip(f"ComfyUI-Manager's lists are not at {folder}")
    return folder


@pytest.fixture(scope="session")
def conversions() -> list[tuple[str, ObjectInfo, dict[str, Any]]]:
    """Official templates beside the prompts that the front-end made of them."""
    folder = SHARED / "comfyui" / "conversion"
    found: list[tuple[str, ObjectInfo, dict[str, Any]]] = []
    for one in sorted(folder.glob("*/object_info.json")):
        info = ObjectInfo(json.loads(one.read_bytes()))
        cases = (path for path in sorted(one.parent.glob("*.json")) if path != one)
        found += [(path.stem, info, json.loads(path.read_bytes())) for path in cases]
    if not found:
        pytest.skip(f"no conversions in {folder}")
    return found


def pack(name: str, **fields: Any) -> NodeEntry:
    """A pack at github.com/NAME/NAME, unless ``url`` says otherwise."""
    url = fields.pop("url", f"https://github.com/{name}/{name}")
    key = url.removeprefix("https://").lower()
    return NodeEntry(label=name, url=url, keys=(key,), name=name, **fields)


@pytest.fixture(scope="session")
def make_pack() -> Any:
    return pack
