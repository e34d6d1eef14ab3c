"""SQL from files: named statements, migrations, and the words that two databases spell apart."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

from comfynb.errors import UsageError
from comfynb.store.schema import tables

__all__ = ["WORDS", "Migration", "Words", "migrations", "statement"]

_COLUMNS = re.compile(r"\{columns of ([a-z_]+)\}")
_FOR_UPDATE = re.compile(r"\{(for update of [a-z_, ]+)\}")
_NAME = re.compile(r"(\d{4})_([a-z0-9_]+?)(?:\.(duckdb|postgres))?\.sql")


@dataclass(frozen=True, slots=True)
class Words:
    """What a dialect says for a placeholder in braces."""

    json: str
    """The type of a JSON column; PostgreSQL's own refuses NaN, which workflows may hold."""
    for_update: str
    """Locks the rows that a decision is made on; DuckDB has one writer anyway."""

    def fill(self, text: str) -> str:
        """Return the text with ``{json}`` and ``{for update of TABLES}`` replaced."""
        return _FOR_UPDATE.sub(self.for_update, text.replace("{json}", self.json))


WORDS: Mapping[str, Words] = {
    "duckdb": Words(json="json", for_update=""),
    "postgres": Words(json="text", for_update=r"\1"),
}


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of the schema: applied in one transaction, recorded with its checksum."""

    version: int
    name: str
    sql: str
    checksum: str


@cache
def statement(name: str, dialect: str) -> str:
    """Return the text of ``sql/NAME.sql`` for a dialect, without comments and placeholders."""
    file = resources.files("comfynb.store").joinpath("sql", f"{name}.sql")
    if not re.fullmatch(r"[a-z0-9_]+", name) or not file.is_file():
        raise UsageError(f"There is no statement named {name!r:.80} in comfynb/store/sql.")
    lines = [line for line in file.read_text("utf-8").splitlines() if not line.startswith("--")]
    text = _COLUMNS.sub(lambda found: tables()[found[1]].select_list, "\n".join(lines))
    return WORDS[dialect].fill(text).strip().rstrip(";")


@cache
def migrations(dialect: str) -> tuple[Migration, ...]:
    """Return all migrations of a dialect in order: the portable body, then the dialect's own."""
    bodies: dict[tuple[int, str], list[str]] = {}
    folder = resources.files("comfynb.store").joinpath("migrations")
    for file in sorted(folder.iterdir(), key=lambda file: (file.name.count("."), file.name)):
        match = _NAME.fullmatch(file.name)
        if match and match[3] in {None, dialect}:
            bodies.setdefault((int(match[1]), match[2]), []).append(file.read_text("utf-8"))
    steps = []
    for number, ((version, name), texts) in enumerate(sorted(bodies.items()), start=1):
        if version != number:
            raise UsageError(f"Migration {number} is missing: the next one is {version}_{name}.")
        text = "\n".join(texts)
        checksum = hashlib.sha256(text.encode()).hexdigest()
        steps.append(Migration(version, name, WORDS[dialect].fill(text), checksum))
    return tuple(steps)
