"""What services say about a file: as documented, as they fail, and through renamed repositories."""

import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from comfynb.deploy.lock.files import FileFacts, ask_source
from comfynb.deploy.net import Fetcher, NetPolicy
from comfynb.models import Service

COMMIT = "c" * 40
SHA = "a" * 64
HF = "https://huggingface.co/{}/resolve/main/x.safetensors"
BODY = b"weights" * 100


async def huggingface(request: web.Request) -> web.StreamResponse:
    owner = request.match_info["owner"]
    path = request.path
    common = {"X-Repo-Commit": COMMIT}
    if owner == "big":
        linked = {"X-Linked-Size": "123456", "X-Linked-Etag": f'"{SHA}"', "Location": "/cdn/x"}
        return web.Response(status=302, headers=common | linked)
    if owner == "small":
        return web.Response(headers={**common, "ETag": '"' + "b" * 40 + '"'}, body=b"12345")
    if owner == "gated":
        return web.Response(status=403, headers={"X-Error-Code": "GatedRepo"})
    if owner == "private":
        return web.Response(status=401)
    if owner == "old":
        return web.Response(status=307, headers={"Location": path.replace("/old/", "/big/")})
    if owner == "loop":
        return web.Response(status=307, headers={"Location": path})
    if owner == "busy":
        return web.Response(status=429, headers={"Retry-After": "7"})
    if owner == "bare":
        return web.Response(body=b"1")
    return web.Response(status=404)


ABOUT = {
    "big": {"gated": False, "tags": ["diffusers", "license:apache-2.0"]},
    "small": {"gated": "auto", "tags": ["license:other"], "cardData": {"license_name": "flux"}},
    "old": {},
}


async def about(request: web.Request) -> web.StreamResponse:
    found = ABOUT.get(request.match_info["owner"])
    return web.json_response(found) if found is not None else web.Response(status=404)


FILES = [
    {
        "id": 11,
        "name": "v1.safetensors",
        "sizeKB": 2.5,
        "primary": True,
        "pickleScanResult": "Success",
        "virusScanResult": "Success",
        "hashes": {"SHA256": SHA.upper()},
    },
    {"id": 12, "name": "v1.vae.pt", "sizeKB": 1, "virusScanResult": "Danger", "hashes": {}},
]


async def civitai(request: web.Request) -> web.StreamResponse:
    version = request.match_info["version"]
    if version == "404":
        return web.Response(status=404)
    early = {"availability": "EarlyAccess"} if version == "2" else {}
    return web.json_response({"id": int(version), "files": FILES, **early})


async def plain(request: web.Request) -> web.StreamResponse:
    kind = request.match_info["kind"]
    if kind == "html":
        return web.Response(text="<html>", content_type="text/html")
    if kind == "nohead" and request.method == "HEAD":
        return web.Response(status=405)
    if "Range" in request.headers:
        size = len(BODY)
        headers = {"Content-Range": f"bytes 0-0/{size}"}
        return web.Response(status=206, body=BODY[:1], headers=headers)
    return web.Response(body=BODY, content_type="application/octet-stream")


@pytest.fixture
async def ask(serve: Any) -> AsyncIterator[Any]:
    base = await serve(
        {
            "/{owner}/repo/resolve/main/x.safetensors": huggingface,
            f"/api/models/{{owner}}/repo/revision/{COMMIT}": about,
            "/api/v1/model-versions/{version}": civitai,
            "/files/{kind}": plain,
        }
    )
    policy = NetPolicy(frozenset({base.removeprefix("http://")}))
    async with Fetcher(policy=policy, timeout=10) as fetcher:

        async def ask(url: str, **options: Any) -> FileFacts:
            url = url.replace("BASE", base)
            return await ask_source(url, fetcher, huggingface=base, civitai=base, **options)

        yield ask


async def test_hugging_face_pins_by_commit_and_tells_the_hash(ask: Any) -> None:
    for url in (HF.format("big/repo"), HF.format("big/repo").replace("resolve", "blob")):
        facts = await ask(url)
        assert facts.url == f"https://huggingface.co/big/repo/resolve/{COMMIT}/x.safetensors"
        assert (facts.revision, facts.size, facts.sha256) == (COMMIT, 123456, SHA)
        assert (facts.auth, facts.problem, facts.license) == (None, None, "apache-2.0")


async def test_a_file_outside_lfs_has_a_size_and_no_hash(ask: Any) -> None:
    facts = await ask(HF.format("small/repo"))
    assert (facts.revision, facts.size, facts.sha256) == (COMMIT, 5, None)
    # A token of ours may have opened it: who runs the script needs one, too.
    assert (facts.auth, facts.license) == (Service.HUGGINGFACE, "flux")


async def test_a_renamed_repository_is_followed(ask: Any) -> None:
    facts = await ask(HF.format("old/repo"))
    assert facts.url == f"https://huggingface.co/big/repo/resolve/{COMMIT}/x.safetensors"


@pytest.mark.parametrize(
    ("owner", "problem", "auth"),
    [
        ("gated", "its licence has to be accepted", Service.HUGGINGFACE),
        ("private", "it is private", Service.HUGGINGFACE),
        ("nobody", "has no such file", None),
        ("busy", "too much was asked of it", None),
        ("bare", "names no commit", None),
        ("loop", "names no commit", None),
    ],
)
async def test_what_hugging_face_refuses_is_said(
    ask: Any, owner: str, problem: str, auth: Service | None
) -> None:
    facts = await ask(HF.format(f"{owner}/repo"))
    assert problem in (facts.problem or "")
    assert facts.auth == auth
    assert facts.sha256 is None


@pytest.mark.parametrize(
    ("query", "filename", "number"),
    [("", None, 11), ("", "v1.vae.pt", 12), ("?fileId=12", None, 12), ("?type=Model", None, 11)],
)
async def test_civitai_pins_by_the_files_id(
    ask: Any, query: str, filename: str | None, number: int
) -> None:
    facts = await ask(f"https://civitai.com/api/download/models/1{query}", filename=filename)
    assert facts.url == f"https://civitai.com/api/download/models/1?fileId={number}"
    assert facts.revision == "1"
    if number == 11:
        assert (facts.size, facts.sha256, facts.scan) == (2560, SHA, "Success")
    else:
        assert (facts.size, facts.sha256, facts.scan) == (1024, None, "Danger")


async def test_civitais_refusals_are_said(ask: Any) -> None:
    gone = await ask("https://civitai.com/api/download/models/404")
    assert "there is nothing of that name" in (gone.problem or "")
    other = await ask("https://civitai.com/api/download/models/1?fileId=99")
    assert "has no such file" in (other.problem or "")
    early = await ask("https://civitai.com/api/download/models/2")
    assert early.auth == Service.CIVITAI


async def test_any_other_server_tells_the_size(ask: Any) -> None:
    assert (await ask("BASE/files/plain")).size == len(BODY)
    assert (await ask("BASE/files/nohead")).size == len(BODY)
    assert "web page" in ((await ask("BASE/files/html")).problem or "")


async def test_the_hash_is_taken_of_the_file_only_if_asked(ask: Any) -> None:
    assert (await ask("BASE/files/plain")).sha256 is None
    facts = await ask("BASE/files/plain", download=True)
    assert facts.sha256 == hashlib.sha256(BODY).hexdigest()


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/x.bin", "https://10.0.0.1/x.bin", "ftp://x/y"])
async def test_nothing_private_is_asked(ask: Any, url: str) -> None:
    facts = await ask(url)
    assert facts.problem
