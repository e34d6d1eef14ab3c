"""Tokens in and used, never out: encrypted, bound to their rows, to their hosts, to their owner."""

import asyncio
import copy
import io
import json
import logging
import os
import pickle
import pprint
import re
import traceback
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from comfynb.deploy.tokens import KeyFile, KeyStore, Secret, TokenVault
from comfynb.deploy.tokens.sealing import Key, Sealed, seal, unseal
from comfynb.errors import InvalidValue, NotFound, SecretError, UsageError
from comfynb.models import ApiToken, Service, utcnow
from comfynb.store import Store

TOKEN = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345WXYZ"
OTHER = "0123456789abcdef0123456789abcdef"


@pytest.fixture
async def vault(store: Store, keys: KeyStore, environ: dict[str, str]) -> TokenVault:
    return TokenVault(store, "ada", keys=keys, environ=environ)


async def test_a_token_is_kept_and_given_to_its_hosts_alone(vault: TokenVault) -> None:
    info = await vault.add("mine", Service.HUGGINGFACE, SecretStr(f" {TOKEN}\n"))
    assert (info.name, info.last4, info.source, info.problem) == ("mine", "WXYZ", "stored", None)
    await vault.add("other", Service.CIVITAI, OTHER)
    for host in ("huggingface.co", "HuggingFace.CO", "huggingface.co:443"):
        assert vault.secret_for(host) == TOKEN
    for host in ("civitai.com", "civitai.red", "civitai.com:443"):
        assert vault.secret_for(host) == OTHER
    for host in (
        "",
        "huggingface.co.evil.example",
        "evil-huggingface.co",
        "cdn-lfs.huggingface.co",
        "hf.co",
        "huggingface.co.",
        "huggingface.co:80",
        "huggingface.co:8443",
        "huggingface.co:",
        "huggingface.co:443:443",
        "user@huggingface.co",
        "xhuggingface.co",
        "huggingface.co/x",
        "https://huggingface.co",
        "civitai.org",
        "www.civitai.com",
        "image.civitai.com",
        "civitaі.com",
        "localhost",
    ):
        assert vault.secret_for(host) is None, host


async def test_the_row_holds_no_token(vault: TokenVault, store: Store) -> None:
    info = await vault.add("mine", Service.HUGGINGFACE, TOKEN)
    (row,) = await store.find(ApiToken)
    assert re.fullmatch(r"v1:[0-9a-f]{12}:WXYZ:[A-Za-z0-9_=-]+", row.token)
    assert TOKEN[:-4] not in repr(row) + json.dumps(row.model_dump(mode="json"))
    assert (row.id, row.userId, row.isActive, row.lastUsed) == (info.id, "ada", True, None)
    # DuckDB has written what was committed, here or in its journal.
    assert not holding(Path(store.path).parent, TOKEN[:-4])
    assert holding(Path(store.path).parent, Sealed.of(row).ciphertext[:40])


