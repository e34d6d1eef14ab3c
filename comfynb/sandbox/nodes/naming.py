"""Names of saved pictures: what a ``filename_prefix`` stands for, and the next free number."""

import datetime as dt
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from comfynb.sandbox.node import OutsideFolderError

__all__ = ["SavePlace", "expand_prefix", "save_place"]

_DATE_PARTS = {
    "yyyy": "%Y",
    "yy": "%y",
    "MM": "%m",
    "dd": "%d",
    "hh": "%H",
    "mm": "%M",
    "ss": "%S",
}
_DATE_PATTERN = re.compile("yyyy|yy|MM|M|dd|d|hh|h|mm|m|ss|s")
_UNFIT_FOR_NAMES = re.compile(r'[/?<>\\:*|"\x00-\x1f\x7f]')


@dataclass(frozen=True, slots=True)
class SavePlace:
    """Where the next pictures go: ``folder / name(...)``, announced under ``subfolder``."""

    folder: Path
    subfolder: str
    stem: str
    counter: int

    def name(self, index: int) -> str:
        """Return the file name of the picture ``index`` of a batch."""
        stem = self.stem.replace("%batch_num%", str(index))
        return f"{stem}_{self.counter + index:05}_.png"


def expand_prefix(
    prefix: str,
    *,
    width: int,
    height: int,
    now: dt.datetime,
    prompt: Mapping[str, Any] | None = None,
) -> str:
    """Put values for the ``%...%`` of a prefix; what is unknown stays as it is.

    ``%width%``, ``%height%``, ``%year%``, ``%month%``, ``%day%``, ``%hour%``, ``%minute%`` and
    ``%second%`` are ComfyUI's server's; ``%date:yyyy-MM-dd%`` and ``%Title.widget%`` (a node's
    title or class, a widget's value) are those of its front-end, so that prompts which never saw
    the front-end are named alike.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1]
        if name.startswith("date:"):
            return _date(name.removeprefix("date:"), now)
        found = _widget(name, prompt or {})
        return match[0] if found is None else _UNFIT_FOR_NAMES.sub("_", str(found))

    prefix = re.sub("%([^%]+)%", value, prefix)
    for name, text in (
        ("width", str(width)),
        ("height", str(height)),
        ("year", str(now.year)),
        ("month", f"{now.month:02}"),
        ("day", f"{now.day:02}"),
        ("hour", f"{now.hour:02}"),
        ("minute", f"{now.minute:02}"),
        ("second", f"{now.second:02}"),
    ):
        prefix = prefix.replace(f"%{name}%", text)
    return prefix


def _date(pattern: str, now: dt.datetime) -> str:
    def part(match: re.Match[str]) -> str:
        token = match[0]
        if token in _DATE_PARTS:
            return now.strftime(_DATE_PARTS[token])
        return str(int(now.strftime(_DATE_PARTS[token * 2])))

    return _DATE_PATTERN.sub(part, pattern)


def _widget(name: str, prompt: Mapping[str, Any]) -> object:
    title, separator, widget = name.rpartition(".")
    if not separator:
        return None
    for node in prompt.values():
        meta, inputs = node.get("_meta"), node.get("inputs")
        titles = [node.get("class_type"), meta.get("title") if isinstance(meta, dict) else None]
        value = inputs.get(widget) if isinstance(inputs, dict) else None
        if title in titles and isinstance(value, str | int | float):
            return value
    return None


def save_place(base: Path, prefix: str) -> SavePlace:
    """Find the folder and the next number for ``prefix`` (already expanded) below ``base``.

    The folder is made. Raises OutsideFolderError when the prefix leaves ``base``.
    """
    normal = os.path.normpath(prefix)
    subfolder, stem = os.path.split(normal)
    folder = base / subfolder
    if not folder.resolve().is_relative_to(base.resolve()):
        raise OutsideFolderError(
            f"the filename_prefix {prefix!r} leaves the folder that pictures are saved in"
        )
    folder.mkdir(parents=True, exist_ok=True)
    # Path.iterdir makes an object of each of thousands of names, at every save.
    taken = [_number(name, stem) for name in os.listdir(folder)]  # noqa: PTH208
    return SavePlace(folder, subfolder, stem, max(taken, default=0) + 1)


def _number(name: str, stem: str) -> int:
    """Return the number that a file of the same stem has, 0 for any other file."""
    if not name.startswith(f"{stem}_"):
        return 0
    digits = name[len(stem) + 1 :].partition("_")[0]
    return int(digits) if digits.isascii() and digits.isdigit() else 0
