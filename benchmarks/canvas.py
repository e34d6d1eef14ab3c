"""The canvas with 1,000 nodes and 1,500 connections, in a real JupyterLab and a real Chromium.

    python benchmarks/canvas.py [--nodes 1000] [--edges 1500] [--rounds 15] [--drags 7]

It compares the kernel's time for a frame with that of a straightforward redraw, which calls
ipycanvas once for each thing, in turn in the same kernel; and it drags a node with the mouse,
several times, and measures how far the last frame is behind the pointer: from the moment that the
page hears of the last move to the first frame that shows it. The grid is off, so that every move
asks for another picture. Times of the kernel are processor time of its thread, the clock's are
beside them; ratios and counts are what to trust where a machine is busy. Limits that are not kept
by the worst of the repetitions end it with status 1.
"""

import argparse
import contextlib
import json
import os
import secrets
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import CDPSession, Page, sync_playwright

REPO = Path(__file__).resolve().parent.parent

KERNEL = '''
import statistics, time
from ipycanvas import Canvas, hold_canvas
from canvas_fakes import *
from comfynb.widgets.canvas.colours import KIND_LOOKS, LIGHT
from comfynb.widgets.canvas.draw import FULL
from comfynb.widgets.canvas.geometry import FOOTER, HEADER, TYPES, WIDTH
from comfynb.widgets.canvas.hand import Dirty

def naive(canvas, e, everything=True):
    """One call of ipycanvas for each thing, as one would write it first; nothing is left out."""
    scene, camera, geometry = e.scene, e.hand.camera, e.scene.geometry
    z, summary = camera.zoom, e._painter.looks().summary
    with hold_canvas():
        canvas.clear()
        canvas.line_width = 1.5
        for one in scene.document.connections.values():
            of = geometry.of
            edge = of.edge_index[one.id]
            x0, y0, x1, y1 = (float(v) for v in (
                geometry.x[of.edge_from[edge]] + of.edge_ends[edge][0],
                geometry.y[of.edge_from[edge]] + of.edge_ends[edge][1],
                geometry.x[of.edge_to[edge]] + of.edge_ends[edge][2],
                geometry.y[of.edge_to[edge]] + of.edge_ends[edge][3]))
            x0, y0 = camera.to_screen(x0, y0)
            x1, y1 = camera.to_screen(x1, y1)
            reach = max(abs(x1 - x0) / 2, 24 * z)
            canvas.stroke_style = LIGHT["type-" + one.data_type.value]
            canvas.begin_path()
            canvas.move_to(x0, y0)
            canvas.bezier_curve_to(x0 + reach, y0, x1 - reach, y1, x1, y1)
            canvas.stroke()
        for node in scene.document.nodes.values():
            rect = geometry.node_rect(node.id)
            x, y = camera.to_screen(rect.x, rect.y)
            w, h = rect.width * z, rect.height * z
            canvas.fill_style = LIGHT["node"]
            canvas.fill_rect(x, y, w, h)
            canvas.fill_style = LIGHT[KIND_LOOKS[node.node_type].colour]
            canvas.fill_rect(x, y, w, HEADER * z)
            canvas.stroke_style = LIGHT["border"]
            canvas.stroke_rect(x, y, w, h)
            if not everything:
                continue
            canvas.fill_style = LIGHT["text"]
            canvas.font = f"600 {13 * z}px sans-serif"
            canvas.fill_text(scene.title(node.id), x + 34 * z, y + HEADER * z / 2)
            canvas.font = f"{11 * z}px sans-serif"
            canvas.fill_text(summary(node), x + 12 * z, y + h - FOOTER * z / 2)
            ports = scene.ports(node.id)
            for side, left in ((ports.inputs, x), (ports.outputs, x + w)):
                for row, port in enumerate(side):
                    at = y + (HEADER + 6 + (row + 0.5) * 22) * z
                    canvas.fill_style = LIGHT["type-" + port.data_type.value]
                    canvas.fill_circle(left, at, 5 * z)
                    canvas.fill_style = LIGHT["text"]
                    beside = left + (12 if side is ports.inputs else -60) * z
                    canvas.fill_text(port.label, beside, at)

def ms(work):
    """Processor time of this thread, and the clock's, both in ms."""
    begin = time.thread_time(), time.perf_counter()
    work()
    return ((time.thread_time() - begin[0]) * 1000, (time.perf_counter() - begin[1]) * 1000)

def medians(taken):
    return [statistics.median(column) for column in zip(*taken)]

def frame(e, dirty):
    e._screen._dirty = dirty
    return ms(e._screen.draw)

def whole(e, canvas):
    """Our own full redraw with every word and port of every node, nothing left out."""
    from comfynb.widgets.canvas.draw import draw_scene
    from comfynb.widgets.canvas.wire import Frame
    def work():
        view, looks = e._painter.view(), e._painter.looks()
        drawing = draw_scene(e.scene.geometry, view, looks, detail=FULL, cull=False)
        Frame(LIGHT, 1.0).canvas(canvas).draw(drawing).send()
    return ms(work)
'''

