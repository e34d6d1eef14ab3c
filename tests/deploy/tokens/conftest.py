"""A store with two people, a folder for keys, and an environment of the tests' own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfynb.deploy.tokens import KeyFile, KeyStore
from comfynb.models import User
from comfynb.store import Store, open_store


@pytest.fixture(scope="session")
def one_store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    made = open_store(tmp_path_factory.mktemp("data") / "lab.duckdb", label="tests")
    made.put(
        User(id="ada", email="ada@example.org"), User(id="bob", email="bob@example.org")
    ).result(60)
    yield made
    made.close().result(60)


@pytest.fixture
def store(one_store: Store) -> Store:
    """Opening a store takes its time, so the tests share one, without tokens at their start."""
    one_store.transact(lambda tx: tx.execute("delete from api_tokens")).result(60)
    return one_store


@pytest.fixture
def postgres_store(postgres_server: Any) -> Iterator[Store]:
    """The other database."""
    made = open_store(postgres_server.new(), label="tests")
    made.put(User(id="ada", email="ada@example.org")).result(60)
    yield made
    made.close().result(60)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "config" / "keys"


@pytest.fixture
def environ() -> dict[str, str]:
    return {}


@pytest.fixture
def keys(folder: Path, environ: dict[str, str]) -> KeyStore:
    return KeyStore(environ=environ, file=KeyFile(folder), use_keyring=False)
