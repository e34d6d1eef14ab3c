"""Workflows are found wherever they live, and everything else is refused in one sentence."""

import io
import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from comfynb.comfy.load import MOST_JSON, LoadedWorkflow, load_workflow
from comfynb.errors import NotAWorkflow

PROMPT: dict[str, Any] = {
    "1": {"class_type": "Load", "inputs": {"name": "ä 🐈", "seed": 2**64 - 1}},
    "2": {"class_type": "Save", "inputs": {"images": ["1", 0]}},
}
WORKFLOW: dict[str, Any] = {"nodes": [{"id": 1, "type": "Load"}], "links": [], "version": 0.4}
TEXTS = {"prompt": json.dumps(PROMPT), "workflow": json.dumps(WORKFLOW)}
BOTH = json.dumps(TEXTS)


# Files as their programs write them ------------------------------------------------------------


def png(texts: dict[str, str], how: str = "tEXt") -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, text in texts.items():
        if how == "iTXt":
            info.add_itxt(key, text, zip=True)
        else:
            info.add_text(key, text, zip=how == "zTXt")
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def png_with_chunk(key: str, text: str) -> bytes:
    plain = png({})
    data = key.encode() + b"\0" + text.encode("latin-1")
    chunk = struct.pack(">I", len(data)) + b"comf" + data + struct.pack(">I", zlib.crc32(data))
    return plain[:-12] + chunk + plain[-12:]


def exif_picture(kind: str, texts: dict[str, str]) -> bytes:
    image = Image.new("RGB", (8, 8))
    exif = image.getexif()
    tag = 0x0110
    for key, text in texts.items():
        exif[tag] = f"{key}:{text}"
        tag -= 1
    stream = io.BytesIO()
    image.save(stream, kind, exif=exif)
    return stream.getvalue()


