"""Names for parameters that tell two nodes of one kind apart: by title, by role, by position."""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from comfynb.comfy.graph import links_of
from comfynb.comfy.object_info import ObjectInfo
from comfynb.comfy.problems import node_title

__all__ = ["Naming", "field_label", "one_line"]

_LABELS = {
    "cfg": "CFG",
    "ckpt_name": "Checkpoint",
    "unet_name": "Diffusion model",
    "vae_name": "VAE",
    "clip_name": "Text encoder",
    "lora_name": "LoRA",
    "control_net_name": "ControlNet",
    "sampler_name": "Sampler",
    "noise_seed": "Seed",
    "fps": "FPS",
    "text": "Prompt",
    "strength_model": "LoRA strength",
    "filename_prefix": "File name",
}
_TEXT_FIELDS = {"text", "prompt", "value", "string", "clip_l", "t5xxl", "text_g", "text_l"}
_ROLES = {"positive": "Positive prompt", "negative": "Negative prompt"}
_DEEPEST = 30
Place = tuple[str, str]
"""A node's id and an input's name."""


def field_label(field: str) -> str:
    """An input's name for people: ``sampler_name`` is "Sampler", ``batch_size`` "Batch size"."""
    last = field.rsplit(".", 1)[-1]
    if last in _LABELS:
        return _LABELS[last]
    words = last.replace("_", " ").strip()
    return words[:1].upper() + words[1:] if words else field


def one_line(text: str) -> str:
    """A title as one line of text that can be stored: control characters become spaces."""
    plain = text.encode("utf-8", "replace").decode()
    return " ".join("".join(c if c.isprintable() else " " for c in plain).split())


class Naming:
    """Finds display names for the inputs of one prompt."""

    def __init__(
        self,
        prompt: Mapping[str, Any],
        info: ObjectInfo,
        workflow: Mapping[str, Any] | None = None,
        shown: Mapping[Place, str] | None = None,
    ) -> None:
        self._prompt = prompt
        self._info = info
        self._titles = _titles(workflow)
        self._shown = shown or {}
        self._users: dict[str, list[Place]] = {}
        for node_id, node in prompt.items():
            for name, source, _ in links_of(node):
                self._users.setdefault(source, []).append((node_id, name))

    def labels(self, places: Iterable[Place]) -> dict[Place, str]:
        """A display name for each input, all different."""
        places = list(places)
        labels = {place: one_line(self._label(place)) or "Value" for place in places}
        ways = (self._titled, self._with_instance, self._with_path, self._numbered)
        for tell_apart in ways:
            counts = Counter(labels.values())
            twins = [place for place in places if counts[labels[place]] > 1]
            if not twins:
                break
            labels |= {place: one_line(tell_apart(place, labels[place])) for place in twins}
        return _unique(labels)

    def role(self, node_id: str) -> str:
        """``positive`` or ``negative`` if a node's result goes only there, else nothing."""
        roles = {name for _, name in self._role_takers(node_id)}
        return roles.pop() if len(roles) == 1 else ""

    def _role_takers(self, node_id: str) -> set[Place]:
        """The nodes whose ``positive`` or ``negative`` input a node's result goes to."""
        takers: set[Place] = set()
        seen: set[str] = set()
        waiting = [(node_id, 0)]
        while waiting:
            current, depth = waiting.pop()
            if current in seen or depth > _DEEPEST:
                continue
            seen.add(current)
            for user, name in self._users.get(current, ()):
                role = name.rsplit(".", 1)[-1]
                if role in _ROLES:
                    takers.add((user, role))
                else:
                    waiting.append((user, depth + 1))
        return takers

    def _label(self, place: Place) -> str:
        node_id, field = place
        shown = self._shown.get(place)
        if shown:
            # Many authors leave the input's technical name as its label.
            return field_label(shown) if shown.isidentifier() and shown.islower() else shown
        label = field_label(field)
        title = node_title(self._prompt, node_id)
        if field.rsplit(".", 1)[-1] in _TEXT_FIELDS and self._is_text(place):
            role = self.role(node_id)
            if role:
                return _ROLES[role]
        if field == "value" and title and not self._has_default_title(node_id):
            # A primitive's own title says what it is for.
            return title
        return label

    def _is_text(self, place: Place) -> bool:
        return isinstance(self._prompt[place[0]]["inputs"].get(place[1]), str)

    def _has_default_title(self, node_id: str) -> bool:
        class_type = str(self._prompt[node_id].get("class_type"))
        node_class = self._info.node(class_type)
        title = node_title(self._prompt, node_id)
        return title == class_type or (node_class is not None and title == node_class.display_name)

    def _titled(self, place: Place, label: str) -> str:
        title = node_title(self._prompt, place[0])
        if label in _ROLES.values() and self._has_default_title(place[0]):
            # Every prompt node is called the same: the sampler it serves tells more.
            takers = {node_title(self._prompt, taker) for taker, _ in self._role_takers(place[0])}
            if len(takers) == 1:
                title = takers.pop()
        return f"{title}: {label}" if title and title != label else label

    def _with_instance(self, place: Place, label: str) -> str:
        around = self._around(place[0])
        return f"{around[-1]} / {label}" if around else label

    def _with_path(self, place: Place, label: str) -> str:
        around = self._around(place[0])[:-1]
        return f"{' / '.join(around)} / {label}" if around else label

    def _around(self, node_id: str) -> list[str]:
        """Titles of the subgraph instances around a node, outermost first."""
        found: list[str] = []
        graph = ""
        for part in node_id.split(":")[:-1]:
            title, graph = self._titles.get(graph, {}).get(part, ("", "?"))
            if title:
                found.append(title)
        return found

    @staticmethod
    def _numbered(place: Place, label: str) -> str:
        return f"{label} ({place[0]})"


def _unique(labels: dict[Place, str]) -> dict[Place, str]:
    """Number what is still the same: one node may have two inputs of one label."""
    counts = Counter(labels.values())
    used: set[str] = set()
    for place, label in labels.items():
        wanted = f"{label} ({place[1]})" if counts[label] > 1 else label
        number = 2
        while wanted in used:
            wanted = f"{label} ({number})"
            number += 1
        used.add(wanted)
        labels[place] = wanted
    return labels


def _titles(workflow: Mapping[str, Any] | None) -> dict[str, dict[str, tuple[str, str]]]:
    """Titles and types of the nodes of each graph: ``{graph id: {node id: (title, type)}}``."""
    if workflow is None:
        return {}
    graphs = {"": workflow}
    waiting = [workflow]
    while waiting:
        definitions = waiting.pop().get("definitions")
        subgraphs = definitions.get("subgraphs") if isinstance(definitions, Mapping) else None
        for graph in subgraphs if isinstance(subgraphs, list) else ():
            if isinstance(graph, Mapping) and isinstance(graph.get("id"), str):
                graphs.setdefault(graph["id"], graph)
                waiting.append(graph)
    names = {key: str(graph.get("name") or "") for key, graph in graphs.items()}
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for key, graph in graphs.items():
        nodes = graph.get("nodes")
        found[key] = {
            str(node.get("id")): (
                str(node.get("title") or names.get(str(node.get("type")), "")),
                str(node.get("type")),
            )
            for node in (nodes if isinstance(nodes, list) else ())
            if isinstance(node, Mapping)
        }
    return found
