"""What to know before a machine runs a lock: code that runs, files nobody vouches for."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from comfynb.deploy.lock.files import name_at
from comfynb.deploy.lock.models import PinnedModel
from comfynb.deploy.lock.packs import PinnedPack
from comfynb.deploy.lock.report import Risk, RiskLevel
from comfynb.deploy.lock.requirements import Wanted
from comfynb.models import NodeVersion
from comfynb.models.lock import LockedRequirement

__all__ = ["model_risks", "pack_risks", "python_risks", "requirement_risks"]

_PICKLES: Final = (".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pt2")
_CHANNELS: Final = {"dev", "legacy", "forked"}
YOUNG_DAYS: Final = 90
_OLD_DAYS: Final = 2 * 365
# All of them write the folder cv2: which one is there depends on the order of installation.
_OPENCV: Final = frozenset(
    {
        *("opencv-python", "opencv-python-headless"),
        *("opencv-contrib-python", "opencv-contrib-python-headless"),
    }
)


# Releases that were published by thieves of the account, and are known for it.
_COMPROMISED: Final = {
    "num2words": {"0.5.15"},
    "ultralytics": {"8.3.41", "8.3.42", "8.3.45", "8.3.46"},
}


def pack_risks(pack: PinnedPack, now: datetime) -> list[Risk]:
    """Name what is risky about a node pack, which runs its code on the machine in any case."""
    node, facts, locked = pack.node, pack.known.facts, pack.locked
    found: list[Risk] = []

    def add(level: RiskLevel, kind: str, text: str) -> None:
        found.append(Risk(level, kind, node.name, text))

    status = (facts.status if facts is not None else None) or ""
    if "banned" in status.lower() or "flagged" in status.lower():
        add("high", "banned", f"the registry says {_plain(status)}.")
    release = _release(pack)
    if release is not None and _bad(release.status):
        add(
            "high",
            "banned",
            f"the registry says {_plain(release.status)} of release {_plain(release.version)}.",
        )
    if not node.isActive:
        add("high", "not offered", "no source lists it any more.")
    if not node.isVerified:
        add("low", "unverified", "nobody has verified it here.")
    if facts is not None:
        age = facts.authorAgeDays
        if age is not None and age < YOUNG_DAYS:
            add("high", "young author", f"its author's account was {age} days old when last seen.")
        if facts.channel in _CHANNELS:
            add("medium", "channel", f"ComfyUI-Manager lists it in its channel {facts.channel}.")
        if facts.stars == 0:
            add("low", "unknown", "nobody has starred it.")
        if facts.lastUpdate is not None and (now - facts.lastUpdate).days > _OLD_DAYS:
            add("low", "stale", f"it was last changed on {facts.lastUpdate:%Y-%m-%d}.")
    if locked.install_script:
        add(
            "medium", "install script", "its install.py runs code of its own while it is installed."
        )
    if locked.kind != "git":
        how = "copied" if locked.kind == "copy" else "unpacked"
        add("medium", "not cloned", f"its files are {how} from addresses that have no history.")
        for file in locked.files:
            if file.sha256 is None:
                add("high", "no hash", f"the file {_plain(file.path)} has no hash.")
    for address in [locked.repository or "", *(file.url for file in locked.files)]:
        host = urlsplit(address).hostname
        if host and host not in {"github.com", "raw.githubusercontent.com"}:
            add("low", "host", f"it comes from {_plain(host)}.")
    if locked.license is None:
        add("low", "licence", "it names no licence.")
    return found


def _release(pack: PinnedPack) -> NodeVersion | None:
    for version in pack.known.versions:
        if pack.locked.commit is not None and version.commit == pack.locked.commit:
            return version
        if pack.locked.version is not None and version.version == pack.locked.version:
            return version
    return None


def _bad(status: str | None) -> bool:
    plain = (status or "").lower()
    return any(word in plain for word in ("banned", "flagged", "deleted"))


def requirement_risks(wanted: Wanted) -> list[Risk]:
    """Name the lines of a requirements file that are not followed."""
    return [
        Risk(
            "high" if odd.kind in {"git", "url", "option"} else "medium",
            f"requirement {odd.kind}",
            wanted.party,
            f"its line {odd.line!r} {odd.reason}; it is left out.",
        )
        for odd in wanted.odd
    ]


def python_risks(requirements: Sequence[LockedRequirement]) -> list[Risk]:
    """Name what is risky about the resolved packages."""
    found = [
        Risk("medium", "no hash", one.name, "the package index gives no hash for it.")
        for one in requirements
        if not one.hashes
    ]
    found += [
        Risk("high", "compromised", one.name, f"release {one.version} is known to hold malware.")
        for one in requirements
        if one.version in _COMPROMISED.get(one.name, ())
    ]
    opencv = [one for one in requirements if one.name in _OPENCV]
    if len(opencv) > 1:
        wanted = "; ".join(f"{one.name} for {', '.join(one.via) or 'itself'}" for one in opencv)
        found.append(
            Risk(
                "medium",
                "opencv",
                "opencv",
                f"{len(opencv)} builds of OpenCV overwrite one another's files: {_plain(wanted)}.",
            )
        )
    return found


def model_risks(model: PinnedModel) -> list[Risk]:
    """Name what is risky about a model file."""
    locked, row = model.locked, model.known.model
    subject = locked.path
    found: list[Risk] = []
    if locked.sha256 is None:
        text = "nobody tells its hash, so another file would not be noticed."
        found.append(Risk("medium", "no hash", subject, text))
    if locked.size is None:
        found.append(Risk("low", "no size", subject, "nobody tells its size."))
    if model.problem is not None:
        text = f"its source could not be asked: {_plain(model.problem)}."
        found.append(Risk("medium", "not asked", subject, text))
    if locked.filename.lower().endswith(_PICKLES):
        text = (
            f"a {locked.filename[locked.filename.rfind('.') :].lower()} file may run code when it "
            "is loaded; prefer .safetensors."
        )
        found.append(Risk("medium", "pickle", subject, text))
    if model.scan is not None and model.scan != "Success":
        text = f"its source's scans say {_plain(model.scan)!r}."
        found.append(Risk("high", "scan", subject, text))
    if not row.isActive or (model.version is not None and not model.version.isActive):
        found.append(Risk("medium", "not offered", subject, "its source no longer has it."))
    if not row.isVerified:
        found.append(Risk("low", "unverified", subject, "nobody has verified it here."))
    if locked.license is None:
        found.append(Risk("low", "licence", subject, "it names no licence."))
    last = name_at(locked.url)
    if (
        "." in last
        and last.rpartition(".")[2].lower() != locked.filename.rpartition(".")[2].lower()
    ):
        text = f"at its address it is called {_plain(last)!r}, which is another kind of file."
        found.append(Risk("medium", "name", subject, text))
    return found


def _plain(text: str | None) -> str:
    """Somebody else's text: printable and bounded."""
    return "".join(c if c.isprintable() else "?" for c in text or "")[:200]