SHOW = """
began = time.perf_counter()
layout = large({nodes}, {edges})
text = layout.model_dump_json()
made = time.perf_counter()
e = editor(CanvasLayout.model_validate_json(text), check=None)
loaded = time.perf_counter()
other = Canvas(width=800, height=500)
e
"""

REDRAW = """
rounds = {"naive": [], "plain": [], "ours": [], "whole": []}
for _ in range(ROUNDS):
    rounds["naive"].append(ms(lambda: naive(other, e)))
    rounds["plain"].append(ms(lambda: naive(other, e, everything=False)))
    rounds["ours"].append(frame(e, Dirty.ALL))
    rounds["whole"].append(whole(e, other))
saved = []
fit = ms(e.fit)
save = ms(lambda: saved.append(e.canvas_layout.model_dump_json()))
assert CanvasLayout.model_validate_json(saved[0]).nodes == layout.nodes
arrange = ms(e.auto_layout)
e.undo()
e.scene.snap = False
"""

# A frame costs what its event costs and what the drawing costs, whichever of them come together.
DRAG = """
events, frames = [], []
pointer, draw = e._screen._pointer, e._screen.draw
def timed_pointer(event):
    drawn = len(frames)
    took = ms(lambda: pointer(event))
    if event["event"] == "mousemove" and e.hand.mode.name == "DRAG":
        inside = frames[drawn:]
        events.append([all_ - sum(one) for all_, *one in zip(took, *inside)])
def timed_draw():
    if e._screen._dirty == Dirty.HAND:
        frames.append(ms(draw))
    else:
        draw()
e._screen._pointer, e._screen.draw = timed_pointer, timed_draw
"""

# What this machine needs for a message to the page and back, with nothing to draw.
PING = """
import asyncio
async def ping():
    took = []
    for _ in range(15):
        e._screen._number += 1
        begin = time.perf_counter()
        e._screen.surface.send({"frame": e._screen._number})
        while e._screen.shown < e._screen._number:
            await asyncio.sleep(0.001)
        took.append((time.perf_counter() - begin) * 1000)
    return statistics.median(took)
pinged = await ping()
"""

NEAR = """
from comfynb.widgets.canvas.camera import Camera
rect = e.scene.geometry.node_rect("n512")
e.hand.look_at(Camera(350 - 0.7 * rect.x, 240 - 0.7 * rect.y, 0.7))
e._after()
events.clear(); frames.clear()
"""

