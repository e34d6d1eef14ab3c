"""The canvas in a real JupyterLab, by mouse and keyboard; the kernel is only asked, not told."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from playwright.sync_api import Locator, expect

# Long, because a page can be slow on a busy machine; each single wait has its own limit.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
Open = Callable[[Sequence[str]], Any]

IMPORTS = "from canvas_fakes import *\n"

# Pixels of the canvases that are painted, each.
PAINTED = """(stage) => [...stage.querySelectorAll("canvas")].map((one) => {
    if (!one.width || !one.height) return 0;
    const data = one.getContext("2d").getImageData(0, 0, one.width, one.height).data;
    let painted = 0;
    for (let i = 3; i < data.length; i += 4) painted += data[i] > 0;
    return painted;
})"""


class Hands:
    """Mouse and keyboard on one editor, called ``e`` in the kernel."""

    def __init__(self, book: Any, cell: int = 0, name: str = "e") -> None:
        self.book, self.page, self.name = book, book.page, name
        self.root: Locator = book.cell(cell).locator(".comfynb-canvas")
        self.surface: Locator = self.root.locator(".comfynb-surface")
        self.search: Locator = self.root.get_by_role("combobox", name="Find a node to add")
        expect(self.surface).to_be_visible()
        self.settled()

    # Looking

    def ask(self, expression: str) -> Any:
        """What the kernel says to an expression about ``e``."""
        text = expression.replace("$", self.name)
        return json.loads(self.book.execute(f"import json; print(json.dumps({text}))"))

    def settled(self) -> None:
        """Wait until the kernel has drawn the page's size, and the page has shown it."""
        self.wait_for("$._screen.surface.width > 0 and $._screen.shown == $._screen._number")

    def wait_for(self, expression: str, text: str = "") -> None:
        """Wait until an expression in the kernel is true."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if self.ask(f"bool({expression})"):
                return
            self.page.wait_for_timeout(50)  # a kernel gives the page no event for this
        pytest.fail(f"never true: {expression} {text}")

    def titles(self) -> list[str]:
        return list(self.ask("[$.scene.title(key) for key in $.scene.document.nodes]"))

    def edges(self) -> list[list[str]]:
        return list(
            self.ask(
                "[[$.scene.title(c.source_node_id), c.source_port, $.scene.title(c.target_node_id),"
                " c.target_port] for c in $.scene.document.connections.values()]"
            )
        )

    def painted(self) -> list[int]:
        return list(self.root.locator(".comfynb-stage").evaluate(PAINTED))

    # Places, in the page's pixels

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A place of the window."""
        box = self.surface.bounding_box()
        assert box is not None
        return box["x"] + x, box["y"] + y

    def node(self, title: str) -> tuple[float, float]:
        """The head of a node."""
        place = self.ask(
            "(lambda r: $.hand.camera.to_screen(r.x + 90, r.y + 14))($.scene.geometry.node_rect("
            f"next(k for k in $.scene.document.nodes if $.scene.title(k) == {title!r})))"
        )
        return self.at(*place)

    def port(self, title: str, name: str, *, out: bool) -> tuple[float, float]:
        place = self.ask(
            "$.hand.camera.to_screen(*$.scene.geometry.port_place(next(p for p in "
            f"$.scene.geometry.of.ports if $.scene.title(p.node_id) == {title!r} and "
            f"p.name == {name!r} and p.is_output == {out})))"
        )
        return self.at(*place)

    # Doing

    def drag(
        self, start: tuple[float, float], end: tuple[float, float], *, hold: bool = False
    ) -> None:
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move((start[0] + end[0]) / 2, (start[1] + end[1]) / 2, steps=4)
        mouse.move(*end, steps=4)
        if not hold:
            mouse.up()

    def connect(self, source: str, out: str, target: str, into: str) -> None:
        number = len(self.edges())
        self.drag(self.port(source, out, out=True), self.port(target, into, out=False))
        self.wait_for(f"len($.scene.document.connections) == {number + 1}", f"{source} -> {target}")

    def press(self, keys: str) -> None:
        self.surface.press(keys)

    def add(self, words: str) -> None:
        """By keyboard: N, a few letters, Enter."""
        number = len(self.titles())
        self.press("n")
        expect(self.search).to_be_focused()
        self.search.press_sequentially(words)
        self.search.press("Enter")
        self.wait_for(f"len($.scene.document.nodes) == {number + 1}", words)

    def close_palette(self) -> None:
        if self.search.is_visible():
            self.search.press("Escape")
            expect(self.search).to_have_count(0)


