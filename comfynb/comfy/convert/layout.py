"""Which widgets and sockets the front-end makes for a node class, in which order.

Saved widget values are positional, so every widget counts that takes a place in the list, also the
buttons and the control modes that the prompt never sees.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from comfynb.comfy.convert.dynamic import Autogrow, autogrow_of, sub_inputs
from comfynb.comfy.convert.widgets import (
    WIDGET_TYPES,
    Widget,
    has_widget,
    simple_widget,
    widgets_of,
)
from comfynb.comfy.object_info import (
    AUTOGROW,
    DYNAMIC_COMBO,
    DYNAMIC_GROUP,
    MATCH_TYPE,
    InputSpec,
    NodeClass,
    ObjectInfo,
)

__all__ = ["Layout", "Socket", "initial_widgets", "layout_of"]


@dataclass(frozen=True, slots=True)
class Socket:
    """An input that only takes links."""

    name: str
    type: str


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


def _lay_out(node_class: NodeClass) -> Layout:
    specs = tuple(_with_front_end_inputs(node_class))
    sockets: list[Socket | Autogrow | Widget] = []
    for spec in specs:
        if has_widget(spec):
            continue
        if spec.type == AUTOGROW:
            sockets.append(autogrow_of(spec))
        elif spec.type == MATCH_TYPE and spec.socket in WIDGET_TYPES:
            sockets.extend(simple_widget(spec, spec.socket))
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
