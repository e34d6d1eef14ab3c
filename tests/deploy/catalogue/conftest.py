"""What the catalogue's tests share: a store on either database, entries, rows to compare."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from comfynb.deploy.catalogue import Catalogue, ModelEntry, NodeEntry, repository
from comfynb.models import (
    CustomNode,
    Model,
    ModelType,
    ModelVersion,
    NodeFacts,
    NodeVersion,
    Source,
)
from comfynb.store import Store, open_store

TABLES = (CustomNode, NodeFacts, NodeVersion, Model, ModelVersion)


@pytest.fixture(params=["duckdb", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    """The database that a test runs on."""
    return str(request.param)


@pytest.fixture(scope="session")
def postgres_place(postgres_server: Any) -> str:
    """One database for all tests: making one takes longer than most of them."""
    return str(postgres_server.new())


@pytest.fixture
def store(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store on either database."""
    if kind == "duckdb":
        store = open_store(tmp_path / "lab.duckdb")
    else:
        store = open_store(request.getfixturevalue("postgres_place"))
        names = ", ".join(model.table_name for model in TABLES)
        store.transact(lambda tx: tx.execute(f"truncate {names} cascade")).result(60)
    yield store
    store.close().result(30)


@pytest.fixture
def catalogue(store: Store) -> Catalogue:
    return Catalogue(store)


@pytest.fixture
def file_store(tmp_path: Path) -> Iterator[Store]:
    """A store on DuckDB only."""
    store = open_store(tmp_path / "lab.duckdb")
    yield store
    store.close().result(30)


class Make:
    """Entries for tests."""

    @staticmethod
    def pack(url: str = "https://github.com/Ada/Pack", **fields: Any) -> NodeEntry:
        place = repository(url)
        fields.setdefault("name", place.url.rpartition("/")[2])
        return NodeEntry(fields["name"], url=place.url, keys=(place.key,), **fields)

    @staticmethod
    def model(url: str = "https://example.org/a.safetensors", **fields: Any) -> ModelEntry:
        filename = fields.pop("filename", url.rpartition("/")[2].partition("?")[0])
        fields.setdefault("name", filename)
        return ModelEntry(
            fields["name"],
            fields.pop("source", Source.DIRECT),
            fields.pop("name"),
            fields.pop("type", ModelType.CHECKPOINT),
            url,
            filename=filename,
            **fields,
        )


@pytest.fixture(scope="session")
def make() -> type[Make]:
    return Make


@pytest.fixture(scope="session")
def rows() -> Callable[[Store], dict[str, list[Any]]]:
    """All rows of the catalogue's tables, time stamps included."""

    def read(store: Store) -> dict[str, list[Any]]:
        return {
            model.table_name: store.sql(f"select * from {model.table_name} order by 1")
            .result(60)
            .rows
            for model in TABLES
        }

    return read
