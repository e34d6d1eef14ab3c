"""What tells points apart, as ``comfynb.engine.sweeps.keys`` has it: made of a target's prompts and
of what each backend declares about their node classes."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from comfynb.comfy.dynamic_prompts import resolve_at
from comfynb.engine.backend import LiveBackend
from comfynb.engine.plan import DYNAMIC_SEED
from comfynb.engine.sweeps import PromptHasher, content_key, digest, server_signature
from comfynb.models import NodeType, WorkflowVersion
from comfynb.workbench.sweeps.graph_targets import AnyTarget, GraphTarget
from comfynb.workbench.sweeps.targets import BACKEND, Target

__all__ = ["Keys", "Signatures", "TargetKeys", "keys_of"]


class Keys:
    """Hashes the prompts of one workflow version; see ``comfynb.engine.sweeps.keys``."""

    def __init__(self, version: WorkflowVersion) -> None:
        self.version_id = version.id
        self._prompt = version.api_json
        self._hasher = PromptHasher(self._prompt)
        self.node_classes = frozenset(str(node.get("class_type")) for node in self._prompt.values())

    def prompt_key(self, config: Mapping[str, Any], values: Mapping[str, Any]) -> str:
        """The hash of the prompt that a WORKFLOW node of that configuration would send."""
        values = dict(values)
        seed = values.pop(DYNAMIC_SEED, None)
        changed: dict[str, Any] = {}
        for key, value in values.items():
            node_id, input_name = config["bindings"][key]
            node = changed.get(node_id) or self._prompt[node_id]
            changed[node_id] = {**node, "inputs": {**node["inputs"], input_name: value}}
        places = [(node_id, name) for node_id, name in config.get("dynamic", ())]
        for node_id, _ in places:
            changed.setdefault(node_id, self._prompt[node_id])
        if places:
            changed = resolve_at(changed, places, seed if isinstance(seed, int) else 0)
        return self._hasher.key(changed)


class TargetKeys(Protocol):
    """Makes the keys of a target's points."""

    def places(self) -> Iterator[tuple[str, str | None, Keys]]:
        """Each node that runs a workflow: its id, the backend that it is bound to, what it runs."""

    def key(self, point: Mapping[str, Any], signatures: Iterable[str]) -> str:
        """The key of a point."""


class _WorkflowKeys:
    """Makes the keys of a target's points."""

    def __init__(self, target: Target, versions: Mapping[str, Keys]) -> None:
        self._target = target
        self._keys = versions[target.version_ids[0]]

    def places(self) -> Iterator[tuple[str, str | None, Keys]]:
        """Its only node: no name, the backend that it is bound to, and what it runs."""
        yield "", self._target.backend_id, self._keys

    def key(self, point: Mapping[str, Any], signatures: Iterable[str]) -> str:
        """The key of a point."""
        target = self._target
        if BACKEND in point:
            # Whoever sweeps over backends wants to see what each of them makes of it.
            signatures = [*signatures, f"backend {target.backend_id}"]
        found = self._keys.prompt_key(target.config, target.values(point))
        return content_key(found, signatures)


class _GraphKeys:
    """Makes the keys of points of a frozen graph; see ``comfynb.engine.sweeps.keys``."""

    def __init__(self, target: GraphTarget, versions: Mapping[str, Keys]) -> None:
        self._target = target
        self._versions = versions
        self._connections = sorted(
            (one.source_node_id, one.source_port, one.target_node_id, one.target_port)
            for one in target.snapshot.connections
        )

    def places(self) -> Iterator[tuple[str, str | None, Keys]]:
        """Each WORKFLOW node: its id, the backend that it is bound to, and what it runs."""
        for node in self._target.workflows:
            version = self._versions[node.config["workflow_version"]]
            yield node.id, node.backend_affinity, version

    def key(self, point: Mapping[str, Any], signatures: Iterable[str]) -> str:
        """The key of a point."""
        parts: list[Any] = [self._connections]
        for node in self._target.nodes(point):
            config = node.config
            if node.node_type is NodeType.WORKFLOW:
                version = self._versions[config["workflow_version"]]
                said: Any = version.prompt_key(config, config["values"])
            else:
                said = {name: one for name, one in config.items() if name != "job_name"}
            parts.append([node.id, node.node_type.value, said])
        if BACKEND in point:
            signatures = [*signatures, f"backend {point[BACKEND]}"]
        return content_key(digest(parts), signatures)


def keys_of(target: AnyTarget, versions: Mapping[str, Keys]) -> TargetKeys:
    """What makes the keys of a target's points; ``versions`` by their ids."""
    if isinstance(target, GraphTarget):
        return _GraphKeys(target, versions)
    return _WorkflowKeys(target, versions)


class Signatures:
    """What each backend is to a workflow, looked up once for many points."""

    def __init__(self) -> None:
        # The answers of backends are kept here too: an id() is only unique among what lives.
        self._known: dict[tuple[str, str, int, str | None], tuple[object, str]] = {}

    def of(self, backends: Iterable[LiveBackend], keys: TargetKeys) -> list[str]:
        """The signatures of all backends that may run the target, for each of its nodes."""
        listed = list(backends)
        found: list[str] = []
        for node_id, backend_id, version in keys.places():
            several = self._of_node(listed, backend_id, version)
            found += [f"{node_id} {one}" if node_id else one for one in several]
        return found

    def _of_node(
        self, backends: Iterable[LiveBackend], backend_id: str | None, keys: Keys
    ) -> Iterator[str]:
        for live in backends:
            info = live.object_info
            eligible = (
                live.config.enabled
                and info is not None
                and backend_id in {None, live.id}
                and keys.node_classes <= info.keys()
            )
            if not eligible or info is None:
                continue
            version = live.info.version if live.info is not None else None
            place = (live.id, keys.version_id, id(info), version)
            if place not in self._known:
                self._known[place] = info, server_signature(version, info, keys.node_classes)
            yield self._known[place][1]
