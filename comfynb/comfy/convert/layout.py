"""Which widgets and sockets the front-end makes for a node class, in which order.

Saved widget values are positional, so every widget counts that takes a place in the list, also the
buttons and the control modes that the prompt never sees.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from comfynb.comfy.object_info import (
    AUTOGROW,
    DYNAMIC_COMBO,
    DYNAMIC_GROUP,
    MATCH_TYPE,
    InputSpec,
    NodeClass,
    ObjectInfo,
)

__all__ = [
    "CONTROL_MODES",
    "Autogrow",
    "Layout",
    "Socket",
    "Widget",
    "autogrow_of",
    "group_rows",
    "has_widget",
    "initial_widgets",
    "layout_of",
    "sub_inputs",
    "widgets_of",
]

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


@dataclass(frozen=True, slots=True)
class Socket:
    """An input that only takes links."""

    name: str
    type: str


@dataclass(frozen=True, slots=True)
class Autogrow:
    """A group of inputs that grows as they are linked: ``group.name0``, ``group.name1`` ..."""

    name: str
    inputs: tuple[InputSpec, ...]
    prefix: str
    names: tuple[str, ...] | None
    at_least: int
    at_most: int

    @property
    def at_first(self) -> int:
        """How many rows a new node has."""
        return min(max(1, self.at_least + 1), self.at_most)

    def row(self, number: int) -> list[InputSpec]:
        """The inputs of one row under their full names."""
        return [
            replace(
                one,
                name=f"{self.name}.{self._base(one, number)}",
                required=number < self.at_least and one.required,
            )
            for one in self.inputs
        ]

    def row_of(self, name: str) -> int | None:
        """The row that an input's full name belongs to."""
        base = name.removeprefix(f"{self.name}.")
        if base == name:
            return None
        if self.names is not None:
            return self.names.index(base) if base in self.names else None
        digits = base[len(base.rstrip("0123456789")) :]
        return int(digits) if digits and len(digits) < 6 else None

    def _base(self, one: InputSpec, number: int) -> str:
        if self.names is not None:
            return self.names[number]
        return f"{self.prefix if len(self.inputs) == 1 else one.name}{number}"


@dataclass(frozen=True, slots=True)
class Layout:
    """The front-end's idea of a node class."""

    node_class: NodeClass
    sockets: tuple[Socket | Autogrow | Widget, ...]
    """What is made before the widgets; a match-type input that accepts plain values is one."""
    widgets: tuple[Widget, ...]
    forced: tuple[bool, ...] = field(default=())
    """For old files: which places of ``widgets_values`` belong to inputs that lost their widget."""
    regroups: bool = False
    """It has a dynamic group, so the saved list is taken as it is."""


def layout_of(info: ObjectInfo, name: str) -> Layout | None:
    """The layout of a class, kept with the server's other facts; None for an unknown class."""
    layouts: dict[str, Layout | None] = info.cache.setdefault("layouts", {})
    try:
        return layouts[name]
    except KeyError:
        node_class = info.node(name)
        layouts[name] = found = _lay_out(node_class) if node_class is not None else None
        return found


def has_widget(spec: InputSpec) -> bool:
    """Whether the front-end shows a widget for the input."""
    return not spec.force_input and spec.widget in WIDGET_TYPES


def _lay_out(node_class: NodeClass) -> Layout:
    specs = tuple(_with_front_end_inputs(node_class))
    sockets: list[Socket | Autogrow | Widget] = []
    for spec in specs:
        if has_widget(spec):
            continue
        if spec.type == AUTOGROW:
            sockets.append(autogrow_of(spec))
        elif spec.type == MATCH_TYPE and spec.socket in WIDGET_TYPES:
            sockets.extend(_simple(spec, spec.socket))
        else:
            sockets.append(Socket(spec.name, spec.socket))
    widgets = [widget for spec in specs if has_widget(spec) for widget in widgets_of(spec)]
    widgets.extend(_added_at_creation(node_class))
    first = list(initial_widgets(sockets))
    names = {widget.name for widget in (*first, *widgets)}
    forced: list[bool] = []
    unsaved = {widget.name for widget in widgets if not widget.saved}
    for spec in node_class.inputs.values():
        if (spec.name in names or spec.force_input) and spec.name not in unsaved:
            forced.append(spec.force_input)
            if spec.control_after_generate:
                forced.append(False)
    return Layout(
        node_class,
        tuple(sockets),
        tuple(widgets),
        tuple(forced),
        any(_has_group(spec) for spec in specs),
    )


def initial_widgets(parts: Iterable[Socket | Autogrow | Widget]) -> Iterator[Widget]:
    """Yield the widgets of a new node: each dynamic combo shows its first choice's inputs."""
    for part in parts:
        if isinstance(part, Autogrow):
            for number in range(part.at_first):
                for spec in part.row(number):
                    yield from initial_widgets(_parts(spec, part))
        elif isinstance(part, Widget):
            yield part
            if part.spec is not None and part.spec.type == DYNAMIC_COMBO:
                for spec in sub_inputs(part.spec, part.name, part.default):
                    yield from initial_widgets(_parts(spec, None))


