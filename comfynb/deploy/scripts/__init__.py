"""Scripts from a lock: RunPod, bash, Docker, compose, and a snapshot for ComfyUI-Manager."""

from comfynb.deploy.scripts.rendering import TARGETS, Rendered, Target, render

__all__ = ["TARGETS", "Rendered", "Target", "render"]
