"""What a chosen server already has."""

from comfynb.comfy import ComfyClient
from comfynb.deploy.catalogue import Catalogue
from comfynb.deploy.resolve import BackendFacts, facts_of, resolve
from comfynb.sandbox import Sandbox

FILES = ["a.safetensors", "SDXL\\b.safetensors"]
INFO = {
    "CheckpointLoaderSimple": {
        "input": {"required": {"ckpt_name": [FILES]}},
        "output": [],
        "python_module": "nodes",
    },
    "Mine": {"input": {}, "output": [], "python_module": "custom_nodes.mine"},
}


def prompt(name: str) -> dict[str, object]:
    return {
        "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": name}},
        "2": {"class_type": "Mine", "inputs": {}},
    }


async def test_a_servers_own_classes_and_files_are_seen(catalogue: Catalogue) -> None:
    backend = BackendFacts("pc1", INFO, version="0.3.64")
    found = await resolve(prompt("SDXL/b.safetensors"), catalogue, backends=[backend])
    loader, mine = found.classes
    assert loader.is_core
    assert loader.on == mine.on == ("pc1",)
    assert mine.status == "unknown"
    (model,) = found.models
    assert (model.on, model.status) == (("pc1",), "unknown")
    assert found.missing("pc1") == ()
    assert found.comfyui == "0.3.64"


async def test_what_it_lacks_is_missing(catalogue: Catalogue) -> None:
    backends = [
        BackendFacts("pc1", INFO),
        BackendFacts("pc2", {}, {"checkpoints": ["c.safetensors"]}),
    ]
    found = await resolve(prompt("c.safetensors"), catalogue, backends=backends)
    assert found.models[0].on == ("pc2",)
    assert found.missing("pc1") == found.models
    assert len(found.missing("pc2")) == 2


async def test_a_live_server_is_asked(catalogue: Catalogue) -> None:
    with Sandbox(speed=5.0) as sandbox:
        async with ComfyClient(sandbox.url) as client:
            facts = await facts_of(client, name="box")
    assert "EmptyImage" in facts.core_classes()
    assert facts.version
    needs = {"1": {"class_type": "EmptyImage", "inputs": {}}}
    found = await resolve(needs, catalogue, backends=[facts])
    assert found.classes[0].is_core
    assert found.missing("box") == ()
    assert found.comfyui == facts.version
