"""Files go to and fro whole or not at all, and never where a server says."""

import asyncio
import gzip
import hashlib
import os
import unicodedata
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import pytest
from aiohttp import web
from hypothesis import example, given
from hypothesis import strategies as st

from comfynb.comfy import ComfyClient, DownloadedFile, FileRef, safe_name
from comfynb.errors import BackendUnreachable, InvalidValue, NotComfyUI, NotFound, ServerError
from comfynb.sandbox import Sandbox

from .conftest import ServeApp, ServeRaw, ServeRoutes

# Names


@pytest.mark.parametrize(
    ("hostile", "safe"),
    [
        ("ComfyUI_00001_.png", "ComfyUI_00001_.png"),
        ("../../etc/passwd", "passwd"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\windows\\system.ini", "system.ini"),
        ("C:\\x.png", "x.png"),
        ("C:x.png", "C_x.png"),
        ("..", "file"),
        (".", "file"),
        ("", "file"),
        ("a/", "file"),
        (".bashrc", "bashrc"),
        ("...", "file"),
        ("x.png\x00.sh", "x.png_.sh"),
        ("a\r\nb.png", "a__b.png"),
        ("photo\u202egnp.exe", "photo_gnp.exe"),
        ('a<b>:"|?*.png', "a_b______.png"),
        ("con", "_con"),
        ("NUL.txt", "_NUL.txt"),
        ("x.png. . ", "x.png"),
        ("größe ✓.png", "größe ✓.png"),
        ("a" * 500 + ".png", "a" * 196 + ".png"),
        ("no_suffix" * 50, ("no_suffix" * 50)[:200]),
        ("x." + "y" * 300, ("x." + "y" * 300)[:200]),
    ],
)
def test_a_name_stays_in_its_folder(hostile: str, safe: str) -> None:
    assert safe_name(hostile) == safe


@given(st.text(max_size=300) | st.text("./\\ \x00:aé", max_size=20))
@example("\ud800.png")
@example("a" * 199 + "é.png")
def test_any_name_stays_in_its_folder(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert len(safe.encode()) <= 200
    assert not safe.startswith(".")
    assert not safe.endswith((".", " "))
    assert PurePosixPath(safe).name == safe
    assert PureWindowsPath(safe).name == safe
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Cs"} for c in safe)
    assert safe_name(safe) == safe


# Against the sandbox or a real server


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def unique(suffix: str) -> str:
    return f"comfynb-test-{os.urandom(6).hex()}{suffix}"


@pytest.mark.parametrize("size", [0, 1, 70_000, 3_000_000])
async def test_a_file_goes_there_and_comes_back(
    size: int, client: ComfyClient, tmp_path: Path
) -> None:
    data = os.urandom(size)
    source = tmp_path / "source.latent"
    source.write_bytes(data)
    ref = await client.upload(source, filename=unique(".latent"), subfolder="comfynb test/x")
    assert ref.type == "input"
    got = await client.download(ref, tmp_path / "new" / "folder" / "back.latent")
    assert got == DownloadedFile(
        tmp_path / "new" / "folder" / "back.latent", size, hashlib.sha256(data).hexdigest()
    )
    assert got.path.read_bytes() == data
    assert names(got.path.parent) == ["back.latent"]
    assert await client.view(ref) == data


async def test_bytes_go_as_files_do(client: ComfyClient) -> None:
    ref = await client.upload(b"abc", filename=unique(" grün.bin"), type="temp")
    assert ref.type == "temp"
    assert ref.filename.endswith("grün.bin")
    assert await client.view(ref) == b"abc"


async def test_the_returned_name_counts(client: ComfyClient) -> None:
    name = unique(".bin")
    first = await client.upload(b"one", filename=name)
    same = await client.upload(b"one", filename=name)
    other = await client.upload(b"two", filename=name)
    assert first.filename == same.filename == name
    assert other.filename != name
    assert await client.view(other) == b"two"
    replaced = await client.upload(b"three", filename=name, overwrite=True)
    assert replaced.filename == name
    assert await client.view(first) == b"three"


async def test_a_picture_can_be_had_small(client: ComfyClient) -> None:
    from io import BytesIO

    from PIL import Image

    buffer = BytesIO()
    Image.new("RGB", (64, 64), (9, 200, 30)).save(buffer, "PNG")
    ref = await client.upload(buffer.getvalue(), filename=unique(".png"))
    preview = await client.view(ref, preview="webp;50")
    assert preview[:4] == b"RIFF"


async def test_a_file_that_is_gone(client: ComfyClient, tmp_path: Path) -> None:
    ref = FileRef(unique(".png"), "sub", "output")
    for request in (client.download(ref, tmp_path / "x.png"), client.view(ref)):
        with pytest.raises(ServerError, match=r"no file 'sub/comfynb-test.*deleted") as caught:
            await request
        assert caught.value.status == 404
    assert names(tmp_path) == []


async def test_a_name_that_leads_out_is_refused_there(client: ComfyClient, tmp_path: Path) -> None:
    for ref in (FileRef("../../secret.txt"), FileRef("x.png", "../../..")):
        with pytest.raises(ServerError, match="out of its folders"):
            await client.download(ref, tmp_path / "x")
    with pytest.raises(ServerError, match="out of its input folder"):
        await client.upload(b"x", filename="c.png", subfolder="../../x")
    assert names(tmp_path) == []


async def test_what_cannot_be_uploaded_is_named(client: ComfyClient, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="missing"):
        await client.upload(tmp_path / "missing.png", filename="x.png")
    with pytest.raises(NotFound, match="no file"):
        await client.upload(str(tmp_path), filename="x.png")
    for name in ("", ".", "..", "../x.png", "a\\b", "a\nb", "a\0b"):
        with pytest.raises(InvalidValue, match="plain file name"):
            await client.upload(b"x", filename=name)


# Limits


async def test_a_file_over_the_limit_is_not_even_sent(serve: ServeRoutes) -> None:
    async with ComfyClient(await serve({})) as client:
        from comfynb.comfy import ServerInfo

        client.info = ServerInfo(version="", max_upload_size=2**20)
        with pytest.raises(
            ServerError, match=r"no more than 1 MiB .*'x.bin' has 2\.5 MiB"
        ) as caught:
            await client.upload(bytes(5 * 2**19), filename="x.bin")
    assert caught.value.status == 413


@pytest.mark.parametrize("features", [{"max_upload_size": 2**20}, {}])
async def test_a_server_that_finds_it_too_large(
    features: dict[str, Any], serve_app: ServeApp, tmp_path: Path
) -> None:
    async def upload(request: web.Request) -> web.Response:
        await request.post()
        return web.json_response({"name": "never"})

    async def tell(_: web.Request) -> web.Response:
        return web.json_response(features)

    app = web.Application(client_max_size=2**20)
    app.router.add_post("/upload/image", upload)
    app.router.add_get("/features", tell)
    source = tmp_path / "x.bin"
    source.write_bytes(bytes(30 * 2**20))
    async with ComfyClient(await serve_app(app)) as client:
        said = "no more than 1 MiB" if features else "takes less"
        with pytest.raises(ServerError, match=f"{said} .*has 30 MiB.*--max-upload-size") as caught:
            await client.upload(source, filename="x.bin")
    assert caught.value.status == 413


# What goes wrong on the way


async def test_a_file_that_shrinks_while_it_is_sent(serve_app: ServeApp, tmp_path: Path) -> None:
    source = tmp_path / "x.bin"
    source.write_bytes(bytes(40 * 2**20))

    async def upload(request: web.Request) -> web.Response:
        await request.content.readany()
        os.truncate(source, 2**20)
        await request.read()
        return web.json_response({"name": "never"})

    app = web.Application(client_max_size=2**30)
    app.router.add_post("/upload/image", upload)
    async with ComfyClient(await serve_app(app)) as client:
        with pytest.raises(InvalidValue, match="shorter while it was sent"):
            await client.upload(source, filename="x.bin")


async def test_a_file_that_cannot_be_read(serve_app: ServeApp, tmp_path: Path) -> None:
    source = tmp_path / "x.bin"
    source.write_bytes(b"x")

    async def upload(request: web.Request) -> web.Response:
        await request.read()
        return web.json_response({"name": "never"})

    app = web.Application()
    app.router.add_post("/upload/image", upload)
    async with ComfyClient(await serve_app(app)) as client:
        with pytest.MonkeyPatch.context() as patch:
            # Root reads every file, so permissions cannot be the reason here.
            def refuse(*_: object) -> None:
                raise PermissionError(13, "Permission denied")

            patch.setattr(Path, "open", refuse)
            with pytest.raises(InvalidValue, match=r"x\.bin' cannot be read: Permission denied"):
                await client.upload(source, filename="x.bin")


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"


@pytest.mark.parametrize("size", [100, 3_000_000])
@pytest.mark.parametrize("chunked", [True, False])
async def test_a_download_that_breaks_off_leaves_nothing(
    size: int, chunked: bool, serve_raw: ServeRaw, tmp_path: Path
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if chunked:
            writer.write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n" % (size * 2))
        else:
            writer.write(HEAD + b"Content-Length: %d\r\n\r\n" % (size * 2))
        writer.write(bytes(size))
        await writer.drain()

    before = tmp_path / "x.png"
    before.write_bytes(b"an older picture")
    async with ComfyClient(f"http://127.0.0.1:{await serve_raw(talk)}") as client:
        with pytest.raises(BackendUnreachable) as caught:
            await client.download(FileRef("x.png"), before)
    assert caught.value.sent
    assert caught.value.__context__ is None
    assert names(tmp_path) == ["x.png"]
    assert before.read_bytes() == b"an older picture"


async def test_a_compressed_answer_is_not_asked_for_but_read(
    serve: ServeRoutes, tmp_path: Path
) -> None:
    async def picture(request: web.Request) -> web.Response:
        assert request.headers["Accept-Encoding"] == "identity"
        body = gzip.compress(b"picture" * 1000)
        return web.Response(body=body, headers={"Content-Encoding": "gzip"})

    async with ComfyClient(await serve({"GET /view": picture})) as client:
        got = await client.download(FileRef("x.png"), tmp_path / "x.png")
    assert got.path.read_bytes() == b"picture" * 1000
    assert got.size == 7000


async def test_a_body_that_may_be_a_half_is_not_taken(serve_raw: ServeRaw, tmp_path: Path) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"Connection: close\r\n\r\n" + bytes(1000))
        await writer.drain()

    async with ComfyClient(f"http://127.0.0.1:{await serve_raw(talk)}") as client:
        with pytest.raises(ServerError, match="without its length"):
            await client.download(FileRef("x.png"), tmp_path / "x.png")
    assert names(tmp_path) == []


async def test_a_sign_in_page_is_not_taken_for_a_picture(
    serve: ServeRoutes, tmp_path: Path
) -> None:
    async def page(_: web.Request) -> web.Response:
        return web.Response(text="<html>sign in", content_type="text/html")

    async with ComfyClient(await serve({"GET /view": page})) as client:
        with pytest.raises(NotComfyUI, match="a web page"):
            await client.download(FileRef("x.png"), tmp_path / "x.png")
        with pytest.raises(NotComfyUI, match="a web page"):
            await client.view(FileRef("x.png"))
    assert names(tmp_path) == []


async def test_a_cancelled_download_leaves_nothing(serve_raw: ServeRaw, tmp_path: Path) -> None:
    sent = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"Content-Length: 9000000\r\n\r\n" + bytes(4_000_000))
        await writer.drain()
        sent.set()
        await reader.read()

    async with ComfyClient(f"http://127.0.0.1:{await serve_raw(talk)}") as client:
        task = asyncio.ensure_future(client.download(FileRef("x.png"), tmp_path / "x.png"))
        await sent.wait()
        while not names(tmp_path):  # noqa: ASYNC110 - a folder has no event to wait for
            await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert names(tmp_path) == []


async def test_a_destination_that_cannot_be_written(serve: ServeRoutes, tmp_path: Path) -> None:
    async def picture(_: web.Request) -> web.Response:
        return web.Response(body=bytes(3_000_000), content_type="image/png")

    (tmp_path / "file").write_bytes(b"")
    async with ComfyClient(await serve({"GET /view": picture})) as client:
        with pytest.raises(NotADirectoryError):
            await client.download(FileRef("x.png"), tmp_path / "file" / "x.png")
        # The connection is none the worse for it.
        await client.view(FileRef("x.png"))


async def test_two_downloads_to_one_place_do_not_mix(serve: ServeRoutes, tmp_path: Path) -> None:
    async def picture(request: web.Request) -> web.Response:
        byte = request.query["filename"].encode()
        return web.Response(body=byte * 3_000_000, content_type="image/png")

    async with ComfyClient(await serve({"GET /view": picture})) as client:
        await asyncio.gather(
            *(client.download(FileRef(name), tmp_path / "x.png") for name in "abcd")
        )
    (only,) = names(tmp_path)
    assert len(set((tmp_path / only).read_bytes())) == 1


@pytest.mark.faults
async def test_the_sandbox_cuts_a_download(sandbox: Sandbox, tmp_path: Path) -> None:
    async with ComfyClient(sandbox.url) as client:
        ref = await client.upload(os.urandom(200_000), filename=unique(".bin"))
        sandbox.fault("cut", path="/view", count=2)
        with pytest.raises(BackendUnreachable):
            await client.download(ref, tmp_path / "x.bin")
        assert names(tmp_path) == []
        sandbox.clear_faults()
        assert (await client.download(ref, tmp_path / "x.bin")).size == 200_000
