"""What tells two points apart: a hash of the prompt that would be sent, and of who may run it.

Two points with one key are computed once. The key holds

* the prompt in API format as it would be sent, after conversion, with all values in it and dynamic
  prompts resolved: each node's id, class and inputs; titles and other notes (``_meta``) not;
* the kept copy's path, which holds its SHA-256, for an input file that lies on this machine;
* for each backend that may run it (enabled, with all its node classes; only the one that a point
  is bound to, if it is bound): ComfyUI's version, and what it declares about those node classes
  (inputs, types, defaults, limits, the module they come from);
* of a graph, all this for each WORKFLOW node, and how its nodes are set and connected;
* the backend's id, where backends are an axis of the sweep: then each of them computes it.

It does not hold lists of files that a backend offers, nor the files behind their names: whoever
puts another model under an old name says ``again=True``.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["PromptHasher", "content_key", "digest", "server_signature"]

_DECLARED = ("input", "output", "output_is_list", "python_module", "api_node", "deprecated")


def digest(value: Any) -> str:
    """A hash of anything that JSON can hold; the order of keys does not count."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


class PromptHasher:
    """Hashes one prompt with many different values in it: only nodes that change are read anew."""

    def __init__(self, prompt: Mapping[str, Any]) -> None:
        self._prompt = prompt
        self._nodes = {node_id: _node_digest(node) for node_id, node in prompt.items()}
        self._order = sorted(self._nodes)

    def key(self, changed: Mapping[str, Any]) -> str:
        """The prompt's hash with the nodes of ``changed`` in the place of its own."""
        found = hashlib.sha256()
        for node_id in self._order:
            known = _node_digest(changed[node_id]) if node_id in changed else self._nodes[node_id]
            found.update(f"{len(node_id)}:{node_id}={known};".encode("utf-8", "surrogatepass"))
        return found.hexdigest()


def _node_digest(node: Mapping[str, Any]) -> str:
    return digest([node.get("class_type"), node.get("inputs") or {}])


def server_signature(
    version: str | None, object_info: Mapping[str, Any], node_classes: Iterable[str]
) -> str:
    """What a backend is to a prompt: ComfyUI's version, and how it declares the node classes."""
    declared = {}
    for name in sorted(set(node_classes)):
        known = object_info.get(name)
        if isinstance(known, Mapping):
            declared[name] = {key: _without_lists(known.get(key)) for key in _DECLARED}
    return digest([version, declared])


def _without_lists(value: Any) -> Any:
    """A declaration without the choices that it offers: those are files as a rule."""
    if not isinstance(value, Mapping):
        return value
    found: dict[str, Any] = {}
    for section, inputs in value.items():
        if not isinstance(inputs, Mapping):
            found[section] = inputs
            continue
        found[section] = {name: _without_choices(spec) for name, spec in inputs.items()}
    return found


def _without_choices(spec: Any) -> Any:
    if not isinstance(spec, list) or not spec:
        return spec
    first = "COMBO" if isinstance(spec[0], list) else spec[0]
    options = spec[1] if len(spec) > 1 and isinstance(spec[1], Mapping) else {}
    # The default of a list of files is the first file as a rule.
    left_out = {"options", "default"} if first == "COMBO" else set()
    return [first, {name: value for name, value in options.items() if name not in left_out}]


def content_key(prompt_key: str, signatures: Iterable[str]) -> str:
    """The key of a point: its prompt, and the different backends that may run it."""
    return digest([prompt_key, sorted(set(signatures))])
