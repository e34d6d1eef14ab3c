"""What a workflow needs: what is known, what a person has to choose, and what nobody knows."""

from collections.abc import Callable, Sequence

import ipywidgets

from comfynb.deploy.resolve import (
    ModelCandidate,
    PackCandidate,
    Resolution,
    ResolvedClass,
    ResolvedModel,
    Status,
)
from comfynb.widgets.composite import close_tree, html
from comfynb.widgets.deploy.look import chip, size, wide
from comfynb.widgets.markup import one_line, user
from comfynb.widgets.tables import Cell, StaticTable

__all__ = ["NeedsBox", "name_of", "needs_html", "needs_line"]

Item = ResolvedClass | ResolvedModel
SHOWN = 60
"""Open questions that are asked at once."""

_LOOKS = {
    Status.RESOLVED: ("✓", "comfynb-completed"),
    Status.AMBIGUOUS: ("!", "comfynb-paused"),
    Status.UNKNOWN: ("?", "comfynb-failed"),
}


class NeedsBox:
    """The open questions with lists of candidates, and below them what is settled.

    ``choose(name, number)`` is what a choice calls: the number of a candidate, from 0.
    """

    def __init__(self, choose: Callable[[str, int], None]) -> None:
        self._choose = choose
        self._head = html()
        self._open = ipywidgets.VBox()
        self._open.add_class("comfynb-rows")
        self._rest = html()
        self._asked: list[_Question] = []
        self._resolution: Resolution | None = None
        self._beside: tuple[tuple[str, ...], bool] = ((), False)
        self.widget = ipywidgets.VBox([self._head])
        self.widget.add_class("comfynb-needs")

    def show(self, resolution: Resolution, left_out: tuple[str, ...], *, may: bool) -> None:
        """What is needed now; ``may`` says whether a choice is yours."""
        if resolution is self._resolution and (left_out, may) == self._beside:
            # Lists that somebody is choosing from stay as they are while nothing else is asked.
            self.free()
            return
        self._resolution, self._beside = resolution, (left_out, may)
        self._head.value = f"<h4>What the workflow needs</h4><div>{needs_line(resolution)}</div>"
        former = self._asked
        self._asked = [_Question(item, self._choose, may=may) for item in _open(resolution)[:SHOWN]]
        self._open.children = tuple(one.widget for one in self._asked)
        self._rest.value = _settled(resolution) + _remarks(resolution, left_out)
        shown = (self._head, self._open, self._rest) if self._asked else (self._head, self._rest)
        self.widget.children = shown
        for one in former:
            close_tree(one.widget)

    def free(self) -> None:
        """Let a person choose again, after a refusal."""
        for one in self._asked:
            one.free()

    def close(self) -> None:
        """Close it."""
        for part in (self._open, self._rest):
            close_tree(part)
        close_tree(self.widget)


class _Question:
    """One thing that is not settled, with what it might be."""

    def __init__(self, item: Item, choose: Callable[[str, int], None], *, may: bool) -> None:
        name = name_of(item)
        self._text = html(_asked(item), "comfynb-cells")
        parts: list[ipywidgets.Widget] = [self._text]
        self._use: ipywidgets.Button | None = None
        if item.candidates and item.status is Status.AMBIGUOUS:
            self._list = ipywidgets.Dropdown(
                options=[(label, at) for at, label in enumerate(_labels(item))], description="Use"
            )
            self._list.tooltip = one_line(f"What {name} comes from", 120)
            self._list.disabled = not may
            self._use = ipywidgets.Button(description="Choose", icon="check", disabled=not may)
            self._use.tooltip = one_line(f"Take this for {name}", 120)
            self._use.on_click(lambda _: self._press(name, choose))
            parts += [self._list, self._use]
        self.widget = ipywidgets.HBox(parts)
        self.widget.add_class("comfynb-ask")

    def _press(self, name: str, choose: Callable[[str, int], None]) -> None:
        assert self._use is not None
        self._use.disabled = True
        choose(name, self._list.value)

    def free(self) -> None:
        if self._use is not None:
            self._use.disabled = self._list.disabled


def _open(resolution: Resolution) -> list[Item]:
    return [*resolution.ambiguous, *resolution.unknown]


def name_of(item: Item) -> str:
    """The name that a choice goes by."""
    return item.need.class_type if isinstance(item, ResolvedClass) else item.need.name