@pytest.fixture
def hands(notebook: Open) -> Iterator[Callable[..., Hands]]:
    made: list[Hands] = []

    def make(source: str, *more: str) -> Hands:
        book = notebook([IMPORTS + source, *more])
        book.run_all()
        made.append(Hands(book))
        return made[-1]

    yield make
    for one in made:
        assert one.book.page_errors == []


def test_a_graph_is_built_by_hand_undone_and_there_after_a_reload(
    hands: Callable[..., Hands],
) -> None:
    h = hands("e = editor()\ne")
    # An empty canvas offers its palette: by mouse, by keyboard, and by dragging from it.
    expect(h.search).to_be_visible()
    h.book.screenshots("canvas-empty", h.root)
    h.root.get_by_role("option", name="Input").click()
    h.wait_for("len($.scene.document.nodes) == 1")
    portrait = h.root.get_by_role("option", name="portrait")
    portrait.drag_to(h.surface, target_position={"x": 330, "y": 300})
    h.wait_for("len($.scene.document.nodes) == 2")
    h.add("condi")
    h.close_palette()
    h.press("l")  # arrange
    h.settled()
    h.connect("Input", "output", "portrait", "start_image")
    h.connect("portrait", "result", "Condition", "input")
    h.press("l")
    h.settled()
    # A wire let go over nothing asks what shall come there, and connects it.
    x, y = h.port("Condition", "true", out=True)
    h.drag((x, y), (x + 60, y - 80))
    expect(h.root.get_by_text("To be connected with true.")).to_be_visible()
    h.search.press_sequentially("upscale")
    h.search.press("Enter")
    h.wait_for("len($.scene.document.nodes) == 4 and len($.scene.document.connections) == 3")
    for words in ("animate", "merge", "output"):
        h.add(words)
    h.close_palette()
    h.press("Escape")
    h.press("l")
    h.settled()
    h.connect("Condition", "false", "animate", "first_frame")
    h.connect("upscale", "result", "Merge", "input")
    h.press("Escape")
    h.press("l")
    h.settled()
    # While one connects, fitting ports are lit, and a refusal says why.
    icons = h.page.locator("link.favicon")  # those that JupyterLab swaps at each message
    marked = icons.count()
    h.drag(h.port("animate", "result", out=True), h.port("upscale", "image", out=False), hold=True)
    assert (marked > 0, icons.count()) == (True, 0)
    expect(h.root.get_by_role("status")).to_contain_text("video does not fit image.")
    h.settled()
    h.book.screenshots("canvas-connecting", h.root)
    h.page.mouse.up()
    expect(icons).to_have_count(marked)
    assert h.ask("$._screen.surface.direct"), "frames are told of one by one"
    expect(h.root.get_by_role("status")).to_contain_text("Not connected")
    h.connect("animate", "result", "Merge", "input")
    h.connect("Merge", "output", "Output", "input")
    h.press("Escape")
    h.press("l")
    h.settled()
    h.page.mouse.click(*h.node("Condition"))
    expect(h.root.get_by_label("Expression")).to_be_visible()
    h.book.screenshots("canvas-built", h.root)
    assert sorted(h.titles()) == [
        "Condition",
        "Input",
        "Merge",
        "Output",
        "animate",
        "portrait",
        "upscale",
    ]
    edges = h.edges()
    assert sorted(edges) == [
        ["Condition", "false", "animate", "first_frame"],
        ["Condition", "true", "upscale", "image"],
        ["Input", "output", "portrait", "start_image"],
        ["Merge", "output", "Output", "input"],
        ["animate", "result", "Merge", "input"],
        ["portrait", "result", "Condition", "input"],
        ["upscale", "result", "Merge", "input"],
    ]
    built = h.ask("$.canvas_layout.model_dump(mode='json')")
    # The page is loaded anew: the kernel goes on, and everything is painted again.
    before = h.painted()
    h.book.reload()
    h = Hands(h.book)
    h.wait_for("$._screen.shown >= 1")
    h.page.wait_for_function(
        "(stage) => { const [scene] = (" + PAINTED + ")(stage); return scene > 1000; }",
        arg=h.root.locator(".comfynb-stage").element_handle(),
    )
    assert abs(h.painted()[0] - before[0]) < 0.05 * before[0]
    # Undo everything, and do it again.
    h.surface.click(position={"x": 20, "y": 540})
    steps = 0
    while h.ask("$.scene.history.undo_label is not None"):
        h.press("Control+z")
        steps += 1
        h.wait_for(f"len($.scene.history._future) == {steps}")
    assert h.ask("[len($.scene.document.nodes), len($.scene.document.connections)]") == [0, 0]
    expect(h.root.get_by_role("button", name="Undo")).to_be_disabled()
    for done in range(steps):
        h.press("Control+Shift+z" if done % 2 else "Control+y")
        h.wait_for(f"len($.scene.history._past) == {done + 1}")
    again = h.ask("$.canvas_layout.model_dump(mode='json')")
    assert (again["nodes"], again["connections"]) == (built["nodes"], built["connections"])


