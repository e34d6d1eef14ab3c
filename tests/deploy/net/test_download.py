"""Downloads: whole or not there, resumed after every kind of break, never mixed of two versions."""

import asyncio
import contextlib
import hashlib
import json
import resource
import threading
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from comfynb.deploy.net.download import Partial
from comfynb.errors import FetchError

URL = "https://models.example/file.safetensors"
DATA = bytes(i * 7 % 251 for i in range(300_000))
SHA = hashlib.sha256(DATA).hexdigest()


class Files:
    """A file server with Range; ``cuts`` are the numbers of bytes after which it hangs up."""

    def __init__(self, data: bytes = DATA, etag: str | None = '"one"') -> None:
        self.data = data
        self.etag = etag
        self.cuts: list[int] = []
        self.ranges: list[str | None] = []
        self.sent = 0
        self.resumes = True
        self.arrived = 0
        self.moved = asyncio.Event()

    def progress(self, done: int, total: int | None) -> None:
        self.arrived = done
        self.moved.set()

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        asked = request.headers.get("Range")
        self.ranges.append(asked)
        start = 0
        held = request.headers.get("If-Range") in {None, self.etag}
        if asked and held and self.resumes:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(self.data):
                headers = {"Content-Range": f"bytes */{len(self.data)}"}
                return web.Response(status=416, headers=headers)
        response = web.StreamResponse(status=206 if start else 200)
        response.content_length = len(self.data) - start
        if start:
            end = len(self.data) - 1
            response.headers["Content-Range"] = f"bytes {start}-{end}/{len(self.data)}"
        if self.etag:
            response.headers["ETag"] = self.etag
        await response.prepare(request)
        cut = self.cuts.pop(0) if self.cuts else None
        part = self.data[start:] if cut is None else self.data[start : start + cut]
        await response.write(part)
        self.sent += len(part)
        if cut is not None:
            # What has not been read when the connection goes is lost.
            while part and self.arrived < start + len(part):
                self.moved.clear()
                await self.moved.wait()
            assert request.transport is not None
            request.transport.close()
        return response


@pytest.fixture
async def files(world: Any) -> Files:
    made = Files()
    await world.serve("models.example", made)
    return made


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "models" / "file.safetensors"


def left_in(place: Path) -> list[str]:
    return sorted(path.name for path in place.parent.iterdir()) if place.parent.exists() else []


def content_of(place: Path) -> bytes:
    return place.read_bytes()


def write(place: Path, content: bytes) -> None:
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(content)


async def test_a_file_arrives_whole(world: Any, files: Files, place: Path) -> None:
    told: list[tuple[int, int | None]] = []
    async with world.fetcher() as fetcher:
        done = await fetcher.download(
            URL, place, progress=lambda n, total: told.append((n, total)), sha256=SHA.upper()
        )
    assert (done.path, done.size, done.sha256, done.resumed_from) == (place, len(DATA), SHA, 0)
    assert (done.url, done.etag) == (URL, '"one"')
    assert content_of(place) == DATA
    assert left_in(place) == [place.name]
    assert told[-1] == (len(DATA), len(DATA))
    assert told == sorted(told)


async def test_a_cut_download_goes_on_by_itself(world: Any, files: Files, place: Path) -> None:
    files.cuts = [100_000, 1, 50_000]
    async with world.fetcher() as fetcher:
        done = await fetcher.download(URL, place, progress=files.progress)
    assert (done.sha256, files.sent) == (SHA, len(DATA))
    assert files.ranges == [None, "bytes=100000-", "bytes=100001-", "bytes=150001-"]
    assert left_in(place) == [place.name]


async def test_the_next_call_goes_on_where_the_last_one_broke_off(
    world: Any, files: Files, place: Path
) -> None:
    files.cuts = [120_000, 0]
    async with world.fetcher() as fetcher:
        with pytest.raises(FetchError, match=r"broke off after 120,000 bytes.*goes on from there"):
            await fetcher.download(URL, place, progress=files.progress)
    assert left_in(place) == [f"{place.name}.part", f"{place.name}.part.json"]
    async with world.fetcher() as fetcher:
        done = await fetcher.download(URL, place, progress=files.progress)
    assert (done.sha256, done.resumed_from, files.sent) == (SHA, 120_000, len(DATA))
    assert content_of(place) == DATA
    assert left_in(place) == [place.name]


async def test_without_resume_it_starts_anew(world: Any, files: Files, place: Path) -> None:
    files.cuts = [120_000, 0]
    async with world.fetcher() as fetcher:
        with pytest.raises(FetchError):
            await fetcher.download(URL, place, progress=files.progress)
        done = await fetcher.download(URL, place, progress=files.progress, resume=False)
    assert (done.sha256, done.resumed_from, files.ranges[-1]) == (SHA, 0, None)


