"""Drawings: what is left out, what is told beside colour, and how they reach browser and SVG."""

import dataclasses
import json
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from typing import Any

import ipycanvas
import numpy as np
import pytest
from ipycanvas.canvas import COMMANDS

from comfynb.engine.views import NodeView
from comfynb.models import CanvasLayout, DataType, JobStatus, NodeType
from comfynb.widgets.canvas.camera import Camera
from comfynb.widgets.canvas.colours import (
    DARK,
    KIND_LOOKS,
    LIGHT,
    PORT_SHAPES,
    STATUS_COLOURS,
)
from comfynb.widgets.canvas.draw import BOXES, FULL, NAMES, Looks, View, detail_at, draw_scene
from comfynb.widgets.canvas.draw_hand import Wire, draw_dragged, draw_wire, moved
from comfynb.widgets.canvas.draw_job import draw_job, draw_minimap, minimap, status_text
from comfynb.widgets.canvas.geometry import Geometry, PortRef
from comfynb.widgets.canvas.primitives import (
    Clipped,
    Images,
    Lines,
    Polygons,
    Primitive,
    Rects,
    Texts,
    marker,
    rounded,
)
from comfynb.widgets.canvas.scene import Scene
from comfynb.widgets.canvas.svg import to_svg
from comfynb.widgets.canvas.text import clip_to, text_width
from comfynb.widgets.canvas.wire import NOTE, Frame, new_canvas
from comfynb.widgets.theme import look


def looks(scene: Scene, **more: Any) -> Looks:
    return Looks(scene.document.nodes, scene.title, lambda node: f"about {node.id}", **more)


def words(drawing: Iterable[Primitive]) -> list[str]:
    return [text for part in drawing if isinstance(part, Texts) for text, _, _ in part.items]


def view(zoom: float = 1.0, x: float = 20.0, y: float = 20.0) -> View:
    return View(Camera(x, y, zoom), 1000.0, 600.0)


def state(key: str, status: str = "running", **more: Any) -> NodeView:
    given = {"step": None, "backend": None, "error": None, **more}
    return NodeView(key, key, JobStatus(status), given.pop("progress", 40.0), **given)


def test_what_cannot_be_read_is_left_out(scene: Scene) -> None:
    at = {
        level: draw_scene(scene.geometry, view(zoom), looks(scene))
        for level, zoom in ((FULL, 1.0), (NAMES, 0.3), (BOXES, 0.1))
    }
    assert detail_at(1.0), detail_at(0.3) == (FULL, NAMES)
    assert {"a", "about a", "in 0", "after", "out 0"} <= set(words(at[FULL]))
    assert set(words(at[NAMES])) == set("abcd")
    assert words(at[BOXES]) == []


def test_only_what_is_in_view_is_drawn_unless_asked(scene: Scene) -> None:
    left = draw_scene(scene.geometry, View(Camera(0, 0, 1), 250, 200), looks(scene))
    assert {"a"} == set(words(left)) & set("abcd")
    everything = draw_scene(
        scene.geometry, View(Camera(0, 0, 1), 250, 200), looks(scene), cull=False
    )
    assert set("abcd") <= set(words(everything))


def test_a_label_may_be_as_wide_as_its_row_is_free(given: dict[str, Any], make_node: Any) -> None:
    node = make_node("a", **{"in": ["any", "any"], "out": ["any"]})
    scene = Scene(CanvasLayout(nodes=[node]), **given)
    wide = "a label of some length, so it seems"
    of = scene.geometry.of
    views = tuple(dataclasses.replace(one, label=wide) for one in of.port_views)
    geometry = Geometry(
        dataclasses.replace(of, port_views=views), scene.geometry.x, scene.geometry.y
    )
    said = [text for text in words(draw_scene(geometry, view(), looks(scene))) if "label" in text]
    first, second, last, out = said
    assert len(first) == len(out) < len(second) == len(last)


def test_dragged_nodes_are_on_one_layer_only(scene: Scene) -> None:
    still = draw_scene(scene.geometry, view(), looks(scene, hidden=["b"]))
    there = moved(scene.geometry, {"b": (310.0, 200.0)})
    hand = draw_dragged(there, view(), looks(scene), ["b"])
    assert "b" not in words(still)
    assert {"b"} == set(words(hand)) & set("abcd")
    assert not any(isinstance(part, Lines) and part.points.shape[1] > 5 for part in still)
    wires = [part for part in hand if isinstance(part, Lines) and part.points.shape[1] > 5]
    assert sum(len(part.points) for part in wires) == 2
    assert scene.geometry.node_rect("b").x == 300.0


