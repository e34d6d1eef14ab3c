"""The conversion itself: expands subgraphs, lets primitives speak, and writes the prompt."""

from collections.abc import Iterator, Mapping
from typing import Any

from comfynb.comfy.convert.doubts import doubt_about
from comfynb.comfy.convert.groups import open_groups
from comfynb.comfy.convert.hosts import Hosts
from comfynb.comfy.convert.layout import layout_of
from comfynb.comfy.convert.model import BYPASSED, MUTED, Node, read_workflow
from comfynb.comfy.convert.primitives import let_primitives_speak
from comfynb.comfy.convert.report import Conversion, ConversionReport, Remark, RemarkKind
from comfynb.comfy.convert.resolve import Resolver, Scope, Source, Value
from comfynb.comfy.convert.state import NO_VALUE, Entry, NodeState, configure
from comfynb.comfy.convert.text import (
    SAVING_CLASSES,
    fill_placeholders,
    is_random,
    settle_text,
)
from comfynb.comfy.convert.unknown import configure_unknown
from comfynb.comfy.convert.virtual import PRIMITIVE, is_virtual
from comfynb.comfy.object_info import MATCH_TYPE, ObjectInfo
from comfynb.errors import WorkflowError

__all__ = ["Converter"]

MOST_NODES = 100_000
"""A workflow that expands to more nodes than this is refused."""
DEEPEST = 100
_SILENT = {"Note", "MarkdownNote", "Reroute", PRIMITIVE}


