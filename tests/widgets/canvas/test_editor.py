"""The editor as its embedders use it: callbacks, jobs, static forms, and handlers that break."""

import asyncio
import io
from collections.abc import Callable, Iterator
from typing import Any

import ipywidgets
import pytest
from PIL import Image

from comfynb.engine.views import JobView, NodeView, QuestionView
from comfynb.models import CanvasLayout, FallbackStrategy, JobStatus, NodeType, utcnow
from comfynb.widgets.canvas import CanvasEditor, PaletteItem
from comfynb.widgets.canvas.draw_job import PICTURE
from comfynb.widgets.canvas.hand import Dirty
from comfynb.widgets.canvas.primitives import Texts
from comfynb.widgets.canvas.wire import new_canvas
from comfynb.widgets.composite import close_tree
from comfynb.widgets.live import _tasks

ITEM = PaletteItem("w", "portrait", NodeType.WORKFLOW, "Workflows", workflow_id="w1")


class Problem:
    def __init__(self, message: str, node_id: str | None) -> None:
        self.message, self.node_id = message, node_id


@pytest.fixture
def make(given: dict[str, Any], chain: CanvasLayout) -> Iterator[Callable[..., CanvasEditor]]:
    made: list[CanvasEditor] = []

    def make(layout: CanvasLayout | None = None, **more: Any) -> CanvasEditor:
        editor = CanvasEditor(chain if layout is None else layout, palette=[ITEM], **given, **more)
        made.append(editor)
        return editor

    yield make
    for one in made:
        one.close()


def press(editor: CanvasEditor, key: str, *, ctrl: bool = False) -> None:
    editor._screen._message({"event": "key", "key": key, "ctrl": ctrl})


def mouse(editor: CanvasEditor, kind: str, x: float, y: float, **more: Any) -> None:
    for handler in editor._screen._buttons._dom_handlers.callbacks:
        handler({"event": kind, "relativeX": x, "relativeY": y, "button": 0, "buttons": 1, **more})


def place(editor: CanvasEditor, node: str) -> tuple[float, float]:
    rect = editor.scene.geometry.node_rect(node)
    return editor.hand.camera.to_screen(rect.x + 90, rect.y + 10)


def job(*nodes: NodeView, **more: Any) -> JobView:
    given = {
        "id": "j",
        "name": "run",
        "status": JobStatus.RUNNING,
        "progress": 0.0,
        "step": None,
        "backend": None,
        "created_at": utcnow(),
        "started_at": None,
        "completed_at": None,
        "error": None,
        "nodes": nodes,
    }
    return JobView(**{**given, **more})


def node_view(key: str, status: str = "running", **more: Any) -> NodeView:
    return NodeView(key, key, JobStatus(status), 50.0, None, None, more.pop("error", None), **more)


def test_every_edit_is_told_with_a_layout_of_its_own(make: Callable[..., CanvasEditor]) -> None:
    told: list[CanvasLayout] = []
    editor = make(on_change=told.append)
    editor.select("a")
    assert told == []
    press(editor, "ArrowRight")
    assert told[-1].nodes[0].position == (20.0, 0.0)
    told[-1].nodes[0].config["x"] = 1
    told[-1].nodes.clear()
    editor.undo()
    assert [node.config for node in told[-1].nodes] == [{}] * 4
    assert editor.canvas_layout.nodes == told[-1].nodes
    editor.auto_layout()
    editor.redo()
    assert len(told) >= 3


def test_layouts_from_code_are_shown_but_not_told_back(
    make: Callable[..., CanvasEditor], chain: CanvasLayout
) -> None:
    told: list[CanvasLayout] = []
    editor = make(on_change=told.append)
    other = chain.model_copy(deep=True)
    other.nodes.pop()
    editor.set_layout(other)
    assert len(editor.canvas_layout.nodes) == 3
    assert told == []
    editor.undo()
    assert len(told) == 1
    assert len(told[0].nodes) == 4