# Counts what is painted on the uppermost canvas that people see, and when the pointer moved.
WATCH = """(stage) => {
    const top = stage.querySelectorAll("canvas")[2];
    window.seen = {frames: [], moves: [], made: 0, clock: 0};
    const draw = CanvasRenderingContext2D.prototype.drawImage;
    CanvasRenderingContext2D.prototype.drawImage = function (...args) {
        draw.apply(this, args);
        if (this.canvas === top) {
            // A message paints a canvas more than once; the screen is painted once for them all.
            requestAnimationFrame((clock) => {
                if (clock !== window.seen.clock) window.seen.frames.push(performance.now());
                window.seen.clock = clock;
            });
        }
    };
    stage.addEventListener("mousemove", (event) => {
        if (!event.isTrusted) return;  // the canvas itself passes moves on
        window.seen.moves.push(performance.now());
        window.seen.made = event.timeStamp;
    }, {capture: true});
}"""


# Counts the messages of all web sockets, and their size. In the page: what a debugger reports of
# each message costs a small machine more than the message.
COUNT = """
window.wire = {up: 0, down: 0, bytes: 0};
const size = (data) => data.byteLength ?? data.size ?? data.length;
window.WebSocket = class extends window.WebSocket {
    constructor(...args) {
        super(...args);
        this.addEventListener("message", (event) => {
            window.wire.down += 1;
            window.wire.bytes += size(event.data);
        });
    }
    send(data) {
        window.wire.up += 1;
        window.wire.bytes += size(data);
        super.send(data);
    }
};
"""


def chromium() -> str:
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    path = os.environ.get("COMFYNB_CHROMIUM") or next(filter(None, map(shutil.which, names)), None)
    if path is None:
        sys.exit("No Chromium here: tests/setup_browser.sh installs one.")
    return path


@contextlib.contextmanager
def lab(home: Path) -> Iterator[tuple[str, str]]:
    """A JupyterLab of this environment's; yields its address and token."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    token = secrets.token_hex(16)
    places = [str(REPO), str(REPO / "tests" / "browser" / "kernel")]
    environment = {
        **os.environ,
        "HOME": str(home),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTERLAB_SETTINGS_DIR": str(home / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / "workspaces"),
        "PYTHONPATH": os.pathsep.join(places),
        "JUPYTER_TOKEN": token,
    }
    command = [
        *(sys.executable, "-m", "jupyterlab", "--no-browser", "--expose-app-in-browser"),
        *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}", "--allow-root"),
        *(f"--ServerApp.root_dir={home}", "--LabApp.news_url="),
    ]
    quiet = home / "settings" / "@jupyterlab" / "apputils-extension"
    quiet.mkdir(parents=True)
    (quiet / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    process = subprocess.Popen(
        command, env=environment, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            try:
                ask = urllib.request.Request(
                    f"{url}/api/status", headers={"Authorization": f"token {token}"}
                )
                with urllib.request.urlopen(ask, timeout=5):
                    break
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                if process.poll() is not None:
                    sys.exit("JupyterLab did not start.")
                time.sleep(0.2)
        yield url, token
    finally:
        process.terminate()
        process.wait(30)


EXECUTE = """async (code) => {
    const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
    const future = kernel.requestExecute({code, store_history: false});
    let text = "", error = null;
    future.onIOPub = (message) => {
        if (message.header.msg_type === "stream") text += message.content.text;
        if (message.header.msg_type === "error") error = message.content.traceback.join("\\n");
    };
    await future.done;
    return [text, error];
}"""


def execute(page: Page, code: str) -> str:
    """Run code in the notebook's kernel; returns what it printed."""
    text, error = page.evaluate(EXECUTE, code)
    if error:
        sys.exit(error)
    return str(text)


def ask(page: Page, expression: str) -> Any:
    return json.loads(execute(page, f"import json; print(json.dumps({expression}))"))


def open_notebook(page: Page, url: str, token: str, cell: str, folder: Path) -> None:
    """Open a notebook of one cell, and run it after what it needs."""
    document = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell)])
    document.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(document, folder / "canvas.ipynb")
    page.goto(f"{url}/lab/tree/canvas.ipynb?token={token}&reset")
    page.wait_for_function(
        """() => window.jupyterapp && window.jupyterapp.shell.currentWidget?.sessionContext
            ?.session?.kernel?.connectionStatus === "connected" """
    )
    execute(page, KERNEL)
    page.evaluate("() => window.jupyterapp.commands.execute('notebook:run-all-cells')")
    page.locator(".comfynb-surface").scroll_into_view_if_needed()


