"""Parameters of a prompt: which inputs a person may want to set, and what each may be set to."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from comfynb.comfy.check import output_nodes, reachable
from comfynb.comfy.convert.api import promoted_inputs, promotions
from comfynb.comfy.declared import declared_input, declared_inputs
from comfynb.comfy.describe import describe_input, parameter_id, simple_inputs, type_of
from comfynb.comfy.keys import parameter_keys
from comfynb.comfy.naming import Naming, field_label
from comfynb.comfy.object_info import InputSpec, ObjectInfo, as_object_info
from comfynb.comfy.problems import node_label, shorten, suggest
from comfynb.comfy.ranking import LAST, rank_of
from comfynb.comfy.values import check_value
from comfynb.errors import NotFound, UsageError
from comfynb.models import ExposedParameter

__all__ = ["apply_parameters", "parameter_for", "parameter_id", "propose_parameters"]

_MOST_OTHERS = 12


def propose_parameters(
    prompt: Mapping[str, Any],
    object_info: Mapping[str, Any],
    workflow: Mapping[str, Any] | None = None,
) -> list[ExposedParameter]:
    """Propose what to expose, in the order in which a person looks for it.

    First what the author chose in app mode (``extra.linearData`` of ``workflow``), then seeds,
    prompt texts, sizes, steps, guidance, samplers, schedulers, denoising, models and input files,
    and other simple inputs if they are few. Only inputs of nodes that run, whose class is known,
    and that hold a value rather than a link. Inputs hidden in subgraphs are left out where the
    author shows others of their kind. Display names are unique.
    """
    info = as_object_info(object_info)
    running = reachable(prompt, output_nodes(prompt, info)) or list(prompt)
    alive = set(running)
    chosen = {
        place: spec
        for place, spec in _chosen_by_author(prompt, info, workflow).items()
        if place[0] in alive
    }
    shown = promotions(workflow, info) if workflow is not None else {}
    naming = Naming({node_id: prompt[node_id] for node_id in running}, info, workflow, shown)
    ranked: list[tuple[_Rank, str, InputSpec]] = []
    for place, node_id in enumerate(running):
        # What is wanted comes before what is not.
        second = int(naming.role(node_id) == "negative")
        for index, (name, spec) in enumerate(simple_inputs(prompt, node_id, info)):
            if (node_id, name) not in chosen:
                rank = rank_of(prompt, node_id, spec)
                ranked.append(((rank, second, place, index), node_id, spec))
    ranked = _leave_out_what_is_hidden(ranked, shown)
    ranked.sort(key=lambda entry: entry[0])
    others = sum(rank[0] >= LAST for rank, _, _ in ranked)
    if chosen or others > _MOST_OTHERS:
        ranked = [entry for entry in ranked if entry[0][0] < LAST]
    found = [(node_id, spec) for (node_id, _), spec in chosen.items()]
    found += [(node_id, spec) for _, node_id, spec in ranked]
    labels = naming.labels([(node_id, spec.name) for node_id, spec in found])
    return [
        describe_input(prompt, node_id, spec, labels[node_id, spec.name], order)
        for order, (node_id, spec) in enumerate(found)
    ]


_Rank = tuple[int, int, int, int]


def _leave_out_what_is_hidden(
    ranked: list[tuple[_Rank, str, InputSpec]], shown: Mapping[tuple[str, str], str]
) -> list[tuple[_Rank, str, InputSpec]]:
    """Of each kind, leave out what lies hidden in subgraphs if some of that kind is in the open.

    Authors promote what they want to be set; with nothing promoted, everything is offered.
    """

    def is_open(node_id: str, spec: InputSpec) -> bool:
        return ":" not in node_id or (node_id, spec.name) in shown

    kinds = {rank[0] for rank, node_id, spec in ranked if is_open(node_id, spec)}
    return [
        entry
        for entry in ranked
        if is_open(entry[1], entry[2]) or (entry[0][0] not in kinds and entry[0][0] < LAST)
    ]


def parameter_for(
    prompt: Mapping[str, Any], object_info: Mapping[str, Any], node_id: str, field: str
) -> ExposedParameter:
    """Describe one input of one node as a parameter.

    Raises :class:`~comfynb.errors.NotFound` for an unknown node or input, and
    :class:`~comfynb.errors.UsageError` for an input that is linked or cannot be typed in.
    """
    info = as_object_info(object_info)
    node = prompt.get(node_id)
    if not isinstance(node, Mapping):
        raise NotFound(f"The prompt has no node {shorten(node_id)}{suggest(node_id, prompt)}.")
    label = node_label(prompt, node_id)
    node_class = info.node(str(node.get("class_type")))
    inputs = node.get("inputs") or {}
    if node_class is None:
        raise NotFound(
            f"{label} is of a class that the server does not know, so its inputs cannot be exposed."
        )
    spec = declared_input(node_class, inputs, field)
    if spec is None:
        names = declared_inputs(node_class, inputs)
        raise NotFound(
            f"{label} has no input {shorten(field)}{suggest(field, names)}; "
            f"it has {', '.join(names) or 'none'}."
        )
    if isinstance(inputs.get(field), list):
        raise UsageError(
            f"{label}: input {field} is fed by {node_label(prompt, str(inputs[field][0]))}: "
            "expose an input of that node instead."
        )
    if type_of(spec) is None:
        raise UsageError(
            f"{label}: input {field} takes {spec.socket}, which cannot be typed in: link it."
        )
    return describe_input(prompt, node_id, spec, field_label(field), 0)


def apply_parameters(
    prompt: Mapping[str, Any],
    parameters: Iterable[ExposedParameter],
    values: Mapping[str, Any],
) -> dict[str, Any]:
    """Give a new prompt in which parameters have other values; the old one is not changed.

    ``values`` may name a parameter by its key (see
    :func:`~comfynb.comfy.keys.parameter_keys`), display name, ``"Title.field"``, ``"id.field"`` or
    id. Each value is checked. Raises :class:`~comfynb.errors.NotFound` for an unknown name and
    :class:`~comfynb.errors.InvalidValue` for a value that is not allowed.
    """
    keys = parameter_keys(list(parameters))
    changed = copy.deepcopy(dict(prompt))
    for name, value in values.items():
        parameter = keys.find(name)
        node = changed.get(parameter.node_id)
        if not isinstance(node, dict):
            raise NotFound(
                f"{parameter.display_name} belongs to node {parameter.node_id}, "
                "which is not in the prompt: propose the parameters again."
            )
        node.setdefault("inputs", {})[parameter.field_name] = check_value(parameter, value)
    return changed


def _chosen_by_author(
    prompt: Mapping[str, Any], info: ObjectInfo, workflow: Mapping[str, Any] | None
) -> dict[tuple[str, str], InputSpec]:
    """The inputs that app mode shows, in the author's order."""
    extra = workflow.get("extra") if workflow is not None else None
    linear = extra.get("linearData") if isinstance(extra, Mapping) else None
    entries = linear.get("inputs") if isinstance(linear, Mapping) else None
    chosen: dict[tuple[str, str], InputSpec] = {}
    for entry in entries if isinstance(entries, list) else ():
        if not isinstance(entry, list) or len(entry) < 2 or not isinstance(entry[1], str):
            continue
        key = str(entry[0])
        places = [(key, entry[1])]
        if key not in prompt and workflow is not None:
            # It is a subgraph's own input: what it feeds inside is what a prompt can set.
            places = promoted_inputs(workflow, info, key, entry[1])[:1]
        for node_id, name in places:
            for candidate, spec in (
                simple_inputs(prompt, node_id, info) if node_id in prompt else ()
            ):
                if candidate == name:
                    chosen[node_id, name] = spec
    return chosen