def test_an_error_in_a_callback_is_said_and_ends_nothing(
    make: Callable[..., CanvasEditor], caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> Any:
        raise RuntimeError("cannot <b>save</b>")

    editor = make(on_change=broken, inspector=broken, check=lambda _: [], on_run=broken)
    editor.select("a")
    assert "cannot &lt;b&gt;save" in editor._said.value
    press(editor, "ArrowRight")
    assert editor.scene.document.nodes["a"].position == (20.0, 0.0)
    assert "in the canvas of graph" in caplog.text
    editor._heard({"event": "key"})
    for event in ("mousedown", "mousemove", "wheel", "nonsense"):
        editor._pointer({"event": event})
    with pytest.raises(ValueError, match="could not convert"):
        editor._pointer({"event": "mousedown", "relativeX": "x"})
    mouse(editor, "mousedown", "x", 0)  # what comes from a page never raises
    assert "could not convert" in editor._said.value
    editor.undo()
    assert editor.scene.document.nodes["a"].position == (0.0, 0.0)


def test_problems_mark_their_nodes_and_are_said(make: Callable[..., CanvasEditor]) -> None:
    editor = make(
        check=lambda layout: [Problem(f"{len(layout.nodes)} <i>", "a"), Problem("x", None)]
    )
    assert "4 &lt;i&gt;" in editor._checking.line.value
    assert "and 1 more" in editor._checking.line.value
    drawing = editor._painter.paint(Dirty.SCENE)[Dirty.SCENE]
    assert "!" in [text for part in drawing if isinstance(part, Texts) for text, _, _ in part.items]
    editor.select("d")
    press(editor, "Delete")
    assert editor.problems[0].message == "3 <i>"


def test_the_inspector_is_made_for_one_selected_node_and_closed_with_it(
    make: Callable[..., CanvasEditor],
) -> None:
    made: list[tuple[str, Any, ipywidgets.Widget]] = []

    def inspector(node: Any, update: Any) -> ipywidgets.Widget:
        node.config["spoilt"] = True
        made.append((node.id, update, ipywidgets.Text()))
        return made[-1][2]

    editor = make(inspector=inspector)
    editor.select("a")
    editor.select("a")
    assert [one[0] for one in made] == ["a"]
    made[0][1]({"steps": 30})
    made[0][1]({"steps": 31})
    assert editor.scene.document.nodes["a"].config == {"steps": 31}
    assert len(made) == 1  # the form knows what it just said
    editor.undo()
    assert len(made) == 2  # but not what undo did
    assert made[0][2].comm is None
    press(editor, "ArrowRight")
    assert len(made) == 2  # moving changes nothing in it
    editor.select("a", "b")
    assert made[1][2].comm is None
    made[0][1]({"x": 1})
    editor.select("d")
    press(editor, "Delete")
    made[-1][1]({"late": 1})  # for a node that is gone
    assert "d" not in editor.scene.document.nodes


def test_backend_and_fallback_are_set(make: Callable[..., CanvasEditor], backend_view: Any) -> None:
    editor = make(backends=lambda: [backend_view("PC1"), backend_view("PC2", online=False)])
    editor.select("a")
    dropdowns = [
        one for one in editor._inspecting.panel.children if isinstance(one, ipywidgets.Dropdown)
    ]
    backend, fallback = dropdowns
    assert [label for label, _ in backend.options] == ["any that can", "PC1", "PC2 (offline)"]
    assert fallback.disabled
    backend.value = "id-PC1"
    fallback.value = FallbackStrategy.AUTO_SELECT
    node = editor.scene.document.nodes["a"]
    assert (node.backend_affinity, node.fallback_strategy) == (
        "id-PC1",
        FallbackStrategy.AUTO_SELECT,
    )
    assert editor._painter.looks().summary(node) == "PC1, else take"


def test_a_job_is_shown_with_its_questions_and_pictures(make: Callable[..., CanvasEditor]) -> None:
    out = io.BytesIO()
    Image.effect_noise((300, 200), 60).convert("RGB").save(out, "PNG")
    editor = make()
    question = QuestionView("j", "e", "b", "b", "PC1", "it is offline")
    editor.show_job(
        job(node_view("a", preview=out.getvalue()), node_view("b"), questions=(question,))
    )
    drawing = editor._painter.paint(Dirty.JOB)[Dirty.JOB]
    said = [text for part in drawing if isinstance(part, Texts) for text, _, _ in part.items]
    assert "? choose a backend" in said
    assert editor._pictures.keys == {"a"}
    svg = editor.to_svg()
    assert "data:image/webp;base64," in svg
    assert "choose a backend" in svg
    editor.show_job(None)
    assert editor._pictures.keys == set()
    assert "choose a backend" not in editor.to_svg(dark=True)


async def test_pictures_are_made_off_the_loop_and_only_the_newest(
    make: Callable[..., CanvasEditor],
) -> None:
    editor = make()
    for colour in ("red", "green", "blue"):
        out = io.BytesIO()
        Image.new("RGB", (64, 64), colour).save(out, "PNG")
        editor.thumbnail("a", out.getvalue())
    editor.thumbnail("b", b"no picture")
    await asyncio.gather(*_tasks)
    assert editor._pictures.keys == {"a"}
    with Image.open(io.BytesIO(editor._pictures.shown["a"].data)) as small:
        red, green, blue = small.convert("RGB").getpixel((30, 30))
    assert blue > 200 > red + green


def test_arranging_leaves_room_for_the_pictures_of_workflows(
    make: Callable[..., CanvasEditor], make_node: Any, make_wire: Any
) -> None:
    nodes = [make_node("a"), make_node("b"), make_node("c")]
    layout = CanvasLayout(nodes=nodes, connections=[make_wire("a", "b"), make_wire("a", "c")])
    editor = make(layout)
    editor.auto_layout()
    upper, lower = sorted((editor.scene.geometry.node_rect(key) for key in "bc"), key=lambda r: r.y)
    assert lower.y >= upper.y + upper.height + PICTURE


def test_the_palette_adds_picks_and_drops(make: Callable[..., CanvasEditor]) -> None:
    editor = make(CanvasLayout())
    editor._adding.heard({"event": "pick", "key": "w"})
    editor._adding.heard({"event": "pick", "key": "w"})
    editor._adding.heard({"event": "pick", "key": "nobody"})
    editor._heard({"event": "drop", "key": "w", "x": 400.0, "y": 300.0})
    rects = [editor.scene.geometry.node_rect(key) for key in editor.scene.document.nodes]
    assert len(rects) == 3
    assert rects[1].x >= rects[0].x + rects[0].width or rects[1].y >= rects[0].y + rects[0].height
    assert editor.undo() is None
    editor.set_palette([])
    editor._adding.heard({"event": "pick", "key": "w"})
    assert len(editor.scene.document.nodes) == 2


def test_what_stays_in_a_saved_notebook(make: Callable[..., CanvasEditor], tags: Any) -> None:
    editor = make(name="<b>mine</b>")
    bundle = editor._repr_mimebundle_()
    assert bundle["text/plain"] == "<b>mine</b>: 4 workflow; 2 connections"
    seen = tags(bundle["text/html"])
    names = {tag for tag, _ in seen.tags}
    assert "svg" in names
    assert "b" not in names
    assert not any(name.startswith("on") for _, names in seen.tags for name in names)
    assert repr(make(CanvasLayout())) == "graph: empty; 0 connections"


@pytest.fixture
def manager() -> None:
    """What all canvases share is open already, and stays so."""
    close_tree(new_canvas(1, 1))


@pytest.mark.usefixtures("manager", "nothing_left")
async def test_run_is_off_until_the_graph_has_been_started(
    make: Callable[..., CanvasEditor],
) -> None:
    started: list[CanvasLayout] = []
    go = asyncio.Event()

    async def start(layout: CanvasLayout) -> None:
        started.append(layout)
        await go.wait()

    editor = make(on_run=start)
    editor._bar.run.click()
    editor.select("a")  # whatever happens on the canvas meanwhile
    assert editor._bar.run.disabled
    go.set()
    await asyncio.gather(*_tasks)
    assert not editor._bar.run.disabled
    assert len(started) == 1
    editor.close()


def test_nothing_is_left_open(make: Callable[..., CanvasEditor]) -> None:
    editor = make(inspector=lambda *_: ipywidgets.Text())
    editor.select("a")
    editor.show_job(job(node_view("a")))
    out = io.BytesIO()
    Image.new("RGB", (64, 64), "red").save(out, "PNG")
    editor.thumbnail("a", out.getvalue())
    assert editor._pictures.keys == {"a"}
    editor.close()
    editor.close()


def test_a_thousand_nodes_load_fit_and_save(
    make: Callable[..., CanvasEditor], make_node: Any, make_wire: Any
) -> None:
    nodes = [make_node(f"n{i}", i // 25 * 300.0, i % 25 * 200.0) for i in range(1000)]
    wires = [make_wire(f"n{i}", f"n{i + 25}") for i in range(975)]
    wires += [make_wire(f"n{i}", f"n{i + 50}", into="after") for i in range(525)]
    layout = CanvasLayout(nodes=nodes, connections=wires)
    editor = make(CanvasLayout.model_validate_json(layout.model_dump_json()))
    editor.fit()
    seen, bounds = editor.hand.camera.seen(*editor.hand.size), editor.scene.geometry.bounds()
    assert bounds is not None
    assert seen.contains(bounds.x, bounds.y)
    saved = editor.canvas_layout.model_dump_json()
    assert CanvasLayout.model_validate_json(saved).nodes == layout.nodes
    assert editor.to_svg().startswith("<svg")
