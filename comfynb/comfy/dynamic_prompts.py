"""Dynamic prompts of a whole prompt: where choices are left open, and choosing them by a seed."""

import copy
import hashlib
from collections.abc import Mapping
from typing import Any

from comfynb.comfy.convert.text import is_random, resolve_dynamic_prompt
from comfynb.comfy.declared import declared_inputs
from comfynb.comfy.object_info import as_object_info

__all__ = ["open_choices", "resolve_dynamic_prompts"]


def open_choices(
    prompt: Mapping[str, Any], object_info: Mapping[str, Any]
) -> list[tuple[str, str]]:
    """The inputs whose text leaves a ``{a|b}`` open, as ``(node id, input)`` in the prompt's order.

    Only inputs that their class declares as dynamic prompts count, as in the front-end.
    """
    info = as_object_info(object_info)
    found: list[tuple[str, str]] = []
    for node_id, node in prompt.items():
        node_class = info.node(str(node.get("class_type"))) if isinstance(node, Mapping) else None
        if node_class is None:
            continue
        inputs = node.get("inputs") or {}
        for name, spec in declared_inputs(node_class, inputs).items():
            value = inputs.get(name)
            if spec.dynamic_prompts and isinstance(value, str) and is_random(value):
                found.append((node_id, name))
    return found


def resolve_dynamic_prompts(
    prompt: Mapping[str, Any], object_info: Mapping[str, Any], seed: int
) -> dict[str, Any]:
    """Give a new prompt in which every open choice is made by ``seed``.

    Each input draws from a generator of its own, so that one text does not change what another
    becomes. The same prompt and seed give the same result everywhere: recording the seed is enough.
    """
    resolved = copy.deepcopy(dict(prompt))
    for node_id, name in open_choices(prompt, object_info):
        inputs = resolved[node_id]["inputs"]
        inputs[name] = resolve_dynamic_prompt(inputs[name], _own_seed(seed, node_id, name))
    return resolved


def _own_seed(seed: int, node_id: str, name: str) -> int:
    digest = hashlib.sha256(f"{seed}\n{node_id}\n{name}".encode("utf-8", "replace")).digest()
    return int.from_bytes(digest[:8], "big")
