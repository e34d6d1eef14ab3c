"""What a sandbox node is, and what the server lends it while it runs.

Values between nodes are plain Python: an IMAGE is a float32 array ``[B, H, W, C]`` in 0..1, a MASK
a float32 array ``[B, H, W]`` in 0..1, anything else whatever its nodes agree on.
"""

# ruff: noqa: ARG003 - the base class shows what its overrides are given

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from PIL import Image

__all__ = [
    "Blocked",
    "Context",
    "Interrupted",
    "Node",
    "OutOfMemoryError",
    "OutsideFolderError",
    "Result",
    "split_annotation",
]

FOLDER_TYPES = ("input", "output", "temp")


class Interrupted(Exception):
    """The prompt was interrupted; raised out of a node, never caught by one."""


class OutOfMemoryError(RuntimeError):
    """What a GPU that has no memory left raises; on the wire ``torch.OutOfMemoryError``."""

    __module__ = "torch"


class OutsideFolderError(ValueError):
    """A file name that leaves the folder it has to stay in."""


@dataclass(slots=True)
class Result:
    """What one execution of a node gives.

    ``outputs`` has one value per entry of the node's ``OUTPUTS``. ``ui`` is what clients and the
    history see (``{"images": [{"filename", "subfolder", "type"}]}``), ``None`` for no entry.
    """

    outputs: tuple[Any, ...] = ()
    ui: dict[str, list[Any] | tuple[Any, ...]] | None = None


@dataclass(frozen=True, slots=True)
class Blocked:
    """An output that stops whatever depends on it, while the rest of the prompt goes on.

    With a ``message`` the first node that gets it reports an error of type ``ExecutionBlocked``;
    the prompt succeeds all the same.
    """

    message: str | None = None


@dataclass
class Context:
    """What the server lends a node for one execution (or one validation or fingerprint).

    ``folders`` maps ``input``, ``output`` and ``temp`` to their directories. ``speed`` divides
    every ``sleep``. ``memory`` lives as long as the server and is shared by all executions;
    ``instance`` lives as long as the node stays in the cache, like a ComfyUI node object.
    ``preview_method`` is the prompt's (``none`` unless the client asked for previews). ``slept``
    adds up the seconds given to `sleep`.
    """

    folders: Mapping[str, Path]
    node_id: str = ""
    prompt_id: str = ""
    prompt: Mapping[str, Any] = field(default_factory=dict)
    extra_pnginfo: Mapping[str, Any] | None = None
    version: str = "0.8.0"
    speed: float = 1.0
    preview_method: str = "none"
    memory: dict[str, Any] = field(default_factory=dict)
    instance: dict[str, Any] = field(default_factory=dict)
    interrupt: threading.Event = field(default_factory=threading.Event)
    on_progress: Callable[[float, float, Image.Image | None, str], None] | None = None
    on_model_load: Callable[[str], None] | None = None
    on_text: Callable[[str], None] | None = None
    slept: float = 0.0

    def folder(self, kind: str) -> Path:
        """Return the directory of ``kind`` (input, output or temp)."""
        if kind not in self.folders:
            raise ValueError(f"{kind!r} is no folder; folders are {', '.join(FOLDER_TYPES)}")
        return self.folders[kind]

    def progress(
        self,
        value: float,
        maximum: float,
        preview: Image.Image | None = None,
        preview_format: str = "JPEG",
    ) -> None:
        """Report ``value`` of ``maximum`` to the clients, with an optional picture.

        Raises `Interrupted` when the prompt has been interrupted.
        """
        self.check_interrupt()
        if self.on_progress is not None:
            self.on_progress(value, maximum, preview, preview_format)

    def check_interrupt(self) -> None:
        """Raise `Interrupted` when the prompt has been interrupted."""
        if self.interrupt.is_set():
            raise Interrupted

    def sleep(self, seconds: float) -> None:
        """Wait as long as the simulated machine would; an interrupt ends it with `Interrupted`."""
        if seconds > 0:
            self.slept += seconds
            deadline = time.monotonic() + seconds / self.speed
            while (left := deadline - time.monotonic()) > 0 and not self.interrupt.wait(left):
                pass
        self.check_interrupt()

    def model_loaded(self, name: str) -> None:
        """Count one load of the model ``name`` (for ``/sandbox/stats``)."""
        if self.on_model_load is not None:
            self.on_model_load(name)

    def show_text(self, text: str) -> None:
        """Show a text on the node in the clients' windows."""
        if self.on_text is not None:
            self.on_text(text)

    def resolve_input(self, name: str) -> Path:
        """Return the path of an input file as loader nodes name it.

        ``sub/x.png`` lies in the input folder; ``sub/x.png [output]`` and ``[temp]`` name the
        other folders. The file need not exist. Raises `OutsideFolderError` when it leaves its
        folder.
        """
        bare, kind = split_annotation(name)
        base = self.folder(kind or "input")
        path = (base / bare).resolve()
        if not path.is_relative_to(base.resolve()) or "\0" in bare:
            raise OutsideFolderError(f"{name!r} does not lie in the {kind or 'input'} folder")
        return path


