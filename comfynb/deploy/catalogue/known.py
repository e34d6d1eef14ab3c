"""Rows of the catalogue with all that belongs to them: versions, releases, facts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from comfynb.models import CustomNode, Model, ModelVersion, NodeFacts, NodeVersion
from comfynb.store import View
from comfynb.store.schema import table_of

__all__ = ["KnownModel", "KnownNode", "known_models", "known_nodes"]


@dataclass(frozen=True, slots=True)
class KnownModel:
    """A model with all versions of it that are known, the newest first."""

    model: Model
    versions: tuple[ModelVersion, ...]


@dataclass(frozen=True, slots=True)
class KnownNode:
    """A pack with what else is known of it, and its releases, the newest first."""

    node: CustomNode
    facts: NodeFacts | None
    versions: tuple[NodeVersion, ...]


def known_models(view: View, where: str, params: Sequence[Any]) -> list[KnownModel]:
    """Read models, verified ones first; ``where`` is SQL of ours with ``$1, $2 ..``."""
    table = table_of(Model)
    rows = view.execute(
        f"select {table.select_list} from models where {where} "  # noqa: S608
        "order by is_verified desc, created_at, id",
        params,
    )
    models = view.models(Model, rows)
    ids = [model.id for model in models]
    versions: dict[str, list[ModelVersion]] = {one: [] for one in ids}
    if ids:
        for version in view.find(ModelVersion, where={"modelId": ids}):
            versions[version.modelId].append(version)
    for some in versions.values():
        some.sort(key=lambda v: (v.publishedAt or v.createdAt, v.createdAt, v.id), reverse=True)
    return [KnownModel(model, tuple(versions[model.id])) for model in models]


def known_nodes(view: View, ids: Sequence[str]) -> dict[str, KnownNode]:
    """Read packs by the ids of their rows."""
    if not ids:
        return {}
    wanted = sorted(set(ids))
    facts = {one.customNodeId: one for one in view.find(NodeFacts, where={"customNodeId": wanted})}
    versions: dict[str, list[NodeVersion]] = {}
    for version in view.find(NodeVersion, where={"customNodeId": wanted}, order_by="-createdAt"):
        versions.setdefault(version.customNodeId, []).append(version)
    return {
        node.id: KnownNode(node, facts.get(node.id), tuple(versions.get(node.id, ())))
        for node in view.find(CustomNode, where={"id": wanted})
    }
