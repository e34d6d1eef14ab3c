"""The widgets that the front-end makes for an input, the silent ones beside it included."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from comfynb.comfy.convert.dynamic import whole
from comfynb.comfy.object_info import DYNAMIC_COMBO, DYNAMIC_GROUP, InputSpec

__all__ = ["CONTROL_MODES", "WIDGET_TYPES", "Widget", "has_widget", "simple_widget", "widgets_of"]

CONTROL_MODES = frozenset({"fixed", "increment", "decrement", "randomize", "increment-wrap"})

# Widget types besides numbers, texts, switches and choices, with the value of a new one.
_PLAIN_WIDGETS: dict[str, Any] = {
    "MARKDOWN": "",
    "TEXTAREA": "",
    "COLOR": "#000000",
    "CHART": {},
    "GALLERIA": [],
    "PAINTER": "",
    "COMPOSITOR": {},
    "CURVE": {"points": [[0, 0], [1, 1]], "interpolation": "monotone_cubic"},
    "RANGE": {"min": 0, "max": 1},
    "VIDEO_EDIT": {},
    "BOUNDING_BOXES": [],
    "LIGHT_INFO_PREVIEW": [],
    "COLORS": [],
    "WEBCAM": "",
    "LOAD_3D": "",
    "LOAD_3D_ANIMATION": "",
    "LOAD_3D_ADVANCED": "",
    "PREVIEW_3D": "",
    "PREVIEW_3D_ANIMATION": "",
    "COMFY_BRANCH_SELECTOR": "",
    "COMFY_BRANCH_INPUT_NAMES": [],
    "FILEUPLOAD": None,
    "MULTISELECT": [],
    "SELECTBUTTON": None,
    "TREESELECT": None,
}
_UNSAVED_WIDGETS = {"AUDIO_UI", "RESOLUTION_PREVIEW"}
_NUMBERS_AND_CO = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO", DYNAMIC_COMBO, DYNAMIC_GROUP}
_OTHERS = {"BOUNDING_BOX", "AUDIO_RECORD", "IMAGEUPLOAD", "AUDIOUPLOAD"}
WIDGET_TYPES = frozenset(
    {*_NUMBERS_AND_CO, *_OTHERS, "IMAGECOMPARE", *_UNSAVED_WIDGETS, *_PLAIN_WIDGETS}
)


@dataclass(frozen=True, slots=True)
class Widget:
    """A widget. ``saved``: it has a place in ``widgets_values``. ``sent``: the prompt has it."""

    name: str
    spec: InputSpec | None = None
    default: Any = None
    saved: bool = True
    sent: bool = True
    control: bool = False


def has_widget(spec: InputSpec) -> bool:
    """Whether the front-end shows a widget for the input."""
    return not spec.force_input and spec.widget in WIDGET_TYPES


def widgets_of(spec: InputSpec, name: str | None = None) -> Iterator[Widget]:
    """Yield the widgets of one input: its own first, then those that come along with it.

    The inputs that a dynamic combo's choice brings are not among them: they depend on its value.
    """
    name = spec.name if name is None else name
    match spec.widget:
        case "INT":
            yield from simple_widget(spec, "INT", name)
            flag = spec.control_after_generate
            if flag or (flag is None and name in {"seed", "noise_seed"}):
                yield _control(name)
        case "FLOAT":
            yield from simple_widget(spec, "FLOAT", name)
            if spec.control_after_generate:
                yield _control(name)
        case "COMBO":
            yield from _combo(spec, name)
        case "BOUNDING_BOX":
            yield Widget(name, spec, {"x": 0, "y": 0, "width": 512, "height": 512})
            for part in ("x", "y", "width", "height"):
                yield Widget(f"{name}.{part}", sent=False)
        case "AUDIO_RECORD":
            yield Widget(name, spec, "")
            yield Widget(f"{name} record", sent=False)
        case "IMAGEUPLOAD" | "AUDIOUPLOAD":
            yield Widget(name, sent=False)
        case "LOAD_3D" | "LOAD_3D_ANIMATION":
            for button in ("upload 3d model", "upload extra resources", "clear"):
                yield Widget(button, sent=False)
            yield Widget(name, spec, "")
        case "IMAGECOMPARE":
            yield Widget(name, spec, ["", ""], saved=False)
        case kind if kind in _UNSAVED_WIDGETS:
            yield Widget(name, spec, saved=False, sent=False)
        case kind:
            yield from simple_widget(spec, kind, name)


def simple_widget(spec: InputSpec, kind: str, name: str | None = None) -> Iterator[Widget]:
    """Yield the one widget of a plain kind."""
    defaults = {"INT": 0, "FLOAT": 0, "STRING": "", "BOOLEAN": False}
    default = spec.default
    if default is None:
        default = defaults[kind] if kind in defaults else _PLAIN_WIDGETS.get(kind)
        if kind == DYNAMIC_GROUP:
            default = whole(spec.options.get("min"), 0)
    if kind == DYNAMIC_COMBO:
        # The front-end overlooks a declared default here and takes the first choice.
        default = spec.choices[0] if spec.choices else None
    sent = kind != DYNAMIC_GROUP
    yield Widget(spec.name if name is None else name, spec, default, sent=sent)


def _combo(spec: InputSpec, name: str) -> Iterator[Widget]:
    several = bool(spec.options.get("multi_select"))
    default: Any = [] if several else spec.default
    if not default and not several:
        default = spec.choices[0] if spec.choices else None
    yield Widget(name, spec, default)
    if spec.remote and not several:
        yield Widget(f"{name} auto-refresh", sent=False)
        if spec.options["remote"].get("refresh_button"):
            yield Widget(f"{name} refresh", sent=False)
    if spec.control_after_generate:
        yield _control(name)
        if not several:
            yield Widget(f"{name} filter", sent=False)


def _control(name: str) -> Widget:
    return Widget(f"{name} control", default="randomize", sent=False, control=True)
