"""What making a lock finds out: conflicts, risks, sizes, and notes for people."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from comfynb.errors import Conflict, DeploymentError
from comfynb.models import Lock

__all__ = [
    "Claim",
    "ConflictFound",
    "LockReport",
    "Risk",
    "RiskLevel",
    "Sizes",
    "format_bytes",
    "size_of",
]

ConflictKind = Literal["python", "unavailable", "build", "folder", "model", "class"]
RiskLevel = Literal["high", "medium", "low"]
PythonCheck = Literal["uv", "specifiers", "none"]


@dataclass(frozen=True, slots=True)
class Claim:
    """What one side of a conflict wants."""

    party: str
    """A node pack's name, 'ComfyUI', or 'deployment'."""
    wants: str
    """E.g. a line of its requirements."""

    def __str__(self) -> str:
        return f"{self.party} wants {self.wants}"


@dataclass(frozen=True, slots=True)
class ConflictFound:
    """Things that cannot live together, with what each of them wants.

    ``blocking``: nothing can be made of it. The others are said, since one side loses silently.
    """

    kind: ConflictKind
    subject: str
    claims: tuple[Claim, ...]
    blocking: bool = True
    detail: str = ""
    """What the resolver said, for who wants to know."""

    @property
    def parties(self) -> tuple[str, ...]:
        """Who disagrees, each once."""
        return tuple(dict.fromkeys(claim.party for claim in self.claims))

    def __str__(self) -> str:
        claims = ", but ".join(str(claim) for claim in self.claims)
        cure = {
            "python": "leave one of them out, or choose another release of it",
            "unavailable": "the package index has no such release for this Python: choose another "
            "release of the pack, or leave it out",
            "build": "it has no wheel, and building it would run its code here: choose another "
            "release, allow builds, or leave it out",
            "folder": "give one of them another folder, or leave it out",
            "model": "give one of them another file name or folder",
            "class": "the pack that ComfyUI loads last wins: leave one of them out if that matters",
        }[self.kind]
        return f"{self.subject}: {claims}; {cure}."


@dataclass(frozen=True, slots=True)
class Risk:
    """Something to know before a machine runs this."""

    level: RiskLevel
    kind: str
    """E.g. 'pickle', 'banned', 'young author', 'install script', 'url', 'no hash', 'scan'."""
    subject: str
    """The pack, model or package."""
    text: str
    """One sentence."""

    def __str__(self) -> str:
        return f"{self.subject}: {self.text}"


@dataclass(frozen=True, slots=True)
class Sizes:
    """Bytes. What nobody says is counted, not guessed."""

    models: int = 0
    unknown_models: int = 0
    """Models without a size."""
    files: int = 0
    """Files of packs that are not cloned."""
    unknown_files: int = 0
    repositories: int = 0
    """How many repositories are cloned, ComfyUI's among them; their sizes are not known."""
    packages: int = 0
    """How many Python packages are installed; their sizes are not known."""

    @property
    def known(self) -> int:
        """What is known of the download."""
        return self.models + self.files

    @property
    def disk(self) -> int:
        """Room that is needed at least, with a tenth to spare."""
        return self.known + self.known // 10

    def __str__(self) -> str:
        text = f"{format_bytes(self.known)} to download"
        unknown = self.unknown_models + self.unknown_files
        if unknown:
            text += f", and {unknown} file{'s' if unknown > 1 else ''} of unknown size"
        return (
            f"{text}; besides {self.repositories} repositories and {self.packages} Python "
            f"packages, whose sizes nobody says; keep {format_bytes(self.disk)} free at least"
        )


def format_bytes(count: int) -> str:
    """Write a number of bytes for people, e.g. ``6.46 GiB``."""
    value = float(count)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.2f} GiB"


def size_of(lock: Lock) -> Sizes:
    """Add up what a lock downloads."""
    files = [file for node in lock.nodes for file in node.files]
    return Sizes(
        models=lock.download_size,
        unknown_models=sum(model.size is None for model in lock.models),
        files=sum(file.size or 0 for file in files),
        unknown_files=sum(file.size is None for file in files),
        repositories=1 + sum(node.kind == "git" for node in lock.nodes),
        packages=len(lock.python.requirements),
    )


@dataclass(frozen=True)
class LockReport:
    """A lock, and what there is to say about it."""

    name: str
    """The deployment's."""
    draft: Lock | None
    """None where conflicts or problems leave nothing to install."""
    conflicts: tuple[ConflictFound, ...] = ()
    risks: tuple[Risk, ...] = ()
    sizes: Sizes = field(default_factory=Sizes)
    problems: tuple[str, ...] = ()
    """Why something could not be pinned, a sentence each."""
    notes: tuple[str, ...] = ()
    python_check: PythonCheck = "none"
    """How requirements were compared: resolved by uv, or only their specifiers."""

    @property
    def blocking(self) -> tuple[ConflictFound, ...]:
        """The conflicts that leave nothing to install."""
        return tuple(conflict for conflict in self.conflicts if conflict.blocking)

    @property
    def lock(self) -> Lock:
        """The lock; raises Conflict or DeploymentError, naming who disagrees, where there is none.

        Raises:
            Conflict: ``problems`` has a sentence for each.
            DeploymentError: something cannot be pinned.
        """
        if self.draft is not None:
            return self.draft
        sentences = [str(conflict) for conflict in self.blocking]
        if sentences:
            raise Conflict(_first_of(self.name, sentences), problems=sentences)
        raise DeploymentError(_first_of(self.name, self.problems))

    def __str__(self) -> str:
        return "\n".join(_lines(self))


def _first_of(name: str, sentences: Sequence[str]) -> str:
    more = f" (and {len(sentences) - 1} more)" if len(sentences) > 1 else ""
    first = sentences[0] if sentences else "nothing says why."
    return f"{name!r:.80} cannot be locked: {first}{more}"


def _lines(report: LockReport) -> Iterable[str]:
    if report.draft is not None:
        lock = report.draft
        yield (
            f"{lock.name}: ComfyUI {lock.comfyui.version}, {len(lock.nodes)} node packs, "
            f"{len(lock.models)} models, {len(lock.python.requirements)} Python packages, "
            f"{len(lock.packages)} system packages."
        )
        yield f"{report.sizes}."
    else:
        yield f"{report.name}: no lock."
    for conflict in report.conflicts:
        yield f"{'Conflict' if conflict.blocking else 'Beware'}: {conflict}"
    for problem in report.problems:
        yield f"Problem: {problem}"
    order = {"high": 0, "medium": 1, "low": 2}
    for risk in sorted(report.risks, key=lambda risk: order[risk.level]):
        yield f"Risk ({risk.level}): {risk}"
    yield from report.notes
