"""A comparison as a picture, or as one HTML file that needs nothing else."""

from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Final

from comfynb.engine.sweeps.table import PointTable
from comfynb.engine.sweeps.views import PointView
from comfynb.errors import InvalidValue
from comfynb.widgets.markup import clip, esc, one_line, sentence
from comfynb.widgets.sweeps.text import point_label, short_value
from comfynb.widgets.theme import look
from comfynb.widgets.thumbnails import CannotShow, Target, data_uri, shrink_file

if TYPE_CHECKING:
    from PIL import Image, ImageDraw, ImageFont

__all__ = ["write_html", "write_png"]

GAP: Final = 8
MOST_PIXELS: Final = 16_000
"""Pixels on a side of an exported picture: more than most programs open."""


@cache
def _page() -> str:
    return (resources.files("comfynb.widgets") / "static" / "comparison.html").read_text("utf-8")


def write_html(
    path: Path,
    title: str,
    *,
    about: str,
    points: Sequence[PointView],
    table: PointTable,
    axes: Sequence[str],
    size: int = 256,
    pixels: int = 1024,
) -> Path:
    """Write one HTML file: pictures of up to ``pixels`` inside, shown ``size`` pixels wide.

    Click a picture (or Tab to it) to enlarge it. No script, nothing from elsewhere.
    """
    target = Target(pixels=pixels, limit=400_000)
    heads = "".join(
        f'<th scope="col"><bdi>{esc(short_value(value, 80))}</bdi></th>'
        for value in table.column_values
    )
    rows = []
    for value, cells in zip(table.row_values, table.cells, strict=True):
        head = f'<th scope="row"><bdi>{esc(short_value(value, 200))}</bdi></th>'
        filled = (
            "".join(_figure(points[number], axes, target) for number in cell) for cell in cells
        )
        rows.append(f"<tr>{head}{''.join(f'<td>{one}</td>' for one in filled)}</tr>")
    page = _page().format(
        title=esc(one_line(title, 120)),
        about=esc(one_line(about, 600)),
        corner=esc(corner_text(table)),
        heads=heads,
        rows="".join(rows),
        size=int(size),
    )
    path.write_text(page, "utf-8")
    return path


def corner_text(table: PointTable) -> str:
    """What stands where rows and columns meet: "cfg ↓ seed →"."""
    parts = [f"{table.rows} ↓" if table.rows else "", f"{table.columns} →" if table.columns else ""]
    return one_line(" ".join(part for part in parts if part), 120)


def _figure(point: PointView, axes: Sequence[str], target: Target) -> str:
    label = esc(one_line(point_label(point, axes, 80), 300))
    path = point.pictures[0].path if point.pictures else None
    inner = f'<div class="none">{esc(_why(point))}</div>'
    if path is not None:
        try:
            inner = f'<img src="{data_uri(shrink_file(path, target))}" alt="{label}">'
        except CannotShow as why:
            inner = f'<div class="none">{esc(why)}</div>'
    told = _note(point)
    caption = f"<figcaption>{esc(told)}</figcaption>" if told else ""
    return f'<figure tabindex="0" title="{label}">{inner}{caption}</figure>'


def _why(point: PointView) -> str:
    if point.error:
        return one_line(sentence(point.error)[0], 120)
    return look(point.status).word


def _note(point: PointView) -> str:
    told = []
    if point.score is not None:
        told.append(f"score {point.score:.4g}")
    if point.rating is not None:
        told.append("★" * round(point.rating))
    return ", ".join(told)


def write_png(
    path: Path,
    title: str,
    points: Sequence[PointView],
    table: PointTable,
    *,
    size: int = 256,
) -> Path:
    """Draw the comparison into one PNG, each picture ``size`` pixels wide and high at most.

    Raises:
        InvalidValue: it would have more pixels on a side than programs open.
    """
    from PIL import Image, ImageDraw, ImageFont

    font = ImageFont.load_default(max(12, size // 14))
    line = max(12, size // 14) + 8
    heads = [short_value(value, 200) for value in table.row_values]
    wide = max((font.getlength(head) for head in heads), default=0) if table.rows else 0
    left = min(int(wide) + 2 * GAP, size) if table.rows else GAP
    top = line * 2 + GAP
    width = left + len(table.column_values) * (size + GAP) + GAP
    height = top + len(table.row_values) * (size + GAP) + GAP
    if max(width, height) > MOST_PIXELS:
        raise InvalidValue(
            f"The picture would have {width} × {height} pixels; more than {MOST_PIXELS:,} on a "
            f"side are not drawn: take a smaller size than {size}, or fewer points with where=."
        )
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    _text(draw, (GAP, GAP // 2), one_line(title, 200), font, width - 2 * GAP)
    if table.rows or table.columns:
        _text(draw, (GAP, GAP // 2 + line), corner_text(table), font, left - GAP)
    for column, value in enumerate(table.column_values):
        place = (left + column * (size + GAP), GAP // 2 + line)
        _text(draw, place, short_value(value, 200), font, size)
    for row, cells in enumerate(table.cells):
        y = top + row * (size + GAP)
        _lines(draw, (GAP, y), heads[row], font, width=left - 2 * GAP, height=size, line=line)
        for column, cell in enumerate(cells):
            x = left + column * (size + GAP)
            _paste(image, draw, [points[number] for number in cell], (x, y), size=size, font=font)
    image.save(path, "PNG")
    return path


def _paste(
    image: "Image.Image",
    draw: "ImageDraw.ImageDraw",
    points: Sequence[PointView],
    place: tuple[int, int],
    *,
    size: int,
    font: "ImageFont.ImageFont | ImageFont.FreeTypeFont",
) -> None:
    from io import BytesIO

    from PIL import Image

    x, y = place
    if not points:
        return
    shown = next((point for point in points if point.pictures), points[0])
    path = shown.pictures[0].path if shown.pictures else None
    why = _why(shown)
    if path is not None:
        try:
            picture = shrink_file(path, Target(pixels=size, limit=4_000_000))
        except CannotShow as trouble:
            why = str(trouble)
        else:
            with Image.open(BytesIO(picture.data)) as opened:
                small = opened.convert("RGBA")
            at = (x + (size - small.width) // 2, y + (size - small.height) // 2)
            image.paste(small, at, small)
            return
    draw.rectangle([x, y, x + size - 1, y + size - 1], outline="#999999")
    below = max(12, size // 14) + 6
    _lines(draw, (x + GAP, y + GAP), why, font, width=size - 2 * GAP, height=size, line=below)


def _text(
    draw: "ImageDraw.ImageDraw",
    place: tuple[int, int],
    text: str,
    font: "ImageFont.ImageFont | ImageFont.FreeTypeFont",
    width: float,
) -> None:
    while len(text) > 1 and font.getlength(text) > width:
        text = clip(text, len(text) - 1)
    draw.text(place, text, fill="black", font=font)


def _lines(
    draw: "ImageDraw.ImageDraw",
    place: tuple[int, int],
    text: str,
    font: "ImageFont.ImageFont | ImageFont.FreeTypeFont",
    *,
    width: float,
    height: int,
    line: int,
) -> None:
    """Text broken at words into lines that fit."""
    x, y = place
    words, now = text.split(), ""
    lines = []
    for word in words:
        longer = f"{now} {word}".strip()
        if now and font.getlength(longer) > width:
            lines.append(now)
            now = word
        else:
            now = longer
    for one in [*lines, now][: max(1, height // line)]:
        _text(draw, (x, y), one, font, width)
        y += line
