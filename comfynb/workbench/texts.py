"""Which texts of a workflow are filled in when a job is made: dynamic prompts, and dates."""

from collections.abc import Iterator, Mapping
from typing import Any

from comfynb.comfy.dynamic_prompts import (
    dynamic_inputs,
    file_names,
    is_dated,
    is_open,
    open_choices,
)

__all__ = ["Place", "Texts"]

Place = tuple[str, str]
"""A node's id and an input's name."""

_MARKS = ("{", "\\", "//", "/*")


class Texts:
    """What the front-end would change in a prompt's texts when it sends it."""

    def __init__(
        self,
        prompt: Mapping[str, Any],
        object_info: Mapping[str, Any],
        workflow: Mapping[str, Any],
    ) -> None:
        self._prompt = prompt
        self._declared = set(dynamic_inputs(prompt, object_info))
        self._files = set(file_names(prompt))
        found = open_choices(prompt, object_info)
        if found and workflow:
            # The conversion turns \{a|b\} into {a|b}, which then only looks like a choice: what is
            # one stands in the saved workflow just so.
            raw = set(_texts(workflow))
            found = [place for place in found if self._text(place) in raw]
        self.open = found
        """The inputs whose saved text leaves a choice to chance, in the prompt's order."""

    def _text(self, place: Place) -> object:
        node_id, name = place
        return (self._prompt[node_id].get("inputs") or {}).get(name)

    def dynamic(self, values: Mapping[Place, object]) -> tuple[list[Place], bool]:
        """The inputs to resolve once these values are set, and whether anything is left to chance.

        A value that is what the workflow has anyway (forms hand over all of them) changes nothing.
        """
        given = {
            place: value
            for place, value in values.items()
            if place in self._declared and value != self._text(place)
        }
        places = [place for place in self.open if place not in values or place not in given]
        chance = bool(places)
        for place, value in given.items():
            if isinstance(value, str) and any(mark in value for mark in _MARKS):
                places.append(place)
                chance = chance or is_open(value)
        return places, chance

    def dated(self, values: Mapping[Place, object]) -> list[Place]:
        """The file names with a ``%date:...%`` once these values are set."""
        return sorted(
            place for place in self._files if is_dated(values.get(place, self._text(place)))
        )


def _texts(value: object) -> Iterator[str]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, Mapping):
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)