def watch(page: Page) -> None:
    """From now on, note what the pointer does and what comes of it."""
    page.locator(".comfynb-stage").evaluate(WATCH)
    execute(page, DRAG)


def settle(page: Page) -> None:
    """Wait until the page has shown what the kernel has drawn, and nothing more comes."""
    for _ in range(100):
        page.wait_for_timeout(300)
        if ask(page, "e._screen.shown == e._screen._number and not e._screen._dirty"):
            return
    sys.exit("The page never showed the kernel's last frame.")


def drag(page: Page, debugger: CDPSession, moves: int) -> dict[str, float]:
    """Drag a node about with the mouse, and say how the frames came; then undo it."""
    rect = "e.scene.geometry.node_rect('n512')"
    middle = "e.hand.camera.to_screen(r.x + r.width / 2, r.y + r.height / 2)"
    x, y = ask(page, f"(lambda r: {middle})({rect})")
    box = page.locator(".comfynb-surface").bounding_box()
    assert box is not None
    left, top = box["x"] + x, box["y"] + y
    page.mouse.move(left, top)
    page.mouse.down()
    page.mouse.move(left + 10, top + 5)
    settle(page)  # the picture without the dragged node
    page.evaluate("() => { window.seen.frames = []; window.seen.moves = []; }")
    before, wire = spent(debugger), page.evaluate("() => ({...window.wire})")
    for step in range(moves):
        page.mouse.move(left + 10 + step % 120, top + 5 + step % 37)
    page.wait_for_timeout(1000)
    page_time = spent(debugger) - before
    sent = page.evaluate("() => window.wire")
    pointer = ask(page, "[*e.hand.pointer]")
    wanted = [x + 10 + (moves - 1) % 120, y + 5 + (moves - 1) % 37]
    assert max(abs(a - b) for a, b in zip(pointer, wanted, strict=True)) <= 2, (pointer, wanted)
    seen = page.evaluate("() => window.seen")
    page.mouse.up()
    execute(page, "e.undo()")
    settle(page)
    last = seen["moves"][-1]
    late = [one - last for one in seen["frames"] if one > last]
    if not late:
        sys.exit("No frame came after the last move, though it moved the node.")
    return {
        "moves": len(seen["moves"]),
        "seconds": (last - seen["moves"][0]) / 1000,
        "frames": len(seen["frames"]),
        "behind": max(late),
        "after": len(late),
        "delivered": last - seen["made"],
        "page": page_time,
        **{key: sent[key] - wire[key] for key in wire},
    }


def spent(debugger: CDPSession) -> float:
    """Processor time of the page's own thread so far, in ms."""
    metrics = debugger.send("Performance.getMetrics")["metrics"]
    return float(1000 * next(one["value"] for one in metrics if one["name"] == "TaskDuration"))


