"""Tells when a saved value cannot be meant for its widget: the mark of a slipped list."""

from comfynb.comfy.convert.widgets import CONTROL_MODES
from comfynb.comfy.object_info import InputSpec

__all__ = ["doubt_about"]


def doubt_about(spec: InputSpec, value: object) -> str:
    """Say what is wrong with a value of this type, or nothing: the mark of a slipped list."""
    wrong = False
    match spec.widget:
        case "INT" | "FLOAT":
            wrong = isinstance(value, bool) or not isinstance(value, int | float)
            if isinstance(value, str):
                wrong = not _reads_as_number(value)
        case "BOOLEAN":
            wrong = not isinstance(value, bool) and value not in (0, 1)
        case "STRING":
            wrong = isinstance(value, bool | list | dict)
        case "COMBO":
            wrong = _strange_choice(spec, value)
    if not wrong:
        return ""
    return f"holds {_words(value)} where {spec.widget} belongs"


def _strange_choice(spec: InputSpec, value: object) -> bool:
    if not spec.choices or value in spec.choices:
        return False
    if isinstance(value, list):
        return not spec.options.get("multi_select")
    if isinstance(value, str):
        # A file that this server lacks is no slip; a control mode in its place is one.
        return value in CONTROL_MODES
    return not any(type(choice) is type(value) for choice in spec.choices)


def _reads_as_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _words(value: object) -> str:
    """Name a JSON value's kind: "a text", "a number" ..."""
    match value:
        case None:
            return "nothing"
        case bool():
            return "true or false"
        case str():
            return "a text"
        case int() | float():
            return "a number"
        case list():
            return "a list"
    return "a mapping"
