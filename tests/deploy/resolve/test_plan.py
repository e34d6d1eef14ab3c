"""From a resolution to what a deployment is made of."""

from comfynb.deploy.catalogue import Catalogue, FileEntry, ModelEntry, NodeEntry
from comfynb.deploy.resolve import BackendFacts, plan_of, resolve
from comfynb.models import ModelType, Source

URL = "https://huggingface.co/a/b/resolve/main/{}"
WORKFLOW = {
    "1": {"class_type": "LoraLoader", "inputs": {"lora_name": "known.safetensors"}},
    "2": {"class_type": "Extra", "inputs": {}},
    "3": {"class_type": "Nobodys", "inputs": {}},
    "4": {"class_type": "VAELoader", "inputs": {"vae_name": "mystery.pt"}},
}


async def test_what_is_sure_is_planned_and_the_rest_is_said(catalogue: Catalogue) -> None:
    url = URL.format("known.safetensors")
    file = FileEntry("known.safetensors", url)
    await catalogue.upsert_models(
        [
            ModelEntry(
                "k", Source.HUGGINGFACE, "Known", ModelType.LORA, url, file.filename, files=(file,)
            )
        ]
    )
    await catalogue.upsert_nodes(
        [
            NodeEntry(
                "p",
                "https://github.com/p/p",
                ("github.com/p/p",),
                name="Pack",
                nodeClasses=["Extra", "LoraLoader", "VAELoader"],
            )
        ]
    )
    resolution = await resolve(WORKFLOW, catalogue)
    plan = plan_of(resolution)
    assert [(node.node.name, node.config) for node in plan.nodes] == [
        ("Pack", {"classes": ["Extra", "LoraLoader", "VAELoader"]})
    ]
    (model,) = plan.models
    assert (model.target_path, model.custom_name, model.entry) == ("models/loras", None, None)
    assert model.model_id is not None
    assert plan.open == (
        "Model 'mystery.pt' is unknown.",
        "Node class 'Nobodys' is unknown.",
    )
    has = BackendFacts("pc", {}, {"loras": ["known.safetensors"]})
    resolution = await resolve(WORKFLOW, catalogue, backends=[has])
    assert plan_of(resolution, but_on=["pc"]).models == ()


async def test_what_only_the_workflow_names_becomes_an_entry(catalogue: Catalogue) -> None:
    url = URL.format("new.safetensors")
    properties = {"models": [{"name": "new.safetensors", "url": url, "directory": "vae"}]}
    node = {
        "id": 1,
        "type": "VAELoader",
        "widgets_values": ["sub/new.safetensors"],
        "properties": properties,
    }
    resolution = await resolve({"nodes": [node], "links": []}, catalogue)
    (model,) = plan_of(resolution).models
    assert model.target_path == "models/vae/sub"
    assert model.entry is not None
    assert (model.entry.type, model.entry.directory) == (ModelType.VAE, "vae/sub")
    tally, _ = await catalogue.upsert_models([model.entry])
    assert tally.refused == 0
    again = await resolve({"nodes": [node], "links": []}, catalogue)
    assert again.models[0].by == "url"
