"""Values that a person gives a workflow's parameters: checked, their files kept, and put in."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from comfynb.comfy.choices import own_spelling
from comfynb.comfy.keys import ParameterKeys
from comfynb.comfy.values import check_value
from comfynb.engine.inputs import InputFolder
from comfynb.errors import InvalidValue
from comfynb.models import ExposedParameter, ParamType

__all__ = ["FILE_TYPES", "ParameterValues", "Point"]

FILE_TYPES = frozenset({ParamType.IMAGE_PATH, ParamType.VIDEO_PATH})


@dataclass(frozen=True, slots=True)
class Point:
    """Values by parameter key as they would be sent, and the copies that were kept of files."""

    values: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)


class ParameterValues:
    """Checks values for the parameters of one workflow, whatever these are by then."""

    def __init__(
        self,
        prompt: Callable[[], Mapping[str, Any]],
        keys: Callable[[], ParameterKeys],
        inputs: InputFolder,
    ) -> None:
        self._prompt = prompt
        self._keys = keys
        self._inputs = inputs

    def find(self, name: str) -> tuple[str, ExposedParameter]:
        """The key and the parameter that a person means.

        Raises:
            NotFound: there is no such parameter.
        """
        keys = self._keys()
        parameter = keys.find(name)
        return keys.key_of(parameter), parameter

    def check(self, values: Mapping[str, Any]) -> Point:
        """Values by any name of their parameters, as they would be sent.

        Raises:
            NotFound: there is no such parameter.
            InvalidValue: a value that is not allowed.
        """
        point = Point()
        for name, value in values.items():
            key, parameter = self.find(name)
            if parameter.param_type in FILE_TYPES:
                point.values[key], kept = self._file(parameter, value)
                if kept is not None:
                    point.files[key] = kept
            else:
                point.values[key] = check_value(parameter, value)
        return point

    def _file(self, parameter: ExposedParameter, value: Any) -> tuple[str, Path | None]:
        """A file on this machine is kept and uploaded later; else it must be on the backend."""
        if not isinstance(value, str | Path):
            raise InvalidValue(
                f"{parameter.display_name} needs a file name, not {type(value).__name__}."
            )
        path = Path(value).expanduser()
        choices = (parameter.constraints.choices if parameter.constraints else None) or []
        listed = own_spelling(str(value), choices)
        if isinstance(listed, str):
            return listed, None
        if path.is_file():
            kept = self._inputs.keep(path)
            return str(kept), kept
        annotated = re.search(r" \[(input|output|temp)\]$", str(value))
        if annotated or str(value) == parameter.default_value:
            return str(value), None
        raise InvalidValue(
            f"{parameter.display_name}: {str(value)!r} is neither a file here nor one that the "
            "backend has; give the path of an existing file."
        )

    def bind(self, point: Point) -> dict[str, Any]:
        """The prompt with these values in it; what does not change is shared with the original."""
        prompt = dict(self._prompt())
        keys = self._keys()
        for key, value in point.values.items():
            parameter = keys[key]
            node = prompt[parameter.node_id]
            # A file is uploaded later: what is on the backend now says nothing about it.
            given = parameter.default_value if key in point.files else value
            inputs = {**node["inputs"], parameter.field_name: given}
            prompt[parameter.node_id] = {**node, "inputs": inputs}
        return prompt
