"""What the points of a sweep run, frozen: job snapshots, and which parameter each value goes to.

A target is kept in the store as JSON, so that another kernel makes the same jobs of the points that
were not handed out yet, whatever became of the workflow meanwhile.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from comfynb.comfy.dynamic_prompts import resolve_at
from comfynb.engine.backend import LiveBackend
from comfynb.engine.plan import DYNAMIC_SEED, job_of
from comfynb.engine.sweeps import PromptHasher, content_key, server_signature
from comfynb.models import CanvasLayout, Job, WorkflowVersion

__all__ = ["BACKEND", "WORKFLOW", "Keys", "Signatures", "Target", "TargetKeys", "WorkflowKeys"]

BACKEND = "backend"
WORKFLOW = "workflow"
"""Axes that are no parameters: where a point runs, and what."""


@dataclass(frozen=True, slots=True)
class Target:
    """One frozen snapshot with one WORKFLOW node, and the axes' names for its parameters."""

    snapshot: CanvasLayout
    names: Mapping[str, str]
    """The axis's name to the parameter's key."""

    def to_json(self) -> dict[str, Any]:
        """As the store keeps it."""
        return {"snapshot": self.snapshot.model_dump(mode="json"), "names": dict(self.names)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Target":
        """What :meth:`to_json` gave."""
        return cls(CanvasLayout.model_validate(data["snapshot"]), dict(data["names"]))

    @property
    def config(self) -> Mapping[str, Any]:
        """The WORKFLOW node's configuration."""
        return self.snapshot.nodes[0].config

    @property
    def name(self) -> str:
        """What it is called."""
        return str(self.config["name"])

    @property
    def titles(self) -> dict[str, str]:
        """What people call its node, by id."""
        return {self.snapshot.nodes[0].id: self.name}

    @property
    def version_ids(self) -> list[str]:
        """The workflow's version."""
        return [str(self.config["workflow_version"])]

    @property
    def backend_id(self) -> str | None:
        """The backend that it is bound to, if any."""
        return self.snapshot.nodes[0].backend_affinity

    def values(self, point: Mapping[str, Any]) -> dict[str, Any]:
        """A point's values by parameter key, as a job keeps them."""
        values = {key: point[name] for name, key in self.names.items() if name in point}
        if DYNAMIC_SEED in point:
            values[DYNAMIC_SEED] = point[DYNAMIC_SEED]
        return values

    def job(self, point: Mapping[str, Any]) -> Job:
        """A new job for a point."""
        return job_of(self.snapshot, self.values(point))


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


class WorkflowKeys:
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


class TargetKeys(Protocol):
    """Makes the keys of a target's points."""

    def places(self) -> Iterator[tuple[str, str | None, Keys]]:
        """Each node that runs a workflow: its id, the backend that it is bound to, what it runs."""

    def key(self, point: Mapping[str, Any], signatures: Iterable[str]) -> str:
        """The key of a point."""


class Signatures:
    """What each backend is to a workflow, looked up once for many points."""

    def __init__(self) -> None:
        # The answers of backends are kept here too: an id() is only unique among what lives.
        self._known: dict[tuple[str, str, int, str | None], tuple[object, str]] = {}

    def of(self, backends: Iterable[LiveBackend], keys: "TargetKeys") -> list[str]:
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
