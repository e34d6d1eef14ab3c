"""Which pack brings a node class: an index over all packs, with the packs' own patterns checked."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import duckdb

from comfynb.models import CustomNode, NodeFacts
from comfynb.store import View

__all__ = ["CORE", "CORE_KEYS", "ClassIndex", "NodeMatch", "fingerprint"]

CORE = "core"
"""``installType`` of the row that stands for ComfyUI itself."""

CORE_KEYS = ("github.com/comfyanonymous/comfyui", "github.com/comfy-org/comfyui")
"""Where ComfyUI itself lives, and where it lived."""

# A pattern that takes in more classes than the greatest packs have says nothing about any.
MOST_BY_PATTERN = 300
_LONGEST_PATTERN = 200

How = Literal["core", "preempts", "lists", "pattern"]


@dataclass(frozen=True, slots=True)
class NodeMatch:
    """A pack that brings a node class, and how that is known."""

    node: CustomNode
    facts: NodeFacts | None
    how: How
    """ComfyUI's own; claimed over others; listed; or fitting the pack's pattern for its names."""


def fingerprint(view: View) -> tuple[object, ...]:
    """Return what changes whenever the answers may."""
    if view.dialect == "duckdb":
        sql = (
            "select count(*), bit_xor(hash(id, install_type, node_classes::text)), (select "
            "bit_xor(hash(custom_node_id, nodename_pattern, preempts::text)) from node_facts) "
            "from custom_nodes"
        )
    else:
        sql = (
            "select count(*), sum(hashtextextended(concat_ws(' ', id, install_type, node_classes), "
            "0)), (select sum(hashtextextended(concat_ws(' ', custom_node_id, nodename_pattern, "
            "preempts), 0)) from node_facts) from custom_nodes"
        )
    return tuple(view.execute(sql)[0])


@dataclass
class ClassIndex:
    """Ids of packs by class; built in one pass, then only asked."""

    core: frozenset[str] = frozenset()
    core_id: str | None = None
    listed: dict[str, list[str]] = field(default_factory=dict)
    preempted: dict[str, list[str]] = field(default_factory=dict)
    patterns: dict[str, str] = field(default_factory=dict)
    """By pack."""
    _usable: dict[str, str] | None = None

    @classmethod
    def read(cls, view: View) -> "ClassIndex":
        """Build it from the tables."""
        index = cls()
        core: set[str] = set()
        rows = view.execute("select id, install_type, node_classes::text from custom_nodes")
        for pack, install_type, text in rows:
            names = json.loads(text)
            if install_type == CORE:
                core.update(names)
                index.core_id = pack
                continue
            for name in names:
                index.listed.setdefault(name, []).append(pack)
        index.core = frozenset(core)
        rows = view.execute(
            "select custom_node_id, preempts::text, nodename_pattern from node_facts "
            "where preempts::text <> '[]' or nodename_pattern is not null"
        )
        for pack, text, pattern in rows:
            for name in json.loads(text):
                index.preempted.setdefault(name, []).append(pack)
            if pattern and len(pattern) <= _LONGEST_PATTERN:
                index.patterns[pack] = pattern
        return index

    def find(self, class_type: str) -> list[tuple[str, How]]:
        """Return the ids of the packs that may bring a class.

        ComfyUI's own classes are its own, whoever shadows them; a pack that claims a class over
        others comes before those that only list it. No pattern is looked at here.
        """
        if class_type in self.core and self.core_id is not None:
            return [(self.core_id, "core")]
        claimed = self.preempted.get(class_type, [])
        found: list[tuple[str, How]] = [(pack, "preempts") for pack in claimed]
        found += [
            (pack, "lists") for pack in self.listed.get(class_type, []) if pack not in claimed
        ]
        return found

    def by_pattern(self, class_types: Iterable[str]) -> dict[str, list[str]]:
        """Return the packs whose patterns fit classes that nobody lists.

        Patterns are other people's: they are matched by RE2, which takes linear time, and one
        that RE2 refuses, or that fits more classes than a pack has, fits nothing.
        """
        asked = list(dict.fromkeys(class_types))
        if self._usable is None:
            known = _fitting(self.patterns, ["", *self.listed])
            self._usable = {
                pack: self.patterns[pack]
                for pack, names in known.items()
                if len(names) <= MOST_BY_PATTERN and "" not in names
            }
        found: dict[str, list[str]] = {}
        for pack, names in _fitting(self._usable, asked).items():
            for name in names:
                found.setdefault(name, []).append(pack)
        return found


def _fitting(patterns: Mapping[str, str], names: Sequence[str]) -> dict[str, list[str]]:
    """Return the names in which each pattern is found; what is no pattern is left out."""
    if not patterns or not names:
        return {}
    found = {}
    connection = duckdb.connect(
        ":memory:",
        config={
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "enable_external_access": False,
            "threads": 1,
        },
    )
    try:
        connection.execute("create table names as select unnest($1::text[]) as name", [list(names)])
        for pack, pattern in patterns.items():
            try:
                rows = connection.execute(
                    "select name from names where regexp_matches(name, $1)", [pattern]
                ).fetchall()
            except duckdb.Error:
                continue
            found[pack] = [row[0] for row in rows]
    finally:
        connection.close()
    return found


def matches(
    view: View, found: Mapping[str, Sequence[tuple[str, How]]]
) -> dict[str, list[NodeMatch]]:
    """Return the rows that stand behind what the index found."""
    ids = sorted({pack for some in found.values() for pack, _ in some})
    nodes = {node.id: node for node in view.find(CustomNode, where={"id": ids})} if ids else {}
    facts = (
        {one.customNodeId: one for one in view.find(NodeFacts, where={"customNodeId": ids})}
        if ids
        else {}
    )
    return {
        name: [NodeMatch(nodes[pack], facts.get(pack), how) for pack, how in some if pack in nodes]
        for name, some in found.items()
    }
