"""What part of the canvas is seen: pan, zoom at a point, fit."""

from dataclasses import dataclass

from comfynb.models import Viewport
from comfynb.widgets.canvas.geometry import Rect

__all__ = ["MAX_ZOOM", "MIN_ZOOM", "Camera", "Insets"]

MIN_ZOOM = 0.04
MAX_ZOOM = 3.0


@dataclass(frozen=True, slots=True)
class Insets:
    """CSS pixels at the edges that panels cover."""

    left: float = 0.0
    top: float = 0.0
    right: float = 0.0
    bottom: float = 0.0


@dataclass(frozen=True, slots=True)
class Camera:
    """The seed's viewport: on screen a point lies at ``offset + zoom * point``, in CSS pixels."""

    x: float = 0.0
    y: float = 0.0
    zoom: float = 1.0

    @classmethod
    def of(cls, viewport: Viewport) -> "Camera":
        """The camera that a layout was saved with."""
        zoom = min(max(viewport.zoom, MIN_ZOOM), MAX_ZOOM)
        return cls(viewport.offset_x, viewport.offset_y, zoom)

    @property
    def viewport(self) -> Viewport:
        """The same as the seed's model."""
        return Viewport(offset_x=self.x, offset_y=self.y, zoom=self.zoom)

    def to_screen(self, x: float, y: float) -> tuple[float, float]:
        """Where a point of the canvas is on screen."""
        return self.x + self.zoom * x, self.y + self.zoom * y

    def to_canvas(self, x: float, y: float) -> tuple[float, float]:
        """Which point of the canvas a point on screen is."""
        return (x - self.x) / self.zoom, (y - self.y) / self.zoom

    def seen(self, width: float, height: float) -> Rect:
        """The part of the canvas in a window of this size."""
        left, top = self.to_canvas(0.0, 0.0)
        return Rect(left, top, width / self.zoom, height / self.zoom)

    def panned(self, dx: float, dy: float) -> "Camera":
        """Moved by a distance on screen."""
        return Camera(self.x + dx, self.y + dy, self.zoom)

    def zoomed(self, factor: float, x: float, y: float) -> "Camera":
        """Nearer or farther; the point at (x, y) on screen stays where it is."""
        zoom = min(max(self.zoom * factor, MIN_ZOOM), MAX_ZOOM)
        scale = zoom / self.zoom
        return Camera(x - (x - self.x) * scale, y - (y - self.y) * scale, zoom)

    def fitted(
        self,
        rect: Rect | None,
        width: float,
        height: float,
        *,
        insets: Insets | None = None,
        margin: float = 40.0,
        largest: float = 1.0,
    ) -> "Camera":
        """The nearest camera that shows ``rect`` whole; an empty canvas is shown at its origin."""
        covered = insets or Insets()
        room_x = max(width - covered.left - covered.right, 50.0)
        room_y = max(height - covered.top - covered.bottom, 50.0)
        if rect is None:
            return Camera(covered.left + margin, covered.top + margin, 1.0)
        zoom = min(
            max(room_x - 2 * margin, 20.0) / max(rect.width, 1.0),
            max(room_y - 2 * margin, 20.0) / max(rect.height, 1.0),
            largest,
        )
        zoom = min(max(zoom, MIN_ZOOM), MAX_ZOOM)
        return Camera(
            covered.left + room_x / 2 - zoom * (rect.x + rect.width / 2),
            covered.top + room_y / 2 - zoom * (rect.y + rect.height / 2),
            zoom,
        )
