"""The graph as an SVG: what stays in a saved notebook, and what is exported."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from comfynb.widgets.canvas.colours import DARK, LIGHT
from comfynb.widgets.canvas.primitives import (
    Clipped,
    Images,
    Lines,
    Polygons,
    Primitive,
    Rects,
    Texts,
)
from comfynb.widgets.canvas.wire import FONT
from comfynb.widgets.markup import esc

__all__ = ["to_svg"]


def _variables(colours: Mapping[str, str]) -> str:
    return "".join(f"--cv-{name}:{value};" for name, value in colours.items())


# On JupyterLab's pages its theme decides, elsewhere the system's preference.
STYLE = (
    f".comfynb-graph{{{_variables(LIGHT)}}}"
    f"@media (prefers-color-scheme:dark){{.comfynb-graph{{{_variables(DARK)}}}}}"
    f"[data-jp-theme-light=true] .comfynb-graph{{{_variables(LIGHT)}}}"
    f"[data-jp-theme-light=false] .comfynb-graph{{{_variables(DARK)}}}"
)


class _Writer:
    def __init__(self, colours: Mapping[str, str] | None, pictures: Mapping[str, str]) -> None:
        self._colours = colours
        self._pictures = pictures
        self.parts: list[str] = []

    def _colour(self, name: str) -> str:
        return self._colours[name] if self._colours else f"var(--cv-{name})"

    def write(self, drawing: Iterable[Primitive]) -> None:
        for part in drawing:
            match part:
                case Rects():
                    path = "".join(
                        f"M{x:.1f} {y:.1f}h{w:.1f}v{h:.1f}h{-w:.1f}z"
                        for x, y, w, h in part.boxes.tolist()
                    )
                    self._path(path, fill=part.fill, alpha=part.alpha)
                case Polygons():
                    path = "".join(_way(points) + "z" for points in part.points.tolist())
                    if part.fill is not None:
                        self._path(path, fill=part.fill, alpha=part.alpha)
                    if part.stroke is not None:
                        self._path(path, **_stroked(part))
                case Lines():
                    path = "".join(_way(points) for points in part.points.tolist())
                    self._path(path, **_stroked(part))
                case Texts():
                    self._texts(part)
                case Images():
                    self._images(part)
                case Clipped():
                    self.write(part.inside)  # only the minimap is clipped, and nobody prints it

    def _path(
        self,
        path: str,
        *,
        fill: str | None = None,
        stroke: str | None = None,
        width: float = 1.0,
        alpha: float = 1.0,
        dash: Sequence[float] = (),
    ) -> None:
        if not path:
            return
        style = f"fill:{self._colour(fill) if fill else 'none'}"
        if stroke is not None:
            style += f";stroke:{self._colour(stroke)};stroke-width:{width:.2f}"
            style += ";stroke-linejoin:round;stroke-linecap:round"
        if dash:
            style += f";stroke-dasharray:{' '.join(f'{one:g}' for one in dash)}"
        if alpha < 1:
            style += f";opacity:{alpha:g}"
        self.parts.append(f'<path d="{path}" style="{style}"/>')

    def _texts(self, part: Texts) -> None:
        anchor = {"left": "start", "center": "middle", "right": "end"}[part.align]
        style = (
            f"fill:{self._colour(part.fill)};font-size:{part.size:.1f}px;"
            f"font-weight:{part.weight};text-anchor:{anchor}"
        )
        texts = "".join(
            f'<text x="{x:.1f}" y="{y:.1f}" dy=".35em">{esc(text)}</text>'
            for text, x, y in part.items
        )
        self.parts.append(f'<g style="{style}">{texts}</g>')

    def _images(self, part: Images) -> None:
        for key, x, y, width, height in part.items:
            if key in self._pictures:
                self.parts.append(
                    f'<image x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
                    f'href="{esc(self._pictures[key])}"/>'
                )


def _way(points: Sequence[Sequence[float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)


def _stroked(part: Polygons | Lines) -> dict[str, Any]:
    return {
        "stroke": part.stroke,
        "width": part.width,
        "alpha": part.alpha,
        "dash": part.dash,
    }


def to_svg(
    drawing: Iterable[Primitive],
    size: tuple[float, float],
    *,
    title: str,
    colours: Mapping[str, str] | None = None,
    pictures: Mapping[str, str] | None = None,
) -> str:
    """``drawing`` as an SVG of ``size``; ``pictures`` are ``data:`` URIs by key.

    With ``colours`` it is a file of its own, with its background; without, it takes the colours of
    the page that it stands in.
    """
    writer = _Writer(colours, pictures or {})
    writer.write(drawing)
    width, height = size
    style = "" if colours else f"<style>{STYLE}</style>"
    background = colours["canvas"] if colours else "var(--cv-canvas)"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="comfynb-graph" role="img" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'style="max-width:100%;height:auto;font-family:{esc(FONT)}">'
        f"<title>{esc(title)}</title>{style}"
        f'<rect width="100%" height="100%" rx="8" style="fill:{background}"/>'
        f"{''.join(writer.parts)}</svg>"
    )
