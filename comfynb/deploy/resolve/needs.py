"""What a workflow needs of a machine: node classes and model files, each with where it is used."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

__all__ = ["ClassNeed", "Evidence", "ModelNeed", "Needs", "PackHint", "Place"]

Evidence = Literal["metadata", "loader", "list", "input", "value"]
"""How a model was found: the workflow declares it; a known loader's input; a list of choices that a
server gives; the input's name; only the value itself."""


@dataclass(frozen=True, slots=True)
class Place:
    """A node: ``path`` is its id as in a prompt (``"5"``, ``"7:12"`` within a subgraph)."""

    path: str
    title: str
    class_type: str
    input: str = ""


@dataclass(frozen=True, slots=True)
class PackHint:
    """What a node says about its own pack; text of whoever saved the workflow."""

    cnr_id: str | None = None
    """The pack's id in the Comfy Registry; ``comfy-core`` is ComfyUI."""
    aux_id: str | None = None
    """``owner/repository`` on GitHub."""
    ver: str | None = None
    """A release or a commit."""


@dataclass(frozen=True, slots=True)
class ClassNeed:
    """A node class and the nodes of it."""

    class_type: str
    places: tuple[Place, ...]
    hints: tuple[PackHint, ...] = ()
    """Each once, the most frequent first."""


@dataclass(frozen=True, slots=True)
class ModelNeed:
    """A model file: ``subfolder`` and ``filename`` as a loader's list names them."""

    filename: str
    folder: str | None
    """Below ``models``, under ComfyUI's present name (``diffusion_models``); None where the
    workflow does not tell."""
    subfolder: str = ""
    urls: tuple[str, ...] = ()
    """Where the workflow says it comes from, the most frequent first; hostile text."""
    sha256: tuple[str, ...] = ()
    """Hashes that the workflow declares, lower case; more than one is a contradiction."""
    evidence: Evidence = "value"
    places: tuple[Place, ...] = ()

    @property
    def name(self) -> str:
        """As the loader's list has it, with / between its parts."""
        return f"{self.subfolder}/{self.filename}" if self.subfolder else self.filename

    @property
    def path(self) -> str | None:
        """The folder below ComfyUI's, e.g. ``models/loras/SDXL``; None where it is not known."""
        if self.folder is None:
            return None
        return "/".join(part for part in ("models", self.folder, self.subfolder) if part)


@dataclass(frozen=True, slots=True)
class Needs:
    """What a workflow needs. What only muted or bypassed nodes want is counted apart.

    Front-ends send what lies in muted and bypassed instances that are themselves within a subgraph,
    and servers refuse unknown classes there too: those classes are needed, their models are not.
    """

    kind: Literal["ui", "api"]
    classes: tuple[ClassNeed, ...] = ()
    models: tuple[ModelNeed, ...] = ()
    inactive_classes: tuple[ClassNeed, ...] = ()
    inactive_models: tuple[ModelNeed, ...] = ()
    front_end: Mapping[str, int] = field(default_factory=dict)
    """Nodes that never reach a server (notes, reroutes, ...), counted by type."""
    problems: tuple[str, ...] = ()
    """What could not be read, a sentence each."""

    def counts(self) -> dict[str, int]:
        """How many of each there are, for a line of a report."""
        return {
            "classes": len(self.classes),
            "models": len(self.models),
            "inactive classes": len(self.inactive_classes),
            "inactive models": len(self.inactive_models),
            "front-end nodes": sum(self.front_end.values()),
            "problems": len(self.problems),
        }


@dataclass(slots=True)
class ModelMention:
    """One place that names a model, before the places are put together."""

    filename: str
    subfolder: str
    folder: str | None
    place: Place
    active: bool
    evidence: Evidence
    url: str | None = None
    sha256: str | None = None


_ORDER: dict[str, int] = {"metadata": 0, "loader": 1, "list": 2, "input": 3, "value": 4}


def most_frequent(values: Iterable[str | None]) -> tuple[str, ...]:
    """Give each value once, the most frequent first, equals in alphabetical order."""
    counted = Counter(value for value in values if value is not None)
    return tuple(sorted(counted, key=lambda value: (-counted[value], value)))


def gather_models(mentions: Sequence[ModelMention]) -> tuple[ModelNeed, ...]:
    """Put the mentions of one file together; a folder that one of them knows serves the others."""
    by_name: dict[tuple[str, str], list[ModelMention]] = {}
    for mention in mentions:
        by_name.setdefault((mention.subfolder, mention.filename), []).append(mention)
    needs = []
    for (subfolder, filename), group in by_name.items():
        folders = {m.folder for m in group if m.folder is not None and _ORDER[m.evidence] < 3}
        folders = folders or {m.folder for m in group if m.folder is not None}
        only = next(iter(folders)) if len(folders) == 1 else None
        by_folder: dict[str | None, list[ModelMention]] = {}
        for mention in group:
            trusted = mention.folder if mention.folder in folders else None
            by_folder.setdefault(trusted or only, []).append(mention)
        for folder, found in by_folder.items():
            needs.append(
                ModelNeed(
                    filename,
                    folder,
                    subfolder,
                    most_frequent(m.url for m in found),
                    most_frequent(m.sha256 for m in found),
                    min((m.evidence for m in found), key=_ORDER.__getitem__),
                    tuple(dict.fromkeys(m.place for m in found)),
                )
            )
    return tuple(sorted(needs, key=lambda need: (need.folder or "~", need.name)))
