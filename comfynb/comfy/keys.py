"""Short names for parameters, fit to be keywords: ``wf.run(seed=3, steps=20)``."""

import keyword
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

from comfynb.comfy.problems import shorten, suggest
from comfynb.errors import NotFound, UsageError
from comfynb.models import ExposedParameter

__all__ = ["RESERVED", "ParameterKeys", "parameter_keys"]

_NOT_IN_NAMES = re.compile(r"[^0-9a-z]+")
_LONGEST = 64
_SAYS_NOTHING = {"value"}
RESERVED = frozenset({"self", "values", "backend", "fallback", "dynamic_seed"})
"""Keywords that ``wf.run`` and its kin have themselves."""


class ParameterKeys(dict[str, ExposedParameter]):
    """Parameters by their short names, in order; :meth:`find` understands other names too."""

    def find(self, name: str) -> ExposedParameter:
        """Find a parameter by key, id, display name, ``"Title.field"`` or ``"node id.field"``.

        A bare field name or title works where only one parameter has it. Raises
        :class:`~comfynb.errors.UsageError` with the alternatives where several have it, and
        :class:`~comfynb.errors.NotFound` with the nearest name where none has.
        """
        if name in self:
            return self[name]
        for names_of in (_exact_names, _loose_names):
            found = [key for key, parameter in self.items() if name in names_of(parameter)]
            if len(found) == 1:
                return self[found[0]]
            if found:
                raise UsageError(
                    f"{shorten(name)} means {len(found)} parameters: use {' or '.join(found)}."
                )
        known = f"; there are {', '.join(self)}" if self else "; there are none"
        hint = suggest(name, [*self, *(p.display_name for p in self.values())]) or known
        raise NotFound(f"There is no parameter {shorten(name)}{hint}.")

    def key_of(self, parameter: ExposedParameter) -> str:
        """The short name of a parameter."""
        for key, candidate in self.items():
            if candidate.id == parameter.id:
                return key
        raise NotFound(f"{parameter.display_name} is not among these parameters.")


def parameter_keys(parameters: Iterable[ExposedParameter]) -> ParameterKeys:
    """Give each parameter a short unique name that is a Python identifier.

    It is the field's name where no other parameter has it and it says something, else the display
    name's or the title's and the field's words, and the node's id as the last resort.
    """
    parameters = list(parameters)
    keys = ParameterKeys()
    fields = Counter(_slug(parameter.field_name) for parameter in parameters)
    labels = Counter(_slug(parameter.display_name) for parameter in parameters)
    titled = Counter(_titled(parameter) for parameter in parameters)
    for parameter in parameters:
        field, label = _slug(parameter.field_name), _slug(parameter.display_name)
        candidates = [
            field if fields[field] == 1 and field not in _SAYS_NOTHING else "",
            label if labels[label] == 1 and len(label) <= _LONGEST else "",
            _titled(parameter) if titled[_titled(parameter)] == 1 else "",
            f"{_slug(parameter.field_name)}_{_slug(parameter.node_id)}",
        ]
        base = candidates[-1]
        key = next((name for name in candidates if name and name not in keys), "")
        number = 2
        while not key:
            key = f"{base}_{number}" if f"{base}_{number}" not in keys else ""
            number += 1
        keys[key] = parameter
    return keys


def _titled(parameter: ExposedParameter) -> str:
    return f"{_slug(parameter.node_title)[:_LONGEST]}_{_slug(parameter.field_name)}"


def _exact_names(parameter: ExposedParameter) -> set[str]:
    return {
        parameter.id,
        parameter.display_name,
        f"{parameter.node_title}.{parameter.field_name}",
        f"{parameter.node_id}.{parameter.field_name}",
    }


def _loose_names(parameter: ExposedParameter) -> set[str]:
    return {
        parameter.field_name,
        parameter.node_title,
        _slug(parameter.field_name),
        _slug(parameter.display_name),
        _titled(parameter),
    }


def _slug(text: str) -> str:
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode().lower()
    words = _NOT_IN_NAMES.sub("_", plain).strip("_") or "value"
    if words[0].isdigit():
        words = f"n{words}"
    return f"{words}_" if keyword.iskeyword(words) or words in RESERVED else words
