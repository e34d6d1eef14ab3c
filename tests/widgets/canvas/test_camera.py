"""Pan, zoom and fit."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from comfynb.models import Viewport
from comfynb.widgets.canvas.camera import MAX_ZOOM, MIN_ZOOM, Camera, Insets
from comfynb.widgets.canvas.geometry import Rect

PLACE = st.floats(-5000, 5000)
CAMERAS = st.builds(Camera, PLACE, PLACE, st.floats(MIN_ZOOM, MAX_ZOOM))


@given(CAMERAS, st.floats(0.01, 100), st.floats(0, 1000), st.floats(0, 600))
def test_what_is_under_the_pointer_stays_there(
    camera: Camera, factor: float, x: float, y: float
) -> None:
    after = camera.zoomed(factor, x, y)
    assert MIN_ZOOM <= after.zoom <= MAX_ZOOM
    # A thousandth of a pixel on screen, whatever the zoom is.
    assert after.to_screen(*camera.to_canvas(x, y)) == pytest.approx((x, y), abs=1e-3)


@given(CAMERAS, PLACE, PLACE)
def test_there_and_back(camera: Camera, x: float, y: float) -> None:
    assert camera.to_canvas(*camera.to_screen(x, y)) == pytest.approx((x, y), abs=1e-3)
    assert Camera.of(camera.viewport) == camera


@given(
    st.builds(Rect, PLACE, PLACE, st.floats(1, 4000), st.floats(1, 4000)),
    st.floats(300, 3000),
    st.floats(200, 2000),
    st.floats(0, 200),
    st.floats(0, 100),
)
def test_all_of_it_is_seen_beside_the_panels(
    rect: Rect, width: float, height: float, left: float, top: float
) -> None:
    camera = Camera().fitted(rect, width, height, insets=Insets(left, top))
    assert camera.zoom <= 1.0
    x0, y0 = camera.to_screen(rect.x, rect.y)
    x1, y1 = camera.to_screen(rect.x + rect.width, rect.y + rect.height)
    if camera.zoom > MIN_ZOOM:
        assert left - 1 <= x0 <= x1 <= width + 1
        assert top - 1 <= y0 <= y1 <= height + 1


def test_nothing_to_fit_shows_the_origin() -> None:
    x, y = Camera(500, 500, 0.1).fitted(None, 800, 600).to_screen(0, 0)
    assert 0 < x < 100
    assert 0 < y < 100


def test_a_saved_zoom_beyond_the_limits_is_brought_back() -> None:
    assert Camera.of(Viewport(zoom=1e-9)).zoom == MIN_ZOOM
    assert Camera.of(Viewport(zoom=1e9)).zoom == MAX_ZOOM
