"""What a server's node classes take and give: ``/object_info`` read class by class, when asked."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import Any, Literal

__all__ = [
    "DynamicOption",
    "InputSpec",
    "NodeClass",
    "ObjectInfo",
    "OutputSpec",
    "UploadKind",
    "as_object_info",
    "parse_input",
]

UploadKind = Literal["image", "video", "audio", "file"]
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_UPLOAD_FLAGS: tuple[tuple[str, UploadKind], ...] = (
    ("image_upload", "image"),
    ("animated_image_upload", "image"),
    ("video_upload", "video"),
    ("audio_upload", "audio"),
    ("mesh_upload", "file"),
    ("file_upload", "file"),
)
DYNAMIC_COMBO = "COMFY_DYNAMICCOMBO_V3"
AUTOGROW = "COMFY_AUTOGROW_V3"
MATCH_TYPE = "COMFY_MATCHTYPE_V3"
DYNAMIC_GROUP = "COMFY_DYNAMICGROUP_V3"


@dataclass(frozen=True, slots=True)
class DynamicOption:
    """One choice of a dynamic combo and the inputs that it brings."""

    key: str
    inputs: tuple["InputSpec", ...]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One declared input of a node class.

    ``type`` is ComfyUI's type name; both encodings of a choice (a list in the type's place, and
    ``"COMBO"`` with ``options``) read as ``"COMBO"``. ``choices`` is None where the input is not a
    choice. ``minimum``, ``maximum`` and ``step`` keep the server's numbers: ints stay ints, so a
    64-bit seed's range is exact. ``options`` is the raw mapping for whatever has no field here.
    """

    name: str
    type: str
    required: bool = True
    default: Any = None
    has_default: bool = False
    minimum: int | float | None = None
    maximum: int | float | None = None
    step: int | float | None = None
    round: int | float | None = None
    choices: tuple[Any, ...] | None = None
    multiline: bool = False
    dynamic_prompts: bool = False
    upload: UploadKind | None = None
    control_after_generate: bool | str | None = None
    force_input: bool = False
    socketless: bool = False
    multiselect: bool = False
    remote: bool = False
    lazy: bool = False
    advanced: bool = False
    widget_type: str = ""
    tooltip: str = ""
    display_name: str = ""
    options: Mapping[str, Any] = field(default_factory=lambda: _NOTHING, repr=False, compare=False)

    @property
    def widget(self) -> str:
        """The type of the widget that would show it (``widgetType`` overrules the type)."""
        return self.widget_type or self.type

    @property
    def socket(self) -> str:
        """The type that links must match; a match-type input accepts what its template allows."""
        if self.type == MATCH_TYPE:
            allowed = _mapping(self.options.get("template")).get("allowed_types")
            return allowed if isinstance(allowed, str) else "*"
        return self.type

    @property
    def dynamic_options(self) -> tuple[DynamicOption, ...]:
        """The choices of a dynamic combo, each with its own inputs (not yet prefixed)."""
        found = []
        for option in _sequence(self.options.get("options")):
            key = _mapping(option).get("key")
            if isinstance(key, str):
                found.append(
                    DynamicOption(key, tuple(parse_inputs(_mapping(option).get("inputs"))))
                )
        return tuple(found)

    @property
    def template_inputs(self) -> tuple["InputSpec", ...]:
        """The inputs that an autogrow or a dynamic group repeats."""
        template = _mapping(self.options.get("template"))
        return tuple(parse_inputs(template.get("input", template)))


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """One declared output: position, name and type (a list of choices reads as ``"COMBO"``)."""

    index: int
    name: str
    type: str
    is_list: bool = False
    template: str = ""


class NodeClass:
    """One node class as the server describes it; parts are parsed when they are asked for."""

    def __init__(self, name: str, data: Mapping[str, Any]) -> None:
        self.name = name
        self.data = data

    def __repr__(self) -> str:
        return f"NodeClass({self.name!r})"

    @property
    def display_name(self) -> str:
        """The title that the front-end gives a new node."""
        name = self.data.get("display_name")
        return name if isinstance(name, str) and name else self.name

    @property
    def category(self) -> str:
        """The menu path, such as ``"sampling"``."""
        category = self.data.get("category")
        return category if isinstance(category, str) else ""

    @property
    def python_module(self) -> str:
        """The module that provides it, such as ``"custom_nodes.ComfyUI-KJNodes"``."""
        module = self.data.get("python_module")
        return module if isinstance(module, str) else ""

    @property
    def is_output(self) -> bool:
        """Whether the server runs it for its own sake."""
        return self.data.get("output_node") is True

    @cached_property
    def inputs(self) -> Mapping[str, InputSpec]:
        """Declared inputs by name, in the order in which the front-end shows them.

        ``input_order`` rules where the server gives one; what it leaves out comes last. Hidden
        inputs are not listed.
        """
        declared = {spec.name: spec for spec in parse_inputs(self.data.get("input"), of=self.name)}
        order = self.data.get("input_order")
        if not isinstance(order, Mapping):
            return MappingProxyType(declared)
        ordered: dict[str, InputSpec] = {}
        for group, required in (("required", True), ("optional", False)):
            for name in _sequence(order.get(group)):
                spec = declared.get(name) if isinstance(name, str) else None
                if spec is not None and spec.required is required:
                    ordered[spec.name] = spec
        for name, spec in declared.items():
            ordered.setdefault(name, spec)
        return MappingProxyType(ordered)

    @cached_property
    def outputs(self) -> tuple[OutputSpec, ...]:
        """Declared outputs in order."""
        names = _sequence(self.data.get("output_name"))
        lists = _sequence(self.data.get("output_is_list"))
        templates = _sequence(self.data.get("output_matchtypes"))
        found = []
        for index, kind in enumerate(_sequence(self.data.get("output"))):
            type_ = kind if isinstance(kind, str) else "COMBO"
            name = names[index] if index < len(names) else type_
            template = templates[index] if index < len(templates) else ""
            found.append(
                OutputSpec(
                    index,
                    name if isinstance(name, str) else type_,
                    type_,
                    index < len(lists) and lists[index] is True,
                    template if isinstance(template, str) else "",
                )
            )
        return tuple(found)