def drags(page: Page, debugger: CDPSession, times: int, moves: int) -> dict[str, Any]:
    """Drag again and again."""
    execute(page, "events.clear(); frames.clear()")
    taken = [drag(page, debugger, moves) for _ in range(times)]
    kernel = ask(page, "[a + b for a, b in zip(medians(events), medians(frames))]")
    number = sum(one["frames"] for one in taken)
    each = ("up", "down", "bytes", "page")
    return {
        "kernel": kernel,
        "taken": taken,
        "each": {key: sum(one[key] for one in taken) / number for key in each},
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--edges", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--drags", type=int, default=7)
    parser.add_argument("--moves", type=int, default=100)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url, token = stack.enter_context(lab(home))
        playwright = stack.enter_context(sync_playwright())
        browser = playwright.chromium.launch(
            executable_path=chromium(), args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(60_000)
        page.on("dialog", lambda dialog: dialog.accept())
        page.add_init_script(COUNT)
        debugger = page.context.new_cdp_session(page)
        debugger.send("Performance.enable", {"timeDomain": "threadTicks"})
        show = SHOW.replace("{nodes}", str(options.nodes)).replace("{edges}", str(options.edges))
        open_notebook(page, url, token, show, home)
        for _ in range(200):
            if ask(page, "'e' in globals() and e._screen.shown > 0 and not e._fit_first"):
                break
            page.wait_for_timeout(100)
        execute(page, REDRAW.replace("ROUNDS", str(options.rounds)))
        took = ask(page, "{k: medians(v) for k, v in rounds.items()}")
        settle(page)
        watch(page)
        far = drags(page, debugger, options.drags, options.moves)
        execute(page, NEAR)
        settle(page)
        near = drags(page, debugger, options.drags, options.moves)
        execute(page, PING)
        times = ask(page, "[pinged, (loaded - made) * 1000, fit[1], save[1], arrange[1]]")
        return report(options, took, (far, near), times)


def report(
    options: argparse.Namespace,
    took: dict[str, list[float]],
    dragged: tuple[dict[str, Any], dict[str, Any]],
    times: list[float],
) -> int:
    naive, plain, ours, whole = (took[key] for key in ("naive", "plain", "ours", "whole"))
    pinged, load, fit, save, arrange = times

    def line(words: str, taken: list[float], but: str = "") -> None:
        ratio = but or f"1/{naive[0] / taken[0]:.0f} of A, 1/{plain[0] / taken[0]:.0f} of B"
        print(f"  {words:36s} {taken[0]:8.2f}  ({taken[1]:.2f} by the clock)   {ratio}")

    print(f"{options.nodes} nodes, {options.edges} connections; medians of {options.rounds}, in ms")
    print(
        f"  load from JSON and show {load:.0f}, fit {fit:.1f}, save to JSON {save:.0f}, "
        f"arrange {arrange:.0f}"
    )
    print(f"  an empty message to the screen and back: {pinged:.0f}")
    print("kernel time of a full redraw, the whole graph in view")
    line("A  one call for each thing", naive, "-")
    line("B  one call for each box and curve", plain, "no words, no ports")
    line("ours, with every word and port", whole)
    line("ours, as it is used", ours)
    kept = {"a full redraw takes at most 1/20 of A": naive[0] / ours[0] >= 20}
    for words, drag in zip(("the whole graph in view", "at a zoom of 70 %"), dragged, strict=True):
        kernel, taken, each = drag["kernel"], drag["taken"], drag["each"]
        behind = [one["behind"] for one in taken]
        after = max(one["after"] for one in taken)
        every = 1000 * sum(one["seconds"] for one in taken) / sum(one["moves"] for one in taken)
        print(
            f"dragging a node with the mouse, {words}: {len(taken)} times {options.moves} moves, "
            f"one each {every:.0f} ms"
        )
        line("kernel time of a frame", kernel)
        print(
            f"  the last frame is behind the pointer: median {statistics.median(behind):.0f} ms, "
            f"worst {max(behind):.0f} ms; at most {after:.0f} frames came after the last move"
        )
        print(
            "  (the browser delivered the last move to the page after "
            f"{statistics.median(one['delivered'] for one in taken):.0f} ms, not counted)"
        )
        print(
            f"  {sum(one['frames'] for one in taken) / len(taken):.0f} frames a drag; for each one "
            f"{each['up']:.1f} messages up, {each['down']:.1f} down, {each['bytes']:,.0f} bytes, "
            f"{each['page']:.0f} ms of the page's thread"
        )
        kept[f"a drag frame takes at most 1/100 of A, {words}"] = naive[0] / kernel[0] >= 100
        kept[f"the last frame is at most 150 ms behind, {words}"] = max(behind) <= 150
        kept[f"no backlog: at most 4 frames after the last move, {words}"] = after <= 4
    for words, held in kept.items():
        print(f"{'kept' if held else 'NOT KEPT'}: {words}")
    return 0 if all(kept.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