def test_nodes_are_dragged_selected_copied_and_deleted(hands: Callable[..., Hands]) -> None:
    h = hands("e = editor(example())\ne")
    start = h.ask("$.scene.document.nodes['merge'].position")
    # Drag: only when the button is released it is an edit, and it lands on the grid.
    x, y = h.node("Merge")
    h.drag((x, y), (x + 31, y + 67), hold=True)
    h.wait_for("$.hand.places")
    assert h.ask("$.scene.document.nodes['merge'].position") == start
    h.settled()
    assert h.painted()[2] > 500
    h.page.mouse.up()
    h.wait_for("$.scene.history.undo_label == 'move a node'")
    there = h.ask("$.scene.document.nodes['merge'].position")
    assert there != start
    assert [value % 20 for value in there] == [0, 0]
    # Arrows move what is selected; five presses are one step back.
    for _ in range(5):
        h.press("ArrowDown")
    h.wait_for(f"$.scene.document.nodes['merge'].position[1] == {there[1] + 100}")
    h.press("Control+z")
    h.wait_for(f"$.scene.document.nodes['merge'].position[1] == {there[1]}")
    # A rectangle with Ctrl selects what it touches.
    left, top = h.node("upscale")
    right, bottom = h.node("animate")
    h.page.keyboard.down("Control")
    h.drag((left - 90, top - 60), (right + 40, bottom + 20), hold=True)
    h.wait_for("$.hand.band is not None")
    h.settled()
    h.book.screenshots("canvas-band", h.root)
    h.page.mouse.up()
    h.page.keyboard.up("Control")
    h.wait_for("{'up', 'anim'} <= $.scene.selected")
    # Copy and paste, duplicate, delete; each is one step.
    h.press("Escape")
    h.page.mouse.click(*h.node("upscale"))
    h.page.keyboard.down("Shift")
    h.page.mouse.click(*h.node("animate"))
    h.page.keyboard.up("Shift")
    h.wait_for("$.scene.selected == {'up', 'anim'}")
    h.press("Control+c")
    h.press("Control+v")
    h.wait_for("len($.scene.document.nodes) == 9")
    h.press("Control+d")
    h.wait_for("len($.scene.document.nodes) == 11")
    h.press("Delete")
    h.wait_for("len($.scene.document.nodes) == 9")
    h.press("Control+a")
    h.press("Backspace")
    h.wait_for("not $.scene.document.nodes")
    for number in (9, 11, 9, 7):
        h.press("Control+z")
        h.wait_for(f"len($.scene.document.nodes) == {number}")
    # A connection is selected by clicking it, and taken off by pulling its end away.
    x, y = h.port("Output", "input", out=False)
    h.drag((x, y), (x - 40, y + 150))
    h.wait_for("len($.scene.document.connections) == 7")
    expect(h.root.get_by_role("status")).to_contain_text("Connection removed")


