"""The backends as a live table: who answers, on what GPU, with how much memory and work."""

from collections.abc import Callable
from functools import partial

import ipywidgets

from comfynb.engine.views import BackendView, Watchable
from comfynb.widgets.backend_text import HEAD, backends_table, line_html
from comfynb.widgets.composite import Composite, close_tree, html
from comfynb.widgets.live import Live, call
from comfynb.widgets.markup import one_line, user

__all__ = ["BackendsTable"]

_EMPTY = "no backends yet: add one with <code>wb.backends.add(&quot;http://gpu1:8188&quot;)</code>"


class BackendsTable(Composite):
    """One line for each backend; only lines that change are sent again.

    ``on_enable(backend_id, enabled)`` is what the check boxes do (it may return an awaitable);
    without it there are none.
    """

    def __init__(
        self,
        backends: Watchable[tuple[BackendView, ...]],
        on_enable: Callable[[str, bool], object] | None = None,
    ) -> None:
        self._backends = backends
        self._on_enable = on_enable
        self._lines: dict[str, _Line] = {}
        self._message = html()
        names = "".join(f"<span>{name}</span>" for name in HEAD)
        names = f'<div class="comfynb-line comfynb-backends-line">{names}</div>'
        spacer = [] if on_enable is None else [html("", "comfynb-spacer")]
        self._head = ipywidgets.HBox([*spacer, html(names, "comfynb-cells")])
        self._head.add_class("comfynb-rowhead")
        self._rows = ipywidgets.VBox()
        self._rows.add_class("comfynb-rows")
        super().__init__([self._rows, self._message])
        self._live: Live[tuple[BackendView, ...]] = Live(backends, self._show)
        self._show(backends.view)

    def _show(self, views: tuple[BackendView, ...]) -> None:
        gone = dict(self._lines)
        lines: dict[str, _Line] = {}
        for view in views:
            line = gone.pop(view.id, None)
            if line is None:
                line = _Line(view, self._on_enable, self._tell)
            else:
                line.show(view)
            lines[view.id] = line
        self._lines = lines
        widgets: list[ipywidgets.Widget] = [line.widget for line in lines.values()]
        shown = (self._head, *widgets) if widgets else (self._nothing(),)
        if shown != self._rows.children:
            self._rows.children = shown
        for line in gone.values():
            close_tree(line.widget)

    def _nothing(self) -> ipywidgets.HTML:
        if self._rows.children and not self._lines and self._rows.children[0] is not self._head:
            return self._rows.children[0]
        return html(f'<div class="comfynb-soft">{_EMPTY}</div>')

    def _tell(self, trouble: str) -> None:
        self._message.value = (
            f'<div class="comfynb-problem" role="alert">{user(trouble, 600)}</div>'
            if trouble
            else ""
        )

    def plain(self) -> str:
        """The table as text."""
        return backends_table(self._backends.view).plain()

    def body(self) -> str:
        """The table as it is now, as static HTML."""
        return backends_table(self._backends.view).body()

    def close(self) -> None:
        """Stop watching and close the table."""
        if hasattr(self, "_live"):
            self._live.stop()
        super().close()


class _Line:
    """One backend's line: the check box and the cells."""

    def __init__(
        self,
        view: BackendView,
        on_enable: Callable[[str, bool], object] | None,
        tell: Callable[[str], None],
    ) -> None:
        self._cells = html("", "comfynb-cells")
        self._check: ipywidgets.Checkbox | None = None
        self._enabled = view.enabled
        self._tell = tell
        if on_enable is not None:
            self._check = ipywidgets.Checkbox(
                value=view.enabled,
                description=f"Use {one_line(view.name, 60)}",
                indent=False,
            )
            self._check.add_class("comfynb-enable")
            self._check.observe(partial(self._toggled, view.id, on_enable), "value")
        self.widget = ipywidgets.HBox([*([self._check] if self._check else []), self._cells])
        self.show(view)

    def show(self, view: BackendView) -> None:
        self._enabled = view.enabled
        self._cells.value = line_html(view)
        if self._check is not None and not self._check.disabled:
            self._check.value = view.enabled

    def _toggled(
        self, backend_id: str, on_enable: Callable[[str, bool], object], change: dict[str, bool]
    ) -> None:
        wanted = change["new"]
        if self._check is None or wanted == self._enabled or self._check.disabled:
            return
        check = self._check
        # Until the answer is there the box neither takes clicks nor follows older snapshots.
        check.disabled = True
        self._tell("")

        def done(_: object) -> None:
            self._enabled = wanted
            check.disabled = False

        def failed(why: str) -> None:
            check.value = self._enabled
            check.disabled = False
            self._tell(why)

        call(partial(on_enable, backend_id, wanted), done, failed)