def box(kind: bytes, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I", 8 + len(body)) + kind + body


def mp4_with_keys(texts: dict[str, str]) -> bytes:
    names = [box(b"mdta", key.encode()) for key in texts]
    items = [
        box(struct.pack(">I", number), box(b"data", b"\0\0\0\1\0\0\0\0", text.encode()))
        for number, text in enumerate(texts.values(), 1)
    ]
    meta = box(
        b"meta",
        bytes(4),
        box(b"hdlr", bytes(25)),
        box(b"keys", bytes(4), struct.pack(">I", len(names)), *names),
        box(b"ilst", *items),
    )
    return box(b"ftyp", b"isom", bytes(4)) + box(b"mdat", bytes(100)) + box(b"moov", meta)


def mp4_with_comment(text: str) -> bytes:
    item = box(b"\xa9cmt", box(b"data", b"\0\0\0\1\0\0\0\0", text.encode()))
    meta = box(b"meta", bytes(4), box(b"hdlr", bytes(25)), box(b"ilst", item))
    return box(b"ftyp", b"isom", bytes(4)) + box(b"moov", box(b"udta", meta)) + box(b"mdat")


def mov_with_comment(text: str) -> bytes:
    body = text.encode()
    item = box(b"\xa9cmt", struct.pack(">H", len(body) & 0xFFFF), b"\x55\xc4", body)
    return box(b"ftyp", b"qt  ", bytes(4)) + box(b"moov", box(b"udta", item))


def element(kind: int, *content: bytes, unknown: bool = False) -> bytes:
    body = b"".join(content)
    name = kind.to_bytes((kind.bit_length() + 7) // 8, "big")
    size = b"\x01" + b"\xff" * 7 if unknown else struct.pack(">Q", 1 << 56 | len(body))
    return name + size + body


def webm(texts: dict[str, str], *, unknown: bool = False) -> bytes:
    tags = [
        element(0x67C8, element(0x45A3, key.upper().encode()), element(0x4487, text.encode()))
        for key, text in texts.items()
    ]
    segment = element(0x18538067, element(0x1254C367, element(0x7373, *tags)), unknown=unknown)
    return element(0x1A45DFA3, b"\x42\x82\x84webm") + segment


def comments(texts: dict[str, str]) -> bytes:
    entries = [f"{key}={text}".encode() for key, text in texts.items()]
    body = struct.pack("<I", 4) + b"test" + struct.pack("<I", len(entries))
    return body + b"".join(struct.pack("<I", len(entry)) + entry for entry in entries)


def flac(texts: dict[str, str]) -> bytes:
    body = comments(texts)
    info = b"\0" + (34).to_bytes(3, "big") + bytes(34)
    return b"fLaC" + info + b"\x84" + len(body).to_bytes(3, "big") + body + b"\xff\xf8"


def ogg(texts: dict[str, str]) -> bytes:
    packets = [b"OpusHead" + bytes(11), b"OpusTags" + comments(texts) + b"\x01"]
    lengths: list[int] = []
    for packet in packets:
        lengths += [255] * (len(packet) // 255) + [len(packet) % 255]
    data, pages = b"".join(packets), b""
    while lengths:
        now, lengths = lengths[:200], lengths[200:]
        pages += b"OggS" + bytes(22) + bytes([len(now)]) + bytes(now) + data[: sum(now)]
        data = data[sum(now) :]
    return pages


def mp3(texts: dict[str, str], version: int = 4) -> bytes:
    def size(count: int) -> bytes:
        if version == 3:
            return struct.pack(">I", count)
        return bytes(count >> shift & 0x7F for shift in (21, 14, 7, 0))

    frames = b""
    for key, text in texts.items():
        if version == 3:
            body = b"\x01" + key.encode("utf-16") + b"\0\0" + text.encode("utf-16")
        else:
            body = b"\x03" + key.encode() + b"\0" + text.encode()
        frames += b"TXXX" + size(len(body)) + b"\0\0" + body
    total = bytes(len(frames) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3" + bytes([version, 0, 0]) + total + frames + b"\xff\xfb"


def safetensors(texts: dict[str, str]) -> bytes:
    header = json.dumps({"__metadata__": texts}).encode()
    return struct.pack("<Q", len(header)) + header


def glb(texts: dict[str, str]) -> bytes:
    body = json.dumps({"asset": {"version": "2.0", "extras": texts}}).encode()
    return b"glTF" + struct.pack("<IIII", 2, 20 + len(body), len(body), 0x4E4F534A) + body


def svg(texts: dict[str, str]) -> bytes:
    value = {key: json.loads(text) for key, text in texts.items()}
    return f"<svg><metadata><![CDATA[{json.dumps(value)}]]></metadata></svg>".encode()


MEDIA: dict[str, Callable[[dict[str, str]], bytes]] = {
    "png": png,
    "png zTXt": lambda texts: png(texts, "zTXt"),
    "png iTXt": lambda texts: png(texts, "iTXt"),
    "webp": lambda texts: exif_picture("WEBP", texts),
    "jpeg": lambda texts: exif_picture("JPEG", texts),
    "mp4": mp4_with_keys,
    "webm": webm,
    "webm live": lambda texts: webm(texts, unknown=True),
    "flac": flac,
    "opus": ogg,
    "mp3": mp3,
    "mp3 v3": lambda texts: mp3(texts, 3),
    "safetensors": safetensors,
    "glb": glb,
    "svg": svg,
}


@pytest.mark.parametrize("name", MEDIA)
def test_media_files_give_prompt_and_workflow(name: str) -> None:
    loaded = load_workflow(MEDIA[name](TEXTS))
    assert loaded.kind == "api"
    assert loaded.prompt == PROMPT
    assert loaded.workflow == WORKFLOW


@pytest.mark.parametrize("name", MEDIA)
def test_a_workflow_without_a_prompt_is_enough(name: str) -> None:
    loaded = load_workflow(MEDIA[name]({"workflow": TEXTS["workflow"]}))
    assert (loaded.kind, loaded.prompt, loaded.workflow) == ("ui", None, WORKFLOW)


@pytest.mark.parametrize("name", MEDIA)
def test_a_file_of_another_program_says_so(name: str) -> None:
    with pytest.raises(NotAWorkflow, match="without a workflow in it"):
        load_workflow(MEDIA[name]({}))


@pytest.mark.parametrize("make", [mp4_with_comment, mov_with_comment])
def test_video_comments_of_extensions(make: Callable[[str], bytes]) -> None:
    assert load_workflow(make(BOTH)).prompt == PROMPT
    long = json.dumps({**TEXTS, "filler": "x" * 70_000})
    assert load_workflow(make(long)).workflow == WORKFLOW


def test_animated_png_of_comfyui() -> None:
    assert load_workflow(png_with_chunk("prompt", TEXTS["prompt"])).prompt == PROMPT


def test_sd_webui_pictures_are_named_as_such() -> None:
    picture = png({"parameters": "a cat\nSteps: 20, Sampler: Euler a, CFG scale: 7"})
    with pytest.raises(NotAWorkflow, match="SD-webui"):
        load_workflow(picture)


def test_a_damaged_workflow_in_a_picture_is_told_apart_from_none() -> None:
    with pytest.raises(NotAWorkflow, match="damaged"):
        load_workflow(png({"workflow": '{"nodes": ['}))


def test_a_packed_text_that_unpacks_without_end_is_refused() -> None:
    bomb = zlib.compress(b"x" * (MOST_JSON + 10))
    data = b"prompt\0\0" + bomb
    chunk = struct.pack(">I", len(data)) + b"zTXt" + data + bytes(4)
    plain = png({})
    with pytest.raises(NotAWorkflow, match="PNG picture"):
        load_workflow(plain[:-12] + chunk + plain[-12:])


# JSON -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        PROMPT,
        {"prompt": PROMPT, "client_id": "x"},
        {"prompt": TEXTS["prompt"]},
        {"output": PROMPT},
        {**PROMPT, "extra_data": {}},
        [3, "id", PROMPT, {}, ["2"]],
        {"some-id": {"prompt": [3, "id", PROMPT, {}, []], "outputs": {}, "status": {}}},
        json.dumps(PROMPT),
    ],
    ids=range(8),
)
def test_prompts_in_their_wrappings(value: Any) -> None:
    loaded = load_workflow(json.dumps(value).encode())
    assert loaded.kind == "api"
    assert loaded.prompt == PROMPT


@pytest.mark.parametrize(
    "value",
    [
        {"prompt": PROMPT, "workflow": WORKFLOW},
        {"prompt": PROMPT, "extra_data": {"extra_pnginfo": {"workflow": WORKFLOW}}},
        {"output": PROMPT, "workflow": WORKFLOW},
        [3, "id", PROMPT, {"extra_pnginfo": {"workflow": WORKFLOW}}, []],
    ],
    ids=range(4),
)
def test_prompt_and_workflow_together(value: Any) -> None:
    loaded = load_workflow(json.dumps(value).encode())
    assert (loaded.prompt, loaded.workflow) == (PROMPT, WORKFLOW)


def test_a_workflow_may_be_wrapped() -> None:
    assert load_workflow({"workflow": WORKFLOW}).workflow == WORKFLOW
    assert load_workflow({"data": {"workflow": WORKFLOW}}).kind == "ui"


def test_the_sources(tmp_path: Path) -> None:
    path = tmp_path / "My flow.app.json"
    path.write_text(TEXTS["workflow"])
    for source in (path, str(path)):
        loaded = load_workflow(source)
        assert loaded.workflow == WORKFLOW
        assert loaded.name == "My flow"
        assert "My flow" in loaded.source
    assert load_workflow(TEXTS["workflow"]).workflow == WORKFLOW
    assert load_workflow(bytearray(TEXTS["workflow"], "utf-8")).workflow == WORKFLOW
    assert load_workflow(WORKFLOW, name="n").name == "n"
    with path.open() as text:
        assert load_workflow(text).name == "My flow"
    with path.open("rb") as binary:
        assert load_workflow(binary).workflow == WORKFLOW
    assert load_workflow(io.BytesIO(png(TEXTS))).prompt == PROMPT
    assert load_workflow("\ufeff" + TEXTS["workflow"]).workflow == WORKFLOW
    assert load_workflow(TEXTS["workflow"].encode("utf-16")).workflow == WORKFLOW


def test_numbers_that_json_does_not_know() -> None:
    text = '{"nodes": [], "links": [], "a": NaN, "b": -Infinity}'
    assert load_workflow(text).kind == "ui"


SENTENCES = [
    (b"", "empty"),
    (b"  \n ", "empty"),
    (b"<!DOCTYPE html><html>", "web page"),
    (b"<?xml version='1.0'?><a/>", "XML"),
    (b'{"nodes": [1, 2,, 3]}', r"line 1, column 17"),
    (b'{"nodes": [', "the text ends there"),
    (b"{'nodes': []}", "double quotes"),
    (b"[1, 2, 3]", "a list of 3 numbers"),
    (b'{"a": 1, "b": 2}', "a mapping with the keys 'a', 'b'"),
    (b"{}", "an empty mapping"),
    (b"[]", "an empty list"),
    (b"null", "null"),
    (b"a cat\nSteps: 20, Sampler: Euler", "SD-webui"),
    (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
    (b"import torch", "program code"),
    (b"hello", "plain text"),
    (b"\x80\x81\x82hello", "UTF-8"),
    (b"\x7fELF\0\0\0\x80", "binary"),
    (b"GIF89a" + bytes(20), "GIF picture"),
    (b"[" * 200_000, "nested too deeply"),
    (b'{"a": ' + b"9" * 5000 + b"}", "number too long"),
]


@pytest.mark.parametrize(("data", "words"), SENTENCES, ids=[words for _, words in SENTENCES])
def test_what_is_no_workflow_is_named(data: bytes, words: str) -> None:
    with pytest.raises(NotAWorkflow, match=words) as caught:
        load_workflow(data)
    assert "\n" not in str(caught.value)


def test_what_is_no_source_is_named(tmp_path: Path) -> None:
    (tmp_path / "portrait.json").write_text("{}")
    with pytest.raises(NotAWorkflow, match=r'near to it are "portrait.json"'):
        load_workflow(tmp_path / "portait.json")
    with pytest.raises(NotAWorkflow, match="nor a folder"):
        load_workflow(tmp_path / "none" / "x.json")
    with pytest.raises(NotAWorkflow, match="is a folder"):
        load_workflow(tmp_path)
    with pytest.raises(NotAWorkflow, match="the name is not valid"):
        load_workflow("a\0b")
    with pytest.raises(NotAWorkflow, match="a lone number"):
        load_workflow(5)  # type: ignore[arg-type]
    with pytest.raises(NotAWorkflow, match="empty"):
        load_workflow("  ")


def test_a_huge_file_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "huge.json"
    with path.open("wb") as stream:
        stream.write(b"{")
        stream.truncate(MOST_JSON * 40)
    with pytest.raises(NotAWorkflow, match="64 MiB"):
        load_workflow(path)
    with path.open("rb") as stream, pytest.raises(NotAWorkflow, match="64 MiB"):
        load_workflow(stream)


def test_a_huge_video_is_read_where_its_texts_are(tmp_path: Path) -> None:
    path = tmp_path / "huge.mp4"
    head = box(b"ftyp", b"isom", bytes(4))
    size = 3 * 2**30
    with path.open("wb") as stream:
        stream.write(head + struct.pack(">I4sQ", 1, b"mdat", size))
        stream.seek(len(head) + size)
        stream.write(mp4_with_comment(BOTH).removeprefix(head))
    assert load_workflow(path).prompt == PROMPT


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(max_size=5)
            | st.sampled_from(["nodes", "links", "prompt", "workflow", "class_type", "inputs"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=20,
)


def load_or_refuse(source: Any) -> LoadedWorkflow | None:
    """Load, or see to it that the refusal is one sentence."""
    try:
        return load_workflow(source)
    except NotAWorkflow as error:
        words = str(error)
    assert "\n" not in words
    assert words.endswith(".")
    return None


@given(JSON)
def test_any_json_is_a_workflow_or_one_sentence(value: Any) -> None:
    load_or_refuse(json.dumps(value).encode())
    if isinstance(value, dict):
        load_or_refuse(value)


@given(st.binary(max_size=300))
def test_any_bytes_are_a_workflow_or_one_sentence(data: bytes) -> None:
    load_or_refuse(data)


ORIGINALS = {name: make(TEXTS) for name, make in MEDIA.items()}


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(ORIGINALS)), st.data())
def test_damaged_media_never_do_harm(name: str, data: st.DataObject) -> None:
    original = bytearray(ORIGINALS[name])
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(original) - 1))
        original[place] = data.draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
    cut = data.draw(st.integers(0, len(original)))
    if data.draw(st.booleans()):
        del original[cut:]
    loaded = load_or_refuse(bytes(original))
    assert loaded is None or loaded.prompt is not None or loaded.workflow is not None