def test_pan_zoom_fit_and_minimap(hands: Callable[..., Hands]) -> None:
    h = hands("e = editor(large(400, 500), check=None)\ne", "for i in range(60): print(i)")
    assert h.ask("$.hand.camera.zoom") < 0.2
    # The wheel scrolls the page until somebody works on the canvas; then it zooms at the pointer.
    x, y = h.at(300, 200)
    camera = h.ask("[$.hand.camera.x, $.hand.camera.y, $.hand.camera.zoom]")
    h.page.mouse.move(x, y)
    h.page.mouse.wheel(0, 60)
    h.page.wait_for_function(
        "() => document.querySelector('.jp-WindowedPanel-outer').scrollTop > 0"
    )
    assert h.ask("[$.hand.camera.x, $.hand.camera.y, $.hand.camera.zoom]") == camera
    h.surface.scroll_into_view_if_needed()
    h.surface.click(position={"x": 12, "y": 12})
    x, y = h.at(300, 200)
    h.page.mouse.move(x, y)
    under = h.ask("$.hand.camera.to_canvas(300, 200)")
    for _ in range(8):
        h.page.mouse.wheel(0, -240)
    h.wait_for(f"$.hand.camera.zoom > {camera[2] * 4}")
    now = h.ask("$.hand.camera.to_canvas(300, 200)")
    assert now == pytest.approx(under, abs=12)  # the browser gives whole pixels
    h.settled()
    h.book.screenshots("canvas-zoomed", h.root)
    # Dragging empty canvas pans, a click on the minimap goes there.
    before = h.ask("$.hand.camera.x")
    h.page.mouse.move(*h.at(4, 300))
    h.page.mouse.down(button="middle")
    h.page.mouse.move(*h.at(84, 300), steps=4)
    h.page.mouse.up(button="middle")
    h.wait_for(f"abs($.hand.camera.x - {before} - 80) < 2")
    box = h.ask("list($._minimap().box)")
    h.page.mouse.click(*h.at(box[0] + box[2] * 0.8, box[1] + box[3] * 0.5))
    h.wait_for(f"$.hand.camera.x < {before} - 500")
    h.press("f")
    h.wait_for(f"abs($.hand.camera.zoom - {camera[2]}) < 0.02")
    h.settled()
    h.book.screenshots("canvas-400", h.root)


def test_keys_stay_the_pages_own_unless_the_canvas_has_the_focus(
    hands: Callable[..., Hands],
) -> None:
    h = hands("e = editor(example())\ne", "1 + 1")
    h.page.mouse.move(*h.at(200, 200))  # only over it
    h.book.cell(1).locator(".cm-content").click()
    h.page.keyboard.press("Control+a")
    h.page.keyboard.type("flnd")
    expect(h.book.cell(1).locator(".cm-content")).to_have_text("flnd")
    assert h.ask("[len($.scene.document.nodes), $.scene.history.undo_label]") == [7, None]
    # On the canvas, letters are not JupyterLab's: X would cut the cell, D D delete it.
    h.surface.click(position={"x": 20, "y": 20})
    for key in ("x", "d", "d", "a", "b", "Enter"):
        h.page.keyboard.press(key)
    assert h.book.page.locator(".jp-Notebook .jp-CodeCell").count() == 2
    # Tab leaves it, as it leaves everything.
    expect(h.surface).to_be_focused()
    h.page.keyboard.press("Tab")
    expect(h.surface).not_to_be_focused()
    # In the inspector's fields letters are letters.
    h.page.mouse.click(*h.node("Condition"))
    field = h.root.get_by_label("Expression")
    field.fill("")
    field.press_sequentially("f + n")
    field.press("Delete")
    field.blur()
    h.wait_for("$.scene.document.nodes['if'].config['expression'] == 'f + n'")
    assert len(h.titles()) == 7


