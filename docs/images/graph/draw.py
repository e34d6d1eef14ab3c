"""Draws the pictures of docs/graph.md: ``python docs/images/graph/draw.py`` writes them again."""

# ruff: noqa: INP001 - a script beside its pictures, no package

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path

STYLE = """
text { font: 12px system-ui, sans-serif; fill: #24292f; }
.small { font-size: 10px; fill: #57606a; }
.box { fill: #f6f8fa; stroke: #57606a; stroke-width: 1.4; }
.dead { stroke-dasharray: 4 3; opacity: .55; }
.wire { fill: none; stroke: #0969da; stroke-width: 1.6; }
.order { stroke: #8250df; stroke-dasharray: 2 3; }
.off { stroke: #8c959f; stroke-dasharray: 4 3; }
.port { fill: #ffffff; stroke: #57606a; stroke-width: 1.2; }
.item { stroke: #24292f; stroke-width: .8; }
.a { fill: #ffb77c; } .b { fill: #7cc4ff; } .c { fill: #8ddb8c; } .n { fill: #d0d7de; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; } .small { fill: #9198a1; }
  .box { fill: #161b22; stroke: #9198a1; } .port { fill: #0d1117; stroke: #9198a1; }
  .wire { stroke: #4493f8; } .order { stroke: #ab7df8; } .item { stroke: #0d1117; }
}
"""
HEAD, STEP, WIDTH = 26, 20, 104


