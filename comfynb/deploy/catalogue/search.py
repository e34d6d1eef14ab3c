"""Full-text search over the catalogue in SQL: filtered, ranked, verified first, one page of it.

Every search looks at what the tables hold now, so there is no index that could lag behind another
program's writes; its cost is that of one pass over the texts, whichever page is asked for.
"""

import math
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypedDict, TypeVar, get_type_hints

from pydantic_core import to_json

from comfynb.errors import UsageError
from comfynb.models import CustomNode, Model, ModelType, Source, StoredModel
from comfynb.store import View
from comfynb.store.schema import table_of

__all__ = [
    "ModelFilters",
    "NodeFilters",
    "Page",
    "Query",
    "model_query",
    "node_query",
    "search",
]

M = TypeVar("M", bound=StoredModel)

MOST_ON_A_PAGE = 500
_MOST_TERMS = 12
_SEPARATORS = "-_/.:()[]{}|,;+\"'"
_BLANKS = " " * len(_SEPARATORS)

# What a term is worth where it is found: at the beginning of a word, and anywhere.
_WEIGHTS = {
    "name": (12, 6),
    "filename": (8, 4),
    "tags": (5, 3),
    "classes": (4, 2),
    "base_model": (4, 2),
    "author": (4, 2),
    "type": (3, 1),
    "description": (2, 1),
}

# PostgreSQL keeps JSON as text, since its own type refuses what Python writes: NaN, and U+0000.
_PG_JSON = (
    r"regexp_replace(regexp_replace(metadata, '([:,\[])(NaN|-?Infinity)', '\1null', 'g'), "
    r"'(^|[^\\])((\\\\)*)\\u0000', '\1\2', 'g')::json"
)
_MODEL_TEXTS = {
    "duckdb": {
        "description": "json_extract_string(metadata, '$.description')",
        "tags": "json_extract(metadata, '$.tags')::text",
    },
    "postgres": {
        "description": f"({_PG_JSON} ->> 'description')",
        "tags": f"({_PG_JSON} -> 'tags')::text",
    },
}


@dataclass(frozen=True, slots=True)
class Page(Generic[M]):
    """One page of what was found; ``total`` counts all of it."""

    items: list[M]
    page: int
    """From 1."""
    limit: int
    """Rows on a full page."""
    total: int
    pages: int
    """How many pages there are; 0 if nothing was found."""


@dataclass(frozen=True, slots=True)
class Query(Generic[M]):
    """A search as it was asked for: conditions with their values, and the terms to rank by."""

    model: type[M]
    conditions: tuple[str, ...]
    params: tuple[Any, ...]
    terms: tuple[str, ...]
    texts: tuple[tuple[str, str], ...]
    """Columns to look in: name and SQL expression."""
    extra: str = "0"
    """SQL of what is added to the rank of whatever matches."""


