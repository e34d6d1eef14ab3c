"""The metrics agent of comfynb: what the GPUs, memory, disks and queue of a ComfyUI machine do."""

__all__ = ["SCHEMA_VERSION", "__version__"]

__version__ = "0.1.0.dev0"

SCHEMA_VERSION = 1
"""Of the JSON snapshot; it grows when a field changes its meaning or goes, not when one comes."""
