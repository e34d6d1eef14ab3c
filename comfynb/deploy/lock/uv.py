"""Resolves requirements together with ``uv pip compile``, which runs nothing of the packages."""

import os
import re
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from shutil import which
from typing import Any

from packaging.utils import canonicalize_name

from comfynb.deploy.lock.program import plain_environment, run_program
from comfynb.deploy.lock.requirements import Wanted
from comfynb.errors import DeploymentError
from comfynb.models.lock import LockedRequirement

__all__ = ["Unsolvable", "Uv", "find_uv", "pinned"]

_PIN = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[(?P<extras>[^\]]*)\])?==(?P<version>\S+)")
_AT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:\[(?P<extras>[^\]]*)\])? @ (?P<url>\S+)")
_HASH = re.compile(r"--hash=(\S+)")


def find_uv() -> str | None:
    """The uv that came with comfynb, or another one; None where there is none."""
    if find_spec("uv") is not None:
        from uv import find_uv_bin

        try:
            return str(find_uv_bin())
        except FileNotFoundError:
            pass
    return which("uv")


@dataclass(frozen=True, slots=True)
class Unsolvable:
    """Requirements that no choice of releases meets; ``names`` of packages that uv mentioned."""

    text: str
    names: frozenset[str]


@dataclass(frozen=True)
class Uv:
    """How packages are resolved.

    ``index`` is the package index, uv's own where none is given; ``find_links`` a folder of wheels,
    with ``no_index`` the only source. ``allow_builds`` lets uv build what has no wheel, which runs
    the package's own code on this machine. ``cache`` is a folder; uv's own where none is given.
    """

    program: str | None = field(default_factory=find_uv)
    python: str = "3.12"
    platform: str = "x86_64-manylinux_2_28"
    index: str | None = None
    torch_backend: str | None = None
    """'cpu' or such as 'cu128': where torch and its relatives come from."""
    find_links: Path | None = None
    no_index: bool = False
    allow_builds: bool = False
    cache: Path | None = None
    exclude_newer: str | None = None
    """Leave out what was published later (RFC 3339), so that the same answer comes later."""
    timeout: float = 600

    async def resolve(
        self,
        wanted: Sequence[Wanted],
        *,
        former: Mapping[str, str] | None = None,
        hashes: bool = True,
    ) -> list[LockedRequirement] | Unsolvable:
        """Find one release of each package that all sides can live with.

        ``former``: releases to keep where they still fit. Raises DeploymentError where uv is not
        there, cannot reach an index or is asked something impossible.
        """
        if self.program is None:
            raise DeploymentError("uv is not here: install it with pip install uv.")
        with tempfile.TemporaryDirectory(prefix="comfynb-uv-") as folder:
            place = Path(folder)
            parties = _write(place, wanted, former or {})
            done = await run_program(
                [self.program, *self._arguments(place, hashes=hashes)],
                cwd=place,
                environment=plain_environment(HOME=folder, **_proxies(), **self._cache(place)),
                seconds=self.timeout,
                what="uv",
            )
            if done.code == 0:
                text = (place / "former.txt").read_text("utf-8")
                return sorted(_read(text, parties), key=lambda one: one.name)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", done.error)
        if "No solution found" in plain or "unsatisfiable" in plain:
            return Unsolvable(_sentence(plain), _names_in(plain))
        raise DeploymentError(f"uv could not resolve the Python packages: {_reason(plain)}.")

    def _cache(self, place: Path) -> dict[str, str]:
        # HOME is a folder of this one run.
        own = Path.home() / ".cache" / "uv" if self.cache is None else self.cache
        return {"UV_CACHE_DIR": str(own if own.parent.is_dir() else place / "cache")}

    def _arguments(self, place: Path, *, hashes: bool) -> list[str]:
        found = ["pip", "compile", "--no-config", "--no-python-downloads", "--no-progress"]
        found += ["--python", sys.executable, "--color", "never", "--no-header", "--quiet"]
        found += ["--python-version", self.python, "--python-platform", self.platform]
        found += ["--no-strip-extras", "--output-file", "former.txt"]
        found += ["--generate-hashes"] if hashes else []
        found += [] if self.allow_builds else ["--no-build"]
        found += ["--index-strategy", "first-index"]
        if self.no_index:
            found.append("--no-index")
        elif self.index is not None:
            found += ["--default-index", self.index]
        if self.torch_backend is not None and not self.no_index:
            found += ["--torch-backend", self.torch_backend]
        if self.find_links is not None:
            found += ["--find-links", str(self.find_links)]
        if self.exclude_newer is not None:
            found += ["--exclude-newer", self.exclude_newer]
        for path in sorted(place.glob("c*.txt")):
            found += ["--constraints", path.name]
        return [*found, "--", *(path.name for path in sorted(place.glob("p*.txt")))]


