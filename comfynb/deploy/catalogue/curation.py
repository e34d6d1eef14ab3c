"""What people set in the catalogue's rows: kept apart, so that no sync changes it again."""

from typing import Any

from comfynb.deploy.catalogue.entries import PEOPLE
from comfynb.errors import NotFound, UsageError
from comfynb.models import CustomNode, Model, NodeFacts, utcnow
from comfynb.store import Transaction

__all__ = ["check_fields", "curate_model", "curate_node"]

_OF_THE_ROW = frozenset({"id", "createdAt", "updatedAt"})


def curate_node(tx: Transaction, node_id: str, fields: dict[str, Any]) -> CustomNode:
    """Set fields of a pack; ``...`` gives one back to the sources. Raises NotFound."""
    node = tx.get(CustomNode, node_id)
    if node is None:
        raise NotFound(f"the catalogue has no node pack with the id {node_id!r:.80}")
    facts = tx.get(NodeFacts, node_id) or NodeFacts(customNodeId=node_id)
    now = utcnow()
    people = dict(facts.sources.get(PEOPLE) or {"since": now.isoformat()})
    people["fields"] = _curated(people.get("fields"), fields)
    sources = {**facts.sources, PEOPLE: people}
    if not people["fields"]:
        del sources[PEOPLE]
    changes = {**_set(fields), "updatedAt": now}
    node = CustomNode.model_validate({**node.model_dump(), **changes})
    facts = facts.model_copy(update={"sources": sources, "updatedAt": now})
    tx.put(node, facts)
    return node


def curate_model(tx: Transaction, model_id: str, fields: dict[str, Any]) -> Model:
    """Set fields of a model, as :func:`curate_node`; ``metadata`` key by key. Raises NotFound."""
    model = tx.get(Model, model_id)
    if model is None:
        raise NotFound(f"the catalogue has no model with the id {model_id!r:.80}")
    details: dict[str, Any] = fields.get("metadata", {})
    own = {name: value for name, value in fields.items() if name != "metadata"}
    metadata = {**model.metadata, **_set(details)}
    metadata["curated"] = _curated(metadata.get("curated"), {**own, **details})
    if not metadata["curated"]:
        del metadata["curated"]
    changes = {**_set(own), "metadata": metadata, "updatedAt": utcnow()}
    model = Model.model_validate({**model.model_dump(), **changes})
    tx.put(model)
    return model


def _set(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not ...}


def _curated(before: object, fields: dict[str, Any]) -> list[str]:
    known = set(before) if isinstance(before, list) else set()
    for name, value in fields.items():
        if value is ...:
            known.discard(name)
        else:
            known.add(name)
    return sorted(known)


def check_fields(model: type[CustomNode | Model], fields: dict[str, Any]) -> None:
    """Raise UsageError for what is no field that people set, or for none at all."""
    unknown = sorted(set(fields) - (set(model.model_fields) - _OF_THE_ROW))
    if unknown or not fields:
        known = ", ".join(name for name in model.model_fields if name not in _OF_THE_ROW)
        what = f"{unknown[0]!r:.40} cannot be set" if unknown else "nothing is set"
        raise UsageError(f"{what}: give one of {known}")
