"""One job beside a plot: its nodes in time, peak VRAM, energy, parameters and pictures."""

from collections.abc import Callable, Sequence

import ipywidgets

from comfynb.widgets.composite import close_tree, html, icon_button, set_class
from comfynb.widgets.gallery import Gallery
from comfynb.widgets.markup import esc, mebibytes, sentence, user
from comfynb.widgets.metrics.look import spoken
from comfynb.widgets.metrics.views import JobDetails, NodeSpan
from comfynb.widgets.sweeps.text import short_value
from comfynb.widgets.theme import chip, look

__all__ = ["JobPanel", "details_html"]

MOST_VALUES = 12
MOST_NODES = 24


class JobPanel:
    """What became of one job; ``step(-1)`` and ``step(1)`` are what its arrows do."""

    def __init__(self, *, step: Callable[[int], None], close: Callable[[], None]) -> None:
        self._class: str | None = None
        self._text = html()
        self._gallery: Gallery | None = None
        buttons = [
            icon_button("chevron-left", "The job before it"),
            icon_button("chevron-right", "The job after it"),
            ipywidgets.Button(description="Close", tooltip="Close this view"),
        ]
        for button, press in zip(buttons, (lambda: step(-1), lambda: step(1), close), strict=True):
            button.on_click(lambda _, press=press: press())
        self._bar = ipywidgets.HBox(buttons)
        self._bar.add_class("comfynb-metrics-bar")
        self.widget = ipywidgets.VBox([self._bar, self._text])
        self.widget.add_class("comfynb-metrics-panel")

    def wait(self, name: str) -> None:
        """Say that ``name`` is being looked up."""
        self._show(f'<h4>{user(name, 120)}</h4><div class="comfynb-soft">…</div>', None)

    def fail(self, name: str, why: str) -> None:
        """Say why ``name`` cannot be told of."""
        self._show(
            f'<h4>{user(name, 120)}</h4><div role="alert">{user(why, 400)}</div>',
            "comfynb-failed",
        )

    def show(self, details: JobDetails) -> None:
        """Tell of a job."""
        self._show(details_html(details), look(details.status).css_class)
        if details.images:
            self._gallery = Gallery(details.images, arrangement="strip", page=6)
            self.widget.children = (self._bar, self._text, self._gallery)

    def _show(self, text: str, css_class: str | None) -> None:
        self._text.value = text
        if css_class != self._class:
            if self._class is not None:
                set_class(self.widget, self._class, on=False)
            if css_class is not None:
                set_class(self.widget, css_class, on=True)
            self._class = css_class
        if self._gallery is not None:
            self.widget.children = (self._bar, self._text)
            close_tree(self._gallery)
            self._gallery = None


def details_html(details: JobDetails) -> str:
    """What the panel says, without pictures."""
    parts = [f"<h4>{user(details.name, 120)}</h4>", chip(details.status)]
    if details.error:
        parts.append(f'<div class="comfynb-error">{user(sentence(details.error)[0], 400)}</div>')
    parts.append(_facts(details))
    if details.nodes:
        parts.append(f'<div class="comfynb-metrics-sub">Nodes</div>{_nodes(details.nodes)}')
    else:
        parts.append(
            '<div class="comfynb-soft">When its nodes ran was not recorded: that takes a kernel '
            "that listens while it runs.</div>"
        )
    if details.values:
        shown = list(details.values.items())[:MOST_VALUES]
        more = len(details.values) - len(shown)
        rows = "".join(
            f"<span>{user(name, 60)}</span><b>{user(short_value(value, 160), 160)}</b>"
            for name, value in shown
        )
        rest = f'<div class="comfynb-soft">{more} more</div>' if more else ""
        parts.append(
            f'<div class="comfynb-metrics-sub">Parameters</div>'
            f'<div class="comfynb-metrics-facts">{rows}</div>{rest}'
        )
    return "".join(parts)


def _facts(details: JobDetails) -> str:
    facts: list[tuple[str, str]] = []
    if details.backends:
        facts.append(("backend", ", ".join(user(name, 60) for name in details.backends)))
    if details.started_at is not None and details.completed_at is not None:
        seconds = (details.completed_at - details.started_at).total_seconds()
        facts.append(("ran", esc(spoken(seconds))))
    if details.waited is not None:
        facts.append(("waited", esc(spoken(details.waited))))
    if details.vram_peak is not None:
        of = f" of {mebibytes(details.vram_total)}" if details.vram_total else ""
        facts.append(("peak VRAM", esc(mebibytes(details.vram_peak) + of)))
    if details.gpu_utilization is not None:
        facts.append(("GPU, mean", f"{details.gpu_utilization:.0f} %"))
    if details.gpu_temperature_max is not None:
        facts.append(("hottest", f"{details.gpu_temperature_max:.0f} °C"))
    if details.energy_joules is not None:
        facts.append(("energy", esc(energy(details.energy_joules))))
    if details.cached_nodes:
        facts.append(("nodes from cache", str(details.cached_nodes)))
    facts.append(("job", f"<code>wb.jobs[{user(repr(details.id), 80)}]</code>"))
    rows = "".join(f"<span>{name}</span><b>{value}</b>" for name, value in facts)
    return f'<div class="comfynb-metrics-facts">{rows}</div>'


def energy(joules: float) -> str:
    """Energy as people read it: ``850 J`` or ``12.3 Wh``."""
    return f"{joules:.0f} J" if joules < 3600 else f"{joules / 3600:.1f} Wh"


def _nodes(nodes: Sequence[NodeSpan]) -> str:
    """The longest nodes, in the order in which they ran, as bars on one scale."""
    longest = sorted(nodes, key=lambda one: one.start - one.end)[:MOST_NODES]
    chosen = {id(one) for one in longest}
    begin = min(node.start for node in nodes)
    whole = max(max(node.end for node in nodes) - begin, 1e-9)
    rows = []
    for node in nodes:
        if id(node) not in chosen:
            continue
        left = 100 * (node.start - begin) / whole
        width = max(min(100 * (node.end - node.start) / whole, 100 - left), 0.5)
        told = node.class_type if node.model is None else f"{node.class_type}: {node.model}"
        rows.append(
            f'<span class="comfynb-cut" title="{esc(told[:200])}">{user(node.title, 60)}</span>'
            f'<span class="comfynb-metrics-span">'
            f'<i style="left:{left:.2f}%;width:{width:.2f}%"></i></span>'
            f'<span class="comfynb-num">{esc(spoken(node.end - node.start))}</span>'
        )
    more = len(nodes) - len(rows)
    rest = f'<div class="comfynb-soft">{more} shorter ones</div>' if more else ""
    return f'<div class="comfynb-metrics-nodes">{"".join(rows)}</div>{rest}'
