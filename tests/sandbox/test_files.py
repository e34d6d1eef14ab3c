"""Uploads get the names a real server would give them, and nothing leaves its folder."""

import io
import json

import aiohttp
import pytest
from PIL import Image


def png(colour=(1, 2, 3, 4), size=(4, 3), mode="RGBA"):
    buffer = io.BytesIO()
    Image.new(mode, size, colour).save(buffer, format="PNG")
    return buffer.getvalue()


async def upload(client, content, filename, path="/upload/image", **fields):
    form = aiohttp.FormData(quote_fields=False)
    form.add_field("image", content, filename=filename)
    for name, value in fields.items():
        form.add_field(name, value)
    return await client.request("POST", path, data=form)


async def test_the_same_name_with_other_bytes_is_renamed(client, server):
    for number, expected in (
        (1, "a.tar.gz"),
        (1, "a.tar.gz"),
        (2, "a.tar (1).gz"),
        (3, "a.tar (2).gz"),
        (2, "a.tar (1).gz"),
    ):
        status, answer = await upload(client, b"x" * number, "a.tar.gz", subfolder="deep/er")
        assert status == 200
        assert answer == {"name": expected, "subfolder": "deep/er", "type": "input"}
    assert server.stats.snapshot()["uploads"][0] == "deep/er/a.tar.gz"


async def test_overwrite_keeps_the_name(client):
    await upload(client, b"one", "a.bin")
    for truth in ("true", "1"):
        _, answer = await upload(client, truth.encode(), "a.bin", overwrite=truth)
        assert answer["name"] == "a.bin"
        assert await client.get("/view?filename=a.bin&type=input") == truth.encode()
    _, answer = await upload(client, b"three", "a.bin", overwrite="yes")
    assert answer["name"] == "a (1).bin"


@pytest.mark.parametrize(
    ("filename", "fields"),
    [
        ("../x.png", {}),
        ("x.png", {"subfolder": ".."}),
        ("x.png", {"subfolder": "a/../../b"}),
        ("x.png", {"subfolder": "/tmp"}),
    ],
)
async def test_uploads_do_not_leave_their_folder(client, server, filename, fields):
    before = sorted(server.settings.base_dir.rglob("*"))
    assert (await upload(client, png(), filename, **fields))[0] == 400
    assert sorted(server.settings.base_dir.rglob("*")) == before


async def test_uploads_need_a_file_and_a_known_type(client):
    for name, text, status in [("image", "just text", 500), ("image", "", 400), ("x", "y", 400)]:
        form = aiohttp.FormData()
        form.add_field(name, text)
        assert (await client.request("POST", "/upload/image", data=form))[0] == status
    assert (await upload(client, png(), "x.png", type="models"))[0] == 500


async def test_uploads_have_a_limit(serve, connect):
    client = await connect(await serve(max_upload_size=10_000))
    assert (await client.get("/features"))["max_upload_size"] == 10_000
    assert (await upload(client, b"x" * 20_000, "big.bin"))[0] == 413
    assert (await upload(client, b"x" * 5_000, "small.bin"))[0] == 200
    assert (await client.request("POST", "/prompt", data=b"x" * 20_000))[0] == 413


async def test_a_mask_becomes_the_alpha_of_its_original(client):
    await upload(client, png((9, 8, 7, 255)), "original.png")
    reference = {"filename": "original.png", "subfolder": "", "type": "input"}
    status, answer = await upload(
        client, png((0, 0, 0, 77)), "mask.png", "/upload/mask", original_ref=json.dumps(reference)
    )
    assert (status, answer["name"]) == (200, "mask.png")
    masked = Image.open(io.BytesIO(await client.get("/view?filename=mask.png&type=input")))
    assert masked.getpixel((0, 0)) == (9, 8, 7, 77)
    reference["filename"] = "../original.png"
    status, answer = await upload(
        client, png(), "other.png", "/upload/mask", original_ref=json.dumps(reference)
    )
    assert (status, answer["name"]) == (200, "other.png")
    assert (await client.request("GET", "/view?filename=other.png&type=input"))[0] == 404


async def test_view_gives_ranges(client):
    await upload(client, bytes(range(100)), "r.bin")
    headers = {"Range": "bytes=10-19"}
    status, body = await client.request("GET", "/view?filename=r.bin&type=input", headers=headers)
    assert (status, body) == (206, bytes(range(10, 20)))


@pytest.mark.parametrize(
    ("query", "kind", "mode", "pixel"),
    [
        ("preview=webp;90", "WEBP", "RGBA", None),
        ("preview=jpeg", "JPEG", "RGB", None),
        ("preview=bmp;10", "WEBP", "RGBA", None),
        ("preview=jpeg&channel=a", "WEBP", "RGBA", None),
        ("preview=webp&channel=rgb", "WEBP", "RGB", None),
        ("channel=rgb", "PNG", "RGB", (10, 20, 30)),
        ("channel=a", "PNG", "RGBA", (0, 0, 0, 40)),
        ("channel=rgba", "PNG", "RGBA", (10, 20, 30, 40)),
    ],
)
async def test_view_converts(client, query, kind, mode, pixel):
    await upload(client, png((10, 20, 30, 40)), "c.png")
    picture = Image.open(io.BytesIO(await client.get(f"/view?filename=c.png&type=input&{query}")))
    assert (picture.format, picture.mode) == (kind, mode)
    assert pixel is None or picture.getpixel((0, 0)) == pixel


async def test_view_reads_annotated_names_and_ignores_paths_in_names(client):
    await upload(client, b"here", "a.bin", subfolder="s", type="temp")
    assert await client.get("/view?filename=a.bin [temp]&subfolder=s") == b"here"
    assert await client.get("/view?filename=x/a.bin&subfolder=s&type=temp") == b"here"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("filename=", 400),
        ("filename=/etc/passwd", 400),
        ("filename=..%2Fx", 400),
        ("filename=x&type=models", 400),
        ("filename=x&subfolder=..", 403),
        ("filename=x&subfolder=/etc", 403),
        ("filename=nothing.png", 404),
        ("other=1", 404),
    ],
)
async def test_view_refuses(client, query, expected):
    assert (await client.request("GET", f"/view?{query}"))[0] == expected


@pytest.mark.parametrize("name", ["x.html", "x.svg", "x.js", "x.css", 'q"\\.html'])
async def test_active_files_are_only_downloaded(client, server, name):
    (server.settings.folder("output") / name).write_text("<script>")
    async with client.session.get(f"{client.url}/view", params={"filename": name}) as answer:
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "application/octet-stream"
        assert answer.headers["Content-Disposition"].startswith("attachment;")


async def test_model_metadata(serve, connect):
    client = await connect(await serve(samples=True))
    found = await client.get("/view_metadata/checkpoints?filename=small.safetensors")
    assert found == {"modelspec.title": "sandbox model"}
    for query in ("filename=none.safetensors", "filename=../../input/gradient.png", ""):
        assert (await client.request("GET", f"/view_metadata/checkpoints?{query}"))[0] == 404
    folders = {entry["name"] for entry in await client.get("/experiment/models")}
    assert "checkpoints" in folders
    models = await client.get("/experiment/models/checkpoints")
    assert "small.safetensors" in {model["name"] for model in models}
    assert (await client.request("GET", "/experiment/models/nope"))[0] == 404
