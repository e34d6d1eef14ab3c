"""A person's tokens on their way: to the service itself, and no further."""

from pathlib import Path
from typing import Any

from aiohttp import web

from comfynb.deploy.tokens import KeyFile, KeyStore, TokenVault
from comfynb.models import Service, User
from comfynb.store import open_store

TOKEN = "hf_AbCdEfGhIjKlMnOpQrStUvWxYz012345WXYZ"


async def test_a_gated_file_comes_from_the_hub_and_its_token_stays_there(
    world: Any, tmp_path: Path
) -> None:
    seen: list[tuple[str, str | None]] = []

    async def hub(request: web.Request) -> web.Response:
        seen.append((request.host, request.headers.get("Authorization")))
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.Response(status=401, headers={"X-Error-Code": "GatedRepo"})
        there = "https://cdn-lfs.huggingface.co/file?X-Amz-Signature=abc"
        return web.Response(status=302, headers={"Location": there, "X-Linked-Size": "4"})

    async def cdn(request: web.Request) -> web.Response:
        seen.append((request.host, request.headers.get("Authorization")))
        # A presigned address answers 400 where a token comes with it.
        return web.Response(status=400 if "Authorization" in request.headers else 200, body=b"file")

    await world.serve("huggingface.co", hub)
    await world.serve("cdn-lfs.huggingface.co", cdn, address="151.101.1.6")
    store = open_store(tmp_path / "data.duckdb", label="tests")
    try:
        await store.put(User(id="ada", email="ada@example.org"))
        keys = KeyStore(environ={}, file=KeyFile(tmp_path / "config" / "keys"), use_keyring=False)
        vault = await TokenVault(store, "ada", keys=keys, environ={}).refresh()
        url = "https://huggingface.co/org/repo/resolve/main/file"
        async with world.fetcher(secrets=vault.secret_for) as fetcher:
            assert (await fetcher.head(url)).status == 401
            await vault.add("mine", Service.HUGGINGFACE, TOKEN)
            seen.clear()
            done = await fetcher.download(url, tmp_path / "models" / "file")
        assert done.size == 4
        assert done.url == url
        assert seen == [
            ("huggingface.co", f"Bearer {TOKEN}"),
            ("cdn-lfs.huggingface.co", None),
        ]
    finally:
        await store.close()