async def test_a_file_that_changed_meanwhile_is_not_mixed(
    world: Any, files: Files, place: Path
) -> None:
    files.cuts = [120_000, 0]
    async with world.fetcher() as fetcher:
        with pytest.raises(FetchError):
            await fetcher.download(URL, place, progress=files.progress)
        files.data, files.etag = DATA[::-1] + b"more", '"two"'
        done = await fetcher.download(URL, place, progress=files.progress)
    assert content_of(place) == DATA[::-1] + b"more"
    assert (done.resumed_from, done.etag) == (0, '"two"')


async def test_a_server_that_ignores_if_range_is_found_out_by_the_size(
    world: Any, files: Files, place: Path
) -> None:
    files.cuts = [120_000, 0]
    async with world.fetcher() as fetcher:
        with pytest.raises(FetchError):
            await fetcher.download(URL, place, progress=files.progress)
        files.data = DATA[::-1] + b"more"  # but the same ETag
        done = await fetcher.download(URL, place, progress=files.progress)
    assert content_of(place) == DATA[::-1] + b"more"
    assert done.resumed_from == 0


@pytest.mark.parametrize("etag", [None, 'W/"weak"', "bare"])
async def test_without_a_name_for_the_version_nothing_is_resumed(
    world: Any, files: Files, place: Path, etag: str | None
) -> None:
    files.etag = etag
    files.cuts = [120_000]
    async with world.fetcher() as fetcher:
        with pytest.raises(FetchError, match=r"broke off after 120,000 bytes: start it again\.$"):
            await fetcher.download(URL, place, progress=files.progress)
        assert left_in(place) == []
        done = await fetcher.download(URL, place, progress=files.progress)
    assert done.sha256 == SHA
    assert set(files.ranges) == {None}


async def test_a_server_that_resumes_nothing_sends_it_again(
    world: Any, files: Files, place: Path
) -> None:
    files.resumes = False
    files.cuts = [120_000]
    async with world.fetcher() as fetcher:
        done = await fetcher.download(URL, place, progress=files.progress)
    assert (done.sha256, files.ranges) == (SHA, [None, "bytes=120000-"])


async def test_a_part_that_was_whole_needs_only_its_name(
    world: Any, files: Files, place: Path
) -> None:
    place.parent.mkdir()
    place.with_name(f"{place.name}.part").write_bytes(DATA)
    note = {"validator": '"one"', "total": len(DATA)}
    place.with_name(f"{place.name}.part.json").write_text(json.dumps(note))
    async with world.fetcher() as fetcher:
        done = await fetcher.download(URL, place)
    assert (done.sha256, done.resumed_from, files.sent) == (SHA, len(DATA), 0)
    assert left_in(place) == [place.name]


@pytest.mark.parametrize(
    "note",
    ["", "{", "[]", "{}", '{"validator": 7}', '{"validator": "x", "total": "y"}', "\x00" * 50],
)
async def test_a_note_that_cannot_be_read_means_starting_anew(
    world: Any, files: Files, place: Path, note: str
) -> None:
    place.parent.mkdir()
    place.with_name(f"{place.name}.part").write_bytes(b"old" * 1000)
    place.with_name(f"{place.name}.part.json").write_text(note)
    async with world.fetcher() as fetcher:
        done = await fetcher.download(URL, place)
    assert done.sha256 == SHA
    assert left_in(place) == [place.name]


async def test_a_part_longer_than_the_file_means_starting_anew(
    world: Any, files: Files, place: Path
) -> None:
    place.parent.mkdir()
    place.with_name(f"{place.name}.part").write_bytes(DATA + b"more")
    note = {"validator": '"one"', "total": len(DATA)}
    place.with_name(f"{place.name}.part.json").write_text(json.dumps(note))
    async with world.fetcher() as fetcher:
        done = await fetcher.download(URL, place)
    assert done.sha256 == SHA


async def test_a_wrong_hash_leaves_nothing(world: Any, files: Files, place: Path) -> None:
    place.parent.mkdir()
    write(place, b"what was there before")
    async with world.fetcher() as fetcher:
        with pytest.raises(FetchError, match="not what was expected"):
            await fetcher.download(URL, place, sha256="0" * 64)
    assert left_in(place) == [place.name]
    assert content_of(place) == b"what was there before"


@pytest.mark.parametrize("status", [401, 403, 404, 410, 416, 429, 500])
async def test_a_refusal_leaves_nothing_under_the_name(
    world: Any, place: Path, status: int
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=status, headers={"Retry-After": "3"}, text="no")

    await world.serve("models.example", answer)
    async with world.fetcher() as fetcher:
        with pytest.raises(FetchError, match=str(status)) as caught:
            await fetcher.download(URL, place)
    assert (caught.value.status, caught.value.retry_after) == (status, 3.0)
    assert left_in(place) == []


@pytest.mark.parametrize("told", [True, False])
async def test_a_file_beyond_the_limit_leaves_nothing(world: Any, place: Path, told: bool) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        if told:
            return web.Response(body=DATA)
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(DATA)
        return response

    await world.serve("models.example", answer)
    async with world.fetcher() as fetcher:
        with pytest.raises(FetchError, match="larger than the 100,000 bytes"):
            await fetcher.download(URL, place, max_bytes=100_000)
        assert left_in(place) == []
        assert (await fetcher.download(URL, place, max_bytes=len(DATA))).sha256 == SHA