def _proxies() -> dict[str, str]:
    """The way to an index in networks that have only one; uv has no checks of ours to go around."""
    names = ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "NO_PROXY", "no_proxy")
    return {name: os.environ[name] for name in names if name in os.environ}


def _write(place: Path, wanted: Sequence[Wanted], former: Mapping[str, str]) -> dict[str, str]:
    """Write a file for each side; gives the side of each file."""
    parties = {}
    for number, one in enumerate(wanted):
        for letter, lines in (("p", one.lines), ("c", one.constraints)):
            if lines or letter == "p":
                name = f"{letter}{number}.txt"
                text = "".join(f"{line}\n" for line in lines)
                if letter == "p":
                    text += "".join(f"{name_} @ {url}\n" for name_, url in one.urls.items())
                (place / name).write_text(text, "utf-8")
                parties[name] = one.party
    kept = "".join(f"{name}=={version}\n" for name, version in sorted(former.items()))
    (place / "former.txt").write_text(kept, "utf-8")
    return parties


def _read(text: str, parties: Mapping[str, str]) -> list[LockedRequirement]:
    """Read what uv wrote: a pin, its hashes, and who wants it."""
    found: list[LockedRequirement] = []
    via: list[str] = []
    current: dict[str, Any] | None = None
    for raw in [*text.splitlines(), ""]:
        line = raw.strip().removesuffix("\\").strip()
        if line.startswith("#"):
            one = line.lstrip("# ").removeprefix("via").strip()
            if one:
                via.append(_party(one, parties))
            continue
        pin = _PIN.match(line) or _AT.match(line)
        if pin is not None or not line:
            if current is not None and (pin is not None or raw == ""):
                found.append(LockedRequirement(**current, via=_once(via)))
                current = None
            if pin is not None:
                groups = pin.groupdict()
                current = {
                    "name": canonicalize_name(groups["name"]),
                    "extras": sorted(e.strip() for e in (groups["extras"] or "").split(",") if e),
                    "version": groups.get("version"),
                    "url": groups.get("url"),
                    "hashes": [],
                }
                via = []
        if current is not None:
            current["hashes"] += sorted(_HASH.findall(line))
    return found


def _once(values: Sequence[str]) -> list[str]:
    return sorted(set(values), key=lambda value: (value.lower(), value))


def _party(text: str, parties: Mapping[str, str]) -> str:
    for option in ("-r ", "-c "):
        if text.startswith(option):
            return parties.get(text.removeprefix(option).strip(), "deployment")
    return text


def _sentence(text: str) -> str:
    """What uv says is impossible, on one line, without its drawing."""
    lines = [line.strip(" │├╰─▶×") for line in text.splitlines()]
    start = next((i for i, line in enumerate(lines) if "Because" in line), None)
    if start is None:
        return " ".join(lines)[:2000]
    return " ".join(lines[start:]).partition("Because")[2].join(("Because", ""))[:2000]


def _names_in(text: str) -> frozenset[str]:
    words = re.findall(r"[A-Za-z0-9][A-Za-z0-9._-]*", text)
    return frozenset(canonicalize_name(word.rstrip(".-_")) for word in words)


def _reason(text: str) -> str:
    lines = [re.sub(r"^[\s×│├╰─▶]*(error:|cause:)?\s*", "", line) for line in text.splitlines()]
    told = [line.strip() for line in lines if line.strip() and not line.startswith("warning")]
    plain = "; ".join(told[:4])
    # An index may be asked with a password in its address.
    return re.sub(r"(://)[^/@\s]*@", r"\1***@", plain)[:400].rstrip(".")


def pinned(requirements: Sequence[LockedRequirement]) -> dict[str, str]:
    """Releases by package, for the next time."""
    return {one.name: one.version for one in requirements if one.version is not None}