def test_types_kinds_and_states_do_not_rely_on_colour() -> None:
    assert len(set(PORT_SHAPES.values())) == len(DataType)
    assert len({one.sign for one in KIND_LOOKS.values()}) == len(NodeType)
    assert len({one.word for one in KIND_LOOKS.values()}) == len(NodeType)
    signs = {look(status).sign for status in JobStatus}
    assert len(signs) == len(JobStatus) == len(STATUS_COLOURS)
    for status in JobStatus:
        seen = look(status)
        said = status_text(state("a", status.value, error="Out of memory."))
        assert said.startswith(seen.sign)
    outlines = {
        tuple(part.points[0].round(3).ravel()) if isinstance(part, Polygons) else None
        for part in (
            Polygons(marker(one, np.zeros(1), np.zeros(1), 5.0)) for one in PORT_SHAPES.values()
        )
    }
    assert len(outlines) == len(DataType)


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(c * w for c, w in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_words_have_the_contrast_that_wcag_asks_for(colours: dict[str, str]) -> None:
    def contrast(one: str, other: str) -> float:
        high, low = sorted((luminance(colours[one]), luminance(colours[other])), reverse=True)
        return (high + 0.05) / (low + 0.05)

    assert set(LIGHT) == set(DARK)
    assert contrast("text", "node") >= 7
    assert contrast("soft", "node") >= 4.5
    assert contrast("tiptext", "tip") >= 7
    for name in colours:
        if name.startswith(("type-", "kind-")) or name in STATUS_COLOURS.values():
            assert contrast(name, "node") >= 3, name
            assert contrast(name, "canvas") >= 3, name


def test_a_job_is_told_in_words_and_fills(scene: Scene) -> None:
    states = {
        "a": state("a", "completed", backend="PC1"),
        "b": state("b", progress=50.0, step="KSampler: 15/30"),
        "c": state("c", "skipped"),
        "gone": state("gone"),
    }
    drawing = draw_job(scene.geometry, view(), states, asking={"d"}, pictures=["a"])
    assert words(drawing) == ["✓ completed · PC1", "► 50 % · KSampler: 15/30", "↷ skipped"]
    bars = [part for part in drawing if isinstance(part, Rects) and part.fill == "brand"]
    foot = scene.geometry.node_rect("b").width
    assert bars[0].boxes[0][2] == pytest.approx(foot / 2, abs=2)
    (images,) = [part for part in drawing if isinstance(part, Images)]
    assert [item[0] for item in images.items] == ["a"]
    assert words(draw_job(scene.geometry, view(), states, hidden=["a", "b", "c"])) == []
    assert words(draw_job(scene.geometry, view(), states, only=["c"])) == ["↷ skipped"]
    several = state("a", runs=4, runs_done=3)
    assert status_text(several) == "► 40 % · 3/4"
    assert status_text(several, asking=True) == "? choose a backend"
    failed = state("a", "failed", error="KSampler ran out of memory.\nTraceback")
    assert status_text(failed) == "✕ KSampler ran out of memory."


def test_ports_are_lit_or_crossed_out_and_the_reason_is_told(scene: Scene) -> None:
    start = PortRef("b", "out0", True)
    fits = scene.connectable(start)
    drawing = draw_wire(scene.geometry, view(), Wire(start, (400.0, 300.0), fits))
    lit = [part for part in drawing if isinstance(part, Polygons) and part.fill == "good"]
    inputs = ~scene.geometry.of.port_output
    assert len(lit[0].points) == (fits & inputs).sum()
    crossed = [part for part in drawing if isinstance(part, Lines) and part.stroke == "idle"]
    assert len(crossed[0].points) == 2 * (~fits & inputs).sum()
    refused = Wire(start, (10.0, 10.0), fits, reason="That would be a circle.")
    assert words(draw_wire(scene.geometry, view(), refused)) == ["✕ That would be a circle."]


def test_the_minimap_comes_when_something_is_out_of_view(scene: Scene) -> None:
    assert minimap(scene.geometry, view(0.5)) is None
    far = view(2.0)
    small = minimap(scene.geometry, far)
    assert small is not None
    at = small.box.x + small.box.width / 2, small.box.y + small.box.height / 2
    x, y = small.to_canvas(*at)
    assert small.shows.contains(x, y)
    (clipped,) = [
        part
        for part in draw_minimap(scene.geometry, far, looks(scene), {})
        if isinstance(part, Clipped)
    ]
    assert sum(len(part.boxes) for part in clipped.inside if isinstance(part, Rects)) == 4


def test_round_corners_stay_inside() -> None:
    boxes = np.array([[10.0, 20.0, 100.0, 50.0], [0.0, 0.0, 4.0, 4.0]])
    for points in (rounded(boxes, 8.0), rounded(boxes, 8.0, top=True)):
        np.testing.assert_allclose(points.min(axis=1), boxes[:, :2])
        np.testing.assert_allclose(points.max(axis=1), boxes[:, :2] + boxes[:, 2:])
    top = rounded(boxes, 8.0, top=True)[0]
    assert [110.0, 70.0] in top.tolist()
    assert [110.0, 20.0] not in top.tolist()


def test_text_is_cut_to_fit(hostile: str) -> None:
    for width in (5.0, 60.0, 300.0):
        cut = clip_to(hostile, 12.0, width)
        assert "\n" not in cut
        assert text_width(cut, 12.0) <= max(width, text_width("…", 12.0))
    assert clip_to("portrait", 12.0, 300.0) == "portrait"
    assert text_width("漢字", 10.0) == 20.0


# On the wire


def decoded(frame: Frame) -> list[list[Any]]:
    """The commands as the browser reads them: JSON, and a buffer for each array."""
    names = {number: name for name, number in COMMANDS.items()}
    commands = json.loads(json.dumps(frame._commands))
    assert sum(one[2] for one in commands) == len(frame._buffers)
    return [[names[one[0]], one[1], one[2]] for one in commands]


def test_a_frame_is_one_message_that_names_its_canvas_and_is_finite(scene: Scene) -> None:
    canvas = new_canvas(800, 600)
    drawing = draw_scene(scene.geometry, view(), looks(scene, selected=["a"], problems=["b"]))
    frame = Frame(LIGHT, 2.0).canvas(canvas).draw(drawing)
    commands = decoded(frame)
    assert commands[0][:2] == ["switchCanvas", [f"IPY_MODEL_{canvas.model_id}"]]
    assert commands[1][0] == "clear"
    for buffer in frame._buffers:
        values = np.frombuffer(buffer, dtype=np.float32)
        assert np.isfinite(values).all()
    texts = [one[1] for one in commands if one[0] == "fillText"]
    assert "a" in {one[0] for one in texts}
    # Twice the pixels: the head of a, at x = 20 + 34.
    place = next(one[1] for one in texts if one[0] == "a")
    assert place == pytest.approx(2 * (20 + 34), abs=0.1)
    fonts = [one[1][1] for one in commands if one[0] == "set" and one[1][0] == 3]
    assert fonts[0].startswith("600 26.0px ")


def test_styles_are_sent_when_they_change_and_dashes_end(scene: Scene) -> None:
    box = np.array([[0.0, 0.0, 1.0, 1.0]])
    line = np.array([[[0.0, 0.0], [1.0, 1.0]]])
    parts = [
        Rects(box, "text"),
        Rects(box, "text"),
        Lines(line, "text", dash=(3.0, 1.0)),
        Lines(line, "text"),
    ]
    commands = decoded(Frame(LIGHT, 1.0).canvas(new_canvas(800, 600)).draw(parts))
    fills = [one for one in commands if one[0] == "set" and one[1][0] == 0]
    assert len(fills) == 1
    assert [one[1] for one in commands if one[0] == "setLineDash"] == [[[]], [[3.0, 1.0]], [[]]]


def test_pictures_are_copied_from_their_sheet_at_their_own_proportions() -> None:
    canvas, sheet = new_canvas(800, 600), new_canvas(512, 256)
    stamps = {"a": (sheet, 256.0, 0.0, 200.0, 100.0)}
    frame = Frame(LIGHT, 1.0, stamps).canvas(canvas)
    commands = decoded(frame.draw([Images([("a", 10.0, 10.0, 100.0, 100.0), ("b", 0, 0, 9, 9)])]))
    (draw,) = [one for one in commands if one[0] == "drawImage"]
    # Half its size, so the whole sheet is 256 wide and its slot begins 128 left of the picture.
    assert draw[1] == [f"IPY_MODEL_{sheet.model_id}", 10.0 - 128.0, 10.0 + 25.0, 256.0, 128.0]
    assert [one[1] for one in commands if one[0] == "rect"] == [[10.0, 35.0, 100.0, 50.0]]
    saves = [one[0] for one in commands if one[0] in {"save", "restore"}]
    assert saves == ["save", "restore"]


def test_a_frame_that_breaks_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    manager = ipycanvas.canvas._CANVAS_MANAGER
    monkeypatch.setattr(manager, "send", lambda content, buffers: sent.append((content, buffers)))
    canvas = new_canvas(800, 600)
    bad = Rects(np.zeros((1, 4)), "no such colour")
    with pytest.raises(KeyError):
        Frame(LIGHT, 1.0).canvas(canvas).draw([bad]).send()
    assert sent == []
    manager._current_canvas = canvas
    Frame(LIGHT, 1.0).canvas(canvas).draw([Rects(np.zeros((1, 4)), "text")]).send()
    assert len(sent) == 1
    assert manager._current_canvas is None
    assert not manager._caching


def test_a_frame_is_sent_with_its_note_and_ends_on_a_canvas_that_nobody_sees(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[Any] = []
    manager = ipycanvas.canvas._CANVAS_MANAGER
    monkeypatch.setattr(manager, "send", lambda content, buffers: sent.append((content, buffers)))
    canvas, park = new_canvas(800, 600), new_canvas(1, 1)
    Frame(LIGHT, 1.0).canvas(canvas).draw([Rects(np.zeros((1, 4)), "text")]).send(park, {"n": 1})
    ((content, (packed, *arrays)),) = sent
    assert content[NOTE] == {"n": 1}
    assert content["dtype"] == "uint8"  # what ipycanvas reads of it
    commands = json.loads(bytes(packed))
    assert len(arrays) == sum(one[2] for one in commands)
    switched = [one[1] for one in commands if one[0] == COMMANDS["switchCanvas"]]
    assert switched == [[f"IPY_MODEL_{one.model_id}"] for one in (canvas, park)]
    assert commands[-1][1] == switched[-1]


# As SVG


def test_an_svg_is_xml_with_every_word_escaped(
    given: dict[str, Any], make_node: Any, make_wire: Any, hostile: str
) -> None:
    nodes = [make_node("a"), make_node("b", 300, kind="condition")]
    layout = CanvasLayout(nodes=nodes, connections=[make_wire("a", "b")])
    scene = Scene(layout, **{**given, "title": lambda _: hostile})
    drawing = draw_scene(scene.geometry, view(), looks(scene))
    drawing += draw_job(scene.geometry, view(), {"b": state("b", "failed", error=hostile)})
    for colours in (None, DARK):
        text = to_svg(
            drawing,
            (1000, 600),
            title=hostile,
            colours=colours,
            pictures={"a": f"data:image/png;base64,{hostile}"},
        )
        root = ET.fromstring(text)
        tags = {one.tag.rpartition("}")[2] for one in root.iter()}
        assert tags <= {"svg", "title", "style", "rect", "path", "g", "text", "image"}
        assert not any(name.startswith("on") for one in root.iter() for name in one.attrib)
        assert ("var(--cv-" in text) == (colours is None)


def test_clipped_parts_and_replaced_views_are_drawn(scene: Scene) -> None:
    box = np.array([[0.0, 0.0, 5.0, 5.0]])
    inside = [Clipped((0.0, 0.0, 3.0, 3.0), [Rects(box, "text")]), Rects(box, "text")]
    frame = Frame(LIGHT, 1.0).canvas(new_canvas(800, 600)).draw(inside)
    commands = [one[0] for one in decoded(frame)]
    assert commands.index("clip") < commands.index("fillRects") < commands.index("restore")
    assert commands.count("fillRects") == 2
    assert "M0.0 0.0h5.0" in to_svg(inside, (9, 9), title="x")
    assert dataclasses.replace(view(), grid=False).grid is False