class _Conditions:
    """Conditions and their values, numbered as they come."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.params: list[Any] = []

    def add(self, sql: str, value: Any) -> None:
        self.params.append(value)
        self.parts.append(sql.replace("?", f"${len(self.params)}"))

    def either(self, column: str, wanted: str | Iterable[str] | None) -> None:
        if wanted is None:
            return
        values = [wanted] if isinstance(wanted, str) else list(wanted)
        self.add(f"lower({column}) = any(?::text[])", [str(value).lower() for value in values])

    def flag(self, column: str, wanted: bool | None) -> None:
        if wanted is not None:
            self.add(f"{column} = ?", bool(wanted))

    def holds(self, expression: str, wanted: str | None) -> None:
        if wanted:
            self.add(f"strpos(lower(coalesce({expression}, '')), ?) > 0", wanted.lower())

    def tags(self, expression: str, wanted: Iterable[str]) -> None:
        # A list of texts in JSON, between commas: inside a text a quotation mark has a backslash
        # in front of it, so nothing but a whole element can match.
        listed = f"(',' || substr({expression}, 2, length({expression}) - 2) || ',')"
        for tag in [wanted] if isinstance(wanted, str) else wanted:
            text = to_json(tag.lower()).decode()
            self.add(f"strpos(lower({listed}), ?) > 0", f",{text},")


def _terms(query: str) -> tuple[str, ...]:
    """Return what must be found: words, and phrases in double quotes, in lower case."""
    if not isinstance(query, str):
        raise UsageError(f"a search is for text, not for a {type(query).__name__}")
    lexer = shlex.shlex(query.lower(), posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.quotes, lexer.escape, lexer.commenters = '"', "", ""
    try:
        found = list(lexer)
    except ValueError:  # a quotation mark without its other half is looked for like any sign
        found = query.lower().replace('"', " ").split()
    terms = [term.replace("\0", "").strip() for term in found]
    return tuple(dict.fromkeys(term for term in terms if term))[:_MOST_TERMS]


class _Filters(TypedDict, total=False):
    tags: Iterable[str]
    """All of them."""
    verified: bool | None
    active: bool | None
    """True where it is not given."""
    name: str | None
    """Part of it."""
    description: str | None


class ModelFilters(_Filters, total=False):
    """What a search for models may be limited to; None is "whichever"."""

    type: ModelType | str | None
    source: Source | str | None
    base_model: str | Iterable[str] | None
    """One of them."""


class NodeFilters(_Filters, total=False):
    """What a search for node packs may be limited to; None is "whichever"."""

    author: str | Iterable[str] | None
    install_type: str | Iterable[str] | None


def _check(filters: Mapping[str, object], known: Mapping[str, object]) -> None:
    unknown = sorted(set(filters) - set(known))
    if unknown:
        raise UsageError(
            f"a search has no filter {unknown[0]!r:.40}: it has {', '.join(sorted(known))}"
        )


def _limit(where: _Conditions, filters: _Filters, tags: str, description: str) -> None:
    """Take what all searches have; ``tags`` and ``description`` are SQL."""
    where.tags(tags, filters.get("tags", ()))
    where.flag("is_verified", filters.get("verified"))
    where.flag("is_active", filters.get("active", True))
    where.holds("name", filters.get("name"))
    where.holds(description, filters.get("description"))


def model_query(dialect: str, query: str, filters: ModelFilters) -> Query[Model]:
    """Return a search for models; raises UsageError for a filter that cannot be."""
    _check(filters, get_type_hints(ModelFilters))
    texts = _MODEL_TEXTS[dialect]
    where = _Conditions()
    for column, kind, value in (
        ("type", ModelType, filters.get("type")),
        ("source", Source, filters.get("source")),
    ):
        if value is None:
            continue
        try:
            where.add(f"{column} = ?", kind(str(getattr(value, "value", value)).upper()).value)
        except ValueError:
            known = ", ".join(one.value for one in kind)
            raise UsageError(f"there is no {column} {value!r:.40} of models: {known}") from None
    where.either("base_model", filters.get("base_model"))
    _limit(where, filters, texts["tags"], texts["description"])
    return Query(
        Model,
        tuple(where.parts),
        tuple(where.params),
        _terms(query),
        (
            ("name", "name"),
            ("filename", "filename"),
            ("tags", texts["tags"]),
            ("base_model", "base_model"),
            ("type", "type"),
            ("description", texts["description"]),
        ),
    )


def node_query(query: str, filters: NodeFilters) -> Query[CustomNode]:
    """Return a search for node packs; ComfyUI itself is not one of them."""
    _check(filters, get_type_hints(NodeFilters))
    where = _Conditions()
    where.parts.append("install_type <> 'core'")
    where.either("author", filters.get("author"))
    where.either("install_type", filters.get("install_type"))
    _limit(where, filters, "tags::text", "description")
    stars = "(select stars from node_facts where custom_node_id = custom_nodes.id)"
    return Query(
        CustomNode,
        tuple(where.parts),
        tuple(where.params),
        _terms(query),
        (
            ("name", "name || ' ' || github_url"),
            ("tags", "tags::text"),
            ("classes", "node_classes::text"),
            ("author", "author"),
            ("description", "description"),
        ),
        # Of two that match equally, the one that many know: 1,000 stars are worth 3.5.
        extra=f"0.5 * ln(1 + coalesce({stars}, 0))",
    )


def _ranked(query: Query[Any]) -> tuple[str, list[Any]]:
    """Return SQL of (id, is_verified, rank, created_at) for all that matches, and its values."""
    table = table_of(query.model)
    params = list(query.params)
    condition = " and ".join(query.conditions) or "true"
    if not query.terms:
        columns = "id, is_verified, 0.0 as rank, created_at"
        return f"select {columns} from {table.name} where {condition}", params  # noqa: S608
    texts = ", ".join(
        f"lower(coalesce({expression}, '')) as {name}_text" for name, expression in query.texts
    )
    ranks, needed = [], []
    for number, term in enumerate(query.terms):
        plain = " " + term.translate(str.maketrans(_SEPARATORS, _BLANKS)).strip()
        params += [term, plain]
        anywhere, begins = f"${len(params) - 1}::text", f"${len(params)}::text"
        parts = []
        for name, _ in query.texts:
            word, part = _WEIGHTS[name]
            parts.append(
                f"case when strpos({name}_text, {anywhere}) = 0 then 0 "
                f"when strpos(' ' || translate({name}_text, $S, $B), {begins}) > 0 "
                f"then {word} else {part} end"
            )
        ranks.append(f"({' + '.join(parts)}) as rank_{number}")
        needed.append(f"rank_{number}")
    params += [_SEPARATORS, _BLANKS, " ".join(query.terms)]
    words = " + ".join(needed)
    every = " and ".join(f"{one} > 0" for one in needed)
    sql = (
        f"with texts as (select id, is_verified, created_at, {query.extra} as extra, "  # noqa: S608
        f"length(name) as name_length, lower(name) as plain_name, {texts} "
        f"from {table.name} where {condition}), "
        f"ranks as (select id, is_verified, created_at, extra, name_length, plain_name, "
        f"{', '.join(ranks)} from texts) "
        f"select id, is_verified, created_at, {words} + extra - 0.01 * least(name_length, 100) "
        f"+ case when plain_name = $W then 40 else 0 end as rank from ranks where {every}"
    )
    for name, place in (("$S", -2), ("$B", -1), ("$W", 0)):
        sql = sql.replace(name, f"${len(params) + place}::text")
    return sql, params


def search(view: View, query: Query[M], page: int, limit: int) -> Page[M]:
    """Return one page; verified first, then rank, then the newest. Runs in a read."""
    for word, number, most in (("page", page, 10**9), ("limit", limit, MOST_ON_A_PAGE)):
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= most:
            raise UsageError(f"{word} must be a whole number from 1 to {most}, not {number!r:.40}")
    matches, params = _ranked(query)
    table = table_of(query.model)
    order = "is_verified desc, rank desc, created_at desc, id"
    rows = view.execute(
        f"with matches as materialized ({matches}), "  # noqa: S608
        f"wanted as (select id, row_number() over (order by {order}) as place from matches "
        f"order by {order} limit {limit} offset {(page - 1) * limit}), "
        "counted as (select count(*) as total from matches) "
        f"select total, {table.select_list} from counted left join wanted on true "
        f"left join {table.name} on {table.name}.id = wanted.id order by wanted.place",
        params,
    )
    total = int(rows[0][0])
    items = view.models(query.model, [row[1:] for row in rows if row[1] is not None])
    return Page(items, page, limit, total, math.ceil(total / limit))
