"""Deployments, resolutions, reports and syncs for the widgets' tests; no store and no services."""

from collections.abc import Callable
from typing import Any

import pytest

from comfynb.deploy.lock import Claim, ConflictFound, LockReport, Risk, size_of
from comfynb.deploy.resolve import (
    ClassNeed,
    ModelCandidate,
    ModelNeed,
    Needs,
    PackCandidate,
    PackUse,
    Place,
    Resolution,
    ResolvedClass,
    ResolvedModel,
    Status,
)
from comfynb.deploy.service import ChosenModel, ChosenNode, DeploymentContents
from comfynb.models import (
    CustomNode,
    Deployment,
    DeploymentModel,
    DeploymentNode,
    Lock,
    Model,
    ModelType,
    Source,
    SystemPackage,
)
from comfynb.widgets.deploy import DeploymentState
from comfynb.widgets.markup import one_line

URL = "https://huggingface.co/org/repo/resolve/main/style.safetensors"


def node(name: str = "Grain", **more: Any) -> CustomNode:
    given = {"id": f"node-{name}", "githubUrl": "https://github.com/ada/grain", **more}
    return CustomNode(name=name, **given)


def model(name: str = "Style", **more: Any) -> Model:
    given = {
        "id": f"model-{name}",
        "type": ModelType.LORA,
        "source": Source.HUGGINGFACE,
        "downloadUrl": URL,
        "filename": "style.safetensors",
        "fileSize": 3 * 2**30,
        **more,
    }
    return Model(name=name, **given)


def lock(**more: Any) -> Lock:
    given = {
        "name": "portraits",
        "comfyui": {"version": "0.3.64", "commit": "c" * 40},
        "nodes": [
            {
                "name": "Grain",
                "folder": "grain",
                "repository": "https://github.com/ada/grain",
                "commit": "b" * 40,
            }
        ],
        "models": [
            {
                "name": "Style",
                "filename": "style.safetensors",
                "folder": "models/loras",
                "url": URL,
                "size": 3 * 2**30,
                "sha256": "a" * 64,
            }
        ],
        **more,
    }
    return Lock.model_validate(given)


def contents(text: str = "portraits", **more: Any) -> DeploymentContents:
    made = Deployment(id="d1", name=text, userId="u1", **more)
    return DeploymentContents(
        made,
        "Ada",
        (ChosenNode(DeploymentNode(deploymentId="d1", customNodeId="node-Grain"), node()),),
        (
            ChosenModel(
                DeploymentModel(
                    deploymentId="d1", modelId="model-Style", targetPath="models/loras"
                ),
                model(),
            ),
        ),
        (SystemPackage(id="p1", deploymentId="d1", packageType="PIP", name="numpy"),),
    )


def resolution(text: str = "SoftBlur") -> Resolution:
    place = Place("5", text, text)
    blur, better = (
        node(one_line(f"{name} {text}", 200), id=name, githubUrl=f"https://github.com/ada/{name}")
        for name in ("blur", "better")
    )
    classes = (
        ResolvedClass(ClassNeed("KSampler", (place,)), Status.RESOLVED, "core"),
        ResolvedClass(
            ClassNeed(text, (place,)),
            Status.AMBIGUOUS,
            candidates=(PackCandidate(blur, text), PackCandidate(better, "it has the class")),
        ),
        ResolvedClass(ClassNeed("Nowhere", (place,)), Status.UNKNOWN, remarks=(text,)),
    )
    models = (
        ResolvedModel(
            ModelNeed("style.safetensors", "loras", places=(place,)),
            Status.AMBIGUOUS,
            candidates=(ModelCandidate(URL, None, text), ModelCandidate(f"{URL}?2", None, "also")),
        ),
    )
    packs = (PackUse(node(), None, ("Grain",)),)
    return Resolution(Needs("ui"), classes, models, packs)


def report(text: str = "Grain", *, conflict: bool = False) -> LockReport:
    found = ConflictFound(
        "python", text, (Claim("Old Grain", f"numpy<2 {text}"), Claim("New Grain", "numpy>=2")),
        detail=text,
    )  # fmt: skip
    risks = (
        Risk("low", "licence", text, "it names no licence."),
        Risk("high", "pickle", "style.ckpt", text),
    )
    draft = None if conflict else lock()
    return LockReport(
        "portraits",
        draft,
        (found,) if conflict else (),
        risks,
        size_of(draft) if draft is not None else size_of(lock(models=[])),
        (text,) if conflict else (),
        (text,),
        "uv",
    )


class Makers:
    node = staticmethod(node)
    model = staticmethod(model)
    lock = staticmethod(lock)
    contents = staticmethod(contents)
    resolution = staticmethod(resolution)
    report = staticmethod(report)


@pytest.fixture
def make() -> type[Makers]:
    """What widgets are told: ``make.report(...)`` and so on."""
    return Makers


@pytest.fixture
def state(make: type[Makers]) -> Callable[..., DeploymentState]:
    def build(**more: Any) -> DeploymentState:
        given = {
            "contents": make.contents(),
            "targets": {"runpod": "RunPod", "docker": "Dockerfile"},
            **more,
        }
        return DeploymentState(**given)

    return build
