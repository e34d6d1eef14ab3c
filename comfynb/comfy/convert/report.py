"""What a conversion found out: per node what was left out, bypassed, guessed or looks wrong."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Conversion", "ConversionReport", "Remark", "RemarkKind"]

RemarkKind = Literal[
    "muted",
    "bypassed",
    "dropped",
    "lost_link",
    "unknown_class",
    "guessed",
    "suspicious",
    "dynamic_prompt",
]

_TITLES: dict[str, str] = {
    "muted": "muted",
    "bypassed": "bypassed",
    "dropped": "left out",
    "lost_link": "lost link",
    "unknown_class": "unknown class",
    "guessed": "guessed",
    "suspicious": "looks wrong",
    "dynamic_prompt": "dynamic prompt",
}


@dataclass(frozen=True, slots=True)
class Remark:
    """One remark about one node.

    ``node_id`` is the id that the node has (or would have) in the prompt, such as ``"12:5"``;
    ``path`` the titles of the subgraph instances around it, outermost first.
    """

    kind: RemarkKind
    node_id: str
    node_class: str
    title: str
    path: tuple[str, ...]
    text: str
    input: str = ""

    @property
    def where(self) -> str:
        """The node's title with the subgraphs around it: ``Upscale / KSampler (12:5)``."""
        return f"{' / '.join((*self.path, self.title))} ({self.node_id})"

    def __str__(self) -> str:
        return f"{_TITLES[self.kind]}: {self.where}: {self.text}"


@dataclass(slots=True)
class ConversionReport:
    """All remarks of one conversion, in the order of the workflow."""

    remarks: list[Remark] = field(default_factory=list)

    def __iter__(self) -> Iterator[Remark]:
        return iter(self.remarks)

    def __len__(self) -> int:
        return len(self.remarks)

    def __getitem__(self, place: int) -> Remark:
        return self.remarks[place]

    def of(self, *kinds: RemarkKind) -> list[Remark]:
        """The remarks of some kinds."""
        return [remark for remark in self.remarks if remark.kind in kinds]

    @property
    def unknown_classes(self) -> list[str]:
        """Node classes that the server does not have, sorted."""
        return sorted({remark.node_class for remark in self.of("unknown_class")})

    @property
    def warnings(self) -> list[Remark]:
        """What a person should look at; muting and bypassing were meant."""
        return self.of("lost_link", "unknown_class", "guessed", "suspicious")

    def __str__(self) -> str:
        if not self.remarks:
            return "Nothing was left out or guessed."
        return "\n".join(map(str, self.remarks))

    def __repr__(self) -> str:
        counts = Counter(remark.kind for remark in self.remarks)
        inner = ", ".join(f"{_TITLES[kind]} {count}" for kind, count in counts.items())
        return f"<ConversionReport: {inner or 'nothing to remark'}>"


@dataclass(frozen=True, slots=True)
class Conversion:
    """A prompt in API format, and the report of how it came about."""

    prompt: dict[str, Any]
    report: ConversionReport
