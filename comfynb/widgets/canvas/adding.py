"""Adding nodes: the palette, what was wished for when it was opened, and where new nodes go."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from comfynb.widgets.canvas.contract import PaletteItem
from comfynb.widgets.canvas.geometry import WIDTH, Rect
from comfynb.widgets.canvas.hand import Hand, PaletteWish
from comfynb.widgets.canvas.panels import Panels
from comfynb.widgets.canvas.surface import Palette, Surface
from comfynb.widgets.composite import close_tree
from comfynb.widgets.markup import one_line

__all__ = ["Adding"]

STEP = 40.0
"""How far down a new node is moved while it would lie on another one."""


class Adding:
    """The palette, and what it adds.

    ``act(do)`` does what was asked for and brings everything into step, ``say(text)`` tells a
    sentence, ``toggled(on)`` that the palette came or went.
    """

    def __init__(
        self,
        hand: Hand,
        panels: Panels,
        surface: Surface,
        items: Sequence[PaletteItem],
        *,
        act: Callable[[Callable[[], object]], None],
        say: Callable[[str], None],
        toggled: Callable[[bool], None],
    ) -> None:
        self._hand, self._panels, self._surface = hand, panels, surface
        self._act, self._say, self._toggled = act, say, toggled
        self._items = {item.key: item for item in items}
        self._wish: PaletteWish | None = None
        self.palette = Palette(items, self.heard)

    def set_items(self, items: Sequence[PaletteItem]) -> None:
        """Offer these."""
        self._items = {item.key: item for item in items}
        self.palette.show_items(items)

    def wish(self, wish: PaletteWish) -> None:
        """Somebody wants a node at a place: open the palette for it."""
        self._wish = wish
        self.show(on=True)
        self.palette.note = ""
        if wish.start is not None:
            port = self._hand.scene.port(wish.start)
            self.palette.note = f"To be connected with {one_line(port.label, 40)}."

    def show(self, *, on: bool) -> None:
        """Open or close the palette."""
        if on != self._panels.left:
            self._panels.show_left(self.palette if on else None)
        self._toggled(on)
        if on:
            self.palette.focus()
        else:
            self._wish = None
            self.palette.note = ""

    def heard(self, message: Mapping[str, Any]) -> None:
        """The palette's messages."""
        if message.get("event") == "close":
            self.show(on=False)
            self._surface.focus()
        elif message.get("event") == "pick":
            self._act(lambda: self._picked(str(message.get("key", ""))))

    def dropped(self, key: str, x: float, y: float) -> None:
        """An item was dropped at a place of the window."""
        at = self._hand.camera.to_canvas(x, y)
        self._act(lambda: self._add(key, at))

    def _picked(self, key: str) -> None:
        wish, self._wish = self._wish, None
        self.palette.note = ""
        item = self._items.get(key)
        if item is None:
            return
        if wish is not None and wish.start is not None:
            self._hand.scene.add_connected(item, *wish.place, wish.start)
            self._done(f"Added and connected: {item.title}")
        else:
            self._add(key, wish.place if wish is not None else self._free_place())
        self._keep_in_view()

    def _add(self, key: str, at: tuple[float, float]) -> None:
        item = self._items.get(key)
        if item is not None:
            self._hand.scene.add(item, *at)
            self._done(f"Added: {item.title}")

    def _done(self, words: str) -> None:
        self._say(words)
        self._hand.edited()
        self._surface.focus()

    def _free_place(self) -> tuple[float, float]:
        """Right of what is selected, else in the middle of what is seen; not on another node."""
        hand = self._hand
        geometry, selected = hand.scene.geometry, hand.scene.selected
        chosen = geometry.bounds(selected) if selected else None
        if chosen is not None:
            x, y = chosen.x + chosen.width + 80.0, chosen.y
        else:
            cover, size = self._panels.insets, hand.size
            middle = (cover.left + size[0] - cover.right) / 2, size[1] / 2
            x, y = hand.camera.to_canvas(*middle)
            x, y = x - WIDTH / 2, y - 60.0
        while geometry.nodes_in(Rect(x, y, WIDTH, 120.0)).any():
            y += STEP
        return x, y

    def _keep_in_view(self) -> None:
        hand, cover = self._hand, self._panels.insets
        rect = hand.scene.geometry.bounds(hand.scene.selected)
        if rect is None:
            return
        width, height = hand.size
        left, top = hand.camera.to_screen(rect.x, rect.y)
        right, bottom = hand.camera.to_screen(rect.x + rect.width, rect.y + rect.height)
        inside = left >= cover.left and top >= 0 and right <= width - cover.right
        if not (inside and bottom <= height):
            hand.fit()

    def close(self) -> None:
        """Close the palette."""
        close_tree(self.palette)
