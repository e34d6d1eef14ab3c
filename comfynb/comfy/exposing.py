"""Finding any input of a prompt by what a person calls it, and naming what is exposed by hand."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from comfynb.comfy.check import output_nodes, reachable
from comfynb.comfy.convert.api import promotions
from comfynb.comfy.declared import declared_input, declared_inputs
from comfynb.comfy.describe import describe_input, simple_inputs, type_of
from comfynb.comfy.graph import is_link
from comfynb.comfy.naming import Naming, Place, one_line
from comfynb.comfy.object_info import InputSpec, ObjectInfo, as_object_info
from comfynb.comfy.problems import node_title, shorten, suggest
from comfynb.errors import NotFound, UsageError
from comfynb.models import ExposedParameter

__all__ = ["display_names", "find_place", "nodes_called", "settable_inputs", "settable_parameters"]


def settable_inputs(
    prompt: Mapping[str, Any], node_id: str, object_info: Mapping[str, Any]
) -> dict[str, InputSpec]:
    """The inputs of one node that could be exposed, by name; linked ones could not."""
    node = prompt.get(node_id)
    if not isinstance(node, Mapping):
        return {}
    node_class = as_object_info(object_info).node(str(node.get("class_type")))
    if node_class is None:
        return {}
    inputs = node.get("inputs") or {}
    return {
        name: spec
        for name, spec in declared_inputs(node_class, inputs).items()
        if type_of(spec) is not None and not is_link(inputs.get(name))
    }


def settable_parameters(
    prompt: Mapping[str, Any],
    object_info: Mapping[str, Any],
    workflow: Mapping[str, Any] | None = None,
) -> list[ExposedParameter]:
    """Everything that could be exposed of the nodes that run, in the prompt's order.

    Display names are all different.
    """
    info = as_object_info(object_info)
    running = reachable(prompt, output_nodes(prompt, info)) or list(prompt)
    found = [
        (node_id, spec) for node_id in running for _, spec in simple_inputs(prompt, node_id, info)
    ]
    places = [(node_id, spec.name) for node_id, spec in found]
    labels = display_names(prompt, info, places, workflow)
    return [
        describe_input(prompt, node_id, spec, labels[node_id, spec.name], order)
        for order, (node_id, spec) in enumerate(found)
    ]


def display_names(
    prompt: Mapping[str, Any],
    object_info: Mapping[str, Any],
    places: Iterable[Place],
    workflow: Mapping[str, Any] | None = None,
) -> dict[Place, str]:
    """A name for each of these inputs, all different: two samplers' seeds are told apart."""
    info = as_object_info(object_info)
    shown = promotions(workflow, info) if workflow is not None else {}
    nodes = {key: node for key, node in prompt.items() if isinstance(node, Mapping)}
    return Naming(nodes, info, workflow, shown).labels(places)


def nodes_called(prompt: Mapping[str, Any], name: str) -> list[str]:
    """Ids of the nodes that ``name`` means: by id, else by title, else by class, else loosely."""
    if name in prompt:
        return [name]
    called = {
        node_id: (one_line(node_title(prompt, node_id)), str(node.get("class_type")))
        for node_id, node in prompt.items()
        if isinstance(node, Mapping)
    }
    folded = name.casefold()
    for means in (
        lambda names: name == names[0],
        lambda names: name == names[1],
        lambda names: folded in {one.casefold() for one in names},
    ):
        found = [node_id for node_id, names in called.items() if means(names)]
        if found:
            return found
    return []


def find_place(prompt: Mapping[str, Any], object_info: Mapping[str, Any], name: str) -> Place:
    """The input that ``"KSampler.seed"``, ``"3.seed"`` or ``"My title.mode.width"`` means.

    Raises :class:`~comfynb.errors.NotFound` where there is no such node or input, and
    :class:`~comfynb.errors.UsageError` where the name fits several or names no input.
    """
    info = as_object_info(object_info)
    if "." not in name:
        ids = nodes_called(prompt, name)
        example = f"{name}.seed" if ids else "KSampler.seed"
        raise UsageError(f"{shorten(name)} names no input: write it like {shorten(example)}.")
    nodes: list[str] = []
    title = ""
    # Titles and inputs may both have dots in them: take the split at which both exist.
    for node_part, field in _splits(name):
        ids = nodes_called(prompt, node_part)
        with_it = [node_id for node_id in ids if _has_input(prompt, info, node_id, field)]
        if len(with_it) == 1:
            return with_it[0], field
        if with_it:
            places = " or ".join(shorten(f"{node_id}.{field}") for node_id in with_it[:5])
            raise UsageError(f"{shorten(node_part)} means {len(with_it)} nodes: use {places}.")
        if ids and not nodes:
            nodes, title = ids, node_part
    if not nodes:
        names = {one_line(node_title(prompt, node_id)) for node_id in prompt}
        wanted = name.rpartition(".")[0]
        hint = suggest(wanted, sorted(names)) or _listing("it has", sorted(names))
        raise NotFound(f"The workflow has no node called {shorten(wanted)}{hint}.")
    field = name[len(title) + 1 :]
    inputs = sorted({one for node_id in nodes for one in settable_inputs(prompt, node_id, info)})
    hint = suggest(field, inputs) or _listing("what can be set is", inputs)
    raise NotFound(f"{shorten(title)} has no input {shorten(field)}{hint}.")


def _splits(name: str) -> Iterator[tuple[str, str]]:
    at = name.find(".")
    while at >= 0:
        yield name[:at], name[at + 1 :]
        at = name.find(".", at + 1)


def _has_input(prompt: Mapping[str, Any], info: ObjectInfo, node_id: str, field: str) -> bool:
    node = prompt[node_id]
    node_class = info.node(str(node.get("class_type")))
    if node_class is None:
        # Its class is unknown: say that, rather than that the input is missing.
        return field in (node.get("inputs") or {})
    return declared_input(node_class, node.get("inputs") or {}, field) is not None


def _listing(start: str, names: list[str]) -> str:
    if not names:
        return f"; {start} nothing"
    more = f" and {len(names) - 12} more" if len(names) > 12 else ""
    return f"; {start} {', '.join(names[:12])}{more}"