def _labels(item: Item) -> list[str]:
    """Candidates in words, each another one: equal labels could not be told apart."""
    labels = []
    candidates: Sequence[PackCandidate | ModelCandidate] = item.candidates
    for number, one in enumerate(candidates, 1):
        if isinstance(one, PackCandidate):
            where = one.node.githubUrl if one.node is not None else "not in the catalogue"
            text = f"{one.label} – {where} ({one.reason})"
        else:
            text = f"{one.url} ({one.reason})"
        labels.append(f"{number}. {one_line(text, 160)}")
    return labels


def _asked(item: Item) -> str:
    sign, css_class = _LOOKS[item.status]
    kind = "node class" if isinstance(item, ResolvedClass) else "model"
    places = item.need.places
    titles = ", ".join(dict.fromkeys(place.title or place.class_type for place in places))
    why = "".join(f"<div>{user(remark, 300)}</div>" for remark in item.remarks)
    hint = ""
    if item.status is Status.UNKNOWN:
        hint = (
            "<div>Nothing in the catalogue brings it: sync more of it, or add it by hand.</div>"
            if isinstance(item, ResolvedClass)
            else "<div>Nothing in the catalogue has this file: sync more of it, or add it by hand."
            "</div>"
        )
    return (
        f'<div class="comfynb-headline">{chip(sign, item.status.value, css_class)}'
        f'<span class="comfynb-name">{user(name_of(item), 160)}</span>'
        f'<span class="comfynb-soft">{kind} · used by {user(titles, 160)}</span></div>'
        f'<div class="comfynb-soft">{why}{hint}</div>'
    )


def needs_line(resolution: Resolution) -> str:
    """HTML: how many of what are how."""
    core = sum(item.is_core for item in resolution.classes)
    found = sum(item.status is Status.RESOLVED for item in resolution.items)
    parts = [chip("✓", f"{found} resolved", "comfynb-completed")]
    if resolution.ambiguous:
        parts.append(chip("!", f"{len(resolution.ambiguous)} to choose", "comfynb-paused"))
    if resolution.unknown:
        parts.append(chip("?", f"{len(resolution.unknown)} unknown", "comfynb-failed"))
    classes = wide(len(resolution.classes), "node class", "node classes")
    models = wide(len(resolution.models), "model")
    text = f"{classes} ({core} of them ComfyUI's own), {models}"
    return f'<span class="comfynb-chips">{"".join(parts)}</span> {user(text)}'


def needs_html(resolution: Resolution, left_out: tuple[str, ...] = ()) -> str:
    """All of it as static HTML."""
    lines = [
        (
            Cell(item.status.value, chip(*_chip_of(item))),
            name_of(item),
            ", ".join(_labels(item)) or "; ".join(item.remarks),
        )
        for item in _open(resolution)
    ]
    table = StaticTable(["", "Needed", "May be"], lines, limit=100, wrap=True)
    return (
        f"<h4>What the workflow needs</h4><div>{needs_line(resolution)}</div>"
        f"{table.body() if lines else ''}{_settled(resolution)}{_remarks(resolution, left_out)}"
    )


def _chip_of(item: Item) -> tuple[str, str, str]:
    sign, css_class = _LOOKS[item.status]
    return sign, item.status.value, css_class


def _settled(resolution: Resolution) -> str:
    rows: list[tuple[object, ...]] = [
        ("node pack", use.node.name, ", ".join(use.classes), use.node.githubUrl, "")
        for use in resolution.packs
    ]
    rows += [
        ("model", f"{item.path or '?'}/{item.need.filename}", _why(item), item.url, size(item.size))
        for item in resolution.models
        if item.status is Status.RESOLVED
    ]
    if not rows:
        return ""
    table = StaticTable(["", "What", "For, or why", "From", "Size"], rows, limit=200, wrap=True)
    title = wide(len(rows), "thing is settled", "things are settled")
    return f"<details><summary>{title}</summary>{table.body()}</details>"


def _why(item: ResolvedModel) -> str:
    have = f"; already on {', '.join(item.on)}" if item.on else ""
    return f"by {item.by}{have}"


def _remarks(resolution: Resolution, left_out: tuple[str, ...]) -> str:
    lines = [*left_out, *resolution.needs.problems, *resolution.remarks]
    lines += [
        text for item in resolution.items if item.status is Status.RESOLVED for text in item.remarks
    ]
    if not lines:
        return ""
    shown = "".join(f"<li>{user(line, 400)}</li>" for line in lines[:40])
    more = f"<li>{len(lines) - 40} more</li>" if len(lines) > 40 else ""
    return f'<ul class="comfynb-list">{shown}{more}</ul>'
