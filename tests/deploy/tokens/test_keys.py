"""Where keys lie: only their owner reads them, never beside the database, never half written."""

import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import keyring
import keyring.backend
import keyring.errors
import pytest

from comfynb.deploy.tokens import KeyFile, KeyStore, TokenVault
from comfynb.deploy.tokens.sealing import Key
from comfynb.errors import SecretError
from comfynb.models import ApiToken, Service
from comfynb.store import Store

TOKEN = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345WXYZ"


class MemoryKeyring(keyring.backend.KeyringBackend):
    """A backend of the tests' own."""

    priority = 5  # type: ignore[assignment]

    def __init__(self) -> None:
        super().__init__()
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False

    def get_password(self, service: str, username: str) -> str | None:
        if self.locked:
            raise keyring.errors.KeyringLocked("locked")
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.locked:
            raise keyring.errors.KeyringLocked("locked")
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# ---- the file


def test_the_file_is_its_owner_s_alone(folder: Path) -> None:
    before = os.umask(0o000)
    try:
        file = KeyFile(folder)
        keys = [Key.new(), Key.new()]
        file.save(keys)
    finally:
        os.umask(before)
    assert (mode(folder), mode(file.path)) == (0o700, 0o600)
    assert [key.id for key in file.load()] == [key.id for key in keys]
    assert [path.name for path in folder.iterdir()] == ["tokens.json"]


@pytest.mark.parametrize("bits", [0o604, 0o640, 0o660, 0o644, 0o602])
def test_a_file_that_others_may_open_is_not_used(folder: Path, bits: int) -> None:
    KeyFile(folder).save([Key.new()])
    (folder / "tokens.json").chmod(bits)
    with pytest.raises(SecretError, match="open to other people: run chmod 600"):
        KeyFile(folder).load()


def test_a_folder_that_others_may_open_is_not_used(folder: Path) -> None:
    KeyFile(folder).save([Key.new()])
    folder.chmod(0o755)
    for attempt in (KeyFile(folder).load, lambda: KeyFile(folder).save([Key.new()])):
        with pytest.raises(SecretError, match="run chmod 700"):
            attempt()


def test_a_link_is_not_followed(folder: Path, tmp_path: Path) -> None:
    KeyFile(folder).save([Key.new()])
    (folder / "tokens.json").rename(tmp_path / "elsewhere.json")
    (folder / "tokens.json").symlink_to(tmp_path / "elsewhere.json")
    with pytest.raises(SecretError, match="cannot be read"):
        KeyFile(folder).load()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "{}", "null", '{"version": 1}', '{"version": 2, "keys": []}', "\xff"]
    + [f'{{"version": 1, "keys": [{entry}]}}' for entry in ("1", "{}", '{"key": "abc"}')],
)
def test_a_damaged_file_is_named_and_kept(folder: Path, content: str, tmp_path: Path) -> None:
    file = KeyFile(folder)
    file.save([Key.new()])
    file.path.write_text(content)
    store = KeyStore(environ={}, file=file, use_keyring=False)
    for attempt in (store.load, lambda: store.load_or_make(str(tmp_path / "x" / "lab.duckdb"))):
        with pytest.raises(SecretError, match=r"tokens\.json cannot be read"):
            attempt()
    assert file.path.read_text() == content


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "config").write_text("a file")
    file = KeyFile(tmp_path / "config" / "keys")
    with pytest.raises(SecretError, match="cannot be written"):
        file.save([Key.new()])
    with pytest.raises(SecretError, match="cannot be read"), file.lock(shared=False):
        pass


def test_a_rest_of_a_killed_process_is_no_hindrance(folder: Path) -> None:
    file = KeyFile(folder)
    file.save([Key.new()])
    (folder / f"tokens.json.{os.getpid()}.new").write_text("half")
    key = Key.new()
    file.save([key])
    assert [one.id for one in file.load()] == [key.id]


@pytest.mark.parametrize("beside", ["keys", "."])
async def test_the_key_does_not_lie_beside_the_database(
    tmp_path: Path, store: Store, beside: str
) -> None:
    folder = Path(store.path).parent / beside
    keys = KeyStore(environ={}, file=KeyFile(folder), use_keyring=False)
    vault = TokenVault(store, "ada", keys=keys, environ={})
    Path(store.path).parent.chmod(0o700)
    with pytest.raises(SecretError, match="beside the database"):
        await vault.add("mine", Service.CIVITAI, TOKEN)
    assert await store.count(ApiToken) == 0
    assert not (folder / "tokens.json").exists()


def test_a_database_on_a_server_is_beside_nothing(folder: Path) -> None:
    KeyFile(folder).check_apart_from("postgresql://lab/comfynb")


