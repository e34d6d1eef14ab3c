"""The targets that are data: a compose file's services, and a snapshot of ComfyUI-Manager."""

import re
import unicodedata
from typing import Any

from comfynb.deploy.scripts.checks import TOKEN_NAMES, clean_url
from comfynb.deploy.scripts.contents import Contents, File
from comfynb.deploy.scripts.quoting import Interpolated
from comfynb.models.lock import Lock

__all__ = ["baked", "compose_document", "image_name", "snapshot_document"]

MODELS = "/models"
"""Where a compose file's volume for models is."""


def image_name(name: str) -> str:
    """A name for the image: what an image may be called, and as much of the deployment's name."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    words = re.findall(r"[a-z0-9]+", plain)
    return "-".join(["comfyui", *words])[:100].strip("-")


def compose_document(contents: Contents, workspace: str) -> dict[str, Any]:
    """The services, volumes and secrets; every text is literal but those that are Interpolated."""
    tokens = [TOKEN_NAMES[service] for service in contents.services]
    variables = dict(pair.split("=", 1) for pair in contents.environment)
    service: dict[str, Any] = {
        "build": {"context": "."},
        "image": image_name(contents.name),
        "init": True,
        "restart": "unless-stopped",
        "ports": [Interpolated("${COMFYUI_BIND:-127.0.0.1}:${COMFYUI_PORT:-8188}:8188")],
        "volumes": [
            {"type": "volume", "source": "models", "target": MODELS},
            *(
                {"type": "volume", "source": name, "target": f"{workspace}/ComfyUI/{name}"}
                for name in ("input", "output", "user")
            ),
        ],
        "healthcheck": {
            "test": [
                "CMD",
                "curl",
                "--fail",
                "--silent",
                "--output",
                "/dev/null",
                "http://127.0.0.1:8188/system_stats",
            ],
            "interval": "30s",
            "timeout": "10s",
            # The first start fetches the models.
            "start_period": "3600s" if contents.models else "120s",
        },
    }
    settings: dict[str, Any] = {"COMFYNB_MODELS": MODELS, "COMFYNB_STATE": f"{MODELS}/.comfynb"}
    # A token is a secret to compose; any other variable without a value is the caller's.
    outside = {
        name: Interpolated(f"${{{name}:-}}") for name in contents.from_outside if name not in tokens
    }
    service["environment"] = {**settings, **variables, **outside}
    if contents.python[1]:
        service["deploy"] = {
            "resources": {
                "reservations": {
                    "devices": [{"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}]
                }
            }
        }
    document: dict[str, Any] = {
        "services": {"comfyui": service},
        "volumes": {name: {} for name in ("models", "input", "output", "user")},
    }
    if tokens:
        names = [name.lower() for name in tokens]
        service["secrets"] = list(names)
        document["secrets"] = {name.lower(): {"environment": name} for name in tokens}
        if any(file.service for file in baked(contents)):
            service["build"]["secrets"] = list(names)
    return document


def baked(contents: Contents) -> tuple[File, ...]:
    """The models that lie elsewhere than below models, so that no volume takes them."""
    return tuple(file for file in contents.models if not f"{file.folder}/".startswith("models/"))


def snapshot_document(lock: Lock) -> dict[str, Any]:
    """A snapshot as ComfyUI-Manager saves one, and comfy-cli restores it.

    Packs from a registry's archive are named by registry id and version; models are no part of it.
    """
    git = {
        clean_url(node.repository, f"node pack {node.name!a:.60}"): {
            "hash": node.commit,
            "disabled": False,
        }
        for node in lock.nodes
        if node.kind == "git" and node.repository
    }
    registered = {
        node.registry_id: node.version
        for node in lock.nodes
        if node.kind != "git" and node.registry_id and node.version
    }
    single = [
        {"filename": file.path, "disabled": False}
        for node in lock.nodes
        if node.kind == "copy" and not node.registry_id
        for file in node.files
    ]
    packages = {
        each.name if each.url else f"{each.name}=={each.version}": (
            clean_url(each.url, f"Python package {each.name}") if each.url else ""
        )
        for each in lock.python.requirements
    }
    return {
        "comfyui": lock.comfyui.commit,
        "git_custom_nodes": git,
        "cnr_custom_nodes": registered,
        "file_custom_nodes": single,
        "pips": packages,
    }
