"""How the library's node classes declare their inputs, in either of ComfyUI's two schemas.

ComfyUI moved its node classes to a newer schema one module at a time, and ``/object_info`` shows
it: the newer one writes a combo as ``["COMBO", {"options": [...]}]`` where the older one puts the
list in the type's place, always gives options, and adds a few keys. Classes here declare the older
form; `LibraryNode` turns it into the newer one for the versions that use it.
"""

from typing import Any, ClassVar

from comfynb.sandbox.node import Context, Node

__all__ = [
    "IMAGE",
    "MASK",
    "MAX_RESOLUTION",
    "Inputs",
    "LibraryNode",
    "boolean",
    "combo",
    "real",
    "whole",
]

MAX_RESOLUTION = 16384

Spec = list[Any]
Inputs = dict[str, dict[str, Any]]

IMAGE: Spec = ["IMAGE"]
MASK: Spec = ["MASK"]


class LibraryNode(Node):
    """A node class of ComfyUI itself, as each of its versions declares it."""

    NEWER_SCHEMA_SINCE: ClassVar[str | None] = None
    """The version that first declared the class in the newer schema; ``None`` for none so far."""
    OLDER_DISPLAY_NAME: ClassVar[str] = ""
    """The display name in the older schema, where it differs from the newer one's."""

    @classmethod
    def in_newer_schema(cls, version: str) -> bool:
        """Say whether ``version`` declares the class in the newer schema."""
        since = cls.NEWER_SCHEMA_SINCE
        return since is not None and _parts(version) >= _parts(since)

    @classmethod
    def inputs(cls, ctx: Context) -> Inputs:
        """Return the inputs in the schema of ``ctx.version``."""
        inputs = cls.declared(ctx)
        if not cls.in_newer_schema(ctx.version):
            return inputs
        return {
            category: {name: _newer(spec) for name, spec in fields.items()}
            for category, fields in inputs.items()
        }

    @classmethod
    def declared(cls, ctx: Context) -> Inputs:  # noqa: ARG003 - for overrides
        """Return the inputs in the older schema; override when they depend on the server."""
        return cls.INPUTS

    @classmethod
    def object_info(cls, ctx: Context) -> dict[str, Any]:
        """Return the keys of ``/object_info`` that ``ctx.version`` gives its own way."""
        if not cls.in_newer_schema(ctx.version):
            name = cls.OLDER_DISPLAY_NAME or cls.DISPLAY_NAME or cls.NAME
            return {"display_name": name, **cls.OBJECT_INFO}
        info: dict[str, Any] = {
            "display_name": cls.DISPLAY_NAME or None,
            "output_tooltips": [None] * len(cls.OUTPUTS),
            "deprecated": False,
            "experimental": False,
            "api_node": False,
        }
        if _parts(ctx.version) >= (0, 8, 0):
            info["output_matchtypes"] = None
        return {**info, **cls.OBJECT_INFO}


def whole(default: int, low: int, high: int, step: int | None = 1, **options: Any) -> Spec:
    """Declare an INT input; ``step=None`` leaves the step out."""
    given = {"default": default, "min": low, "max": high}
    return ["INT", {**given, **({} if step is None else {"step": step}), **options}]


def real(default: float, low: float, high: float, step: float, **options: Any) -> Spec:
    """Declare a FLOAT input."""
    return ["FLOAT", {"default": default, "min": low, "max": high, "step": step, **options}]


def boolean(default: bool) -> Spec:
    """Declare a BOOLEAN input."""
    return ["BOOLEAN", {"default": default}]


def combo(*choices: str, **options: Any) -> Spec:
    """Declare a choice among ``choices``."""
    return [list(choices), options] if options else [list(choices)]


def _newer(spec: Spec) -> Spec:
    kind, *rest = spec
    options = rest[0] if rest else {}
    if isinstance(kind, list):
        return ["COMBO", {**options, "multiselect": False, "options": kind}]
    return [kind, options]


def _parts(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