def test_many_at_once_make_one_key(folder: Path, tmp_path: Path) -> None:
    ids: list[str] = []
    start = threading.Barrier(8)

    def make() -> None:
        store = KeyStore(environ={}, file=KeyFile(folder), use_keyring=False)
        start.wait()
        with store.lock(shared=False):
            ids.append(store.load_or_make(str(tmp_path / "x" / "lab.duckdb"))[0].id)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(ids) == 8
    assert len(set(ids)) == 1


def test_where_it_lies_if_nobody_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    assert KeyFile().path.is_relative_to(tmp_path)
    assert KeyFile().path.name == "tokens.json"


# ---- the environment


@pytest.mark.parametrize("text", ["x", "not a key at all", "A" * 43, "a,b", ","])
def test_a_variable_that_is_no_key_is_named_not_passed_over(folder: Path, text: str) -> None:
    file = KeyFile(folder)
    file.save([Key.new()])
    store = KeyStore(environ={"COMFYNB_TOKEN_KEY": text}, file=file, use_keyring=False)
    with pytest.raises(SecretError, match="COMFYNB_TOKEN_KEY holds no key") as caught:
        store.load()
    assert len(text) < 4 or text not in str(caught.value)


def test_the_environment_comes_first_and_the_others_still_read(folder: Path) -> None:
    first, second, third, fourth = (Key.new() for _ in range(4))
    ring = MemoryKeyring()
    ring.kept["comfynb", "token-keys"] = json.dumps([third.secret.get_secret_value()])
    file = KeyFile(folder)
    file.save([fourth, third])
    texts = [key.secret.get_secret_value() for key in (first, second)]
    store = KeyStore(environ={"COMFYNB_TOKEN_KEY": " , ".join(texts)}, file=file, keyring=ring)
    assert [key.id for key in store.load()] == [first.id, second.id, third.id, fourth.id]
    assert "COMFYNB_TOKEN_KEY" in store.place


# ---- the keyring


async def test_a_keyring_is_used_where_there_is_one(store: Store, folder: Path) -> None:
    ring = MemoryKeyring()
    keys = KeyStore(environ={}, file=KeyFile(folder), keyring=ring)
    vault = TokenVault(store, "ada", keys=keys, environ={})
    await vault.add("mine", Service.HUGGINGFACE, TOKEN)
    assert vault.secret_for("huggingface.co") == TOKEN
    assert list(ring.kept) == [("comfynb", "token-keys")]
    assert not (folder / "tokens.json").exists()
    assert keys.place == "the keyring"
    done = await vault.rotate()
    assert done.place == "the keyring"
    assert len(json.loads(ring.kept["comfynb", "token-keys"])) == 2
    await vault.rotate(forget=True)
    assert len(json.loads(ring.kept["comfynb", "token-keys"])) == 1
    assert vault.secret_for("huggingface.co") == TOKEN


async def test_a_locked_keyring_is_named(store: Store, folder: Path) -> None:
    ring = MemoryKeyring()
    vault = TokenVault(
        store, "ada", keys=KeyStore(environ={}, file=KeyFile(folder), keyring=ring), environ={}
    )
    await vault.add("mine", Service.HUGGINGFACE, TOKEN)
    ring.locked = True
    for attempt in (vault.refresh, vault.tokens, lambda: vault.add("b", Service.CIVITAI, TOKEN)):
        with pytest.raises(SecretError, match=r"keyring.*KeyringLocked.*unlock it"):
            await attempt()
    ring.locked = False
    await vault.refresh()
    assert vault.secret_for("huggingface.co") == TOKEN
    ring.kept["comfynb", "token-keys"] = '["rubbish"]'
    with pytest.raises(SecretError, match="is no key"):
        await vault.refresh()


@pytest.mark.parametrize(
    ("module", "priority", "real"),
    [
        ("keyring.backends.SecretService", 5, True),
        ("keyring.backends.macOS", 5, True),
        ("keyring.backends.fail", 0, False),
        ("keyring.backends.null", -1, False),
        ("keyring.backends.chainer", -1, False),
        ("keyrings.alt.file", 0.5, False),
        ("keyrings.alt.file", 5, False),
    ],
)
def test_only_real_keyrings_count(
    monkeypatch: pytest.MonkeyPatch, folder: Path, module: str, priority: float, real: bool
) -> None:
    kind: Any = type("Backend", (MemoryKeyring,), {"priority": priority, "__module__": module})
    monkeypatch.setattr(keyring, "get_keyring", kind)
    store = KeyStore(environ={}, file=KeyFile(folder))
    assert (store.place == "the keyring") == real
    assert store.load() == []