@dataclass(frozen=True)
class Box:
    """A node: where it is, its title, its ports."""

    x: int
    y: int
    title: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    dead: bool = False
    width: int = WIDTH

    @property
    def height(self) -> int:
        """As high as its ports need."""
        return HEAD + STEP * max(len(self.inputs), len(self.outputs), 1)

    def left(self, port: str) -> tuple[int, int]:
        """Where an input port is."""
        return self.x, self.y + HEAD + STEP * self.inputs.index(port) + 8

    def right(self, port: str) -> tuple[int, int]:
        """Where an output port is."""
        return self.x + self.width, self.y + HEAD + STEP * self.outputs.index(port) + 8

    def svg(self) -> Iterator[str]:
        """The box with its ports."""
        kind = "box dead" if self.dead else "box"
        yield (
            f'<rect class="{kind}" x="{self.x}" y="{self.y}" width="{self.width}" '
            f'height="{self.height}" rx="6"/>'
        )
        yield _text(self.x + self.width // 2, self.y + 17, self.title, anchor="middle")
        for port in self.inputs:
            x, y = self.left(port)
            yield f'<circle class="port" cx="{x}" cy="{y}" r="4"/>'
            yield _text(x + 8, y + 4, port, "small")
        for port in self.outputs:
            x, y = self.right(port)
            yield f'<circle class="port" cx="{x}" cy="{y}" r="4"/>'
            yield _text(x - 8, y + 4, port, "small", "end")


def _text(x: int, y: int, text: str, kind: str = "", anchor: str = "start") -> str:
    names = f' class="{kind}"' if kind else ""
    return f'<text x="{x}" y="{y}"{names} text-anchor="{anchor}">{escape(text)}</text>'


def wire(start: tuple[int, int], end: tuple[int, int], kind: str = "") -> str:
    """A connection."""
    (x1, y1), (x2, y2) = start, end
    bend = max(18, (x2 - x1) // 2)
    names = f"wire {kind}".strip()
    return f'<path class="{names}" d="M{x1} {y1} C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"/>'


def items(x: int, y: int, colours: str, *, bundle: bool = False) -> Iterator[str]:
    """Items on their way: one square each; in a frame if they are one list."""
    if bundle:
        yield (
            f'<rect class="box" x="{x - 3}" y="{y - 9}" width="{13 * len(colours) + 4}" '
            'height="18" rx="4"/>'
        )
    for number, colour in enumerate(colours):
        yield (
            f'<rect class="item {colour}" x="{x + 13 * number}" y="{y - 5}" width="10" '
            'height="10" rx="2"/>'
        )


def note(x: int, y: int, text: str, anchor: str = "start") -> str:
    """A remark."""
    return _text(x, y, text, "small", anchor)


def picture(width: int, height: int, title: str, parts: Iterable[str]) -> str:
    """The whole file; the title is what screen readers say."""
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'width="{width}" height="{height}" role="img">\n<title>{escape(title)}</title>\n'
        f"<style>{STYLE}</style>\n{body}\n</svg>\n"
    )


def draw_input() -> str:
    """An INPUT."""
    box = Box(20, 24, "Input", (), ("output",))
    x, y = box.right("output")
    return picture(
        300,
        96,
        "An Input gives three items",
        [wire((x, y), (290, y)), *box.svg(), *items(160, y, "abc"), note(160, y + 26, "3 items")],
    )


def draw_workflow() -> str:
    """A WORKFLOW."""
    box = Box(130, 16, "Workflow", ("image", "seed", "trigger"), ("picture", "done"), width=130)
    left, seed, trigger = (box.left(port) for port in box.inputs)
    right, done = (box.right(port) for port in box.outputs)
    return picture(
        420,
        128,
        "A Workflow runs once for each of three items",
        [
            wire((10, left[1]), left),
            wire((10, seed[1]), seed),
            wire((10, trigger[1]), trigger, "order"),
            wire(right, (410, right[1])),
            wire(done, (410, done[1]), "order"),
            *box.svg(),
            *items(50, left[1], "abc"),
            *items(76, seed[1], "n"),
            *items(300, right[1], "abc"),
            note(300, right[1] - 12, "3 runs"),
            note(20, 116, "a single item goes with every run; order carries no data"),
        ],
    )


def draw_condition() -> str:
    """A CONDITION."""
    box = Box(120, 34, "Condition", ("input", "trigger"), ("true", "false"))
    taken = Box(310, 8, "runs", ("input",))
    other = Box(310, 76, "skipped", ("input",), dead=True)
    return picture(
        440,
        138,
        "A Condition: only the side that is taken runs",
        [
            wire((10, box.left("input")[1]), box.left("input")),
            wire(box.right("true"), taken.left("input")),
            wire(box.right("false"), other.left("input"), "off"),
            *box.svg(),
            *taken.svg(),
            *other.svg(),
            *items(50, box.left("input")[1], "ab"),
            *items(252, 50, "ab"),
            note(14, 126, "output.faces_detected > 0"),
        ],
    )


def draw_fanout() -> str:
    """A FANOUT in both modes."""
    parts: list[str] = []
    shares = ("broadcast", ("abc", "abc")), ("distribute", ("ab", "c"))
    for row, (mode, outs) in enumerate(shares):
        box = Box(120, 8 + 86 * row, "Fan-out", ("input",), ("output_1", "output_2"))
        x, y = box.left("input")
        parts += [wire((10, y), (x, y)), *items(50, y, "abc"), note(14, y + 24, mode)]
        for port, colours in zip(box.outputs, outs, strict=True):
            start = box.right(port)
            parts += [wire(start, (410, start[1])), *items(270, start[1], colours)]
        parts += box.svg()
    return picture(420, 176, "A Fan-out gives everything to each output, or a part to each", parts)


def draw_merge() -> str:
    """A MERGE in its three modes."""
    parts: list[str] = []
    results = {
        "concatenate": [("abc", False)],
        "collect": [("abc", True)],
        "zip": [("ac", True), ("bc", True)],
    }
    for row, (mode, out) in enumerate(results.items()):
        box = Box(150, 8 + 96 * row, "Merge", ("input_1", "input_2", "input_3"), ("output",))
        for port, colours in zip(box.inputs, ("ab", "c", ""), strict=True):
            end = box.left(port)
            parts.append(wire((10, end[1]), end, "" if colours else "off"))
            parts += items(60, end[1], colours)
        start = box.right("output")
        parts += [wire(start, (430, start[1])), *box.svg(), note(270, start[1] + 28, mode)]
        at = 280
        for colours, bundle in out:
            parts += items(at, start[1], colours, bundle=bundle)
            at += 13 * len(colours) + 16
    return picture(
        440,
        296,
        "A Merge joins what is live in one of three ways; a dead input is not waited for",
        parts,
    )


def draw_output() -> str:
    """An OUTPUT."""
    box = Box(120, 20, "Output", ("input", "trigger"), ())
    y = box.left("input")[1]
    return picture(
        440,
        108,
        "An Output copies files into its folder, over nothing",
        [
            wire((10, y), box.left("input")),
            *box.svg(),
            *items(50, y, "ab"),
            note(240, 38, "results/"),
            note(252, 56, "2026-11-21_1_cat.png"),
            note(252, 72, "2026-11-21_2_cat (2).png"),
        ],
    )


PICTURES = {
    "input": draw_input,
    "workflow": draw_workflow,
    "condition": draw_condition,
    "fanout": draw_fanout,
    "merge": draw_merge,
    "output": draw_output,
}


def main() -> None:
    """Write every picture beside this file."""
    for name, draw in PICTURES.items():
        Path(__file__).with_name(f"{name}.svg").write_text(draw(), "utf-8")


if __name__ == "__main__":
    main()
