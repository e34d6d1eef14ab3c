"""``PromptBuilder``: writes a prompt in API format node by node, as exported Python code does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfynb.errors import UsageError

__all__ = ["NodeRef", "PromptBuilder"]


@dataclass(frozen=True, slots=True)
class NodeRef:
    """A node of a prompt that is being built: ``loader[0]`` is the link from its first output."""

    id: str

    def __getitem__(self, output: int) -> list[Any]:
        """The link from output number ``output``, counted from 0."""
        if isinstance(output, bool) or not isinstance(output, int) or output < 0:
            raise UsageError(
                f"Node {self.id} has no output {output!r}: outputs are numbered from 0."
            )
        return [self.id, output]


class PromptBuilder:
    """Builds a prompt: ``prompt`` is what ``POST /prompt`` and ``wb.workflows.load`` take.

    ::

        graph = PromptBuilder()
        loader = graph.add("CheckpointLoaderSimple", {"ckpt_name": "sd15.safetensors"})
        text = graph.add("CLIPTextEncode", {"clip": loader[1], "text": "a cat"}, title="Positive")
    """

    def __init__(self) -> None:
        self.prompt: dict[str, Any] = {}

    def add(
        self,
        class_type: str,
        inputs: Mapping[str, Any] | None = None,
        *,
        id: str | None = None,  # noqa: A002 - the node's id, as ComfyUI calls it
        title: str | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> NodeRef:
        """Add a node of a class; ``more`` are further keys of the node, beside inputs and class.

        Raises:
            UsageError: another node has this id.
        """
        if id is None:
            number = len(self.prompt) + 1
            while str(number) in self.prompt:
                number += 1
            id = str(number)  # noqa: A001
        if id in self.prompt:
            raise UsageError(f"Two nodes of the prompt have the id {id!r}: give one another id.")
        node: dict[str, Any] = {"class_type": class_type, "inputs": dict(inputs or {})}
        if title is not None:
            node["_meta"] = {"title": title}
        if more is not None:
            node.update(more)
        self.prompt[id] = node
        return NodeRef(id)