class Converter:
    """Converts one UI workflow; used once."""

    def __init__(self, workflow: Mapping[str, Any], info: ObjectInfo) -> None:
        self._info = info
        self._workflow = read_workflow(workflow)
        open_groups(self._workflow, workflow, info)
        self._states: dict[int, NodeState] = {}
        self._hosts = Hosts(self._workflow, self._state_of)
        self._resolver = Resolver(
            self._workflow, self._hosts, self._state_of, self._is_virtual, self._output_type
        )
        self._report = ConversionReport()
        self._size = 0
        self._hosts.load()

    def run(self) -> Conversion:
        """Convert. Raises :class:`WorkflowError` only if subgraphs expand beyond all measure."""
        root = Scope(self._workflow.root)
        for key, text in self._workflow.remarks:
            self._report.remarks.append(Remark("dropped", key, "", "workflow", (), text))
        scopes = list(self._expand(root, ()))
        for graph in dict.fromkeys(scope.graph for scope in scopes):
            let_primitives_speak(graph, self._hosts, self._state_of, self._widget_value)
        prompt: dict[str, Any] = {}
        for scope in scopes:
            for node in scope.graph.nodes.values():
                self._emit(scope, node, prompt)
        for node_id, node in prompt.items():
            inputs = node["inputs"]
            for name, value in list(inputs.items()):
                if isinstance(value, list) and len(value) == 2 and value[0] not in prompt:
                    del inputs[name]
                    self._report.remarks.append(
                        Remark(
                            "lost_link",
                            node_id,
                            node["class_type"],
                            node["_meta"]["title"],
                            (),
                            f"input {name} came from node {value[0]}, which is not sent",
                            name,
                        )
                    )
        return Conversion(prompt, self._report)

    def promoted(self, node_id: str, name: str) -> list[tuple[str, str]]:
        """The inner inputs that an instance's input stands for, as ids of the prompt."""
        self._size = 0
        for scope in self._expand(Scope(self._workflow.root), ()):
            host = scope.host
            if host is None or scope.prefix != f"{node_id}:":
                continue
            place = host.place_of(name)
            return [] if place is None else list(self._behind(scope, place))
        return []

    def promotions(self) -> dict[tuple[str, str], str]:
        """The inputs of the prompt that instances at the root show, with the labels they show."""
        found: dict[tuple[str, str], str] = {}
        root = Scope(self._workflow.root)
        for scope in self._expand(root, ()):
            if scope.host is None or scope.parent is not root:
                continue
            for place, entry in enumerate(scope.host.inputs):
                if entry.widget and entry.link is None:
                    label = scope.graph.inputs[place].label
                    for target in self._behind(scope, place):
                        found.setdefault(target, label)
        return found

    def _behind(self, scope: Scope, place: int) -> Iterator[tuple[str, str]]:
        for link in self._hosts.inner_links(scope.graph, place):
            target = scope.graph.nodes.get(link.target)
            if target is None:
                continue
            nested = scope.inner.get(target.id)
            for number, entry in enumerate(self._resolver.inputs_of(target)):
                if entry.link is None or entry.link.key != link.key:
                    continue
                if nested is not None:
                    yield from self._behind(nested, number)
                else:
                    yield scope.prefix + target.id, entry.name

    # Nodes ------------------------------------------------------------------------------------

    def _state_of(self, node: Node) -> NodeState:
        found = self._states.get(id(node))
        if found is None:
            layout = layout_of(self._info, node.type)
            found = configure_unknown(node) if layout is None else configure(node, layout)
            self._states[id(node)] = found
        return found

    def _is_virtual(self, node: Node) -> bool:
        return is_virtual(node, known=node.type in self._info)

    def _output_type(self, node: Node, slot: int) -> str:
        definition = self._workflow.definition_of(node)
        if definition is not None:
            return definition.outputs[slot].type if slot < len(definition.outputs) else "*"
        node_class = self._info.node(node.type)
        if node_class is not None and slot < len(node_class.outputs):
            type_ = node_class.outputs[slot].type
            return "*" if type_ == MATCH_TYPE else type_
        return node.output_types[slot] if slot < len(node.output_types) else "*"

    def _title(self, node: Node) -> str:
        if node.title:
            return node.title
        definition = self._workflow.definition_of(node)
        if definition is not None:
            return definition.name or "Subgraph"
        node_class = self._info.node(node.type)
        return node_class.display_name if node_class is not None else node.type

    def _remark(
        self, kind: RemarkKind, scope: Scope, node: Node, text: str, input_name: str = ""
    ) -> None:
        self._report.remarks.append(
            Remark(
                kind,
                scope.prefix + node.id,
                node.type,
                self._title(node),
                scope.titles,
                text,
                input_name,
            )
        )

    # Subgraphs --------------------------------------------------------------------------------

    def _expand(self, scope: Scope, around: tuple[str, ...]) -> Iterator[Scope]:
        """Yield the scope and all scopes inside it.

        Muted and bypassed instances stay closed at the root only. Further inside the front-end
        opens them all the same, and what is in them is sent although nothing uses it.
        """
        self._size += len(scope.graph.nodes)
        if self._size > MOST_NODES:
            raise WorkflowError(
                f"The workflow's subgraphs expand to more than {MOST_NODES:,} nodes: "
                "no server would run it; look for instances of a subgraph inside others."
            )
        yield scope
        for node in scope.graph.nodes.values():
            definition = self._workflow.definition_of(node)
            if definition is None:
                continue
            if scope.parent is None and not node.runs:
                continue
            if definition.id in around or len(around) >= DEEPEST:
                self._remark("dropped", scope, node, "the subgraph contains itself")
                continue
            inner = Scope(
                definition,
                f"{scope.prefix}{node.id}:",
                scope,
                self._hosts.of(node),
                titles=(*scope.titles, self._title(node)),
            )
            scope.inner[node.id] = inner
            yield from self._expand(inner, (*around, definition.id))

    def _widget_value(self, node_name: str, widget: str) -> object:
        """The value that ``%node.widget%`` means, or None."""
        graphs = (self._workflow.root, *self._workflow.definitions.values())
        nodes = [node for graph in graphs for node in graph.nodes.values()]
        named = [n for n in nodes if n.properties.get("Node name for S&R") == node_name]
        if not named:
            named = [node for node in nodes if self._title(node) == node_name]
        if not named or self._workflow.definition_of(named[0]) is not None:
            return None
        value = self._state_of(named[0]).values.get(widget)
        return None if value is NO_VALUE else value

    # The prompt -------------------------------------------------------------------------------

    def _emit(self, scope: Scope, node: Node, prompt: dict[str, Any]) -> None:
        if node.mode == MUTED:
            self._remark("muted", scope, node, "it does not run")
            return
        if node.mode == BYPASSED:
            self._remark("bypassed", scope, node, "its inputs are passed on instead")
            return
        if self._workflow.definition_of(node) is not None:
            return
        if self._is_virtual(node):
            if node.type not in _SILENT:
                self._remark("dropped", scope, node, "it exists in the front-end only")
            return
        state = self._state_of(node)
        if state.layout is None:
            self._remark("unknown_class", scope, node, f"no class {node.type} on the server")
        inputs = self._widget_inputs(scope, state)
        for place, entry in enumerate(state.inputs):
            self._link_input(scope, state, place, entry, inputs)
        for text in state.guesses:
            self._remark("guessed", scope, node, text)
        for text in state.unused:
            self._remark("dropped", scope, node, text)
        for name in state.lost_links:
            self._remark("lost_link", scope, node, f"the link into {name} leads nowhere", name)
        for name, doubt in state.doubts:
            fed = isinstance(inputs.get(name), list)
            if not fed:
                self._remark("suspicious", scope, node, f"{name} {doubt}", name)
        prompt[scope.prefix + node.id] = {
            "inputs": inputs,
            "class_type": node.type,
            "_meta": {"title": self._title(node)},
        }

    def _widget_inputs(self, scope: Scope, state: NodeState) -> dict[str, Any]:
        inputs: dict[str, Any] = {}
        type_ = state.node.type
        for name, widget in state.widgets.items():
            if not widget.sent:
                continue
            value = state.values[name]
            if value is NO_VALUE:
                continue
            if isinstance(value, str):
                value = self._sent_text(scope, state, name, value)
                if type_ in {"KSampler", "KSamplerAdvanced"} and name == "sampler_name":
                    value = value.removeprefix("sample_")
            if widget.spec is not None and widget.spec.widget == "CURVE" and value is not None:
                inputs[name] = {"__type__": "CURVE", "__value__": value}
            else:
                inputs[name] = wrapped(value)
        return inputs

    def _sent_text(self, scope: Scope, state: NodeState, name: str, value: str) -> str:
        spec = state.widgets[name].spec
        if spec is not None and spec.dynamic_prompts:
            entry = state.entry(name)
            if is_random(value) and (entry is None or entry.link is None):
                self._remark(
                    "dynamic_prompt", scope, state.node, f"{name} leaves a choice open", name
                )
            return settle_text(value)
        if name == "filename_prefix" and "%" in value and state.node.type in SAVING_CLASSES:
            value, dated = fill_placeholders(value, self._widget_value)
            if dated:
                self._remark(
                    "guessed",
                    scope,
                    state.node,
                    "%date:...% means the moment of sending and was left as it is",
                    name,
                )
        return value

    def _link_input(
        self, scope: Scope, state: NodeState, place: int, entry: Entry, inputs: dict[str, Any]
    ) -> None:
        if entry.link is None:
            return
        found = self._resolver.resolve(scope, state.node, place)
        match found:
            case Source(node_id, slot):
                inputs[entry.name] = [node_id, slot]
            case Value(value):
                inputs[entry.name] = wrapped(value)
                widget = state.widgets.get(entry.name)
                if widget is not None and widget.spec is not None:
                    doubt = doubt_about(widget.spec, value)
                    if doubt:
                        self._remark(
                            "suspicious",
                            scope,
                            state.node,
                            f"{entry.name} {doubt}; the subgraph gives it",
                            entry.name,
                        )


def wrapped(value: Any) -> Any:
    """A list as the server takes one; bare, it would be read as a link."""
    return {"__value__": value} if isinstance(value, list) else value
