"""The canvas on which workflows, conditions, fan-outs and merges are put together and watched.

    CanvasEditor(
        layout: CanvasLayout, *,
        ports: Callable[[CanvasNode], PortsView],
        title: Callable[[CanvasNode], str],
        palette: Sequence[PaletteItem],
        compatible: Callable[[DataType, DataType], bool],
        check: Callable[[CanvasLayout], Sequence[Problem]] | None = None,
        inspector: Callable[[CanvasNode, Update], Widget | None] | None = None,
        backends: Callable[[], Sequence[BackendView]] | None = None,
        on_change: Callable[[CanvasLayout], None] | None = None,
        on_run: Callable[[CanvasLayout], object] | None = None,   # a widget or an awaitable of one
        name: str = "graph", height: int = 560,                   # CSS pixels
    )
    .canvas_layout               the graph as it is now, a copy; .problems what check() found
    .set_layout(layout)          show another one (from code); calls no on_change; undoable
    .set_palette(items)          other workflows to add
    .show_job(view | None)       colours, progress and thumbnails; None shows the plain graph
    .thumbnail(node_id, data)    show an encoded picture beneath a node
    .select(*node_ids)  .fit()  .auto_layout()  .undo()  .redo()  .refresh()  .to_svg() -> str

A side of a node with more than eight ports shows those that are connected, that must be, that take
or give files, and the next free one; a click on its "+n" row, E, or a wire held over it shows all.

``inspector(node, update)`` gives the form of a selected node; ``update({"key": value})`` puts
values into its config, as one edit that can be undone. Where it returns None, inputs, conditions,
fan-outs, merges and outputs have a form of the canvas's own. Title, backend and fallback are always
the canvas's.
"""

from comfynb.widgets.canvas.contract import PaletteItem, Problem, Update
from comfynb.widgets.canvas.editor import CanvasEditor

__all__ = ["CanvasEditor", "PaletteItem", "Problem", "Update"]
