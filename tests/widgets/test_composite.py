from typing import Any

import ipycanvas
import ipywidgets
import pytest

from comfynb.widgets.composite import (
    VIEW,
    Composite,
    close_tree,
    html,
    mimebundle,
    set_class,
    shared_view,
)
from comfynb.widgets.theme import style_sheet


def test_a_bundle_has_a_view_and_both_static_forms() -> None:
    widget = html("x")
    bundle = mimebundle(widget, "text", "<p>html</p>")
    assert bundle["text/plain"] == "text"
    assert bundle["text/html"] == "<p>html</p>"
    assert bundle[VIEW]["model_id"] == widget.model_id


def test_a_closed_widget_has_no_view() -> None:
    widget = html("x")
    widget.close()
    assert VIEW not in mimebundle(widget, "text", "html")


@pytest.mark.usefixtures("nothing_left")
def test_close_closes_all_but_the_shared_style() -> None:
    inner = Composite([ipywidgets.Button(), html()])
    outer = Composite([inner, ipywidgets.HBox([ipywidgets.Text()])])
    outer.close()
    outer.close()
    assert inner.comm is None
    assert style_sheet().comm is not None


@pytest.mark.usefixtures("nothing_left")
def test_close_finds_parts_that_are_not_on_show() -> None:
    class Hiding(Composite):
        def __init__(self) -> None:
            self.hidden = html()
            super().__init__()

    Hiding().close()


def test_the_style_sheet_is_one_for_all_and_comes_back() -> None:
    one, other = Composite(), Composite()
    assert one.children[0] is other.children[0] is style_sheet()
    ipywidgets.Widget.close_all()
    assert Composite().children[0].comm is not None


def test_the_static_form_brings_its_style(tags: Any) -> None:
    found = tags(Composite().static_html())
    assert found.tags[0][0] == "style"
    assert ("pre", ()) in found.tags


def test_one_widget_shows_one_thing_however_often_it_is_displayed() -> None:
    class Thing:
        pass

    one, other = Thing(), Thing()
    first = shared_view(one, Composite)
    assert shared_view(one, Composite) is first
    assert shared_view(other, Composite) is not first
    first.close()
    assert shared_view(one, Composite) is not first


def test_set_class_sends_only_changes() -> None:
    widget = html("", "b")
    set_class(widget, "a", on=True)
    set_class(widget, "a", on=True)
    assert widget._dom_classes.count("a") == 1
    set_class(widget, "a", on=False)
    assert "a" not in widget._dom_classes


def test_no_widget_displays_itself_its_own_way() -> None:
    # _ipython_display_ wins over everything and breaks saved notebooks and exports.
    assert not hasattr(Composite, "_ipython_display_")
    widget = html()
    close_tree(widget)
    assert widget.comm is None


def test_what_all_canvases_share_outlives_one_of_them() -> None:
    shared = ipycanvas.Canvas._canvas_manager.default_value
    shared.open()  # other tests close all there is
    one = ipycanvas.Canvas()
    assert one._canvas_manager is shared
    close_tree(ipywidgets.VBox([one]))
    assert one.comm is None
    assert shared.comm is not None
    other = ipycanvas.Canvas()
    assert other._canvas_manager is shared
    close_tree(other)
