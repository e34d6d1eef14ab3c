"""Conflicts that no package index knows of: folders, files and node classes wanted twice."""

from collections.abc import Iterable, Mapping, Sequence

from comfynb.deploy.lock.models import PinnedModel
from comfynb.deploy.lock.packs import PinnedPack
from comfynb.deploy.lock.report import Claim, ConflictFound
from comfynb.models.lock import LockedModel

__all__ = ["class_clashes", "folder_clashes", "merge_models"]

_MOST_NAMED = 6


def folder_clashes(packs: Sequence[PinnedPack]) -> list[ConflictFound]:
    """Packs that want the same folder; case does not count, as on many network volumes."""
    by_folder: dict[str, list[PinnedPack]] = {}
    for pack in packs:
        by_folder.setdefault(pack.locked.folder.lower(), []).append(pack)
    return [
        ConflictFound(
            "folder",
            f"Folder custom_nodes/{some[0].locked.folder}",
            tuple(
                Claim(f"{pack.node.name} ({pack.locked.repository or pack.node.githubUrl})", "it")
                for pack in some
            ),
        )
        for some in by_folder.values()
        if len(some) > 1
    ]


def class_clashes(
    packs: Sequence[PinnedPack], core: Iterable[str] = (), wanted: Iterable[str] = ()
) -> list[ConflictFound]:
    """Packs that bring node classes of the same names, or of ComfyUI's own names.

    They can be installed together: the one that ComfyUI loads last wins, and a workflow made for
    the other breaks. Only classes of ``core`` that are ``wanted`` are looked at, where given.
    """
    own = set(core)
    asked = set(wanted)
    by_class: dict[str, list[str]] = {}
    for pack in packs:
        for class_type in set(pack.node.nodeClasses) | set(pack.locked.classes):
            by_class.setdefault(class_type, []).append(pack.node.name)
    together: dict[tuple[str, ...], list[str]] = {}
    for class_type, names in sorted(by_class.items()):
        parties = tuple(sorted(names))
        if class_type in own and (not asked or class_type in asked):
            parties = ("ComfyUI", *parties)
        if len(parties) > 1:
            together.setdefault(parties, []).append(class_type)
    return [
        ConflictFound(
            "class",
            _named(classes),
            tuple(
                Claim(party, "to bring it" if len(classes) == 1 else "to bring them")
                for party in parties
            ),
            blocking=False,
        )
        for parties, classes in sorted(together.items())
    ]


def _named(classes: Sequence[str]) -> str:
    shown = ", ".join(repr(name)[:80] for name in classes[:_MOST_NAMED])
    more = f" and {len(classes) - _MOST_NAMED} more" if len(classes) > _MOST_NAMED else ""
    return f"Node class{'es' if len(classes) > 1 else ''} {shown}{more}"


def merge_models(models: Sequence[PinnedModel]) -> tuple[list[PinnedModel], list[ConflictFound]]:
    """Each file once; two different files for one place are a conflict."""
    by_path: Mapping[str, list[PinnedModel]] = _by_path(models)
    kept, conflicts = [], []
    for some in by_path.values():
        if all(_same(some[0].locked, other.locked) for other in some[1:]):
            kept.append(some[0])
        else:
            claims = tuple(Claim(m.known.model.name, f"{m.locked.url} there") for m in some)
            conflicts.append(ConflictFound("model", f"File {some[0].locked.path}", claims))
    return kept, conflicts


def _by_path(models: Sequence[PinnedModel]) -> Mapping[str, list[PinnedModel]]:
    found: dict[str, list[PinnedModel]] = {}
    for model in models:
        found.setdefault(model.locked.path.lower(), []).append(model)
    return found


def _same(one: LockedModel, other: LockedModel) -> bool:
    if one.sha256 is not None and other.sha256 is not None:
        return one.sha256 == other.sha256
    return one.url == other.url
