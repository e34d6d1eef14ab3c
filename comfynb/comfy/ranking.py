"""How interesting an input is to a person: the order in which parameters are proposed."""

from collections.abc import Mapping
from typing import Any, Final

from comfynb.comfy.graph import links_of
from comfynb.comfy.object_info import InputSpec

__all__ = ["LAST", "rank_of"]

LAST: Final = 100
"""From this rank on an input is one of many: proposed only where there are few."""

_SEED, _TEXT, _SIZE, _STEPS, _CFG, _SAMPLER, _SCHEDULER, _DENOISE, _MODEL, _FILE = range(1, 11)
_NAMES: dict[str, int] = {
    "seed": _SEED,
    "noise_seed": _SEED,
    "rand_seed": _SEED,
    "text": _TEXT,
    "prompt": _TEXT,
    "positive_prompt": _TEXT,
    "negative_prompt": _TEXT,
    "width": _SIZE,
    "height": _SIZE,
    "length": _SIZE,
    "num_frames": _SIZE,
    "frames": _SIZE,
    "batch_size": _SIZE,
    "megapixels": _SIZE,
    "aspect_ratio": _SIZE,
    "resolution": _SIZE,
    "size": _SIZE,
    "duration": _SIZE,
    "seconds": _SIZE,
    "fps": _SIZE,
    "frame_rate": _SIZE,
    "steps": _STEPS,
    "start_at_step": _STEPS,
    "end_at_step": _STEPS,
    "cfg": _CFG,
    "guidance": _CFG,
    "guidance_scale": _CFG,
    "sampler_name": _SAMPLER,
    "sampler": _SAMPLER,
    "scheduler": _SCHEDULER,
    "denoise": _DENOISE,
    "strength_model": _MODEL,
    "strength_clip": _MODEL,
    "lora_strength": _MODEL,
}
_MODEL_FILES = (".safetensors", ".ckpt", ".pt", ".pth", ".gguf", ".bin", ".sft", ".onnx")
_DEEPEST = 8


def rank_of(prompt: Mapping[str, Any], node_id: str, spec: InputSpec) -> int:
    """Rank an input of a prompt's node; lower comes first.

    A node that only holds a value (a primitive) ranks as what it feeds.
    """
    rank = _own_rank(prompt[node_id], spec)
    if rank < LAST or not _only_holds_a_value(prompt[node_id], spec):
        return rank
    return min((_NAMES.get(name, LAST) for name in _fed_by(prompt, node_id, 0)), default=LAST)


def _own_rank(node: Mapping[str, Any], spec: InputSpec) -> int:
    name = spec.name.rsplit(".", 1)[-1]
    if spec.upload is not None:
        return _FILE
    if spec.type == "INT" and spec.control_after_generate:
        return _SEED
    value = (node.get("inputs") or {}).get(spec.name)
    if spec.type == "STRING":
        if spec.multiline or spec.dynamic_prompts or _NAMES.get(name) == _TEXT:
            return _TEXT
        return LAST + 1
    if spec.type == "COMBO" and _names_a_model(spec, value):
        return _MODEL
    rank = _NAMES.get(name, LAST)
    if rank == _TEXT:
        return LAST
    return rank + 50 if spec.advanced and rank < LAST else rank


def _names_a_model(spec: InputSpec, value: object) -> bool:
    if isinstance(value, str) and value.lower().endswith(_MODEL_FILES):
        return True
    first = spec.choices[0] if spec.choices else None
    return isinstance(first, str) and first.lower().endswith(_MODEL_FILES)


def _only_holds_a_value(node: Mapping[str, Any], spec: InputSpec) -> bool:
    class_type = str(node.get("class_type", ""))
    return spec.name == "value" or class_type.startswith(("Primitive", "Constant"))


def _fed_by(prompt: Mapping[str, Any], node_id: str, depth: int) -> set[str]:
    """Names of the inputs that a node's outputs go to, through other value holders too."""
    names: set[str] = set()
    for user_id, user in prompt.items():
        for name, source, _ in links_of(user):
            if source == node_id:
                names.add(name.rsplit(".", 1)[-1])
                if name in {"value", "a", "b"} and depth < _DEEPEST:
                    names |= _fed_by(prompt, user_id, depth + 1)
    return names
