"""Says what changed from one version of a workflow to another, node by node, in words."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from comfynb.comfy.compare import plain
from comfynb.comfy.convert.model import BYPASSED, MUTED
from comfynb.comfy.graph import is_link
from comfynb.comfy.layout_changes import PlacedNode, layout_changes, placed_nodes
from comfynb.comfy.matching import ids_are_kept, match_nodes
from comfynb.comfy.problems import node_label, shorten
from comfynb.models import ExposedParameter

__all__ = ["Difference", "WorkflowDiff", "diff_prompts", "diff_workflows"]

_LONG = 60
"""Of two texts, the longer of which is longer than this, only what differs is shown."""
_AROUND = 12
_MOST_NAMES = 12


@dataclass(frozen=True, slots=True)
class Difference:
    """One change from one version to another; ``input`` is empty for a whole node.

    ``node_id`` is the id in the later version, or in the earlier one for what was removed. ``path``
    are the titles of the subgraphs around the node, outermost first.
    """

    kind: str
    """``added``, ``removed``, ``class``, ``title``, ``mode``, ``input``, ``parameter`` (in app
    mode) or ``exposed``."""
    node_id: str
    title: str
    input: str = ""
    before: Any = None
    after: Any = None
    text: str = ""
    path: tuple[str, ...] = ()
    was: str = ""
    """As people read it, what it was before; and ``now`` what it is."""
    now: str = ""

    @property
    def where(self) -> str:
        """The title with the subgraphs around it: ``Upscale / KSampler (12:5)``."""
        place = " / ".join((*self.path, self.title))
        return f"{place} ({self.node_id})" if self.node_id else place

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class WorkflowDiff(Sequence[Difference]):
    """What changed between two versions; empty where they run the same and let one set the same.

    ``layout`` says in sentences what changed for the eye alone (nodes moved, notes): it does not
    count as a change, so a diff with nothing else is false. ``renumbered`` tells that nodes were
    found again under other ids.
    """

    changes: list[Difference]
    layout: list[str] = field(default_factory=list)
    renumbered: bool = False

    def __getitem__(self, place: Any) -> Any:
        return self.changes[place]

    def __len__(self) -> int:
        return len(self.changes)

    def __str__(self) -> str:
        lines = [str(change) for change in self.changes] or ["Nothing that runs has changed."]
        if self.renumbered:
            lines.append("(Nodes have other ids; they were matched by what they are.)")
        return "\n".join([*lines, *(f"({sentence})" for sentence in self.layout)])

    def __repr__(self) -> str:
        return str(self)


def diff_prompts(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """List what changed between two prompts in API format, in the order of the earlier one."""
    return list(_differences(_Sides(before, after, match_nodes(before, after), {}, {})))


def diff_workflows(
    before: tuple[Mapping[str, Any], Mapping[str, Any]],
    after: tuple[Mapping[str, Any], Mapping[str, Any]],
    *,
    exposed: tuple[Sequence[ExposedParameter], Sequence[ExposedParameter]] = ((), ()),
) -> WorkflowDiff:
    """Say what changed between two ``(prompt, UI workflow)`` pairs; a UI workflow may be empty.

    Nodes are matched as :func:`~comfynb.comfy.matching.match_nodes` explains. What the two prompts
    run counts; what was muted or bypassed is told as that, not as nodes that vanished. ``exposed``
    are the parameters of the two, in order.
    """
    old_prompt, old_ui = before
    new_prompt, new_ui = after
    old_placed, new_placed = placed_nodes(old_ui), placed_nodes(new_ui)
    matched = match_nodes(old_prompt, new_prompt)
    sides = _Sides(old_prompt, new_prompt, matched, old_placed, new_placed)
    modes: list[Difference] = []
    explained: set[str] = set()
    if ids_are_kept(old_prompt, new_prompt):
        modes = list(_modes(old_placed, new_placed))
        explained = {change.node_id for change in modes}
    changes = [
        change
        for change in _differences(sides)
        if change.kind not in {"added", "removed"} or not _within(change.node_id, explained)
    ]
    changes = [
        *modes,
        *changes,
        *_parameters(old_ui, new_ui, old_placed, new_placed),
        *_exposed(sides, *exposed),
    ]
    return WorkflowDiff(
        changes,
        layout_changes(old_ui, new_ui),
        any(old_id != new_id for old_id, new_id in matched.items()),
    )


def _within(node_id: str, places: set[str]) -> bool:
    """Whether the node is one of them, or lies in a subgraph that is."""
    parts = node_id.split(":")
    return any(":".join(parts[: end + 1]) in places for end in range(len(parts)))


@dataclass(frozen=True, slots=True)
class _Sides:
    """Two prompts, which node is which, and where their nodes lie in subgraphs."""

    before: Mapping[str, Any]
    after: Mapping[str, Any]
    matched: Mapping[str, str]
    old_placed: Mapping[str, PlacedNode]
    new_placed: Mapping[str, PlacedNode]

    def now(self, old_id: str) -> str | None:
        """The id that a node of the earlier prompt has in the later one; None if it is gone."""
        if old_id in self.matched:
            return self.matched[old_id]
        # The same id, another class: people who edit prompts by hand do that.
        return old_id if old_id in self.after and old_id not in self.matched.values() else None


def _differences(sides: _Sides) -> Iterator[Difference]:
    before, after = sides.before, sides.after
    found_again: set[str] = set()
    for old_id, old in before.items():
        new_id = sides.now(old_id)
        if new_id is None:
            path = _path(old_id, sides.old_placed)
            text = f"{_label(before, old_id, path)} was removed."
            yield Difference("removed", old_id, _title(old), text=text, path=path)
            continue
        found_again.add(new_id)
        yield from _node(sides, old_id, new_id)
    for new_id, new in after.items():
        if new_id not in found_again:
            path = _path(new_id, sides.new_placed)
            text = f"{_label(after, new_id, path)} was added."
            yield Difference("added", new_id, _title(new), text=text, path=path)


def _node(sides: _Sides, old_id: str, new_id: str) -> Iterator[Difference]:
    old, new = sides.before[old_id], sides.after[new_id]
    path = _path(new_id, sides.new_placed)
    label, title = _label(sides.after, new_id, path), _title(new)

    def difference(kind: str, name: str, values: tuple[Any, Any], text: str) -> Difference:
        was_text, now_text = shown
        return Difference(
            kind, new_id, title, name, *values, f"{label}: {text}", path, was_text, now_text
        )

    was, now = old.get("class_type"), new.get("class_type")
    if was != now:
        shown = shorten(was), shorten(now)
        yield difference("class", "", (was, now), f"class {shown[0]} became {shown[1]}.")
    elif _title(old) != title:
        shown = shorten(_title(old)), shorten(title)
        yield difference("title", "", (_title(old), title), f"its title was {shown[0]}.")
    ours, theirs = old.get("inputs") or {}, new.get("inputs") or {}
    for name in dict.fromkeys((*ours, *theirs)):
        was, now = ours.get(name), theirs.get(name)
        there, here = name in ours, name in theirs
        if there and here and _same(sides, was, now):
            continue
        texts = _shown(sides.before, there, was), _shown(sides.after, here, now)
        shown = _shown_pair(texts, was, now)
        yield difference("input", str(name), (was, now), f"{name}: {shown[0]} → {shown[1]}.")


def _same(sides: _Sides, was: Any, now: Any) -> bool:
    if is_link(was) and is_link(now) and was[0] in sides.before and now[0] in sides.after:
        return sides.now(was[0]) == now[0] and int(was[1]) == int(now[1])
    return _key(was) == _key(now)


def _key(value: Any) -> str:
    return json.dumps(plain(value), sort_keys=True)


def _title(node: Any) -> str:
    meta = node.get("_meta") if isinstance(node, Mapping) else None
    title = meta.get("title") if isinstance(meta, Mapping) else None
    return title if isinstance(title, str) else str(node.get("class_type", ""))


def _label(prompt: Mapping[str, Any], node_id: str, path: tuple[str, ...]) -> str:
    around = "".join(f"{shorten(title)} / " for title in path)
    return around + node_label(prompt, node_id)


def _path(node_id: str, placed: Mapping[str, PlacedNode]) -> tuple[str, ...]:
    found = placed.get(node_id)
    return found.path if found is not None else ()


def _shown(prompt: Mapping[str, Any], there: bool, value: Any) -> str:
    if not there:
        return "nothing"
    if is_link(value):
        slot = f", output {int(value[1])}" if int(value[1]) else ""
        return f"link from {node_label(prompt, value[0])}{slot}"
    return shorten(value)


def _shown_pair(texts: tuple[str, str], was: Any, now: Any) -> tuple[str, str]:
    """Of two long texts, show the part that differs."""
    if not (isinstance(was, str) and isinstance(now, str)) or max(len(was), len(now)) <= _LONG:
        return texts
    least = min(len(was), len(now))
    start = next((i for i in range(least) if was[i] != now[i]), least)
    rest = least - start
    end = next((i for i in range(rest) if was[-1 - i] != now[-1 - i]), rest)
    first, last = max(0, start - _AROUND), max(0, end - _AROUND)

    def part(text: str) -> str:
        middle = text[first : len(text) - last]
        return shorten(f"{'…' if first else ''}{middle}{'…' if last else ''}")

    return part(was), part(now)


def _modes(
    old_placed: Mapping[str, PlacedNode], new_placed: Mapping[str, PlacedNode]
) -> Iterator[Difference]:
    words = {MUTED: "muted", BYPASSED: "bypassed"}
    for node_id, new in new_placed.items():
        old = old_placed.get(node_id)
        if old is None or old.type != new.type:
            continue
        was, now = words.get(old.mode, "running"), words.get(new.mode, "running")
        if was != now:
            text = f"{' / '.join(map(shorten, (*new.path, new.title)))} (node {node_id}) "
            text += "runs again." if now == "running" else f"is {now} now."
            yield Difference("mode", node_id, new.title, "", was, now, text, new.path, was, now)


def _parameters(
    old_ui: Mapping[str, Any],
    new_ui: Mapping[str, Any],
    old_placed: Mapping[str, PlacedNode],
    new_placed: Mapping[str, PlacedNode],
) -> Iterator[Difference]:
    """What the author shows in app mode, added, removed and reordered."""
    ours, theirs = _chosen(old_ui), _chosen(new_ui)
    for place in dict.fromkeys((*ours, *theirs)):
        if place in ours and place in theirs:
            continue
        node_id, name = place
        node = (new_placed if place in theirs else old_placed).get(node_id)
        title, path = (node.title, node.path) if node is not None else (node_id, ())
        done = "is shown in app mode now" if place in theirs else "is no longer shown in app mode"
        was, now = ("shown", "hidden") if place in ours else ("hidden", "shown")
        text = f"{' / '.join(map(shorten, (*path, title)))} (node {node_id}): {name} {done}."
        yield Difference("parameter", node_id, title, name, was, now, text, path, was, now)
    kept = [place for place in ours if place in theirs]
    if kept != [place for place in theirs if place in ours]:
        text = "The order of the inputs in app mode changed."
        yield Difference("parameter", "", "app mode", "order", text=text, was="", now="reordered")


def _exposed(
    sides: _Sides, before: Sequence[ExposedParameter], after: Sequence[ExposedParameter]
) -> Iterator[Difference]:
    """What people can set, and under which names; what went with its node is not told again."""
    ours = {
        (node_id, p.field_name): p for p in before if (node_id := sides.now(p.node_id)) is not None
    }
    theirs = {(p.node_id, p.field_name): p for p in after}
    for place in dict.fromkeys((*ours, *theirs)):
        node_id, name = place
        old, new = ours.get(place), theirs.get(place)
        for was, now in zip(_as_shown(old), _as_shown(new), strict=True):
            if was == now or not (was and now):
                continue
            path = _path(node_id, sides.new_placed)
            label = _label(sides.after, node_id, path)
            text = f"{label}: {name} was {was}, is {now}."
            title = _title(sides.after.get(node_id) or {})
            yield Difference("exposed", node_id, title, name, old, new, text, path, was, now)
    kept = [place for place in ours if place in theirs]
    if kept != [place for place in theirs if place in ours]:
        was, now = _named(before), _named(after)
        text = f"The order of the exposed parameters was {was}, is {now}."
        title = "exposed parameters"
        yield Difference("exposed", "", title, "order", text=text, was=was, now=now)


def _named(parameters: Sequence[ExposedParameter]) -> str:
    names = [shorten(parameter.display_name) for parameter in parameters]
    rest = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def _as_shown(parameter: ExposedParameter | None) -> tuple[str, str]:
    """A parameter's name and group in words; a group only where there is a parameter."""
    if parameter is None:
        return "not exposed", ""
    group = f"in the group {shorten(parameter.group)}" if parameter.group else "in no group"
    return f"exposed as {shorten(parameter.display_name)}", group


def _chosen(workflow: Mapping[str, Any]) -> list[tuple[str, str]]:
    extra = workflow.get("extra")
    linear = extra.get("linearData") if isinstance(extra, Mapping) else None
    entries = linear.get("inputs") if isinstance(linear, Mapping) else None
    return [
        (str(entry[0]), entry[1])
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, list) and len(entry) >= 2 and isinstance(entry[1], str)
    ]
