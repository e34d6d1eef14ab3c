"""The small catalogue that ships with comfynb: a start where nothing was synced yet."""

import json
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from comfynb.deploy.catalogue.entries import ModelEntry, NodeEntry
from comfynb.deploy.catalogue.urls import model_url, repository
from comfynb.models import ModelType, Source

__all__ = ["own_entries"]


def own_entries() -> tuple[list[NodeEntry], list[ModelEntry]]:
    """Return the packs and models of ``seed.json``."""
    file = resources.files("comfynb.deploy.catalogue").joinpath("seed.json")
    data: dict[str, list[dict[str, Any]]] = json.loads(file.read_text("utf-8"))
    nodes = []
    for fields in data["nodes"]:
        place = repository(fields.pop("url"))
        nodes.append(NodeEntry(label=fields["name"], url=place.url, keys=(place.key,), **fields))
    models = []
    for fields in data["models"]:
        url = model_url(fields.pop("downloadUrl"))
        models.append(
            ModelEntry(
                label=fields["name"],
                source=Source(fields.pop("source")),
                type=ModelType(fields.pop("type")),
                downloadUrl=url,
                filename=urlsplit(url).path.rpartition("/")[2],
                sourceUrl=f"https://huggingface.co/{fields['sourceId']}",
                **fields,
            )
        )
    return nodes, models
