"""A small server that speaks ComfyUI's protocol and really executes nodes, for demos and tests."""