def test_the_inspector_edits_and_undo_shows_it(hands: Callable[..., Hands]) -> None:
    h = hands("e = editor(example())\ne")
    h.page.mouse.click(*h.node("upscale"))
    backend = h.root.get_by_label("Backend")
    expect(backend).to_have_value("PC1")
    backend.select_option("PC2")
    h.wait_for("$.scene.document.nodes['up'].backend_affinity == 'id-PC2'")
    h.root.get_by_label("If it cannot run there").select_option("fail")
    h.wait_for("$.scene.document.nodes['up'].fallback_strategy.value == 'none'")
    title = h.root.get_by_label("Title")
    title.fill("large")
    title.press("Enter")
    h.wait_for("'large' in map($.scene.title, $.scene.document.nodes)")
    h.settled()
    h.book.screenshots("canvas-inspector", h.root)
    h.surface.focus()
    for _ in range(3):
        h.press("Control+z")
    h.wait_for("$.scene.document.nodes['up'].backend_affinity == 'id-PC1'")
    expect(h.root.get_by_label("Backend")).to_have_value("PC1")
    expect(h.root.get_by_label("Title")).to_have_value("")


TALL = """
from comfynb.engine.views import PortsView
def tall(node):
    known = ports(node)
    if node.id != "portrait":
        return known
    names = ("positive", "negative", "seed", "steps", "cfg", "sampler", "scheduler", "denoise",
             "width", "height", "batch size", "checkpoint", "lora", "strength", "filename prefix")
    return PortsView((known.inputs[0], *(port(one) for one in names), AFTER), known.outputs)
"""


def test_ports_of_a_tall_node_are_folded_until_they_are_wanted(
    hands: Callable[..., Hands],
) -> None:
    h = hands(TALL + "e = editor(example(), ports=tall)\ne")
    row = (
        "(lambda r, of: $.hand.camera.to_screen(r.x + r.width / 2,"
        " r.y + float(of.fold_dy[of.index['portrait']])))"
        "($.scene.geometry.node_rect('portrait'), $.scene.geometry.of)"
    )
    h.surface.click(position={"x": 20, "y": 540})
    for _ in range(3):
        h.page.mouse.move(*h.at(100, 240))
        h.page.mouse.wheel(0, -200)
    h.wait_for("$.hand.camera.zoom > 0.5")
    h.settled()
    h.page.mouse.move(*h.at(*h.ask(row)))
    h.wait_for("$.hand.on_fold == 'portrait'")
    h.settled()
    h.book.screenshots("canvas-folded", h.root)
    h.page.mouse.click(*h.at(*h.ask(row)))
    h.wait_for("$.scene.unfolded == {'portrait'}")
    h.settled()
    h.book.screenshots("canvas-unfolded", h.root)
    h.page.mouse.click(*h.node("portrait"))
    h.wait_for("$.scene.selected == {'portrait'}")
    h.press("e")
    h.wait_for("not $.scene.unfolded")
    # A wire held over the row shows what is behind it.
    h.press("Escape")
    h.settled()
    h.drag(h.port("Input", "output", out=True), h.at(*h.ask(row)), hold=True)
    h.wait_for("$.scene.unfolded == {'portrait'}")
    h.page.mouse.move(*h.port("portrait", "cfg", out=False), steps=4)
    h.wait_for("$.hand.wire is not None and $.hand.wire.target is not None")
    h.settled()
    h.book.screenshots("canvas-unfolded-by-a-wire", h.root)
    h.page.mouse.up()
    h.wait_for("len($.scene.document.connections) == 9")
    assert ["Input", "output", "portrait", "cfg"] in h.edges()