def _parts(spec: InputSpec, group: Autogrow | None) -> Iterator[Autogrow | Widget]:
    if spec.type == AUTOGROW:
        yield autogrow_of(spec)
    elif has_widget(spec):
        yield from widgets_of(spec)
    elif group is not None and len(group.inputs) != 1:
        # Rows of several inputs put an empty widget beside each socket.
        yield Widget(spec.name, saved=False, sent=False)


def _has_group(spec: InputSpec) -> bool:
    if spec.type == DYNAMIC_GROUP:
        return True
    if spec.type != DYNAMIC_COMBO:
        return False
    return any(_has_group(inner) for option in spec.dynamic_options for inner in option.inputs)


def _with_front_end_inputs(node_class: NodeClass) -> Iterator[InputSpec]:
    """Yield the declared inputs, and those that the front-end itself adds to some classes."""
    declared = node_class.inputs
    required = [spec for spec in declared.values() if spec.required]
    added: dict[str, str] = {}
    if any(_has_upload_button(spec) for spec in required):
        added["upload"] = "IMAGEUPLOAD"
    audio = declared.get("audio")
    if audio is not None and audio.required and audio.options.get("audio_upload") is True:
        added["audioUI"] = "AUDIO_UI"
        added["upload"] = "AUDIOUPLOAD"
    if node_class.name in {"Preview3D", "SaveGLB"}:
        added["image"] = "PREVIEW_3D"
    if node_class.name == "Preview3DAnimation":
        added["image"] = "PREVIEW_3D_ANIMATION"
    if node_class.name == "Load3DAdvanced":
        added["viewport_state"] = "LOAD_3D_ADVANCED"
    new = [InputSpec(name, type_) for name, type_ in added.items() if name not in declared]
    # Without a declared order they follow the required inputs; with one they come last.
    ordered = "input_order" in node_class.data
    for spec in declared.values():
        if not spec.required and not ordered:
            yield from new
            new = []
        yield spec
    yield from new


def _has_upload_button(spec: InputSpec) -> bool:
    return spec.type == "COMBO" and any(
        spec.options.get(flag) is True
        for flag in ("image_upload", "video_upload", "animated_image_upload")
    )


def _added_at_creation(node_class: NodeClass) -> Iterator[Widget]:
    if node_class.name == "WebcamCapture":
        yield Widget("waiting for camera...", sent=False)
    elif node_class.name == "CustomCombo":
        yield Widget("index", default=-1)
        yield Widget("option1", default="")


def widgets_of(spec: InputSpec, name: str | None = None) -> Iterator[Widget]:
    """Yield the widgets of one input: its own first, then those that come along with it.

    The inputs that a dynamic combo's choice brings are not among them: they depend on its value.
    """
    name = spec.name if name is None else name
    match spec.widget:
        case "INT":
            yield from _simple(spec, "INT", name)
            flag = spec.control_after_generate
            if flag or (flag is None and name in {"seed", "noise_seed"}):
                yield _control(name)
        case "FLOAT":
            yield from _simple(spec, "FLOAT", name)
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
            yield from _simple(spec, kind, name)


def _simple(spec: InputSpec, kind: str, name: str | None = None) -> Iterator[Widget]:
    defaults = {"INT": 0, "FLOAT": 0, "STRING": "", "BOOLEAN": False}
    default = spec.default
    if default is None:
        default = defaults[kind] if kind in defaults else _PLAIN_WIDGETS.get(kind)
        if kind == DYNAMIC_GROUP:
            default = _whole(spec.options.get("min"), 0)
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


def autogrow_of(spec: InputSpec) -> Autogrow:
    """Read an autogrow group's template."""
    template = spec.options.get("template")
    template = template if isinstance(template, Mapping) else {}
    names, prefix = template.get("names"), template.get("prefix")
    given = tuple(map(str, names)) if isinstance(names, list) else None
    return Autogrow(
        spec.name,
        spec.template_inputs,
        prefix if isinstance(prefix, str) else "",
        given,
        _whole(template.get("min"), 1),
        len(given) if given is not None else min(_whole(template.get("max"), 100), 1000),
    )


def sub_inputs(spec: InputSpec, name: str, choice: object) -> list[InputSpec]:
    """The inputs that a dynamic combo's choice brings, under their full names."""
    for option in spec.dynamic_options:
        if option.key == choice:
            return [replace(inner, name=f"{name}.{inner.name}") for inner in option.inputs]
    return []


def group_rows(spec: InputSpec, name: str, count: object) -> list[InputSpec]:
    """The inputs of a dynamic group with ``count`` rows, under their full names."""
    rows = min(_whole(count, 0), _whole(spec.options.get("max"), 20))
    return [
        replace(inner, name=f"{name}.{row}.{inner.name}")
        for row in range(rows)
        for inner in spec.template_inputs
    ]


def _whole(value: object, otherwise: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else otherwise