def holding(folder: Path, text: str) -> list[str]:
    """Return the files in a folder with this text in them."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [path.name for path in files if text.encode() in path.read_bytes()]


def move(place: Path, to: Path) -> None:
    place.rename(to)


async def test_short_tokens_are_not_half_told(vault: TokenVault) -> None:
    assert (await vault.add("short", Service.CIVITAI, "abcd1234")).last4 == ""
    assert vault.secret_for("civitai.com") == "abcd1234"


@pytest.mark.parametrize(
    "text",
    ["", "   ", "short", "x" * 5000, "with blank inside", "two\nlines-of-it", "ünïcode-token"],
)
async def test_what_is_no_token_is_refused_unquoted(vault: TokenVault, text: str) -> None:
    with pytest.raises(InvalidValue, match="token") as caught:
        await vault.add("mine", Service.CIVITAI, text)
    assert not text.strip() or text.strip() not in str(caught.value)
    assert await vault.tokens() == []


async def test_the_newest_active_one_counts(vault: TokenVault) -> None:
    first = await vault.add("first", Service.CIVITAI, "first-token-000")
    second = await vault.add("second", Service.CIVITAI, "second-token-00")
    assert vault.secret_for("civitai.com") == "second-token-00"
    assert second.id is not None
    assert not (await vault.set_active(second.id, False)).isActive
    assert vault.secret_for("civitai.com") == "first-token-000"
    await vault.set_active(second.id, True)
    assert vault.secret_for("civitai.com") == "second-token-00"
    await vault.remove(second.id)
    assert vault.secret_for("civitai.com") == "first-token-000"
    assert first.id is not None
    assert (await vault.replace(first.id, "third-token-000")).last4 == "-000"
    assert vault.secret_for("civitai.com") == "third-token-000"
    assert (await vault.rename(first.id, "Third")).name == "Third"
    assert [one.name for one in await vault.tokens()] == ["Third"]


async def test_another_s_tokens_are_not_there(vault: TokenVault) -> None:
    info = await vault.add("mine", Service.CIVITAI, OTHER)
    bob = await vault.for_user("bob").refresh()
    assert bob.secret_for("civitai.com") is None
    assert await bob.tokens() == []
    assert info.id is not None
    for change in (
        bob.remove(info.id),
        bob.rename(info.id, "his"),
        bob.replace(info.id, "his-own-token"),
        bob.set_active(info.id, False),
    ):
        with pytest.raises(NotFound, match="no token with the id"):
            await change
    assert vault.secret_for("civitai.com") == OTHER


async def test_it_says_when_a_token_was_used(store: Store, keys: KeyStore) -> None:
    now = utcnow()
    clock = [now]
    vault = TokenVault(store, "ada", keys=keys, environ={}, now=lambda: clock[0])
    info = await vault.add("mine", Service.CIVITAI, OTHER)
    assert (await vault.tokens())[0].lastUsed is None

    async def used() -> Any:
        row = await store.get(ApiToken, info.id)
        assert row is not None
        return row.lastUsed

    vault.secret_for("huggingface.co")
    assert await used() is None
    vault.secret_for("civitai.com")
    assert await used() == now
    # Not with every request of a download.
    clock[0] = now + timedelta(seconds=30)
    vault.secret_for("civitai.com")
    assert await used() == now
    clock[0] = now + timedelta(seconds=90)
    vault.secret_for("civitai.com")
    assert await used() == now + timedelta(seconds=90)


async def test_it_is_read_before_it_is_used(vault: TokenVault) -> None:
    with pytest.raises(UsageError, match="refresh"):
        vault.secret_for("civitai.com")
    assert vault.secret_for("models.example") is None
    assert (await vault.refresh()).secret_for("civitai.com") is None


# ---- what goes wrong


async def test_a_missing_key_is_named_and_nothing_is_lost(
    vault: TokenVault, store: Store, folder: Path
) -> None:
    await vault.add("mine", Service.HUGGINGFACE, TOKEN)
    kept = folder.with_name("elsewhere")
    move(folder, kept)
    (info,) = await vault.tokens()
    assert info.last4 == "WXYZ"
    assert info.problem is not None
    assert "its key" in info.problem
    assert "is not on this machine" in info.problem
    with pytest.raises(SecretError, match="bring the key back, or enter the token anew"):
        vault.secret_for("huggingface.co")
    # A new token gets a new key; the old row waits for its own.
    await vault.add("new", Service.CIVITAI, OTHER)
    assert vault.secret_for("civitai.com") == OTHER
    with pytest.raises(SecretError, match="'mine' cannot be read"):
        await vault.rotate()
    assert vault.secret_for("civitai.com") == OTHER
    new = json.loads((folder / "tokens.json").read_text())
    old = json.loads((kept / "tokens.json").read_text())
    (folder / "tokens.json").write_text(
        json.dumps({"version": 1, "keys": [*new["keys"], *old["keys"]]})
    )
    await vault.refresh()
    assert vault.secret_for("huggingface.co") == TOKEN
    assert vault.secret_for("civitai.com") == OTHER


async def test_a_wrong_key_is_named(vault: TokenVault, folder: Path) -> None:
    await vault.add("mine", Service.HUGGINGFACE, TOKEN)
    (folder / "tokens.json").unlink()
    KeyFile(folder).save([Key.new()])
    await vault.refresh()
    with pytest.raises(SecretError, match="its key"):
        vault.secret_for("huggingface.co")


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-10],
        lambda text: text[:-10] + "AAAAAAAAAA",
        lambda text: text.replace("WXYZ", "0000"),
        lambda text: "plain-token-text",
        lambda text: "v1:",
        lambda text: "v2:whatever",
        lambda text: text + "\n",
    ],
)
async def test_a_damaged_row_is_named(vault: TokenVault, store: Store, damage: Any) -> None:
    await vault.add("mine", Service.HUGGINGFACE, TOKEN)
    (row,) = await store.find(ApiToken)
    await store.put(row.model_copy(update={"token": damage(row.token)}))
    (info,) = await vault.tokens()
    assert info.problem is not None
    assert re.search(r"'mine'.*(anew|upgrade)", info.problem)
    with pytest.raises(SecretError, match="'mine'"):
        vault.secret_for("huggingface.co")


async def test_a_row_s_token_cannot_be_moved_to_another_row(
    vault: TokenVault, store: Store
) -> None:
    """Who can write the database must not have a token sent to another service."""
    await vault.add("hub", Service.HUGGINGFACE, TOKEN)
    await vault.add("civ", Service.CIVITAI, OTHER)
    rows = {row.service: row for row in await store.find(ApiToken)}
    hub, civ = rows[Service.HUGGINGFACE], rows[Service.CIVITAI]
    await store.put(civ.model_copy(update={"token": hub.token}))
    await store.put(hub.model_copy(update={"service": Service.CIVITAI, "isActive": False}))
    await vault.refresh()
    with pytest.raises(SecretError, match="changed or damaged"):
        vault.secret_for("civitai.com")
    await store.delete(ApiToken, civ.id)
    await store.put(hub.model_copy(update={"service": Service.CIVITAI}))
    await vault.refresh()
    with pytest.raises(SecretError, match="changed or damaged"):
        vault.secret_for("civitai.com")


async def test_nobody_gets_another_s_token_by_copying_its_row(
    vault: TokenVault, store: Store
) -> None:
    bob = vault.for_user("bob")
    his = await bob.add("his", Service.CIVITAI, OTHER)
    row = await store.get(ApiToken, his.id)
    assert row is not None
    for change in ({"id": "copied", "userId": "ada"}, {"userId": "ada"}):
        await store.put(row.model_copy(update=change))
        await vault.refresh()
        with pytest.raises(SecretError, match="changed or damaged"):
            vault.secret_for("civitai.com")
        await store.delete(ApiToken, "copied")
    # A copy within one person's own rows is none of theirs either.
    await store.put(row, row.model_copy(update={"id": "copied", "createdAt": utcnow()}))
    with pytest.raises(SecretError, match="changed or damaged"):
        (await bob.refresh()).secret_for("civitai.com")
    await store.delete(ApiToken, "copied")
    assert (await bob.refresh()).secret_for("civitai.com") == OTHER


@given(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=200),
    st.sampled_from(Service),
)
def test_what_is_sealed_is_unsealed(token: str, service: Service) -> None:
    first, second = Key.new(), Key.new()
    row = ApiToken(name="n", service=service, token="-", userId="ada")
    sealed = seal(row, Secret(token), first)
    assert unseal(sealed, [second, first]).get_secret_value() == token
    assert str(Sealed.of(sealed)) == sealed.token
    shown = token[-4:] if len(token) >= 12 else ""
    assert Sealed.of(sealed).last4 == shown
    with pytest.raises(SecretError):
        unseal(sealed, [second])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(max_size=100))
def test_whatever_lies_in_a_row_is_an_error_in_words(text: str) -> None:
    row = ApiToken(name="n", service=Service.CIVITAI, token=text or "-", userId="ada")
    with pytest.raises(SecretError, match="'n'"):
        unseal(row, [Key.new()])


# ---- shown nowhere


async def test_no_token_and_no_key_shows(
    vault: TokenVault, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    info = await vault.add("mine", Service.HUGGINGFACE, Secret(TOKEN))
    vault.secret_for("huggingface.co")
    key = json.loads((folder / "tokens.json").read_text())["keys"][0]["key"]
    secret, (loaded,) = Secret(TOKEN), KeyFile(folder).load()
    (row,) = vault._rows or []
    shown = io.StringIO()
    for one in (vault, info, secret, loaded, row, Sealed.of(row), vault._keys, vault._keys.file):
        print(one, repr(one), f"{one}", f"{one!s:>40}", file=shown)
        pprint.pprint(one, stream=shown)
        logging.getLogger("x").warning("%s %r", one, one)
    print(await vault.tokens(), file=shown)
    print(row.model_dump(), row.model_dump_json(), file=shown)
    print(json.dumps({"a": secret, "v": vault}, default=str), file=shown)
    for text in (shown.getvalue(), caplog.text):
        assert TOKEN not in text
        assert TOKEN[:-4] not in text
        assert key not in text
    for one in (secret, loaded, vault, {"deep": [secret]}):
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            with pytest.raises(TypeError, match="not pickled"):
                pickle.dumps(one, protocol)
    assert copy.deepcopy(secret) is copy.copy(secret) is secret


async def test_no_exception_holds_a_token_or_a_key(
    vault: TokenVault, store: Store, folder: Path, environ: dict[str, str]
) -> None:
    await vault.add("mine", Service.HUGGINGFACE, TOKEN)
    key = (folder / "tokens.json").read_text().split('"key": "')[1][:44]
    errors: list[BaseException] = []

    async def attempt(what: Any) -> None:
        try:
            result = what()
            if asyncio.iscoroutine(result):
                await result
        except (SecretError, InvalidValue) as error:
            errors.append(error)
        else:
            pytest.fail("nothing went wrong")

    await attempt(lambda: vault.add("bad", Service.CIVITAI, f"{TOKEN} {OTHER}"))
    environ["COMFYNB_TOKEN_KEY"] = f"{key[:-5]}"
    await attempt(lambda: vault.refresh())
    del environ["COMFYNB_TOKEN_KEY"]
    content = (folder / "tokens.json").read_text()
    (folder / "tokens.json").write_text(content.replace(key, key[:-5]))
    await attempt(lambda: vault.refresh())
    (folder / "tokens.json").write_text(content.replace("}", ""))
    await attempt(lambda: vault.refresh())
    (folder / "tokens.json").unlink()
    await vault.refresh()
    await attempt(lambda: vault.secret_for("huggingface.co"))
    await attempt(lambda: vault.rotate())
    for error in errors:
        link: BaseException | None = error
        while link is not None:
            said = f"{link} {link!r} {link.args} {vars(link)}"
            said += "".join(traceback.format_exception(link))
            assert TOKEN[:-4] not in said
            assert key[:-5] not in said
            assert OTHER not in said
            link = link.__cause__ or link.__context__


# ---- the environment


async def test_tokens_of_the_environment_are_used_and_never_kept(
    vault: TokenVault, store: Store, environ: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    environ.update(HF_TOKEN="hf_from_environment", CIVITAI_API_KEY="civ_from_environment")
    await vault.refresh()
    assert vault.secret_for("huggingface.co") == "hf_from_environment"
    assert vault.secret_for("civitai.red") == "civ_from_environment"
    shown = await vault.tokens()
    assert [(one.id, one.name, one.last4, one.source) for one in shown] == [
        (None, "HF_TOKEN", "ment", "environment"),
        (None, "CIVITAI_API_KEY", "ment", "environment"),
    ]
    assert await store.count(ApiToken) == 0
    assert not holding(folder.parent, "")
    # A stored one counts before it, until it is set aside.
    info = await vault.add("mine", Service.HUGGINGFACE, TOKEN)
    assert vault.secret_for("huggingface.co") == TOKEN
    assert info.id is not None
    await vault.set_active(info.id, False)
    assert vault.secret_for("huggingface.co") == "hf_from_environment"


async def test_a_stored_token_that_cannot_be_read_is_not_passed_over(
    vault: TokenVault, environ: dict[str, str], folder: Path
) -> None:
    environ.update(HF_TOKEN="hf_from_environment")
    await vault.add("mine", Service.HUGGINGFACE, TOKEN)
    (folder / "tokens.json").unlink()
    await vault.refresh()
    with pytest.raises(SecretError, match="its key"):
        vault.secret_for("huggingface.co")


# ---- keys in the environment


async def test_a_key_of_the_environment_is_used_and_not_written(
    vault: TokenVault, environ: dict[str, str], folder: Path
) -> None:
    environ["COMFYNB_TOKEN_KEY"] = Fernet.generate_key().decode()
    await vault.add("mine", Service.HUGGINGFACE, TOKEN)
    assert vault.secret_for("huggingface.co") == TOKEN
    assert not (folder / "tokens.json").exists()
    del environ["COMFYNB_TOKEN_KEY"]
    await vault.refresh()
    with pytest.raises(SecretError, match="its key"):
        vault.secret_for("huggingface.co")


async def test_the_vault_reads_the_process_s_own_environment(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMFYNB_TOKEN_KEY", Fernet.generate_key().decode())
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "CIVITAI_TOKEN", "CIVITAI_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("CIVITAI_API_KEY", OTHER)
    monkeypatch.setenv("HF_HOME", os.devnull)
    vault = await TokenVault(store, "ada").refresh()
    assert vault.secret_for("civitai.com") == OTHER
