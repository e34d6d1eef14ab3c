"""Requirement files of node packs: lines that are resolved, and lines that are a risk."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from comfynb.models._checks import check_url

__all__ = ["OddLine", "Wanted", "is_torch_family", "read_requirements"]

_OPTION = re.compile(r"-{1,2}[A-Za-z][A-Za-z-]*")
_COMMENT = re.compile(r"(^|\s+)#.*$")
_TORCH: Final = frozenset(
    {
        *("pytorch-triton", "pytorch-triton-rocm", "torch", "torchao", "torchaudio"),
        *("torchvision", "triton", "xformers"),
    }
)
_MOST_LINES: Final = 2000
_ARCHIVES: Final = (".whl", ".zip", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".tar")
_BARE_GIT = re.compile(
    r"(?:[A-Za-z0-9_.-]+(?:\[[^\]]*\])?\s*@\s*)?(git|hg|svn|bzr)\+", re.IGNORECASE
)


def is_torch_family(name: str) -> bool:
    """Whether a package's release follows from the choice of CUDA, not from who wants it."""
    plain = canonicalize_name(name)
    return plain in _TORCH or plain.startswith("nvidia-")


@dataclass(frozen=True, slots=True)
class OddLine:
    """A line that is not resolved, and why it is a risk."""

    line: str
    kind: str
    """'url', 'git', 'option', 'file', 'unreadable' or 'left out'."""
    reason: str
    """The end of a sentence that begins with the line."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What one side wants: ``lines`` to resolve, ``constraints`` on torch and its relatives."""

    party: str
    lines: tuple[str, ...] = ()
    constraints: tuple[str, ...] = ()
    odd: tuple[OddLine, ...] = ()
    urls: Mapping[str, str] = field(default_factory=dict)
    """Archives that the deployment itself wants, by package."""

    def names(self) -> set[str]:
        """The packages of all lines."""
        return {
            canonicalize_name(Requirement(one).name) for one in (*self.lines, *self.constraints)
        }


def read_requirements(party: str, lines: Iterable[str], *, installs_torch: bool = False) -> Wanted:
    """Read the lines of a requirements file; only plain requirements are resolved.

    What would fetch from elsewhere (URLs, ``git+``, options such as ``--index-url``) is never
    followed: it is a risk that the report names. Lines about torch and its relatives limit which
    release is taken but install nothing, unless ``installs_torch``.
    """
    plain: list[str] = []
    constraints: list[str] = []
    odd: list[OddLine] = []
    for number, line in enumerate(_joined(lines)):
        if number >= _MOST_LINES:
            odd.append(OddLine("...", "left out", f"stands behind {_MOST_LINES} lines"))
            break
        found = _read(line)
        if isinstance(found, OddLine):
            odd.append(found)
        elif is_torch_family(found.name) and not installs_torch:
            # A constraint takes no extras.
            found.extras = set()
            constraints.append(str(found))
        else:
            plain.append(str(found))
    return Wanted(party, _once(plain), _once(constraints), tuple(odd))


def _once(lines: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(lines))


def _joined(lines: Iterable[str]) -> Iterable[str]:
    """Join lines that end in a backslash; leave comments and empty lines out."""
    waiting = ""
    for raw in lines:
        for piece in raw.replace("\r", "\n").split("\n"):
            text = waiting + piece
            if text.endswith("\\"):
                waiting = text[:-1]
                continue
            waiting = ""
            text = _COMMENT.sub("", text).strip()
            if text:
                yield text
    if waiting.strip():
        yield waiting.strip()


def _read(line: str) -> Requirement | OddLine:
    shown = _shown(line)
    if line.startswith("-"):
        return _option(line, shown)
    if _BARE_GIT.match(line):
        return OddLine(shown, "git", "would be built from a repository, whatever is in it then")
    # Hashes belong to the pack's own choice of release; the lock has its own.
    bare = re.split(r"\s--(?:hash|config-settings|global-option)\b", line)[0].strip()
    # uv takes such a name for a path.
    if bare.lower().endswith(_ARCHIVES) and "://" not in bare:
        return OddLine(shown, "file", "names a file, which is not there")
    try:
        requirement = Requirement(bare)
    except InvalidRequirement:
        if "://" in line:
            return OddLine(shown, "url", "would be taken from an address of its own")
        if line.startswith((".", "/", "~")) or "/" in line:
            return OddLine(shown, "file", "names a file, which is not there")
        return OddLine(shown, "unreadable", "is no requirement that pip understands")
    if requirement.url is not None:
        return OddLine(shown, "url", "would be taken from an address of its own")
    return requirement


def _option(line: str, shown: str) -> OddLine:
    match = _OPTION.match(line)
    name = match[0] if match else "-"
    if name in {"-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--index"}:
        return OddLine(shown, "option", "would take packages from another index")
    if name in {"-r", "--requirement", "-c", "--constraint"}:
        return OddLine(shown, "file", "names another file, which is not followed")
    if name in {"-e", "--editable"}:
        return OddLine(shown, "git", "would be built from a folder or repository")
    return OddLine(shown, "option", "is an option of the installer, which is not followed")


def _shown(line: str) -> str:
    """A line for a report: without a user name or password, bounded, printable."""
    text = re.sub(r"(://)[^/@\s]*@", r"\1***@", line)
    text = re.sub(r"(?i)((?:token|key|password|secret)[^=\s]*=)[^&\s]+", r"\1***", text)
    return "".join(c if c.isprintable() else "?" for c in text)[:200]


def read_url(url: str) -> str:
    """Check the address of a wheel or archive that the deployment itself wants."""
    check_url(url)
    if urlsplit(url).scheme != "https":
        raise ValueError("must begin with https://")
    if "$" in url:
        raise ValueError("must not hold a $, which installers replace by variables")
    return url
