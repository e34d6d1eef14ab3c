"""A sweep's widgets: what is sent to the page and what is not; hostile names; files."""

import asyncio
import dataclasses
from collections import Counter
from typing import Any

import pytest
from PIL import Image

from comfynb.engine import slices
from comfynb.engine.sweeps import (
    BackendShare,
    PictureView,
    PointView,
    SweepView,
    point_table,
)
from comfynb.errors import InvalidValue, NotFound, UsageError
from comfynb.models import JobStatus, SweepStatus, utcnow
from comfynb.widgets.sweeps.cells import PointCells
from comfynb.widgets.sweeps.comparison import SweepComparison
from comfynb.widgets.sweeps.grid import STATIC_POINTS, SweepGrid
from comfynb.widgets.sweeps.plot import SweepPlot, points_frame


@pytest.fixture
def picture(tmp_path):
    def make(name="a.png", colour="red", **given):
        path = tmp_path / name
        Image.new("RGB", (40, 30), colour).save(path)
        return PictureView(("p-" + name, "9", "images", 0), name, path, "image/png", **given)

    return make


def point(number, status=JobStatus.COMPLETED, /, **given):
    values = given.pop("values", {"cfg": number % 3, "seed": number // 3})
    return PointView(number, values, status, **given)


def sweep_view(points, **given):
    values = {
        "id": "s",
        "name": "first",
        "status": SweepStatus.RUNNING,
        "axes": ("cfg", "seed"),
        "points": tuple(points),
        "counts": Counter(one.status for one in points),
        "linked": sum(one.linked for one in points),
        "backends": (BackendShare("PC1", 2, 0, 1, 3.0),),
        "created_at": utcnow(),
        "completed_at": None,
        "per_minute": 42.0,
        "seconds_left": 75.0,
    }
    return SweepView(**{**values, **given})


class Wire:
    """What a page would hear; tells when something comes."""

    def __init__(self, cells: PointCells) -> None:
        self.messages: list[tuple[dict[str, Any], list[bytes]]] = []
        self.came = asyncio.Event()
        cells.widget.send = self.send

    def send(self, content: dict[str, Any], buffers: Any = None) -> None:
        self.messages.append((content, list(buffers or [])))
        self.came.set()

    @property
    def cells(self) -> list[dict[str, Any]]:
        return [cell for content, _ in self.messages for cell in content.get("cells", ())]

    async def until(self, condition):
        while not condition():
            self.came.clear()
            await self.came.wait()


async def until(condition, widget):
    """Return when the value of ``widget`` has made ``condition`` true."""
    changed = asyncio.Event()
    widget.observe(lambda _: changed.set(), "value")
    while not condition():
        changed.clear()
        await changed.wait()


def see(cells, *places, lacking=()):
    cells._heard({"event": "see", "view": "v", "places": list(places), "lacking": list(lacking)})


async def test_only_what_is_in_sight_is_sent_and_only_when_it_changed(picture):
    points = [point(n, JobStatus.PENDING) for n in range(1000)]
    cells = PointCells(("cfg", "seed"), ("cfg",), label="points")
    wire = Wire(cells)
    cells.grow([(n,) for n in range(1000)])
    cells.show(points)
    assert wire.messages == []  # nobody looks
    see(cells, *range(20), lacking=range(20))
    await wire.until(lambda: len(wire.cells) >= 20)
    assert [cell["place"] for cell in wire.cells] == list(range(20))
    wire.messages.clear()
    # Two changes in sight, 980 out of sight: two cells, in one message.
    changed = [dataclasses.replace(one, status=JobStatus.RUNNING) for one in points]
    seen = [*points[:3], *changed[3:5], *points[5:20], *changed[20:]]
    cells.show(seen)
    await wire.until(lambda: wire.cells)
    assert [cell["place"] for cell in wire.cells] == [3, 4]
    assert len(wire.messages) == 1
    wire.messages.clear()
    # Scrolling there shows them as they are now, although the page had them before.
    see(cells, 30, 31)
    await wire.until(lambda: wire.cells)
    assert [(cell["place"], cell["css"]) for cell in wire.cells] == [
        (30, "comfynb-running"),
        (31, "comfynb-running"),
    ]


async def test_scrolling_makes_a_few_cells_in_each_turn_of_the_loop(monkeypatch):
    monkeypatch.setattr(slices, "SLICE", 0.0)  # one step in each turn
    cells = PointCells(("cfg", "seed"), ("cfg",), label="points")
    made = []
    monkeypatch.setattr(cells, "_put", lambda cell, _: made.append(cell["place"]))
    cells.grow([(n,) for n in range(40)])
    cells.show([point(n, JobStatus.PENDING) for n in range(40)])
    see(cells, *range(40), lacking=range(40))
    most = before = 0
    while len(made) < 40:
        await asyncio.sleep(0)
        most, before = max(most, len(made) - before), len(made)
    assert made == list(range(40))
    assert most == 1


async def test_pictures_come_from_threads_and_once(picture):
    cells = PointCells(("cfg", "seed"), ("cfg",), label="points")
    wire = Wire(cells)
    cells.grow([(0,)])
    done = point(0, pictures=(picture(),))
    see(cells, 0, lacking=[0])
    cells.show([done])
    await wire.until(lambda: any(cell["image"] == 0 for cell in wire.cells))
    content, buffers = wire.messages[-1]
    assert content["cells"][0]["type"] == "image/webp"
    assert 0 < len(buffers[0]) <= 16_000
    wire.messages.clear()
    rated = dataclasses.replace(done, pictures=(dataclasses.replace(done.pictures[0], rating=4),))
    cells.show([rated])
    await wire.until(lambda: wire.cells)
    (cell,) = wire.cells
    assert (cell["rating"], cell["image"]) == (4, -1)  # its picture stays
    assert wire.messages[0][1] == []


async def test_enlarging_and_rating(picture):
    rated = []

    async def rate(key, stars):
        if stars == 1:
            raise InvalidValue("The store is full.")
        rated.append((key, stars))

    cells = PointCells(("cfg", "seed"), ("cfg",), label="points", rate=rate)
    wire = Wire(cells)
    cells.grow([(0,), (1,)])
    cells.show([point(0, pictures=(picture(),)), point(1, JobStatus.FAILED, error="No memory.")])
    cells._heard({"event": "open", "view": "v", "place": 0, "picture": 0})
    await wire.until(lambda: any(buffers for _, buffers in wire.messages))
    told = wire.messages[-1][0]["viewer"]
    assert ["cfg", "0"] in told["facts"]
    cells._heard({"event": "rate", "place": 0, "picture": 0, "stars": 5})
    cells._heard({"event": "rate", "place": 0, "picture": 0, "stars": 1})
    for wrong in ({"place": 9}, {"stars": 77}, {"picture": 3}, {"stars": "5"}, {"place": None}):
        cells._heard({"event": "rate", "place": 0, "picture": 0, "stars": 5, **wrong})
    await wire.until(lambda: "full" in str(wire.messages[-1]))
    assert rated == [(("p-a.png", "9", "images", 0), 5)]
    cells._heard({"event": "open", "view": "v", "place": 1})
    assert ["error", "No memory."] in wire.messages[-1][0]["viewer"]["facts"]
    for odd in ({}, {"event": "open", "place": -1}, {"event": "see", "places": ["x", 10**9]}):
        cells._heard(odd)


async def test_the_grid_tells_how_it_goes_and_its_buttons_work(box):
    pressed = []
    points = [point(n, JobStatus.PENDING) for n in range(6)]
    source = box(sweep_view(points))

    async def refuse():
        raise UsageError("Another kernel has it.")

    grid = SweepGrid(source, pause=lambda: pressed.append("pause"), cancel=refuse)
    assert "42 points a minute, 1:15 left" in grid._head.value
    assert "1.50 s" in grid._shares.value
    grid._buttons["pause"].click()
    assert pressed == ["pause"]
    grid._buttons["cancel"].click()
    await until(lambda: "Another kernel" in grid._trouble.value, grid._trouble)
    assert not grid._buttons["cancel"].disabled
    ended = [dataclasses.replace(one, status=JobStatus.FAILED, error="x") for one in points]
    source.push(sweep_view(ended, status=SweepStatus.COMPLETED))
    await until(lambda: "6 of 6 points" in grid._head.value, grid._head)
    assert grid._buttons["pause"].disabled
    assert not grid._buttons["retry"].disabled
    source.push(sweep_view(ended, mine=False))
    grid.close()
    assert source.callbacks == []


def test_hostile_names_stay_text(hostile, box, picture, tags):
    bad = point(0, values={hostile: hostile}, error=hostile, backend=hostile, pictures=(picture(),))
    view = sweep_view([bad], name=hostile, axes=(hostile,), note=hostile)
    view = dataclasses.replace(view, backends=(BackendShare(hostile, 1, 1, 1, 1.0),))
    allowed = {
        *("style", "div", "span", "b", "i", "bdi", "table", "thead", "tbody", "tr", "th", "td"),
        *("figure", "figcaption", "img", "svg", "path", "circle", "text"),
    }
    grid = SweepGrid(box(view))
    table = SweepComparison(box(view), lambda v: point_table(v.points, v.axes))
    plot = SweepPlot(view, hostile, "point")
    for shown in (grid, table, plot):
        parsed = tags(shown.static_html())
        assert {tag.removeprefix("/") for tag, _ in parsed.tags} <= allowed
        assert not any(name.startswith("on") for _, names in parsed.tags for name in names)
        assert "\x1b" not in shown.plain()
    for trace in plot.figure.data:
        assert "<img" not in str(trace.text)


def test_the_exported_page_is_one_harmless_file(hostile, box, picture, tags, tmp_path):
    points = [
        point(0, values={"cfg": hostile, "seed": 1}, pictures=(picture(),), score=0.5),
        point(1, JobStatus.FAILED, values={"cfg": "x", "seed": 1}, error=hostile),
    ]
    view = sweep_view(points, name=hostile)
    table = SweepComparison(box(view), lambda v: point_table(v.points, v.axes, "cfg", "seed"))
    page = table.to_html(tmp_path / "x.html").read_text("utf-8")
    parsed = tags(page)
    assert not any(name.startswith("on") for _, names in parsed.tags for name in names)
    assert {tag for tag, _ in parsed.tags} & {"script", "iframe", "object", "link", "a"} == set()
    assert all(source.startswith("data:image/") for source in parsed.attributes["src"])
    assert "score 0.5" in parsed.text
    table.to_png(tmp_path / "x.png", size=48)
    with Image.open(tmp_path / "x.png") as image:
        assert image.getpixel((image.width - 48, image.height // 2))
    with pytest.raises(InvalidValue, match="smaller size"):
        table.to_png(tmp_path / "y.png", size=20_000)


def test_an_exported_picture_holds_the_pictures(box, picture, tmp_path):
    colours = {0: "red", 1: "lime", 2: "blue"}
    points = [
        point(n, values={"cfg": n, "seed": 1}, pictures=(picture(f"{n}.png", colour),))
        for n, colour in colours.items()
    ]
    table = SweepComparison(
        box(sweep_view(points)), lambda v: point_table(v.points, v.axes, "seed", "cfg")
    )
    with Image.open(table.to_png(tmp_path / "all.png", size=100)) as image:
        found = Counter(image.convert("RGB").quantize(16).convert("RGB").get_flattened_data())
    shades = {max("rgb", key=lambda c: one["rgb".index(c)]) for one, n in found.items()
              if n > 500 and max(one) - min(one) > 150}  # fmt: skip
    assert shades == {"r", "g", "b"}


def test_static_forms_are_bounded(box, picture):
    shared = picture()
    points = [point(n, pictures=(shared,)) for n in range(200)]
    grid = SweepGrid(box(sweep_view(points)))
    html = grid.static_html()
    assert html.count("<figure") == STATIC_POINTS
    assert f"{200 - STATIC_POINTS} more points" in html
    assert "first: running; 200 points of cfg, seed" in grid.plain()


def test_frames_and_plots_keep_names_apart(box):
    points = [point(n, values={"cfg": n, "seconds": 0.5}, seconds=2.0, score=n) for n in range(4)]
    view = sweep_view(points, axes=("cfg",))
    frame = points_frame(view)
    assert frame["seconds"].tolist() == [0.5] * 4
    assert frame["point_seconds"].tolist() == [2.0] * 4
    plot = SweepPlot(view, "cfg")
    assert list(plot.figure.data[0].y) == [0, 1, 2, 3]
    assert "<circle" in plot.static_html()
    line = SweepPlot(view, "cfg", "point_seconds", kind="line").figure.data[0]
    assert list(line.y) == [2.0] * 4
    assert SweepPlot(view).figure.data[0].type == "parcoords"
    assert "no point has a score" in SweepPlot(sweep_view([point(0)]), "cfg", "score").plain()
    with pytest.raises(NotFound, match="cfg"):
        SweepPlot(view, "nope")
    with pytest.raises(UsageError, match="scatter"):
        SweepPlot(view, kind="pie")
    with pytest.raises(UsageError, match="state of point 0 is 'completed'"):
        SweepPlot(view, "cfg", "state")