class ObjectInfo(Mapping[str, Any]):
    """A server's whole ``/object_info``: a mapping of class name to raw data.

    Accepted wherever a raw dict is. :meth:`node` parses one class at its first use and keeps it, so
    that wrapping half a megabyte of JSON costs nothing.
    """

    __slots__ = ("__weakref__", "_data", "_parsed", "cache")

    def __init__(self, data: Mapping[str, Any]) -> None:
        self._data = data
        self._parsed: dict[str, NodeClass | None] = {}
        self.cache: dict[Any, Any] = {}
        """Room for what others derive from it; it lives as long as the classes do."""

    def __getitem__(self, name: str) -> Any:
        return self._data[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._data)

    def __len__(self) -> int:
        return len(self._data)

    def __contains__(self, name: object) -> bool:
        return name in self._data

    def __repr__(self) -> str:
        return f"ObjectInfo({len(self._data)} node classes)"

    def node(self, name: str) -> NodeClass | None:
        """The class of that name, or None where the server has none."""
        try:
            return self._parsed[name]
        except KeyError:
            data = self._data.get(name)
            found = NodeClass(name, data) if isinstance(data, Mapping) else None
            self._parsed[name] = found
            return found


def as_object_info(info: Mapping[str, Any]) -> ObjectInfo:
    """Wrap raw data; an :class:`ObjectInfo` is passed through with all that it has parsed."""
    return info if isinstance(info, ObjectInfo) else ObjectInfo(info)


def parse_inputs(groups: object, of: str = "") -> Iterator[InputSpec]:
    """Parse ``{"required": {...}, "optional": {...}}``; ``of`` names the class for upload kinds."""
    groups = _mapping(groups)
    for group, required in (("required", True), ("optional", False)):
        for name, config in _mapping(groups.get(group)).items():
            if isinstance(name, str):
                yield parse_input(name, config, required=required, of=of)


def parse_input(name: str, config: object, *, required: bool = True, of: str = "") -> InputSpec:
    """Parse one input as the server writes it: ``[type, options]`` or ``[[choices], options]``."""
    parts = _sequence(config)
    kind = parts[0] if parts else config
    options = _mapping(parts[1]) if len(parts) > 1 else _NOTHING
    choices: tuple[Any, ...] | None = None
    if isinstance(kind, str):
        type_ = kind
        if type_ == "COMBO":
            choices = tuple(_sequence(options.get("options")))
        elif type_ == DYNAMIC_COMBO:
            keys = (_mapping(option).get("key") for option in _sequence(options.get("options")))
            choices = tuple(key for key in keys if isinstance(key, str))
    elif isinstance(kind, Sequence):
        type_, choices = "COMBO", tuple(kind)
    else:
        type_ = "*"
    control = options.get("control_after_generate")
    return InputSpec(
        name=name,
        type=type_,
        required=required,
        default=options.get("default"),
        has_default="default" in options,
        minimum=_number(options.get("min")),
        maximum=_number(options.get("max")),
        step=_number(options.get("step")),
        round=_number(options.get("round")),
        choices=choices,
        multiline=options.get("multiline") is True,
        dynamic_prompts=options.get("dynamicPrompts") is True,
        upload=_upload(of, name, type_, options),
        control_after_generate=control if isinstance(control, bool | str) else None,
        force_input=bool(options.get("forceInput")),
        socketless=bool(options.get("socketless")),
        multiselect=bool(options.get("multi_select")) or options.get("multiselect") is True,
        remote=isinstance(options.get("remote"), Mapping),
        lazy=options.get("lazy") is True,
        advanced=options.get("advanced") is True,
        widget_type=_text(options.get("widgetType")),
        tooltip=_text(options.get("tooltip")),
        display_name=_text(options.get("display_name")),
        options=options,
    )


# Loaders that say nothing about their files in the flags.
_KNOWN_LOADERS: dict[tuple[str, str], UploadKind] = {
    ("VHS_LoadVideo", "video"): "video",
    ("VHS_LoadVideoFFmpeg", "video"): "video",
    ("VHS_LoadVideoPath", "video"): "video",
    ("VHS_LoadAudioUpload", "audio"): "audio",
    ("LoadVideo", "file"): "video",
    ("LoadAudio", "audio"): "audio",
    ("LoadImage", "image"): "image",
    ("LoadImageMask", "image"): "image",
    ("LoadImageOutput", "image"): "image",
}


def _upload(of: str, name: str, type_: str, options: Mapping[str, Any]) -> UploadKind | None:
    if type_ == "COMBO":
        for flag, kind in _UPLOAD_FLAGS:
            if options.get(flag) is True:
                return kind
    return _KNOWN_LOADERS.get((of, name)) if type_ in {"COMBO", "STRING"} else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else _NOTHING


def _sequence(value: object) -> Sequence[Any]:
    return value if isinstance(value, Sequence) and not isinstance(value, str | bytes) else ()


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _number(value: object) -> int | float | None:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None
