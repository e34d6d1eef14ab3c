"""What differs between two locks, in readable lines, with a reason where one is known."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from comfynb.deploy.lock.report import format_bytes
from comfynb.models import Lock
from comfynb.models.lock import (
    LockedModel,
    LockedNode,
    LockedPackage,
    LockedPython,
    LockedRequirement,
)

__all__ = ["Change", "LockDiff", "diff_locks"]

T = TypeVar("T")
What = Literal[
    "comfyui", "python", "node", "model", "requirement", "package", "environment", "other"
]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is otherwise. ``before`` and ``after`` are None where it is new or gone."""

    what: What
    name: str
    before: str | None
    after: str | None
    reason: str = ""
    """Why, as the end of a sentence; empty where the locks alone do not tell."""

    def __str__(self) -> str:
        kind = "" if self.what in {"comfyui", "other"} else f"{self.what} "
        if self.before is None:
            text = f"+ {kind}{self.name}: {self.after}"
        elif self.after is None:
            text = f"- {kind}{self.name}: {self.before}"
        else:
            text = f"~ {kind}{self.name}: {self.before} -> {self.after}"
        return f"{text} ({self.reason})" if self.reason else text


@dataclass(frozen=True, slots=True)
class LockDiff:
    """All changes from one lock to another; none means that they make the same machine."""

    changes: tuple[Change, ...]

    def __bool__(self) -> bool:
        return bool(self.changes)

    def __len__(self) -> int:
        return len(self.changes)

    def __str__(self) -> str:
        return "\n".join(map(str, self.changes)) or "Nothing has changed."


def diff_locks(old: Lock, new: Lock) -> LockDiff:
    """Compare two locks; when they were made does not count, nor the order of their parts."""
    changes: list[Change] = []
    if old.name != new.name:
        changes.append(Change("other", "name", old.name, new.name))
    changes += _whole("comfyui", "ComfyUI", old.comfyui, new.comfyui, _comfyui)
    changes += _python(old.python, new.python)
    changes += _parts("node", old.nodes, new.nodes, lambda n: n.folder.lower(), _node)
    changes += _parts("model", old.models, new.models, lambda m: m.path.lower(), _model)
    requirements = old.python.requirements, new.python.requirements
    changes += _parts("requirement", *requirements, lambda r: r.name, _requirement)
    changes += _parts("package", old.packages, new.packages, lambda p: p.name, _package)
    changes += _environment(old.environment, new.environment)
    changes += _allowed(old.allowed_variables, new.allowed_variables)
    for name in ("workspace", "environment_name"):
        changes += _whole("other", name, getattr(old, name), getattr(new, name), _text)
    return LockDiff(tuple(changes))


def _whole(what: What, name: str, old: T, new: T, show: Callable[[T], str]) -> Iterable[Change]:
    if old != new:
        yield Change(what, name, *_told(old, new, show))


def _told(old: T, new: T, show: Callable[[T], str]) -> tuple[str, str]:
    """Both in words; where the words are the same, with all that there is."""
    before, after = show(old), show(new)
    if before == after:
        differing = _differing(old, new)
        before, after = (
            f"{text} ({', '.join(f'{k} {_short(v)}' for k, v in some.items())})"
            for text, some in ((before, differing[0]), (after, differing[1]))
        )
    return before, after


def _differing(old: Any, new: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    one, other = (
        value.model_dump(mode="json") if hasattr(value, "model_dump") else {"value": value}
        for value in (old, new)
    )
    keys = [key for key in one if one[key] != other.get(key)]
    return {key: one[key] for key in keys}, {key: other.get(key) for key in keys}


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _parts(
    what: What,
    old: Sequence[T],
    new: Sequence[T],
    key: Callable[[T], str],
    show: Callable[[T], str],
) -> Iterable[Change]:
    before, after = ({key(item): item for item in items} for items in (old, new))
    for name in sorted(before.keys() | after.keys()):
        one, other = before.get(name), after.get(name)
        if one is None and other is not None:
            yield Change(what, _name(other), None, show(other))
        elif other is None and one is not None:
            yield Change(what, _name(one), show(one), None)
        elif one is not None and other is not None and _content(one) != _content(other):
            yield Change(what, _name(other), *_told(one, other, show))


def _content(item: object) -> object:
    # Who wants a package may change without anything else being installed.
    if isinstance(item, LockedRequirement):
        return item.model_dump(exclude={"via"})
    return item


def _name(item: object) -> str:
    if isinstance(item, LockedNode):
        return item.name
    if isinstance(item, LockedModel):
        return item.path
    return str(getattr(item, "name", item))


def _python(old: LockedPython, new: LockedPython) -> Iterable[Change]:
    for name in ("version", "cuda", "index", "torch_index"):
        label = {"version": "Python", "cuda": "CUDA"}.get(name, name)
        yield from _whole("other", label, getattr(old, name), getattr(new, name), _text)


def _environment(old: Mapping[str, str], new: Mapping[str, str]) -> Iterable[Change]:
    # Values stay where they are: a line of a report is no place for what may be private.
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            yield Change("environment", name, None, "set")
        elif name not in new:
            yield Change("environment", name, "set", None)
        elif old[name] != new[name]:
            yield Change("environment", name, "a value", "another value")


def _allowed(old: Collection[str], new: Collection[str]) -> Iterable[Change]:
    for name in sorted({*old} ^ {*new}):
        before, after = ("not allowed", "allowed")[:: 1 if name in new else -1]
        yield Change("environment", f"{name} to run other code", before, after)


def _text(value: object) -> str:
    return "none" if value is None else str(value)


def _comfyui(value: Any) -> str:
    return f"{value.version} ({value.commit[:12]})"


def _node(node: LockedNode) -> str:
    if node.commit is not None:
        return f"{node.version} ({node.commit[:12]})" if node.version else node.commit[:12]
    return f"{len(node.files)} files"


def _model(model: LockedModel) -> str:
    size = format_bytes(model.size) if model.size is not None else "unknown size"
    sha256 = model.sha256[:12] if model.sha256 is not None else "no hash"
    return f"{size}, {sha256}"


def _requirement(requirement: LockedRequirement) -> str:
    return requirement.version or requirement.url or ""


def _package(package: LockedPackage) -> str:
    return package.version or "any version"
