"""Rotation: all rows at once, and killed anywhere it loses nothing."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from comfynb.deploy.tokens import KeyFile, KeyStore, TokenVault
from comfynb.deploy.tokens.sealing import Key, Sealed
from comfynb.errors import SecretError
from comfynb.models import ApiToken, Service, User
from comfynb.store import Store, open_store

TOKENS = {f"token-{i}": f"secret-number-{i:04}" for i in range(5)}


@pytest.fixture
async def vault(store: Store, keys: KeyStore, environ: dict[str, str]) -> TokenVault:
    made = TokenVault(store, "ada", keys=keys, environ=environ)
    await made.add("mine", Service.HUGGINGFACE, "hugging-face-token")
    await made.for_user("bob").add("his", Service.CIVITAI, "civitai-token-of-bob")
    return made


async def key_ids(store: Store) -> set[str]:
    return {Sealed.of(row).key_id for row in await store.find(ApiToken)}


async def test_everybody_s_rows_get_the_new_key(
    vault: TokenVault, store: Store, folder: Path
) -> None:
    (old,) = await key_ids(store)
    before = {row.id: row.token for row in await store.find(ApiToken)}
    done = await vault.rotate()
    assert done.rows == 2
    assert await key_ids(store) == {done.key_id} != {old}
    assert all(before[row.id] != row.token for row in await store.find(ApiToken))
    assert [key.id for key in KeyFile(folder).load()] == [done.key_id, old]
    bob = await vault.for_user("bob").refresh()
    assert vault.secret_for("huggingface.co") == "hugging-face-token"
    assert bob.secret_for("civitai.com") == "civitai-token-of-bob"
    again = await vault.rotate(forget=True)
    assert [key.id for key in KeyFile(folder).load()] == [again.key_id]
    assert vault.secret_for("huggingface.co") == "hugging-face-token"


async def test_a_store_without_tokens_can_be_rotated(store: Store, keys: KeyStore) -> None:
    done = await TokenVault(store, "ada", keys=keys, environ={}).rotate()
    assert done.rows == 0


async def test_another_program_s_rotation_is_noticed(
    vault: TokenVault, store: Store, folder: Path
) -> None:
    other = TokenVault(
        store, "ada", keys=KeyStore(environ={}, file=KeyFile(folder), use_keyring=False), environ={}
    )
    await other.refresh()
    done = await vault.rotate(forget=True)
    # What it had read goes on working, and what it writes has the key of now.
    assert other.secret_for("huggingface.co") == "hugging-face-token"
    await other.add("new", Service.CIVITAI, "another-civitai-token")
    assert await key_ids(store) == {done.key_id}
    assert other.secret_for("huggingface.co") == "hugging-face-token"
    assert (await vault.refresh()).secret_for("civitai.com") == "another-civitai-token"


async def test_rotations_and_changes_at_once_lose_nothing(
    vault: TokenVault, store: Store, folder: Path
) -> None:
    others = [
        TokenVault(
            store,
            "ada",
            keys=KeyStore(environ={}, file=KeyFile(folder), use_keyring=False),
            environ={},
        )
        for _ in range(4)
    ]
    await asyncio.gather(
        *(
            others[i % 4].add(name, Service.CIVITAI, token)
            for i, (name, token) in enumerate(TOKENS.items())
        ),
        *(others[i].rotate(forget=i % 2 == 0) for i in range(4)),
    )
    infos = await vault.tokens()
    assert [info.problem for info in infos] == [None] * (len(TOKENS) + 1)
    assert len(await key_ids(store)) == 1


async def test_keys_of_the_environment_rotate_to_the_first(
    vault: TokenVault, store: Store, environ: dict[str, str], folder: Path
) -> None:
    first, second = (Fernet.generate_key().decode() for _ in range(2))
    environ["COMFYNB_TOKEN_KEY"] = first
    done = await vault.rotate(forget=True)
    assert done.key_id == Key.of(first).id
    assert "COMFYNB_TOKEN_KEY" in done.place
    assert KeyFile(folder).load() == []
    environ["COMFYNB_TOKEN_KEY"] = f"{second},{first}"
    assert (await vault.rotate()).key_id == Key.of(second).id
    environ["COMFYNB_TOKEN_KEY"] = second
    await vault.refresh()
    assert vault.secret_for("huggingface.co") == "hugging-face-token"


async def test_a_row_that_cannot_be_read_stops_it_before_anything_is_changed(
    vault: TokenVault, store: Store, folder: Path
) -> None:
    rows = await store.find(ApiToken)
    await store.put(rows[0].model_copy(update={"token": rows[0].token[:-8] + "AAAAAAA="}))
    before = {row.id: row.token for row in await store.find(ApiToken)}
    content = (folder / "tokens.json").read_bytes()
    with pytest.raises(SecretError, match="changed or damaged"):
        await vault.rotate(forget=True)
    assert {row.id: row.token for row in await store.find(ApiToken)} == before
    assert (folder / "tokens.json").read_bytes() == content


async def test_on_a_database_server_too(postgres_store: Store, folder: Path) -> None:
    keys = KeyStore(environ={}, file=KeyFile(folder), use_keyring=False)
    vault = TokenVault(postgres_store, "ada", keys=keys, environ={})
    info = await vault.add("mine", Service.HUGGINGFACE, "hugging-face-token")
    assert vault.secret_for("huggingface.co") == "hugging-face-token"
    row = await postgres_store.get(ApiToken, info.id)
    assert row is not None
    assert row.lastUsed is not None
    done = await vault.rotate(forget=True)
    assert (done.rows, await key_ids(postgres_store)) == (1, {done.key_id})
    assert vault.secret_for("huggingface.co") == "hugging-face-token"
    assert info.id is not None
    await vault.remove(info.id)
    assert await vault.tokens() == []


PROGRAM = """
import asyncio, json, os, signal, sys
from pathlib import Path
from comfynb.deploy.tokens import KeyFile, KeyStore, TokenVault
from comfynb.store import Transaction, open_store