async def test_a_compressed_answer_is_no_file(world: Any, place: Path) -> None:
    asked = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.headers["Accept-Encoding"])
        return web.Response(body=b"x", headers={"Content-Encoding": "gzip"})

    await world.serve("models.example", answer)
    async with world.fetcher() as fetcher:
        with pytest.raises(FetchError, match="compressed"):
            await fetcher.download(URL, place)
    assert asked == ["identity"]
    assert left_in(place) == []


@pytest.mark.parametrize(
    "content_range", ["", "bytes", "bytes 5-9/300000", "bytes 0-9", "items 0-9/10"]
)
async def test_a_part_that_does_not_say_which_is_not_taken(
    world: Any, place: Path, content_range: str
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(
            status=206, body=b"x" * 10, headers={"Content-Range": content_range, "ETag": '"one"'}
        )

    await world.serve("models.example", answer)
    async with world.fetcher() as fetcher:
        with pytest.raises(FetchError):
            await fetcher.download(URL, place)
    assert place.name not in left_in(place)


async def test_a_download_that_drips_breaks_off(world: Any, place: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000000"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while request.transport is not None and not request.transport.is_closing():
                await response.write(b"x")
                await asyncio.sleep(0.005)
        return response

    await world.serve("models.example", answer)
    async with world.fetcher(timeout=0.5) as fetcher:
        with pytest.raises(FetchError, match="broke off"):
            await fetcher.download(URL, place)
    assert place.name not in left_in(place)


async def test_two_downloads_to_one_place_do_not_mix(world: Any, place: Path) -> None:
    started, go_on = asyncio.Event(), asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(len(DATA))})
        await response.prepare(request)
        await response.write(DATA[:1000])
        started.set()
        await go_on.wait()
        await response.write(DATA[1000:])
        return response

    await world.serve("models.example", answer)
    async with world.fetcher() as fetcher:
        first = asyncio.ensure_future(fetcher.download(URL, place))
        await started.wait()
        with pytest.raises(FetchError, match="downloaded already"):
            await fetcher.download(URL, place)
        go_on.set()
        assert (await first).sha256 == SHA
    assert left_in(place) == [place.name]


async def test_a_cancelled_download_can_be_resumed(world: Any, place: Path) -> None:
    files = Files()
    halfway = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        if files.ranges:
            return await files(request)
        files.ranges.append(None)
        headers = {"Content-Length": str(len(DATA)), "ETag": '"one"'}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        await response.write(DATA[:200_000])
        await asyncio.Event().wait()
        return response

    def seen(done: int, total: int | None) -> None:
        if done == 200_000:
            halfway.set()

    await world.serve("models.example", answer)
    async with world.fetcher() as fetcher:
        task = asyncio.ensure_future(fetcher.download(URL, place, progress=seen))
        await halfway.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert place.name not in left_in(place)
        done = await fetcher.download(URL, place)
    assert (done.sha256, done.resumed_from) == (SHA, 200_000)


async def test_who_gives_up_while_the_file_is_opened_leaves_it_to_the_next(
    world: Any, files: Files, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opening, go_on = threading.Event(), threading.Event()
    real, made = Partial.open, []

    def slow(path: Path, resume: bool) -> Partial:
        opening.set()
        go_on.wait(20)
        made.append(real(path, resume))
        return made[0]

    async with world.fetcher() as fetcher:
        with monkeypatch.context() as patch:
            patch.setattr(Partial, "open", slow)
            task = asyncio.ensure_future(fetcher.download(URL, place))
            await asyncio.to_thread(opening.wait, 20)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            go_on.set()
        for _ in range(2000):
            if made and made[0].file.closed:
                break
            await asyncio.sleep(0.01)
        assert left_in(place) == []
        assert (await fetcher.download(URL, place)).sha256 == SHA


async def test_a_link_in_the_place_of_the_part_is_not_followed(
    world: Any, files: Files, place: Path, tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_text("mine")
    place.parent.mkdir()
    place.with_name(f"{place.name}.part").symlink_to(victim)
    async with world.fetcher() as fetcher:
        with pytest.raises(FetchError, match="written"):
            await fetcher.download(URL, place)
    assert victim.read_text() == "mine"


async def test_a_place_that_cannot_be_written_is_named(
    world: Any, files: Files, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("x")
    async with world.fetcher() as fetcher:
        with pytest.raises(FetchError, match="written"):
            await fetcher.download(URL, tmp_path / "file" / "below")
    assert files.ranges == []


async def test_a_disk_that_takes_no_more_is_named(world: Any, files: Files, place: Path) -> None:
    """A limit on the size of files stands for the full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        async with world.fetcher() as fetcher:
            with pytest.raises(FetchError, match="cannot be written: File too large"):
                await fetcher.download(URL, place)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert place.name not in left_in(place)
