"""comfynb: JupyterLab as the workbench for ComfyUI on several GPU machines."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comfynb import errors
    from comfynb.comfy import BasicAuth, BearerAuth, HeaderAuth, TokenAuth
    from comfynb.errors import ComfynbError
    from comfynb.workbench import Workbench

__all__ = [
    "BasicAuth",
    "BearerAuth",
    "ComfynbError",
    "HeaderAuth",
    "TokenAuth",
    "Workbench",
    "__version__",
    "errors",
]

__version__ = "0.1.0.dev0"

# Loaded when first asked for: the sandbox and the command line need only parts, and the widgets
# with what they stand on are slow to import.
_HOMES = {
    "BasicAuth": "comfynb.comfy",
    "BearerAuth": "comfynb.comfy",
    "ComfynbError": "comfynb.errors",
    "HeaderAuth": "comfynb.comfy",
    "TokenAuth": "comfynb.comfy",
    "Workbench": "comfynb.workbench",
}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("comfynb.errors")
    if name not in _HOMES:
        raise AttributeError(f"module 'comfynb' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
