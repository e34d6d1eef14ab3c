"""Which pack brings a node class: rules in a fixed order, and no guess behind the last of them."""

from collections.abc import Collection, Iterable, Sequence

from comfynb.deploy.resolve.folders import parse_version
from comfynb.deploy.resolve.index import PackIndex
from comfynb.deploy.resolve.needs import ClassNeed, PackHint
from comfynb.deploy.resolve.resolution import (
    ClassRule,
    PackCandidate,
    PackUse,
    ResolvedClass,
    Status,
)
from comfynb.models import CustomNode

__all__ = ["CORE_ID", "core_classes_of", "is_newer", "packs_of", "resolve_class", "saved_with"]

CORE_ID = "comfy-core"
_NEWER = "the workflow is from a newer ComfyUI than the catalogue knows, which may bring it itself"


def resolve_class(
    need: ClassNeed,
    index: PackIndex,
    *,
    core: Collection[str] = (),
    on: tuple[str, ...] = (),
    chosen: CustomNode | str | None = None,
    newer: bool = False,
) -> ResolvedClass:
    """Find the pack of one class.

    In order: ComfyUI itself (``core``, or what the catalogue lists); the workflow's own metadata,
    where the catalogue knows that pack; a pack that claims the class for itself; the only pack
    that has it; the only pack whose pattern fits. ``chosen`` is a person's word and comes first: a
    pack, or ``comfy-core``. ``newer``: the workflow is from a newer ComfyUI than the catalogue
    knows, so what it knows to be somebody's may have become ComfyUI's own: the last two rules then
    only propose.
    """
    return _Question(need, index, on, newer).answer(core, chosen)


def is_newer(needs: Iterable[ClassNeed], index: PackIndex, core: Collection[str] = ()) -> bool:
    """Whether nodes say that they are ComfyUI's own which the catalogue does not know as such."""
    return index.knows_core and any(
        not index.is_core(need.class_type) and need.class_type not in core
        for need in needs
        if any(hint.cnr_id == CORE_ID for hint in need.hints)
    )


