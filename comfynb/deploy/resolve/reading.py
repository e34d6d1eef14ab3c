"""Finds model names in a node: by its class's known inputs, a server's lists, or their look."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from comfynb.comfy.convert.model import Node
from comfynb.comfy.declared import declared_inputs
from comfynb.comfy.graph import is_link
from comfynb.comfy.object_info import InputSpec, ObjectInfo
from comfynb.deploy.resolve.folders import canonical_folder, folder_problem, is_model_file
from comfynb.deploy.resolve.loaders import (
    LOADERS,
    folder_by_input,
    may_name_a_model,
    takes_text,
)
from comfynb.deploy.resolve.needs import Evidence

__all__ = [
    "Declared",
    "Found",
    "found_in_inputs",
    "found_in_saved",
    "read_declared",
]

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Found:
    """A model name in a node; ``on`` is False where the node itself switches it off."""

    name: str
    input: str
    folder: str | None
    evidence: Evidence
    on: bool = True


@dataclass(frozen=True, slots=True)
class Declared:
    """One entry of a ``models`` list in a workflow."""

    name: str
    folder: str | None
    url: str | None
    sha256: str | None


# What a workflow declares --------------------------------------------------------------------


def read_declared(entries: object, problems: list[str]) -> list[Declared]:
    """Read a ``models`` list; what cannot be used is said in ``problems``."""
    found = []
    for entry in entries if isinstance(entries, list) else ():
        if (
            not isinstance(entry, dict)
            or not isinstance(name := entry.get("name"), str)
            or not name
        ):
            continue
        directory, url, folder = entry.get("directory"), entry.get("url"), None
        if isinstance(directory, str) and directory:
            folder = canonical_folder(directory)
            problem = folder_problem(folder)
            if problem is not None and not problem.startswith("is no model folder"):
                problems.append(f"Model {name!r:.80}: the folder {directory!r:.60} {problem}.")
                folder = None
        found.append(
            Declared(name, folder, url if isinstance(url, str) else None, _hash(entry, problems))
        )
    return found


def _hash(entry: Mapping[str, Any], problems: list[str]) -> str | None:
    value, kind = entry.get("hash"), entry.get("hash_type")
    if not isinstance(value, str) or not value:
        return None
    if isinstance(kind, str) and kind.lower().replace("-", "") == "sha256":
        if _SHA256.fullmatch(value.lower()):
            return value.lower()
        problems.append(f"Model {entry['name']!r:.80}: its SHA256 is none, it is not used.")
        return None
    problems.append(
        f"Model {entry['name']!r:.80}: a hash of type {kind!r:.20} says nothing here, only SHA256."
    )
    return None


# What a prompt says --------------------------------------------------------------------------


def found_in_inputs(
    class_type: str,
    inputs: Mapping[str, Any],
    info: ObjectInfo | None = None,
    folders: Mapping[frozenset[str], str] | None = None,
    sources: Mapping[str, Any] | None = None,
) -> Iterator[Found]:
    """Find model names among a prompt node's inputs.

    ``info`` is a server's description of its classes, ``folders`` the folder of each list of
    choices that one of its loaders offers. ``sources`` is the whole prompt: a name may come from
    another node.
    """
    node_class = info.node(class_type) if info is not None else None
    known = {loader.input: loader.folder for loader in LOADERS.get(class_type, ())}
    for name, folder in known.items():
        value = inputs.get(name)
        if sources is not None and is_link(value):
            yield from _from_source(sources.get(str(value[0])), name, folder)
    specs = declared_inputs(node_class, inputs) if node_class is not None else None
    for name, value in inputs.items():
        if isinstance(value, Mapping):
            yield from _in_mapping(value, name)
        elif not is_model_file(value):
            continue
        elif name in known:
            yield Found(value, name, known[name], "loader")
        elif specs is not None:
            if _chooses_models(specs.get(name)):
                yield _by_list(name, value, specs[name], folders or {})
        elif not known and not takes_text(class_type) and may_name_a_model(name):
            yield _by_name(name, value)


def _from_source(source: object, name: str, folder: str) -> Iterator[Found]:
    """The name that another node hands to a loader, where that node holds just one."""
    inputs = source.get("inputs") if isinstance(source, Mapping) else None
    values = [v for v in inputs.values() if is_model_file(v)] if isinstance(inputs, Mapping) else []
    if len(values) == 1:
        yield Found(values[0], name, folder, "loader")


def _chooses_models(spec: InputSpec | None) -> bool:
    return spec is not None and spec.choices is not None and spec.upload is None


def _by_list(
    name: str, value: str, spec: InputSpec, folders: Mapping[frozenset[str], str]
) -> Found:
    folder = folders.get(frozenset(filter(is_model_file, spec.choices or ())))
    return Found(value, name, folder, "list") if folder is not None else _by_name(name, value)


def _by_name(name: str, value: str) -> Found:
    folder = folder_by_input(name) if name else None
    return Found(value, name, folder, "input" if folder is not None else "value")


def _in_mapping(value: Mapping[str, Any], name: str) -> Iterator[Found]:
    """Rows of a list of LoRAs, as several packs save them: ``{"on": true, "lora": "..."}``."""
    lora = value.get("lora")
    if isinstance(lora, str) and is_model_file(lora):
        yield Found(lora, name, "loras", "input", value.get("on") is not False)


# What a saved node says ------------------------------------------------------------------------


def found_in_saved(node: Node, given: Mapping[str, Any]) -> Iterator[Found]:
    """Find model names among a saved node's widget values; ``given`` come from around it."""
    named = node.named if node.named is not None else node.values
    if isinstance(named, dict):
        yield from found_in_inputs(node.type, {**named, **given})
        return
    values = node.values if isinstance(node.values, list) else []
    linked = {slot.widget or slot.name for slot in node.inputs if slot.link is not None}
    loaders = LOADERS.get(node.type)
    if loaders is not None:
        for loader in loaders:
            value = values[loader.place] if loader.place < len(values) else None
            value = _fed(node, loader.input, given.get(loader.input, value))
            if is_model_file(value):
                yield Found(value, loader.input, loader.folder, "loader")
        return
    names = _names(node, values)
    for place, saved in enumerate(values):
        name, type_ = names[place] if names is not None else ("", "")
        value = given.get(name, saved) if name else saved
        if isinstance(value, Mapping):
            yield from _in_mapping(value, name)
        elif is_model_file(value) and not takes_text(node.type):
            # A widget that is fed by a link keeps a value of the time before.
            if name and name in linked and name not in given:
                continue
            if type_ not in {"", "COMBO", "*"} or not may_name_a_model(name):
                continue
            yield _by_name(name, value)


def _fed(node: Node, name: str, saved: Any) -> Any:
    """What another node of the same graph hands to an input; the saved value where none does."""
    link = next((s.link for s in node.inputs if s.link and name in {s.widget, s.name}), None)
    arriving = node.graph.links.get(link) if link is not None else None
    source = node.graph.nodes.get(arriving.origin) if arriving is not None else None
    if source is None:
        return saved
    values = source.values if isinstance(source.values, list) else []
    names = [value for value in values if is_model_file(value)]
    # What a widget keeps while a link feeds it is of the time before; who cannot be read is left.
    return names[0] if len(names) == 1 else saved


def _names(node: Node, values: list[Any]) -> list[tuple[str, str]] | None:
    """Names and types of the widgets, where the file lists them all; newer files do."""
    slots = [(slot.widget, slot.type) for slot in node.inputs if slot.widget is not None]
    if len(slots) == len(values):
        return [(name or "", type_) for name, type_ in slots]
    if slots and not any(type_ in {"COMBO", "*"} for _, type_ in slots):
        # It lists only some of them, and none is a choice: text, then.
        return [("", "STRING")] * len(values)
    return None
