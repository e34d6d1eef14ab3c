"""Writing node packs: each entry finds its pack, and they are merged by who is believed in what."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from comfynb.deploy.catalogue.entries import MANAGER, PEOPLE, REGISTRY, NodeEntry, Outcome, rank
from comfynb.deploy.catalogue.merging import Merger
from comfynb.deploy.catalogue.rows import Rows, Values, blank, fetch
from comfynb.errors import InvalidValue
from comfynb.models import CustomNode, NodeFacts, NodeVersion, new_id
from comfynb.store import Transaction

__all__ = ["IDENTITY", "retire_nodes", "write_nodes"]

# What packs are compared by. Rows may have been put by hand, so the spelling is not relied on.
IDENTITY = (
    "lower(regexp_replace(regexp_replace(github_url, '^https?://(www\\.)?', ''), "
    "'(\\.git)?/*$', ''))"
)

_NODE_FIELDS = (
    *("name", "description", "author", "branch", "installType"),
    *("pipRequirements", "jsFiles", "githubUrl"),
)
_FACT_FIELDS = (
    *("registryId", "latestVersion", "status", "license", "channel", "stars", "authorAgeDays"),
    *("lastUpdate", "nodenamePattern", "preempts", "aptPackages", "files"),
)
# What belongs to one source, whoever else has an opinion.
_OWNERS: Mapping[str, str] = {
    "registryId": REGISTRY,
    "latestVersion": REGISTRY,
    "status": REGISTRY,
    "license": REGISTRY,
}
_CLEARED: Mapping[str, Any] = {"nodenamePattern": None}


def _listed_by(facts: Values) -> set[str]:
    return {source for source in facts["sources"] if source != PEOPLE}


def _curated(facts: Values) -> Collection[str]:
    people = facts["sources"].get(PEOPLE)
    fields = people.get("fields") if isinstance(people, dict) else None
    return fields if isinstance(fields, list) else []


def _choose(
    name: str, new: Any, old: Any, source: str, others: set[str], *, fills_only: bool
) -> Any:
    """Return which of two values a field has, by who says so."""
    if new is None or new == old:
        return old
    if old in (None, "", []):
        return new
    if new == [] and others:
        return old  # "none" is nothing that could contradict another source
    if fills_only:
        return old
    owner = _OWNERS.get(name)
    if owner is not None:
        return new if source == owner or owner not in others else old
    top = max((rank(other) for other in others), default=0)
    return new if rank(source) >= top else old


def _union(first: Iterable[str], *more: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(item for some in (first, *more) for item in some))


def _classes(entry: NodeEntry, node: Values, facts: Values, source: str) -> list[str]:
    """Return the classes of a pack, and note which of them a lesser source added."""
    told = entry.nodeClasses
    have: list[str] = node["nodeClasses"]
    if told is None:
        return have
    mine = facts["sources"].get(source)
    extra = {
        other: said["classes"]
        for other, said in facts["sources"].items()
        if isinstance(said, dict) and isinstance(said.get("classes"), list)
    }
    if source == MANAGER:
        return _union(told, *(extra[other] for other in sorted(extra)))
    before = set(extra.get(source, ()))
    if isinstance(mine, dict):
        mine = facts["sources"][source] = {**mine}
        mine.pop("classes", None)
        if told:
            mine["classes"] = told
    kept = [one for one in have if one not in before or one in set(told)]
    return _union(kept, told)


def _active(facts: Values) -> bool:
    """A pack that the registry has banned is not offered, nor one that nobody lists any more."""
    return "banned" not in str(facts["status"] or "").lower() and bool(_listed_by(facts))


class _Merger(Merger[NodeEntry]):
    """The packs that a batch of entries touches."""

    def __init__(self, tx: Transaction, source: str, now: datetime) -> None:
        super().__init__(tx, source, now)
        self.nodes: Rows[CustomNode] = Rows(CustomNode)
        self.facts: Rows[NodeFacts] = Rows(NodeFacts)
        self.releases: Rows[NodeVersion] = Rows(NodeVersion)
        self.by_identity: dict[str, str] = {}
        self.by_registry: dict[str, str] = {}
        self.by_release: dict[tuple[str, str], str] = {}

    def load(self, entries: Sequence[NodeEntry]) -> None:
        keys = sorted({key for entry in entries for key in entry.keys})
        names = sorted({entry.registryId for entry in entries if entry.registryId})
        found = self.nodes.load(self.tx, f"{IDENTITY} = any($1::text[])", [keys])
        by_name = fetch(self.tx, NodeFacts, "registry_id = any($1::text[])", [names])
        more = sorted({row["customNodeId"] for row in by_name})
        found += self.nodes.load(self.tx, "id = any($1::text[])", [more])
        ids = sorted({row["id"] for row in found})
        self.facts.load(self.tx, "custom_node_id = any($1::text[])", [ids])
        self.by_registry = {row["registryId"]: row["customNodeId"] for row in by_name}
        for row in found:
            self.by_identity[_identity(row["githubUrl"])] = row["id"]
        if any(entry.releases for entry in entries):
            for row in self.releases.load(self.tx, "custom_node_id = any($1::text[])", [ids]):
                self.by_release[row["customNodeId"], row["version"]] = row["id"]

    def find(self, entry: NodeEntry) -> str | None:
        for key in entry.keys:
            if key in self.by_identity:
                return self.by_identity[key]
        return self.by_registry.get(entry.registryId or "")

    def merge(self, entry: NodeEntry) -> Outcome:
        node_id = self.find(entry)
        if node_id is None:
            if entry.adds_only:
                return Outcome("refused", entry.label, reason="no listed pack has this URL")
            if not entry.name or not entry.url:
                return Outcome("refused", entry.label, reason="it has no name or no URL")
        old = self.nodes.by_key.get(node_id) if node_id else None
        node = dict(old) if old else self._new(entry)
        node_id = node["id"]
        known = self.facts.by_key.get(node_id)
        facts = dict(known) if known else blank(NodeFacts, customNodeId=node_id)
        facts["sources"] = dict(facts["sources"])
        second = self._is_second(entry, facts)
        self._fill(entry, node, facts, fills_only=second)
        try:
            new_node = self.nodes.prepare(node_id, node, self.now)
            new_facts = self.facts.prepare(node_id, facts, self.now)
            releases = [] if second else self._releases(entry, node_id)
        except InvalidValue as error:
            return Outcome("refused", entry.label, reason=str(error))
        if new_node is not None:
            self.nodes.take(node_id, new_node)
        if new_facts is not None:
            self.facts.take(node_id, new_facts)
        for key, values in releases:
            self.releases.take(key, values)
            self.by_release[values["customNodeId"], values["version"]] = key
        self.by_identity[_identity(node["githubUrl"])] = node_id
        if facts["registryId"]:
            self.by_registry.setdefault(facts["registryId"], node_id)
        if old is None:
            return Outcome("new", entry.label, node_id, entry.note)
        if second:
            reason = f"the registry has {facts['registryId']!r:.80} with the same repository"
            return Outcome("merged", entry.label, node_id, reason)
        changed = bool(releases) or new_node is not None or new_facts is not None
        return Outcome("changed" if changed else "same", entry.label, node_id, entry.note)

    def _new(self, entry: NodeEntry) -> Values:
        return blank(
            CustomNode,
            name=entry.name,
            githubUrl=entry.url,
            isVerified=entry.isVerified,
            createdAt=self.now,
        )

    def _is_second(self, entry: NodeEntry, facts: Values) -> bool:
        """Tell whether this is another pack of the registry that names the same repository.

        It may add what is not known yet, and no more: two would change each other's word for ever.
        """
        known = facts["registryId"]
        return bool(
            self.source == REGISTRY and known and entry.registryId and known != entry.registryId
        )

    def _fill(self, entry: NodeEntry, node: Values, facts: Values, *, fills_only: bool) -> None:
        source, curated = self.source, _curated(facts)
        others = _listed_by(facts) - {source}
        if entry.gone:
            facts["sources"].pop(source, None)
        elif not entry.adds_only and source not in facts["sources"]:
            facts["sources"][source] = {"since": self.now.isoformat()}
        said = {name: getattr(entry, name) for name in _NODE_FIELDS if name != "githubUrl"}
        # The same pack at another spelling of its place keeps the one that is known.
        moved = bool(entry.url) and _identity(node["githubUrl"]) not in entry.keys
        said["githubUrl"] = entry.url if moved and not entry.adds_only else None
        for name, new in said.items():
            if name not in curated:
                node[name] = _choose(name, new, node[name], source, others, fills_only=fills_only)
        for name in _FACT_FIELDS:
            new = getattr(entry, name)
            if name == "registryId" and new and self.by_registry.get(new, node["id"]) != node["id"]:
                continue  # another pack has it: the URL decides which this is
            if new == "" and name in _CLEARED:
                if rank(source) >= max((rank(other) for other in others), default=0):
                    facts[name] = _CLEARED[name]
                continue
            facts[name] = _choose(name, new, facts[name], source, others, fills_only=fills_only)
        if entry.tags and "tags" not in curated:
            node["tags"] = _union(node["tags"], entry.tags)
        if "nodeClasses" not in curated:
            node["nodeClasses"] = _classes(entry, node, facts, source)
        if "isActive" not in curated:
            node["isActive"] = _active(facts)

    def _releases(self, entry: NodeEntry, node_id: str) -> list[tuple[str, Values]]:
        changed = []
        for release in entry.releases:
            key = self.by_release.get((node_id, release.version)) or new_id()
            old = self.releases.by_key.get(key)
            values: Values = {
                **(old or {"id": key, "customNodeId": node_id, "createdAt": self.now}),
                "version": release.version,
                "dependencies": release.dependencies,
            }
            for name, new in (
                ("commit", release.commit),
                ("downloadUrl", release.download_url),
                ("status", release.status),
            ):
                if new is not None:
                    values[name] = new
            plain = self.releases.prepare(key, values, self.now)
            if plain is not None:
                changed.append((key, plain))
        return changed

    def write(self) -> None:
        self.nodes.write(self.tx)
        self.facts.write(self.tx)
        self.releases.write(self.tx)


def _identity(url: str) -> str:
    text = url.lower().removeprefix("http://").removeprefix("https://").removeprefix("www.")
    return text.rstrip("/").removesuffix(".git").rstrip("/")


def write_nodes(
    tx: Transaction, entries: Sequence[NodeEntry], source: str, now: datetime
) -> list[Outcome]:
    """Merge what a source says into the catalogue; one outcome for each entry, in order.

    What people have set stays as it is. Nothing is written where nothing is new.
    """
    return _Merger(tx, source, now).run(entries)


def retire_nodes(
    tx: Transaction, listed: Collection[str], source: str, now: datetime, *, whole: bool = False
) -> tuple[list[str], str | None]:
    """Note which packs a source no longer lists; a pack that nobody lists is not offered any more.

    ``listed`` are identities of all that it lists. Returns the names of the packs, and a sentence
    instead of doing anything if more than half of them would go: then the list is broken, unless
    it is ``whole`` for certain.
    """
    rows: Rows[NodeFacts] = Rows(NodeFacts)
    mark = f'%"{source}"%'
    known = rows.load(tx, "sources::text like $1", [mark])
    nodes: Rows[CustomNode] = Rows(CustomNode)
    by_id = {
        row["id"]: row
        for row in nodes.load(tx, "id = any($1::text[])", [[row["customNodeId"] for row in known]])
    }
    gone = [
        row
        for row in known
        if source in row["sources"]
        and _identity(by_id[row["customNodeId"]]["githubUrl"]) not in listed
    ]
    if not whole and len(gone) > max(10, len(known) // 2):
        return [], (
            f"the list has lost {len(gone)} of the {len(known)} packs that it had: it is taken "
            "for broken, and nothing was retired"
        )
    names = []
    for facts in gone:
        node = by_id[facts["customNodeId"]]
        left = {name: said for name, said in facts["sources"].items() if name != source}
        new_facts = {**facts, "sources": left}
        if source.partition("/")[0] == MANAGER:
            new_facts["channel"] = None
        new_node = dict(node)
        if "isActive" not in _curated(facts):
            new_node["isActive"] = _active(new_facts)
        for some, key, values in ((rows, node["id"], new_facts), (nodes, node["id"], new_node)):
            plain = some.prepare(key, values, now)
            if plain is not None:
                some.take(key, plain)
        names.append(node["name"])
    rows.write(tx)
    nodes.write(tx)
    return names, None