class _Question:
    def __init__(self, need: ClassNeed, index: PackIndex, on: tuple[str, ...], newer: bool) -> None:
        self._newer = newer and not need.hints
        self._need = need
        self._index = index
        self._on = on
        self._name = need.class_type
        self._remarks: list[str] = []
        self._strangers: list[PackCandidate] = []

    def answer(self, core: Collection[str], chosen: CustomNode | str | None) -> ResolvedClass:
        if chosen == CORE_ID:
            return self._resolved("core", None)
        if isinstance(chosen, CustomNode):
            return self._resolved("chosen", chosen)
        if self._name in core or self._index.is_core(self._name):
            return self._resolved("core", None)
        hinted = self._hinted()
        if hinted is None:
            return self._resolved("core", None)
        rules: tuple[tuple[ClassRule, str, Iterable[CustomNode]], ...] = (
            ("metadata", "the workflow names it", hinted),
            ("preemption", "it claims the class", self._index.packs(self._name, "preempts")),
            ("owner", "it has a class of that name", self._index.packs(self._name, "lists")),
            ("pattern", "its pattern fits", self._index.packs(self._name, "pattern")),
        )
        idle: list[PackCandidate] = []
        for rule, reason, nodes in rules:
            found = _each_once(nodes)
            active = [node for node in found if node.isActive]
            idle += [
                PackCandidate(node, f"{reason}, but it is not offered any more")
                for node in found
                if not node.isActive
            ]
            if active and self._newer and rule in {"owner", "pattern"}:
                self._strangers.append(PackCandidate(None, _NEWER, PackHint(CORE_ID)))
            if len(active) == 1 and all(self._may_be(s.hint, active[0]) for s in self._strangers):
                return self._resolved(rule, active[0])
            if active:
                several = [PackCandidate(node, reason) for node in self._sorted(active)]
                return self._open(Status.AMBIGUOUS, [*self._strangers, *several, *idle])
        if self._strangers:
            return self._open(Status.AMBIGUOUS, [*self._strangers, *idle])
        return self._open(Status.UNKNOWN, idle)

    def _hinted(self) -> list[CustomNode] | None:
        """The packs that the nodes themselves name; None for ComfyUI."""
        hints = self._need.hints
        if any(hint.cnr_id == CORE_ID for hint in hints):
            if self._index.knows_core:
                self._remarks.append(
                    f"{self._name!r:.80} is not among ComfyUI's classes that the catalogue knows; "
                    "the workflow says that it is ComfyUI's own, a newer one perhaps."
                )
            return None
        found: list[CustomNode] = []
        for hint in hints:
            nodes = self._packs_of(hint)
            if not nodes:
                self._strangers.append(
                    PackCandidate(None, "the workflow names it, the catalogue does not", hint)
                )
            found += nodes
        found = _each_once(found)
        for node in found:
            if not self._index.lists(node, self._name) and node.nodeClasses:
                self._remarks.append(
                    f"The workflow takes {self._name!r:.80} from {node.name!r:.60}, where the "
                    "catalogue does not list it."
                )
        return found

    def _packs_of(self, hint: PackHint) -> list[CustomNode]:
        node = self._index.by_registry_id.get(hint.cnr_id or "")
        if node is None:
            node = self._index.by_repository.get(hint.aux_id or "")
        return [node] if node is not None else []

    def _may_be(self, hint: PackHint | None, node: CustomNode) -> bool:
        """Whether a pack that the catalogue does not know by that name may still be this one."""
        facts = self._index.facts.get(node.id)
        known = facts.registryId if facts is not None else None
        if hint is None or hint.cnr_id == CORE_ID:
            return False
        return hint.aux_id is None and known is None

    def _sorted(self, nodes: Sequence[CustomNode]) -> list[CustomNode]:
        def order(node: CustomNode) -> tuple[bool, int, str]:
            facts = self._index.facts.get(node.id)
            stars = facts.stars if facts is not None and facts.stars is not None else -1
            return not node.isVerified, -stars, node.githubUrl

        return sorted(nodes, key=order)

    def _resolved(self, rule: ClassRule, pack: CustomNode | None) -> ResolvedClass:
        return ResolvedClass(
            self._need, Status.RESOLVED, rule, pack, (), tuple(self._remarks), self._on
        )

    def _open(self, status: Status, candidates: Sequence[PackCandidate]) -> ResolvedClass:
        once = {(c.node.id if c.node is not None else c.label): c for c in reversed(candidates)}
        first = [c for c in candidates if once[c.node.id if c.node is not None else c.label] is c]
        return ResolvedClass(
            self._need, status, "", None, tuple(first), tuple(self._remarks), self._on
        )


def _each_once(nodes: Iterable[CustomNode]) -> list[CustomNode]:
    return list({node.id: node for node in nodes}.values())


def core_classes_of(needs: Iterable[ClassNeed]) -> set[str]:
    """The classes whose nodes say that they are ComfyUI's own.

    Of ComfyUI's own templates that is as good as its list: give it to ``resolve`` as ``core``, or
    to the catalogue as classes of ComfyUI. Of anybody else's workflow it is only a claim.
    """
    return {need.class_type for need in needs if any(hint.cnr_id == CORE_ID for hint in need.hints)}


def packs_of(classes: Iterable[ResolvedClass], index: PackIndex) -> tuple[PackUse, ...]:
    """Gather what resolved classes need of each pack."""
    uses: dict[str, list[ResolvedClass]] = {}
    for item in classes:
        if item.pack is not None:
            uses.setdefault(item.pack.id, []).append(item)
    found = []
    for items in uses.values():
        pack = items[0].pack
        assert pack is not None
        versions = {
            hint.ver: None for item in items for hint in item.need.hints if hint.ver is not None
        }
        names = tuple(sorted(item.need.class_type for item in items))
        found.append(PackUse(pack, index.facts.get(pack.id), names, tuple(versions)))
    return tuple(sorted(found, key=lambda use: use.node.name.lower()))


def saved_with(classes: Iterable[ClassNeed]) -> str | None:
    """The newest ComfyUI that core nodes say they were saved with."""
    versions = [
        (parsed, hint.ver)
        for need in classes
        for hint in need.hints
        if hint.cnr_id == CORE_ID and (parsed := parse_version(hint.ver)) is not None
    ]
    return max(versions)[1] if versions else None
