"""What makes this folder a ComfyUI extension: no nodes, no front-end, four routes for metrics."""

from .comfynb_agent.custom_node import install

__all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]

NODE_CLASS_MAPPINGS: dict[str, type] = {}
NODE_DISPLAY_NAME_MAPPINGS: dict[str, str] = {}

install()
