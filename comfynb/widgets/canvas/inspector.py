"""The panel of the selected node: its title, what its kind needs, its backend, its fallback."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets

from comfynb.engine.views import BackendView, NodeView
from comfynb.models import CanvasNode, DataType, FallbackStrategy, NodeType
from comfynb.widgets.canvas.colours import KIND_LOOKS
from comfynb.widgets.canvas.contract import Update
from comfynb.widgets.composite import close_tree, html
from comfynb.widgets.job_text import error_html
from comfynb.widgets.markup import esc, one_line, user

__all__ = ["FALLBACKS", "NodePanel", "kind_fields"]

FALLBACKS = {
    "ask which one to take": FallbackStrategy.ASK_USER,
    "take the best other one": FallbackStrategy.AUTO_SELECT,
    "fail": FallbackStrategy.NONE,
}

_ANY = "any that can"

Change = Callable[[Mapping[str, Any]], None]
"""Set fields of the node itself, as one edit."""


class NodePanel(ipywidgets.VBox):  # type: ignore[misc]
    """Everything about one node that can be set. ``form`` is what the embedder adds, if anything.

    ``change`` sets fields of the node, ``update`` values in its config; both are edits that can be
    undone, and both may raise: the sentence is shown.
    """

    def __init__(
        self,
        node: CanvasNode,
        title: str,
        *,
        update: Update,
        change: Change,
        backends: Sequence[BackendView],
        form: ipywidgets.Widget | None,
    ) -> None:
        self._change = change
        self._note = html("", "comfynb-inspector-note")
        self._state = html()
        look = KIND_LOOKS[node.node_type]
        head = html(f'<span class="comfynb-soft">{esc(look.word)}</span>')
        name = ipywidgets.Text(
            value=str(node.config.get("title") or ""),
            placeholder=one_line(title, 80),
            description="Title",
            continuous_update=False,
        )
        name.observe(lambda event: update({"title": event["new"].strip() or None}), "value")
        parts: list[ipywidgets.Widget] = [head, self._state, name]
        if form is not None:
            parts.append(form)
        else:
            parts += kind_fields(node, update)
        if node.node_type is NodeType.WORKFLOW:
            parts += self._where(node, backends)
        super().__init__([*parts, self._note])
        self.add_class("comfynb-inspector")

    def _where(self, node: CanvasNode, backends: Sequence[BackendView]) -> list[ipywidgets.Widget]:
        options: list[tuple[str, str | None]] = [(_ANY, None)]
        options += [(_backend_label(one), one.id) for one in backends]
        if node.backend_affinity not in {value for _, value in options}:
            gone = one_line(node.backend_affinity, 60)
            options.append((f"{gone} (not known here)", node.backend_affinity))
        backend = ipywidgets.Dropdown(
            options=options, value=node.backend_affinity, description="Backend"
        )
        fallback = ipywidgets.Dropdown(
            options=list(FALLBACKS.items()),
            value=node.fallback_strategy,
            description="If it cannot run there",
            disabled=node.backend_affinity is None,
        )

        def chosen(event: Mapping[str, Any]) -> None:
            fallback.disabled = event["new"] is None
            self._change({"backend_affinity": event["new"]})

        backend.observe(chosen, "value")
        fallback.observe(lambda event: self._change({"fallback_strategy": event["new"]}), "value")
        return [backend, fallback]

    def show_problems(self, sentences: Sequence[str]) -> None:
        """Say what is wrong with the node."""
        self._note.value = "".join(
            f'<div class="comfynb-warning">{user(one, 400)}</div>' for one in sentences
        )

    def show_state(self, state: NodeView | None) -> None:
        """Say how the node fared in the job that is shown."""
        if state is None or not state.error:
            self._state.value = ""
            return
        whole = state.error + (f"\n{state.traceback}" if state.traceback else "")
        self._state.value = error_html(whole)

    def close(self) -> None:
        """Close every field."""
        close_tree(self)


def _backend_label(backend: BackendView) -> str:
    state = "" if backend.online is not False else " (offline)"
    return one_line(backend.name, 60) + ("" if backend.enabled else " (disabled)") + state


def kind_fields(node: CanvasNode, update: Update) -> list[ipywidgets.Widget]:
    """The fields of the kinds that need no workflow; none for a WORKFLOW."""
    config = node.config
    match node.node_type:
        case NodeType.CONDITION:
            return [
                _text(
                    config,
                    update,
                    "expression",
                    "Expression",
                    area=True,
                    hint="output.count > 1 and params.cfg < 8",
                ),
                _text(config, update, "true_label", "Name of the true side", hint="true"),
                _text(config, update, "false_label", "Name of the false side", hint="false"),
            ]
        case NodeType.FANOUT:
            modes = {"every output gets everything": "broadcast", "share it out": "distribute"}
            return [
                _choice(config, update, "mode", "Mode", modes),
                _whole(config, update, "output_count", "Outputs", 2),
            ]
        case NodeType.MERGE:
            modes = {
                "one after the other": "concatenate",
                "pairs: first with first": "zip",
                "a list of all": "collect",
            }
            return [_choice(config, update, "mode", "Mode", modes)]
        case NodeType.INPUT:
            types = {
                kind.value: kind.value
                for kind in (DataType.ANY, DataType.IMAGE, DataType.VIDEO, DataType.LATENT)
            }
            return [
                _choice(config, update, "data_type", "Type", types),
                _lines(config, update, "files", "Files, one a line"),
                _value(config, update, "value", "or a value"),
            ]
        case NodeType.OUTPUT:
            return [
                _text(config, update, "output_folder", "Folder", hint="results"),
                _text(config, update, "naming_pattern", "File names", hint="{date}_{index}_{name}"),
            ]
        case NodeType.WORKFLOW:
            return []


def _text(
    config: Mapping[str, Any],
    update: Update,
    key: str,
    label: str,
    *,
    hint: str = "",
    area: bool = False,
) -> ipywidgets.Widget:
    value = config.get(key)
    kind = ipywidgets.Textarea if area else ipywidgets.Text
    made = kind(
        value="" if value is None else str(value),
        description=label,
        placeholder=hint,
        continuous_update=False,
    )
    made.observe(lambda event: update({key: event["new"] or None}), "value")
    return made


def _choice(
    config: Mapping[str, Any], update: Update, key: str, label: str, choices: Mapping[str, str]
) -> ipywidgets.Widget:
    now = config.get(key, next(iter(choices.values())))
    options = list(choices.items())
    if now not in choices.values():
        options.append((one_line(now, 60), now))
    made = ipywidgets.Dropdown(options=options, value=now, description=label)
    made.observe(lambda event: update({key: event["new"]}), "value")
    return made


def _whole(
    config: Mapping[str, Any], update: Update, key: str, label: str, default: int
) -> ipywidgets.Widget:
    now = config.get(key)
    value = now if isinstance(now, int) and 1 <= now <= 64 else default
    made = ipywidgets.BoundedIntText(value=value, min=1, max=64, description=label)
    made.observe(lambda event: update({key: event["new"]}), "value")
    return made


def _value(config: Mapping[str, Any], update: Update, key: str, label: str) -> ipywidgets.Widget:
    """A number, a truth value, or text: what reads as JSON's is taken as that."""
    now = config.get(key)
    shown = "" if now is None else now if isinstance(now, str) else json.dumps(now)
    made = ipywidgets.Text(value=shown, description=label, continuous_update=False)

    def changed(event: Mapping[str, Any]) -> None:
        text: str = event["new"]
        try:
            value: object = json.loads(text)
        except ValueError:
            value = text
        plain = isinstance(value, str | int | float | bool)
        update({key: (value if plain else text) if text else None})

    made.observe(changed, "value")
    return made


def _lines(config: Mapping[str, Any], update: Update, key: str, label: str) -> ipywidgets.Widget:
    now = config.get(key)
    value = "\n".join(map(str, now)) if isinstance(now, list) else ""
    made = ipywidgets.Textarea(value=value, description=label, continuous_update=False)

    def changed(event: Mapping[str, Any]) -> None:
        lines = [line.strip() for line in event["new"].splitlines() if line.strip()]
        update({key: lines or None})

    made.observe(changed, "value")
    return made