JOB = """
def show(turn):
    nodes = [state("in", "completed", 100.0, backend=None)]
    if turn == 1:
        nodes += [state("portrait", "running", 45.0, step="KSampler: 9/20", preview=png(1)),
                  state("if", "pending", backend=None)]
    else:
        nodes += [state("portrait", "completed", 100.0, preview=png(1)),
                  state("if", "completed", 100.0, backend=None),
                  state("up", "failed", 20.0, error="KSampler ran out of memory on PC1."),
                  state("anim", "skipped", backend=None),
                  state("merge", "paused", 50.0, backend=None)]
    e.show_job(job(*nodes))
"""


def test_a_job_colours_its_nodes_and_shows_pictures(hands: Callable[..., Hands]) -> None:
    h = hands(JOB + "e = editor(example())\ne")
    h.surface.click(position={"x": 20, "y": 540})
    for _ in range(2):
        h.page.mouse.move(*h.at(60, 280))
        h.page.mouse.wheel(0, -200)
    empty = h.painted()[1]
    for turn in (1, 2):
        h.book.execute(f"show({turn})")
        h.wait_for("$._pictures.keys == {'portrait'}")
        h.settled()
        assert h.painted()[1] > empty + 3000
        h.book.screenshots(f"canvas-job-{turn}", h.root)
    # The picture itself is there, after a reload as well.
    h.book.reload()
    h = Hands(h.book)
    h.page.wait_for_function(
        "(stage) => (" + PAINTED + ")(stage)[1] > 3000",
        arg=h.root.locator(".comfynb-stage").element_handle(),
    )
    h.settled()
    h.book.screenshot("canvas-job-reloaded", h.root)
    saved = json.loads(h.book.path.read_text())["cells"][0]["outputs"][-1]["data"]
    assert "<svg" in "".join(saved["text/html"])
    assert "3 workflow" in "".join(saved["text/plain"])


def test_it_is_sharp_on_a_fine_screen_in_a_second_window(hands: Callable[..., Hands]) -> None:
    h = hands("e = editor(example())\ne")
    h.book.save()
    context = h.page.context.browser.new_context(
        viewport={"width": 1280, "height": 900}, device_scale_factor=2
    )
    page = context.new_page()
    lab = h.book.lab
    page.goto(f"{lab.url}/lab/tree/{h.book.path.name}?token={lab.token}&reset")
    stage = page.locator(".comfynb-stage")
    expect(stage).to_be_visible()
    h.wait_for("$._screen.ratio == 2")
    canvas = stage.locator("canvas").first
    expect(canvas).to_have_js_property("width", 2 * h.ask("$._screen.size[0]"))
    wide = canvas.evaluate("(one) => [one.width, one.getBoundingClientRect().width]")
    assert wide[0] == 2 * wide[1]
    page.wait_for_function(
        "(stage) => (" + PAINTED + ")(stage)[0] > 4000", arg=stage.element_handle()
    )
    page.locator(".comfynb-canvas").screenshot(path=h.book.screenshot("canvas-sharp"))
    context.close()


def test_nodes_are_copied_from_one_editor_to_another_and_errors_end_nothing(
    hands: Callable[..., Hands],
) -> None:
    h = hands(
        "e = editor(example(), height=300)\ne",
        "def broken(layout): raise RuntimeError('cannot save <b>this</b>')\n"
        "other = editor(height=300, on_change=broken)\nother",
    )
    other = Hands(h.book, 1, "other")
    h.surface.click(position={"x": 5, "y": 5})
    h.press("Control+a")
    h.press("Control+c")
    h.wait_for("'Copied' in $._said.value")
    other.surface.click(position={"x": 500, "y": 150})
    other.press("Control+v")
    other.wait_for("len($.scene.document.nodes) == 7 and len($.scene.document.connections) == 8")
    expect(other.root.get_by_role("status")).to_contain_text("cannot save <b>this</b>")
    other.press("Control+z")
    other.wait_for("not $.scene.document.nodes")


GRAPH = """from comfynb import Workbench
wb = Workbench.demo("line6.duckdb")
await wb.check_backends()
for name in ("portrait", "retouch"):
    wb.workflows.load(f"{name}.json").save()
wb.backends["Sandbox 2"].disable()
graph = wb.graphs.new("mine", replace=True)
e = graph.canvas()
graph"""


