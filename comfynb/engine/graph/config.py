"""What a canvas node's config may say, and what is wrong with it."""

from collections.abc import Iterator, Mapping
from typing import Any

from comfynb.engine.graph.delivery import check_pattern
from comfynb.engine.graph.expressions import compile_expression
from comfynb.engine.graph.ports import MOST_PORTS
from comfynb.errors import ComfynbError
from comfynb.models import CanvasNode, DataType, NodeType

__all__ = ["DEFAULT_PATTERN", "config_problems"]

DEFAULT_PATTERN = "{date}_{index}_{name}"
"""An OUTPUT's naming pattern where its config has none."""
_MERGE_MODES = ("collect", "zip", "concatenate")
_FANOUT_MODES = ("broadcast", "distribute")


def config_problems(node: CanvasNode) -> Iterator[str]:
    """What is wrong with a node's config, each as the rest of a sentence after its title."""
    config = node.config
    match node.node_type:
        case NodeType.WORKFLOW:
            return
        case NodeType.CONDITION:
            yield from _expression(config)
        case NodeType.FANOUT:
            yield from _mode(config, _FANOUT_MODES, "broadcast")
            yield from _count(config, "output_count")
        case NodeType.MERGE:
            yield from _mode(config, _MERGE_MODES, "concatenate")
            yield from _count(config, "input_count")
        case NodeType.INPUT:
            yield from _input(config)
        case NodeType.OUTPUT:
            yield from _output(config)


def _expression(config: Mapping[str, Any]) -> Iterator[str]:
    text = config.get("expression")
    if not isinstance(text, str) or not text.strip():
        yield 'has no expression: give it one, such as "output.count > 1".'
        return
    try:
        compile_expression(text)
    except ComfynbError as error:
        yield f"has an expression that cannot be used: {error}"


def _mode(config: Mapping[str, Any], modes: tuple[str, ...], default: str) -> Iterator[str]:
    mode = config.get("mode", default)
    if mode not in modes:
        yield f"has the mode {mode!r:.40}: use {', '.join(modes[:-1])} or {modes[-1]}."


def _count(config: Mapping[str, Any], key: str) -> Iterator[str]:
    count = config.get(key)
    if count is None:
        return
    if not isinstance(count, int) or isinstance(count, bool) or not 1 <= count <= MOST_PORTS:
        yield f"has {key} {count!r:.40}: use a whole number from 1 to {MOST_PORTS}."


def _input(config: Mapping[str, Any]) -> Iterator[str]:
    try:
        DataType(config.get("data_type", "any"))
    except ValueError:
        types = ", ".join(each.value for each in DataType)
        yield f"has the data type {config.get('data_type')!r:.40}: use one of {types}."
    given = [key for key in ("value", "values", "files") if config.get(key) not in (None, [], "")]
    if not given:
        yield "has no value: give it a value, values, or files."
    elif len(given) > 1:
        yield f"has {' and '.join(given)}: give it only one of them."
    for key in ("values", "files"):
        if key in given and not isinstance(config[key], list):
            yield f"has {key} that are no list."


def _output(config: Mapping[str, Any]) -> Iterator[str]:
    folder = config.get("output_folder")
    if not isinstance(folder, str) or not folder.strip():
        yield "has no output_folder: say where its files go."
    pattern = config.get("naming_pattern", DEFAULT_PATTERN)
    if not isinstance(pattern, str):
        yield f"has a naming_pattern that is no text: {pattern!r:.40}."
        return
    try:
        check_pattern(pattern)
    except ComfynbError as error:
        yield f"has a naming_pattern that cannot be used: {error}"
