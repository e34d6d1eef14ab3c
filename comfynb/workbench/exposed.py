"""Which inputs of a workflow are parameters: named, grouped, in order, with what backends offer."""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from comfynb.comfy.check import missing_classes
from comfynb.comfy.choices import Offer, offers, with_offers
from comfynb.comfy.exposing import display_names, find_place, settable_parameters
from comfynb.comfy.graph import is_link
from comfynb.comfy.keys import ParameterKeys, parameter_keys
from comfynb.comfy.object_info import ObjectInfo
from comfynb.comfy.parameters import parameter_for, propose_parameters
from comfynb.errors import NotFound, UsageError
from comfynb.models import ExposedParameter, WorkflowDefinition, explain

__all__ = ["Exposed"]

Infos = Sequence[tuple[str, Mapping[str, Any]]]
"""Names of the backends that may run it, with their node classes."""

_TOKENS = itertools.count()


class Exposed:
    """The exposed parameters of one workflow, kept in its definition.

    ``object_info`` gives the node classes that its prompt is read by; ``infos`` those of every
    backend that may run it. Choices are always what these offer now.
    """

    def __init__(
        self,
        definition: WorkflowDefinition,
        object_info: Callable[[], ObjectInfo],
        infos: Callable[[], Infos],
    ) -> None:
        self._definition = definition
        self._object_info = object_info
        self._infos = infos
        self._seen: list[tuple[str, Mapping[str, Any]]] = []
        self._keys: ParameterKeys | None = None
        self._offers: dict[str, list[Offer]] = {}
        self._hidden: dict[str, ExposedParameter] = {}
        self._watchers: dict[int, Callable[[], None]] = {}

    # What there is ----------------------------------------------------------------------------

    @property
    def keys(self) -> ParameterKeys:
        """The parameters in order, by the short names that ``wf.run`` takes."""
        infos = self._willing()
        same = len(infos) == len(self._seen) and all(
            name == other and info is known
            for (name, info), (other, known) in zip(infos, self._seen, strict=True)
        )
        if self._keys is None or not same:
            self._seen = infos
            stored = self._definition.exposed_parameters
            self._offers = offers(self._definition.api_json, stored, dict(infos))
            self._keys = parameter_keys(with_offers(p, self._offers.get(p.id)) for p in stored)
        return self._keys

    def offers_for(self, parameter: ExposedParameter) -> list[Offer]:
        """What the backends offer for a parameter, and which of them lacks what."""
        self.keys  # noqa: B018 - brings the offers up to date
        return self._offers.get(parameter.id, [])

    def _willing(self) -> list[tuple[str, Mapping[str, Any]]]:
        """The backends that have all node classes; all of them if none has."""
        every = list(self._infos())
        able = [one for one in every if not missing_classes(self._definition.api_json, one[1])]
        return able or every

    def candidates(self) -> list[ExposedParameter]:
        """All that could be exposed, in the workflow's order; what is exposed, as it is."""
        definition = self._definition
        exposed = {parameter.id: parameter for parameter in self.keys.values()}
        known = {**self._hidden, **exposed}
        found = settable_parameters(
            definition.api_json, self._object_info(), definition.workflow_json or None
        )
        places = {parameter.id for parameter in found}
        rest = [parameter for parameter in exposed.values() if parameter.id not in places]
        return [*(known.get(parameter.id, parameter) for parameter in found), *rest]

    def _find(self, name: str) -> ExposedParameter:
        """The stored parameter of that name: key, display name, "Title.input" or id."""
        found = self.keys.find(name)
        return next(p for p in self._definition.exposed_parameters if p.id == found.id)

    # Changing it ------------------------------------------------------------------------------

    def expose(
        self, place: str, *, name: str | None, group: str | None, order: int | None
    ) -> ExposedParameter:
        """Make one more input settable, or change how it is shown if it is already."""
        parameters = self._definition.exposed_parameters
        node_id, field = find_place(self._definition.api_json, self._object_info(), place)
        known = next((p for p in parameters if (p.node_id, p.field_name) == (node_id, field)), None)
        if known is None:
            known = self._new(node_id, field)
            parameters = [*self._renamed_apart(known), known]
        changes: dict[str, Any] = {}
        if name is not None:
            changes["display_name"] = self._free_name(name, known)
        if group is not None:
            changes["group"] = group
        changed = _changed(known, **changes)
        parameters = [changed if p.id == known.id else p for p in parameters]
        if order is not None:
            parameters = _moved(parameters, changed.id, order)
        self._take(parameters)
        return next(p for p in self._definition.exposed_parameters if p.id == changed.id)

    def _new(self, node_id: str, field: str) -> ExposedParameter:
        found = parameter_for(self._definition.api_json, self._object_info(), node_id, field)
        return self._hidden.get(found.id, found)

    def _renamed_apart(self, new: ExposedParameter) -> list[ExposedParameter]:
        """The parameters, and ``new`` named so that all differ; names a person gave stay."""
        definition = self._definition
        parameters = definition.exposed_parameters
        places = [_place(p) for p in parameters if p.node_id in definition.api_json]
        workflow = definition.workflow_json or None
        info = self._object_info()
        before = display_names(definition.api_json, info, places, workflow)
        after = display_names(definition.api_json, info, [*places, _place(new)], workflow)
        renamed = [
            _changed(p, display_name=after[_place(p)])
            if before.get(_place(p)) == p.display_name
            else p
            for p in parameters
        ]
        if new.id not in self._hidden:
            taken = {p.display_name for p in renamed}
            name = after[_place(new)]
            new.display_name = name if name not in taken else f"{name} ({new.node_id})"
        return renamed

    def rename(self, name: str, new: str) -> None:
        """Call a parameter something else."""
        found = self._find(name)
        self._replace(_changed(found, display_name=self._free_name(new, found)))

    def _free_name(self, wanted: str, of: ExposedParameter) -> str:
        for other in self._definition.exposed_parameters:
            if other.display_name == wanted and other.id != of.id:
                raise UsageError(
                    f"{other.node_title}.{other.field_name} is already called {wanted!r}: "
                    "give each parameter a name of its own."
                )
        return wanted

    def group(self, group: str, names: Iterable[str]) -> None:
        """Put parameters under one heading, one after the other, where the first of them stands."""
        found = [self._find(name) for name in names]
        if not found:
            raise UsageError(f'Name what belongs to {group!r}: wf.group({group!r}, "seed").')
        ids = [p.id for p in found]
        rest = [p for p in self._definition.exposed_parameters if p.id not in ids]
        before = [p for p in self._definition.exposed_parameters if p.id in ids]
        at = self._definition.exposed_parameters.index(before[0])
        members = [_changed(p, group=group) for p in {p.id: p for p in found}.values()]
        self._take([*rest[:at], *members, *rest[at:]])

    def move(self, name: str, order: int) -> None:
        """Put a parameter at another place; 0 is the first, -1 the last."""
        self._take(_moved(self._definition.exposed_parameters, self._find(name).id, order))

    def reorder(self, names: Iterable[str]) -> None:
        """These first, in this order; the others follow as they were."""
        first = list({found.id: found for found in map(self._find, names)}.values())
        ids = {p.id for p in first}
        self._take([*first, *(p for p in self._definition.exposed_parameters if p.id not in ids)])

    def hide(self, names: Iterable[str]) -> None:
        """Make parameters no longer settable; what they were called is remembered for a while."""
        hidden = [self._find(name) for name in names]
        self._hidden |= {p.id: p for p in hidden}
        ids = {p.id for p in hidden}
        self._take([p for p in self._definition.exposed_parameters if p.id not in ids])

    def show(self, names: Iterable[str]) -> None:
        """Make inputs settable again, under the names that they had."""
        for name in names:
            place = name
            if self._hidden:
                try:
                    found = parameter_keys(self._hidden.values()).find(name)
                    place = f"{found.node_id}.{found.field_name}"
                except NotFound:
                    pass  # then it must be a place, or expose() says what is wrong
            self.expose(place, name=None, group=None, order=None)

    def replace(self, parameters: Sequence[ExposedParameter]) -> None:
        """Expose exactly these, in this order, as an editor hands them over."""
        names: dict[str, ExposedParameter] = {}
        for parameter in parameters:
            other = names.setdefault(parameter.display_name, parameter)
            if other is not parameter:
                raise UsageError(
                    f"{other.node_title}.{other.field_name} and {parameter.node_title}."
                    f"{parameter.field_name} are both called {parameter.display_name!r}: "
                    "give each a name of its own."
                )
        ids = {p.id for p in parameters}
        self._hidden |= {p.id: p for p in self._definition.exposed_parameters if p.id not in ids}
        self._take([_changed(p) for p in parameters])

    def _replace(self, changed: ExposedParameter) -> None:
        self._take(
            [changed if p.id == changed.id else p for p in self._definition.exposed_parameters]
        )

    def _take(self, parameters: Sequence[ExposedParameter]) -> None:
        self._definition.exposed_parameters = [
            p if p.order == order else p.model_copy(update={"order": order})
            for order, p in enumerate(parameters)
        ]
        self._keys = None
        for callback in list(self._watchers.values()):
            callback()

    # Beginning --------------------------------------------------------------------------------

    def restore(self, recorded: Sequence[ExposedParameter]) -> None:
        """Begin with what a version recorded; what its nodes no longer take is left out."""
        self._take(self._carried_over(recorded, self._object_info()))

    def propose(self, former: WorkflowDefinition | None) -> None:
        """Begin with a proposal, or with what a person once made of an earlier version."""
        definition = self._definition
        info = self._object_info()
        proposed = propose_parameters(definition.api_json, info, definition.workflow_json or None)
        if former is not None and former.exposed_parameters and _was_edited(former, info):
            proposed = self._carried_over(former.exposed_parameters, info)
        self._take(proposed)

    def _carried_over(
        self, former: Sequence[ExposedParameter], info: ObjectInfo
    ) -> list[ExposedParameter]:
        """The same parameters with the types, limits and defaults of today; lost places are out."""
        prompt = self._definition.api_json
        kept = []
        for old in former:
            try:
                new = parameter_for(prompt, info, old.node_id, old.field_name)
            except (NotFound, UsageError):
                if not _is_settable_there(prompt, info, old):
                    continue  # that input is gone, or is fed by a link now
                new = old
            kept.append(_changed(new, display_name=old.display_name, group=old.group))
        return kept

    def watch(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call ``callback`` after each change; returns the way to stop."""
        token = next(_TOKENS)
        self._watchers[token] = callback

        def stop() -> None:
            self._watchers.pop(token, None)

        return stop


def _was_edited(former: WorkflowDefinition, info: ObjectInfo) -> bool:
    proposed = propose_parameters(former.api_json, info, former.workflow_json or None)

    def look(parameters: Iterable[ExposedParameter]) -> list[tuple[object, ...]]:
        return [(p.id, p.display_name, p.group) for p in sorted(parameters, key=lambda p: p.order)]

    return look(proposed) != look(former.exposed_parameters)


def _is_settable_there(
    prompt: Mapping[str, Any], info: ObjectInfo, parameter: ExposedParameter
) -> bool:
    """Whether a node whose class no backend knows just now has a value where a parameter sets one.

    The machine with that node pack may be switched off today: names that a person gave stay.
    """
    node = prompt.get(parameter.node_id)
    if not isinstance(node, Mapping) or info.node(str(node.get("class_type"))) is not None:
        return False
    inputs = node.get("inputs") or {}
    return parameter.field_name in inputs and not is_link(inputs[parameter.field_name])


def _place(parameter: ExposedParameter) -> tuple[str, str]:
    return parameter.node_id, parameter.field_name


def _changed(parameter: ExposedParameter, **changes: Any) -> ExposedParameter:
    try:
        return ExposedParameter.model_validate({**parameter.model_dump(), **changes})
    except ValidationError as error:
        raise UsageError(explain(error)) from None


def _moved(parameters: Sequence[ExposedParameter], id_: str, order: int) -> list[ExposedParameter]:
    rest = [p for p in parameters if p.id != id_]
    at = order if order >= 0 else len(rest) + 1 + order
    moved = next(p for p in parameters if p.id == id_)
    return [*rest[: max(at, 0)], moved, *rest[max(at, 0) :]]