database, folder, point = sys.argv[1], Path(sys.argv[2]), sys.argv[3]

def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)

class Dying(KeyFile):
    saves = 0
    def save(self, keys):
        type(self).saves += 1
        if point == f"before save {self.saves}":
            die()
        super().save(keys)
        if point == f"after save {self.saves}":
            die()

if point == "half a key file":
    real = os.fsync
    os.fsync = lambda fd: die() if os.readlink(f"/proc/self/fd/{fd}").endswith(".new") else real(fd)
if point == "inside the transaction":
    put = Transaction.put
    def half(self, *rows):
        put(self, *rows[: len(rows) // 2])
        die()
    Transaction.put = half

async def main():
    store = open_store(database)
    keys = KeyStore(environ={}, file=Dying(folder), use_keyring=False)
    vault = TokenVault(store, "ada", keys=keys, environ={})
    print((await vault.rotate(forget=True)).rows)
    await store.close()

asyncio.run(main())
"""

POINTS = (
    "half a key file",
    "after save 1",
    "inside the transaction",
    "before save 2",
    "never",
)


@pytest.mark.kill
@pytest.mark.timeout(300)
async def test_killed_anywhere_it_loses_nothing(tmp_path: Path, folder: Path) -> None:
    """One rotation after the other in processes that die at each step.

    Each begins with reading every row, so one that dies where it should has found nothing lost.
    """
    database = tmp_path / "data" / "lab.duckdb"
    await asyncio.to_thread(database.parent.mkdir)
    keys = KeyStore(environ={}, file=KeyFile(folder), use_keyring=False)

    async def visit(first: bool) -> dict[str, str]:
        store = open_store(database, label="tests")
        try:
            vault = TokenVault(store, "ada", keys=keys, environ={})
            if first:
                await store.put(User(id="ada", email="ada@example.org"))
                for name, token in TOKENS.items():
                    await vault.add(name, Service.CIVITAI, token)
            found = {}
            for info in await vault.tokens():
                assert info.problem is None, info
                (row,) = [one for one in vault._rows or [] if one.id == info.id]
                vault._rows = [row, *(one for one in vault._rows or [] if one is not row)]
                found[info.name] = vault.secret_for("civitai.com") or ""
            return found
        finally:
            await store.close()

    assert await visit(first=True) == TOKENS
    for point in POINTS:
        done = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", PROGRAM, str(database), str(folder), point],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if point == "never":
            assert (done.returncode, done.stdout) == (0, f"{len(TOKENS)}\n"), done.stderr
        else:
            assert done.returncode == -9, (point, done.stderr)
    assert await visit(first=False) == TOKENS
    assert len(json.loads((folder / "tokens.json").read_text())["keys"]) == 1