def split_annotation(name: str) -> tuple[str, str | None]:
    """Split ``"x.png [output]"`` into ``("x.png", "output")``; no annotation gives ``None``."""
    for kind in FOLDER_TYPES:
        suffix = f" [{kind}]"
        if name.endswith(suffix):
            return name[: -len(suffix)], kind
        # older clients leave the blank out
        if name.endswith(suffix[1:]):
            return name[: -len(suffix) + 1], kind
    return name, None


class Node:
    """One node class. Subclasses set the class variables and write ``execute``.

    ``INPUTS`` is the value of ``input`` in ``/object_info``, ``{"required": {name: [type,
    options]}, "optional": {...}, "hidden": {...}}``; ``OUTPUTS`` is ``((type, name), ...)``.
    A new object is made for each execution.
    """

    NAME: ClassVar[str]
    DISPLAY_NAME: ClassVar[str] = ""
    CATEGORY: ClassVar[str] = "sandbox"
    DESCRIPTION: ClassVar[str] = ""
    PYTHON_MODULE: ClassVar[str] = "nodes"
    INPUTS: ClassVar[dict[str, dict[str, Any]]] = {"required": {}}
    OUTPUTS: ClassVar[tuple[tuple[str, str], ...]] = ()
    OUTPUT_NODE: ClassVar[bool] = False
    NOT_IDEMPOTENT: ClassVar[bool] = False
    """Two equal nodes of one prompt may give different results: never share a cache entry."""
    VERSIONS: ClassVar[tuple[str, ...] | None] = None
    """The server versions that have this class; ``None`` for all."""
    OBJECT_INFO: ClassVar[dict[str, Any]] = {}
    """Further keys for ``/object_info`` (``deprecated``, ``experimental`` ...)."""

    @classmethod
    def inputs(cls, ctx: Context) -> dict[str, dict[str, Any]]:
        """Return ``INPUTS``; override when options depend on the server (files in a folder)."""
        return cls.INPUTS

    @classmethod
    def object_info(cls, ctx: Context) -> dict[str, Any]:
        """Return ``OBJECT_INFO``; override when it depends on the server's version."""
        return cls.OBJECT_INFO

    @classmethod
    def fingerprint(cls, ctx: Context, *args: Any, **inputs: Any) -> object:
        """Return what else the result depends on (ComfyUI: ``IS_CHANGED``), e.g. a file's hash.

        Gets the constant inputs by name and ``None`` for linked ones. ``float("nan")`` means:
        never use the cache.
        """
        return None

    @classmethod
    def validate(cls, ctx: Context, *args: Any, **inputs: Any) -> str | None:
        """Return what is wrong with the constant inputs, or ``None`` (``VALIDATE_INPUTS``).

        An override names the inputs that it checks itself in its signature: the server then
        leaves its own range and list checks of those inputs out. Give linked ones a default.
        """
        return None

    def execute(self, ctx: Context, *args: Any, **inputs: Any) -> Result:
        """Run the node; inputs come by name, hidden ones through ``ctx``."""
        raise NotImplementedError(f"{type(self).__name__} has no execute")
