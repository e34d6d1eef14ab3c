"""Which field a parameter gets."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from comfynb.models import ExposedParameter, ParamType
from comfynb.widgets.fields import choice, number
from comfynb.widgets.fields.base import Check, Field
from comfynb.widgets.fields.choice import Option
from comfynb.widgets.fields.file import Fetch, FileField, Upload
from comfynb.widgets.fields.text import BoolField, MultilineField, StringField

__all__ = ["Tools", "make_field"]


@dataclass(frozen=True, slots=True)
class Tools:
    """What fields need from outside."""

    check: Check
    upload: Upload | None = None
    fetch: Fetch | None = None


def make_field(
    parameter: ExposedParameter,
    value: object,
    tools: Tools,
    changed: Callable[[Field], None],
    *,
    options: Sequence[Option] | None = None,
    notes: Mapping[Option, str] | None = None,
) -> Field:
    """The field for ``parameter``, showing ``value``.

    ``options`` go before those in the parameter's constraints; ``notes`` stand beside them.
    """
    if options is None:
        limits = parameter.constraints
        options = (limits.choices if limits is not None else None) or []
    match parameter.param_type:
        case ParamType.INT | ParamType.FLOAT:
            return number.make(parameter)(parameter, value, tools.check, changed)
        case ParamType.BOOL:
            return BoolField(parameter, value, tools.check, changed)
        case ParamType.CHOICE:
            return choice.make(parameter, value, tools.check, changed, options, notes=notes)
        case ParamType.IMAGE_PATH | ParamType.VIDEO_PATH:
            return FileField(
                parameter,
                value,
                tools.check,
                changed,
                options=[str(option) for option in options],
                upload=tools.upload,
                fetch=tools.fetch,
            )
        case ParamType.MULTILINE_STRING:
            return MultilineField(parameter, value, tools.check, changed)
        case ParamType.STRING:
            # A one-line box would drop the line breaks at the first edit.
            kind = MultilineField if "\n" in str(value) else StringField
            return kind(parameter, value, tools.check, changed)