def test_a_real_graph_is_built_run_paused_answered_reloaded_and_undone(
    hands: Callable[..., Hands],
) -> None:
    h = hands(GRAPH)

    def name(title: str) -> None:
        """Give the selected node a title."""
        field = h.root.get_by_label("Title")
        expect(field).to_be_visible()
        field.fill(title)
        field.press("Enter")
        h.wait_for(f"{title!r} in map($.scene.title, $.scene.document.nodes)")

    # Input, workflow, condition, two workflows, merge, output.
    h.root.get_by_role("option", name="Input").click()
    h.wait_for("len($.scene.document.nodes) == 1")
    name("seed")
    value = h.root.get_by_label("or a value")
    value.fill("3")
    value.press("Enter")
    for words, title in (
        *(("portrait", "sketch"), ("condition", "enough")),
        *(("retouch", "small"), ("retouch", "large"), ("merge", "all"), ("output", "results")),
    ):
        h.add(words)
        name(title)
        if title == "sketch":
            h.root.get_by_label("Steps", exact=True).fill("40")
        if title == "small":
            h.root.get_by_label("Backend").select_option("Sandbox 2 (disabled)")
    h.close_palette()
    h.press("Escape")
    h.press("l")
    h.settled()
    picture = h.ask(
        "next(p.name for p in $.scene.geometry.of.ports if p.is_output"
        " and $.scene.title(p.node_id) == 'sketch' and p.name != 'done')"
    )
    saved = h.ask(
        "next(p.name for p in $.scene.geometry.of.ports if p.is_output"
        " and $.scene.title(p.node_id) == 'small' and p.name.startswith('save'))"
    )
    image = h.ask(
        "next(p.name for p in $.scene.geometry.of.ports if not p.is_output"
        " and $.scene.title(p.node_id) == 'small')"
    )
    for ends in (
        ("seed", "output", "sketch", "seed"),
        ("sketch", picture, "enough", "input"),
        ("enough", "true", "small", image),
        ("enough", "false", "large", image),
        ("small", saved, "all", "input"),
        ("large", saved, "all", "input"),
        ("all", "output", "results", "input"),
    ):
        h.connect(*ends)
        h.press("Escape")
        h.press("l")
        h.settled()
    h.wait_for("not $.problems")
    h.book.screenshots("canvas-real-built", h.root)
    # Run it, watch it colour, pause, reload the page, resume.
    h.root.locator(".comfynb-canvas-run").click()
    status = "{$.scene.title(k): s.status.value for k, s in $._watched.states.items()}"
    h.wait_for(f"({status}).get('sketch') == 'running'")
    h.settled()
    h.book.screenshots("canvas-real-running", h.root)
    h.root.get_by_role("button", name="Pause").click()
    h.wait_for("$._watched.job.status.value == 'paused'")
    h.book.reload()
    h = Hands(h.book)
    h.root.get_by_role("button", name="Resume").click()
    # The preferred backend is disabled: somebody is asked, in the row and on the node.
    question = h.root.locator(".comfynb-question")
    expect(question).to_be_visible()
    h.wait_for("$._watched.asking")
    h.settled()
    h.book.screenshots("canvas-real-asking", h.root)
    question.get_by_role("button", name="Use").click()
    h.wait_for("$._watched.job.status.value == 'completed'")
    assert h.ask(status) == {
        "seed": "completed",
        "sketch": "completed",
        "enough": "completed",
        "small": "completed",
        "large": "skipped",
        "all": "completed",
        "results": "completed",
    }
    h.wait_for("len($._pictures.keys) >= 2")
    h.settled()
    h.book.screenshots("canvas-real-completed", h.root)
    # Undo everything.
    h.surface.click(position={"x": 12, "y": 12})
    while h.ask("$.scene.history.undo_label is not None"):
        h.press("Control+z")
    assert h.titles() == []
    assert h.ask("len(graph.layout.nodes)") == 0
