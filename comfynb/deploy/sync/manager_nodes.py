"""ComfyUI-Manager's lists of packs, read entry by entry: what each says, or why it says nothing."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from comfynb.deploy.catalogue.classes import CORE, CORE_KEYS
from comfynb.deploy.catalogue.entries import NodeEntry, Outcome
from comfynb.deploy.catalogue.text import line, lines, several, words
from comfynb.deploy.catalogue.urls import Repository, file_key, repository

__all__ = ["ALTER", "LIST", "MAP", "STATS", "Pack", "packs_of"]

LIST = "custom-node-list.json"
MAP = "extension-node-map.json"
STATS = "github-stats.json"
ALTER = "alter-list.json"

_REGISTRY_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_INSTALL = {
    "git-clone": "git",
    "git": "git",
    "clone": "git",
    "copy": "copy",
    "unzip": "unzip",
    "zip": "unzip",
}
_LONGEST_CLASS = 300


@dataclass(slots=True)
class Pack:
    """One pack, and the entries of other files that say something about it too."""

    entry: NodeEntry
    part: str
    attached: list[tuple[str, str]] = field(default_factory=list)
    """Part and label of each."""


@dataclass
class _Finder:
    """Packs by all the ways in which the files name them."""

    by_key: dict[str, Pack] = field(default_factory=dict)
    by_file: dict[str, Pack] = field(default_factory=dict)
    by_alias: dict[str, Pack] = field(default_factory=dict)

    def find(self, url: str) -> tuple[Pack | None, Repository]:
        """Return the pack that a URL means; raises ValueError where it is no URL of a pack."""
        place = repository(url)
        pack = self.by_key.get(place.key)
        if pack is None:
            pack = self.by_file.get(file_key(url)) or self.by_alias.get(place.key)
        return pack, place


def packs_of(files: Mapping[str, Any]) -> tuple[list[Pack], list[tuple[str, Outcome]], int]:
    """Return the packs of all files, the entries that ended before, and how many there are.

    ``files`` are the parsed files by name; those that are not there were not had.
    """
    done: list[tuple[str, Outcome]] = []
    finder = _Finder()
    packs: list[Pack] = []
    listed = files[LIST]["custom_nodes"] if LIST in files else []
    for number, item in enumerate(listed):
        _list_entry(number, item, finder, packs, done)
    mapped = files.get(MAP, {})
    for url, item in mapped.items():
        _map_entry(url, item, finder, packs, done)
    if MAP in files:  # who is not in it brings no classes; without it, nobody knows
        for pack in packs:
            pack.entry.nodeClasses = pack.entry.nodeClasses or []
    stats = files.get(STATS, {})
    # A key that had to be repaired comes after those that are right.
    for url, item in sorted(stats.items(), key=lambda pair: not pair[0].startswith("https://")):
        _stats_entry(url, item, finder, packs, done)
    altered = files[ALTER]["items"] if ALTER in files else []
    for number, item in enumerate(altered):
        _alter_entry(number, item, finder, packs, done)
    return packs, done, len(listed) + len(mapped) + len(stats) + len(altered)


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        value = [value]
    return [one for one in value if isinstance(one, str)] if isinstance(value, list) else []


def _place(
    kind: str, files: Sequence[str], reference: str, second: str
) -> tuple[Repository, str | None]:
    """Return where a pack lives: what is cloned, or else the page that it is described on."""
    candidates = (
        [*files[:1], reference, second] if kind == "git" else [reference, second, *files[:1]]
    )
    problem = "names no URL"
    for number, url in enumerate(one for one in candidates if one):
        try:
            place = repository(url)
        except ValueError as error:
            if number == 0:
                problem = str(error)
            continue
        note = place.repaired
        if number and note is None and problem != "names no URL":
            note = f"its first URL {problem}; the next one was taken"
        return place, note
    raise ValueError(problem)


def _list_entry(
    number: int,
    item: object,
    finder: _Finder,
    packs: list[Pack],
    done: list[tuple[str, Outcome]],
) -> None:
    if not isinstance(item, dict):
        done.append((LIST, _refused(f"#{number}", f"it is a {type(item).__name__}, no object")))
        return
    files = _texts(item.get("files"))
    reference, second = _one(item.get("reference")), _one(item.get("reference2"))
    label = line(item.get("title"), 120) or line(item.get("name"), 120) or f"#{number}"
    word = _one(item.get("install_type")).strip().lower()
    kind = _INSTALL.get(word) if word else "git"
    if kind is None:
        reason = f"its install type {word!r:.40} is not known"
        done.append((LIST, _refused(label, reason)))
        return
    if kind != "git" and not files:
        done.append((LIST, _refused(label, f"it is of the type {kind}, but names no files")))
        return
    try:
        place, note = _place(kind, files, reference, second)
        kept = [_file(url) for url in files] if kind != "git" else []
    except ValueError as error:
        done.append((LIST, _refused(label, f"its URL {error}")))
        return
    notes = [note] if note else []
    registry_id = item.get("id")
    if registry_id is not None and not (
        isinstance(registry_id, str) and _REGISTRY_ID.fullmatch(registry_id)
    ):
        notes.append("its id is none of the registry's and was left out")
        registry_id = None
    title = line(item.get("title")) or line(item.get("name"))
    entry = NodeEntry(
        label=label,
        url=place.url,
        keys=(place.key,),
        name=title or place.url.rpartition("/")[2],
        description=several(item.get("description")),
        author=line(item.get("author")),
        branch=place.branch or line(item.get("branch"), 200),
        installType=kind,
        pipRequirements=lines(item.get("pip")),
        jsFiles=lines(item.get("js_path")),
        tags=[*words(item.get("tags")), *words(item.get("category"))],
        registryId=registry_id,
        nodenamePattern=_pattern(item.get("nodename_pattern")),
        preempts=_classes(item.get("preemptions"))[0],
        aptPackages=lines(item.get("apt_dependency")),
        files=kept,
        note="; ".join(notes) or None,
    )
    known = finder.by_key.get(place.key)
    if known is not None:
        _fold(known.entry, entry)
        done.append(
            (
                LIST,
                Outcome(
                    "merged", label, reason=f"the same repository as {known.entry.label!r:.80}"
                ),
            )
        )
    else:
        known = finder.by_key[place.key] = Pack(entry, LIST)
        packs.append(known)
    for url in files if kind != "git" else ():
        _alias(finder.by_file, url, known, file_key)
    for url in (reference, second):
        _alias(finder.by_alias, url, known, lambda text: repository(text).key)


def _alias(names: dict[str, Pack], url: str, pack: Pack, key: Any) -> None:
    try:
        names.setdefault(key(url), pack)
    except ValueError:
        return  # what is no URL names nothing, and the entry has said so


def _file(url: str) -> str:
    text = url.strip()
    file_key(text)  # raises ValueError
    if not text.startswith("https://"):
        raise ValueError("of a file is not https")
    return text


def _fold(into: NodeEntry, other: NodeEntry) -> None:
    """Let a second entry of the same pack say what the first does not."""
    for name in ("description", "author", "branch", "registryId", "nodenamePattern"):
        if not getattr(into, name):
            setattr(into, name, getattr(other, name))
    for name in ("pipRequirements", "jsFiles", "tags", "preempts", "aptPackages", "files"):
        first, second = getattr(into, name) or [], getattr(other, name) or []
        if name == "files" and into.installType != other.installType:
            continue
        setattr(into, name, list(dict.fromkeys([*first, *second])))


def _classes(value: object) -> tuple[list[str], int]:
    """Return the node classes in a list, each once and exactly as it is, and how many are none."""
    if not isinstance(value, list):
        return [], 0
    good = [
        one
        for one in value
        if isinstance(one, str)
        and one.strip()
        and len(one) <= _LONGEST_CLASS
        and (one.isprintable() or not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in one))
        and _is_text(one)
    ]
    return list(dict.fromkeys(good)), len(value) - len(good)


def _is_text(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _map_entry(
    url: str,
    item: object,
    finder: _Finder,
    packs: list[Pack],
    done: list[tuple[str, Outcome]],
) -> None:
    if not (isinstance(item, list) and item and isinstance(item[0], list)):
        done.append((MAP, _refused(url, "it is not [[classes], {facts}]")))
        return
    facts = item[1] if len(item) > 1 and isinstance(item[1], dict) else {}
    names, bad = _classes(item[0])
    try:
        pack, place = finder.find(url)
    except ValueError as error:
        done.append((MAP, _refused(url, f"its URL {error}")))
        return
    note = f"{bad} of its classes have no usable name" if bad else None
    if pack is None:
        is_core = place.key in CORE_KEYS
        entry = NodeEntry(
            label=line(url, 200) or "",
            url=place.url,
            keys=CORE_KEYS if is_core else (place.key,),
            adds_only=not is_core,
            name="ComfyUI" if is_core else None,
            installType=CORE if is_core else None,
            note=note,
        )
        pack = finder.by_key[place.key] = Pack(entry, MAP)
        packs.append(pack)
    else:
        pack.attached.append((MAP, line(url, 200) or ""))
        if note:
            pack.entry.note = f"{pack.entry.note}; {note}" if pack.entry.note else note
    entry = pack.entry
    entry.nodeClasses = list(dict.fromkeys([*(entry.nodeClasses or ()), *names]))
    entry.preempts = list(
        dict.fromkeys([*(entry.preempts or ()), *_classes(facts.get("preemptions"))[0]])
    )
    entry.nodenamePattern = entry.nodenamePattern or _pattern(facts.get("nodename_pattern"))


def _stats_entry(
    url: str,
    item: object,
    finder: _Finder,
    packs: list[Pack],
    done: list[tuple[str, Outcome]],
) -> None:
    if not isinstance(item, dict):
        done.append((STATS, _refused(url, f"it is a {type(item).__name__}, no object")))
        return
    values: dict[str, Any] = {}
    for name, key in (("stars", "stars"), ("authorAgeDays", "author_account_age_days")):
        number = item.get(key)
        if number is None:
            continue
        if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < 2**53:
            done.append((STATS, _refused(url, f"its {key} is not a whole number from 0")))
            return
        values[name] = number
    if item.get("last_update") is not None:
        try:
            values["lastUpdate"] = _moment(item["last_update"])
        except ValueError:
            done.append((STATS, _refused(url, "its last_update is not a time")))
            return
    try:
        pack, place = finder.find(url)
    except ValueError as error:
        done.append((STATS, _refused(url, f"its URL {error}")))
        return
    label = line(url, 200) or ""
    if pack is None:
        entry = NodeEntry(label, keys=(place.key,), adds_only=True, note=place.repaired)
        pack = finder.by_key[place.key] = Pack(entry, STATS)
        packs.append(pack)
    elif pack.part == STATS or (STATS, label) in pack.attached or pack.entry.stars is not None:
        reason = f"the same repository as {pack.entry.label!r:.80}, whose figures were taken"
        done.append((STATS, Outcome("merged", label, reason=reason)))
        return
    else:
        pack.attached.append((STATS, label))
    for name, value in values.items():
        setattr(pack.entry, name, value)


def _moment(value: object) -> datetime:
    if not isinstance(value, str):
        raise ValueError("is not text")  # noqa: TRY004 - said of the data, not of the call
    moment = datetime.fromisoformat(value.strip())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _alter_entry(
    number: int,
    item: object,
    finder: _Finder,
    packs: list[Pack],
    done: list[tuple[str, Outcome]],
) -> None:
    url = _one(item.get("id")) if isinstance(item, dict) else ""
    if not isinstance(item, dict) or not url:
        done.append((ALTER, _refused(f"#{number}", "it is no object with an id")))
        return
    try:
        pack, place = finder.find(url)
    except ValueError as error:
        done.append((ALTER, _refused(url, f"its URL {error}")))
        return
    label = line(url, 200) or ""
    if pack is None:
        pack = Pack(NodeEntry(label, keys=(place.key,), adds_only=True), ALTER)
        finder.by_key[place.key] = pack
        packs.append(pack)
    else:
        pack.attached.append((ALTER, label))
    pack.entry.tags = list(dict.fromkeys([*(pack.entry.tags or ()), *words(item.get("tags"))]))


def _pattern(value: object) -> str:
    """Return a pattern for node classes as it is; '' for what none of them could be."""
    text = _one(value)
    return text if len(text) <= _LONGEST_CLASS and text.isprintable() else ""


def _one(value: object) -> str:
    return value if isinstance(value, str) else ""


def _refused(label: str, reason: str) -> Outcome:
    return Outcome("refused", line(label, 200) or "?", reason=reason)
