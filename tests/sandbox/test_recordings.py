"""Replays every recording of a real ComfyUI against the sandbox and compares what comes back.

The recordings of one version were made one after the other on one server, so they are replayed so:
cache, history and file counters go on from scenario to scenario. What cannot be equal is made
equal first: ids, time stamps, counters' starting points, picture bytes, tracebacks, wording that
is ComfyUI's own, and the order of what ComfyUI keeps in sets.
"""

import asyncio
import base64
import functools
import io
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from PIL import Image

from comfynb.sandbox import in_process

SHARED = Path(os.environ.get("COMFYNB_SHARED", Path(__file__).resolve().parents[3] / "shared"))
RECORDINGS = SHARED / "comfyui" / "recordings"
FILES = sorted(RECORDINGS.glob("*/*.json"))

PATIENCE = 30.0

pytestmark = pytest.mark.skipif(
    not FILES, reason=f"no recordings of a real ComfyUI in {RECORDINGS}"
)


@functools.cache
def replay_all(version: str) -> dict[str, list[str]]:
    """Return the differences found in each recording of a version."""
    return asyncio.run(_replay_all(version))


async def _replay_all(version: str) -> dict[str, list[str]]:
    recordings = {
        file.stem: json.loads(file.read_text()) for file in FILES if file.parent.name == version
    }
    names = sorted(recordings, key=lambda name: first_number(recordings[name]))
    first = first_number(recordings[names[0]])
    found: dict[str, list[str]] = {}
    async with (
        in_process(version=version, samples=False) as server,
        aiohttp.ClientSession() as session,
    ):
        recorded = Names(
            first_number=0 if first == float("inf") else int(first),
            first_counters=first_counters(json.dumps(recordings)),
        )
        replayed = Names()
        for name in names:
            replay = Replay(session, server.url, recordings[name], recorded, replayed)
            found[name] = await replay.differences()
    return found


def first_number(recording: dict[str, Any]) -> float:
    """Return the smallest prompt number of a recording: its place among the others."""
    numbers = [
        abs(entry["body"]["number"])
        for entry in recording["log"]
        if isinstance(entry.get("body"), dict) and "number" in entry["body"]
    ]
    return min(numbers, default=float("inf"))


@dataclass
class Names:
    """The names that one side uses for what both sides have: prompts, files, numbers."""

    first_number: int = 0
    first_counters: dict[str, int] = field(default_factory=dict)
    prompts: list[str] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)

    def plain(self, value: Any, key: str = "") -> Any:
        """Return a JSON value with names that are the same on both sides."""
        if isinstance(value, dict):
            if "exception_type" in value and str(value.get("node_type", "")).startswith("Lab"):
                advice = value["exception_message"].partition("\n")[2]
                value = {**value, "exception_message": advice}
            return {
                self._string(k): self.plain(v, k)
                for k, v in value.items()
                if k not in {"tooltip", "description"}
            }
        if key in {"timestamp", "create_time"}:
            return "<time>"
        if isinstance(value, list):
            return self._list(value, key)
        if isinstance(value, str):
            if key == "details":
                return "\n".join(sorted(value.split("\n")))
            return self._string(value)
        if key in {"number", "priority"}:
            return self.number(value)
        return value

    def _list(self, value: list[Any], key: str) -> Any:
        if key == "traceback":
            assert all(isinstance(line, str) for line in value)
            return ["<frames>"] if value else []
        if len(value) == 5 and isinstance(value[1], str) and isinstance(value[4], list):
            value = [self.number(value[0]), *value[1:]]
        items = [self.plain(item) for item in value]
        if key in {"executed", "current_outputs", "errors", "dependent_outputs"}:
            items.sort(key=json.dumps)
        return items

    def number(self, value: float) -> float:
        return (abs(value) - self.first_number) * (-1 if value < 0 else 1)

    def _string(self, text: str) -> str:
        if text in self.prompts:
            return f"<prompt {self.prompts.index(text)}>"
        match = re.fullmatch(r"(.*)_(\d{5})_\.png", text)
        if match is None:
            return text
        prefix, place = match[1], int(match[2]) - self.first_counters.get(match[1], 1)
        if re.fullmatch(r"ComfyUI_temp_[a-z]{5}", prefix):
            if prefix not in self.prefixes:
                self.prefixes.append(prefix)
            prefix = f"ComfyUI_temp_<{self.prefixes.index(prefix)}>"
        return f"{prefix} #{place}"

    def translated(self, path: str, other: "Names") -> str:
        """Return a path of the other side's with this side's names in it."""
        for mine, theirs in zip(self.prompts, other.prompts, strict=True):
            path = path.replace(theirs, mine)
        match = re.search(r"([^=&/]+)_(\d{5})_\.png", path)
        if match is None:
            return path
        place = int(match[2]) - other.first_counters[match[1]]
        counter = place + self.first_counters.get(match[1], 1)
        return path.replace(match[0], f"{match[1]}_{counter:05}_.png")


def first_counters(text: str) -> dict[str, int]:
    """Return the smallest counter of every file name's prefix in a text."""
    first: dict[str, int] = {}
    for prefix, counter in re.findall(r"([^\"=&/]+)_(\d{5})_\.png", text):
        first[prefix] = min(int(counter), first.get(prefix, int(counter)))
    return first


Frame = Any


def prompt_id_of(entry: dict[str, Any]) -> str | None:
    """Return the id of the prompt that a recorded request has queued."""
    body = entry.get("body")
    return body.get("prompt_id") if isinstance(body, dict) else None


def is_status(frame: Frame) -> bool:
    return isinstance(frame, dict) and frame.get("type") == "status"


class Socket:
    """A websocket that collects what it receives."""

    def __init__(self, session: aiohttp.ClientSession, url: str, client_id: str) -> None:
        self._session, self._url, self._client_id = session, url, client_id
        self.frames: list[Frame] = []
        self._news = asyncio.Condition()

    async def open(self) -> None:
        self._ws = await self._session.ws_connect(f"{self._url}/ws?clientId={self._client_id}")
        self._reader = asyncio.create_task(self._read())
        await self.until(lambda frames: bool(frames))

    async def send(self, message: Any) -> None:
        await self._ws.send_json(message)

    async def _read(self) -> None:
        async for message in self._ws:
            if message.type is aiohttp.WSMsgType.TEXT:
                frame = json.loads(message.data)
            else:
                frame = {"binary": bytes(message.data)}
            async with self._news:
                self.frames.append(frame)
                self._news.notify_all()

    async def until(self, condition: Any) -> None:
        async with asyncio.timeout(PATIENCE), self._news:
            await self._news.wait_for(lambda: condition(self.frames))

    async def close(self) -> None:
        await self._ws.close()
        await self._reader


class Replay:
    """One recording, replayed."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        url: str,
        recording: dict[str, Any],
        recorded: Names,
        replayed: Names,
    ) -> None:
        self._session, self._url = session, url
        self._log = recording["log"]
        self._client_id = recording["client_id"]
        self._recorded, self._replayed = recorded, replayed
        self._socket: Socket | None = None
        self._segments: list[tuple[list[Frame], list[Frame]]] = []
        self._uploaded: dict[str, Any] = {}
        self._found: list[str] = []

    async def differences(self) -> list[str]:
        second = next((e for e in self._log if "messages" in e), None)
        second_socket = None
        for index, entry in enumerate(self._log):
            if "http" in entry:
                if second is not None and second_socket is None:
                    second_socket = Socket(self._session, self._url, self._client_id)
                    await second_socket.open()
                if self._socket is not None:
                    await self._catch_up(index)
                await self._request(entry)
            elif "ws_send" in entry:
                await (await self._connected(index)).send(entry["ws_send"])
            elif "ws" in entry or "ws_binary" in entry:
                await self._connected(index)
                self._segments[-1][0].append(entry.get("ws") or entry["ws_binary"])
            elif "messages" in entry:
                assert second_socket is not None
                try:
                    await second_socket.until(lambda f: len(f) >= len(second["messages"]))
                except TimeoutError:
                    self._found.append("the second socket did not get all messages")
                await second_socket.close()
                self._compare_frames(second["messages"], second_socket.frames)
            elif entry["note"] == "client closed the websocket":
                await self._catch_up(index)
                await self._disconnect()
            elif "name" in entry:
                self._uploaded = entry
            elif "same name" in entry["note"]:
                self._uploaded = {"name": self._uploaded_first, "data": {}, "other": True}
        if self._socket is not None:
            await self._catch_up(len(self._log))
            await self._disconnect()
        for recorded, replayed in self._segments:
            self._compare_frames(recorded, replayed)
        return self._found

    async def _connected(self, index: int) -> Socket:
        if self._socket is None:
            if self._segments:
                await self._wait_for_queue(index)
            self._socket = Socket(self._session, self._url, self._client_id)
            self._segments.append(([], self._socket.frames))
            await self._socket.open()
        return self._socket

    async def _wait_for_queue(self, index: int) -> None:
        """Wait until as much is queued as when the recorded client came back."""
        greeting = next(e["ws"] for e in self._log[index:] if is_status(e.get("ws")))
        wanted = greeting["data"]["status"]
        async with asyncio.timeout(PATIENCE):
            while True:
                async with self._session.get(f"{self._url}/prompt") as answer:
                    if await answer.json() == wanted:
                        return
                await asyncio.sleep(0.02)

    async def _disconnect(self) -> None:
        assert self._socket is not None
        await self._socket.close()
        self._socket = None

    async def _catch_up(self, index: int) -> None:
        """Wait for the last frame that came before entry ``index`` and not because of it."""
        assert self._socket is not None
        caused = prompt_id_of(self._log[index]) if index < len(self._log) else None
        if caused in self._recorded.prompts:
            caused = None  # sent before, so frames about it may be older
        recorded = [self._recorded.plain(e["ws"]) for e in self._log[:index] if "ws" in e]
        while index > 0 and "ws" in self._log[index - 1]:
            index -= 1
            frame = self._log[index]["ws"]
            last = recorded.pop()
            if not is_status(frame) and (
                caused is None or frame["data"].get("prompt_id") != caused
            ):
                await self._wait_for(last, times=recorded.count(last) + 1)
                return

    async def _wait_for(self, frame: Frame, *, times: int) -> None:
        assert self._socket is not None
        try:
            await self._socket.until(lambda frames: self._count(frame, frames) >= times)
        except TimeoutError:
            self._found.append(f"never came: {frame}")

    def _count(self, wanted: Frame, frames: list[Frame]) -> int:
        return sum(self._replayed.plain(f) == wanted for f in frames if "type" in f)

    # requests

    async def _request(self, entry: dict[str, Any]) -> None:
        asked = entry["http"]
        options: dict[str, Any] = {}
        path = asked["path"]
        if "json" in asked:
            options["json"] = self._translated(asked["json"])
        elif "content" in asked:
            options["data"] = asked["content"]
        elif asked["method"] == "POST":
            options["data"] = self._upload_form()
        path = self._replayed.translated(path, self._recorded)
        async with self._session.request(asked["method"], self._url + path, **options) as answer:
            raw = await answer.read()
            content_type = answer.headers.get("Content-Type")
            body = json.loads(raw) if "json" in (content_type or "") else raw
        prompt_id = prompt_id_of(entry)
        if prompt_id is not None and prompt_id not in self._recorded.prompts:
            self._recorded.prompts.append(prompt_id)
            self._replayed.prompts.append(body.get("prompt_id", "missing"))
        label = f"{asked['method']} {asked['path']}"
        self._compare(f"{label}: status", entry["status"], answer.status)
        self._compare(f"{label}: content type", entry["content_type"], content_type)
        if isinstance(body, bytes):
            self._compare_bytes(label, entry["body"], body, content_type)
        elif path.endswith(("/system_stats", "/extensions")):
            self._compare(f"{label}: shape", shape(entry["body"]), shape(body))
        else:
            self._compare(
                f"{label}: body", self._recorded.plain(entry["body"]), self._replayed.plain(body)
            )

    def _translated(self, value: Any) -> Any:
        return json.loads(self._replayed.translated(json.dumps(value), self._recorded))

    def _upload_form(self) -> aiohttp.FormData:
        note = self._uploaded
        if not hasattr(self, "_uploaded_first"):
            self._uploaded_first = note["name"]
        picture = io.BytesIO()
        colour = (9, 9, 9, 9) if note.get("other") else (200, 100, 50, 128)
        Image.new("RGBA", (6, 4), colour).save(picture, format="PNG")
        form = aiohttp.FormData(quote_fields=False)
        form.add_field("image", picture.getvalue(), filename=note["name"], content_type="image/png")
        for name, value in note["data"].items():
            form.add_field(name, value)
        return form

    # comparison

    def _compare(self, what: str, recorded: Any, replayed: Any) -> None:
        if recorded != replayed:
            self._found.append(f"{what}\n  recorded {recorded!r}\n  replayed {replayed!r}")

    def _compare_bytes(
        self, label: str, recorded: dict[str, Any], body: bytes, content_type: str | None
    ) -> None:
        if not isinstance(recorded, dict) or "_bytes" not in recorded:
            self._found.append(f"{label}: {body!r} instead of {recorded!r}")
        elif recorded["_text"] is not None:
            self._compare(f"{label}: text", recorded["_text"], body.decode())
        elif recorded["_bytes"] == 0:
            self._compare(f"{label}: body", b"", body)
        else:
            assert content_type is not None
            kind = Image.open(io.BytesIO(body)).format
            self._compare(f"{label}: picture", content_type, f"image/{str(kind).lower()}")

    def _compare_frames(self, recorded: list[Frame], replayed: list[Frame]) -> None:
        theirs = [self._plain_frame(self._recorded, frame) for frame in recorded]
        mine = [self._plain_frame(self._replayed, frame) for frame in replayed]
        theirs_fixed, theirs_free = split_statuses(theirs)
        mine_fixed, mine_free = split_statuses(mine)
        theirs_fixed, mine_fixed = align(theirs_fixed, mine_fixed)
        self._compare("queue sizes that requests caused", theirs_free, mine_free)
        for place, (one, other) in enumerate(zip(theirs_fixed, mine_fixed, strict=False)):
            if one != other:
                self._compare(f"frame {place}", one, other)
                break
        else:
            extra = theirs_fixed[len(mine_fixed) :] or mine_fixed[len(theirs_fixed) :]
            self._compare("number of frames", len(theirs_fixed), len(mine_fixed))
            if extra:
                self._found.append(f"  the first of them: {extra[0]}")

    def _plain_frame(self, names: Names, frame: Frame) -> Frame:
        if "binary" in frame:
            head, kind = frame["binary"][:64], int.from_bytes(frame["binary"][:4], "big")
        elif "head_base64" in frame:
            head, kind = base64.b64decode(frame["head_base64"]), frame["event_type"]
        else:
            return names.plain(frame)
        # type, length or picture format, and what is there of the metadata, without the id in it
        return {"binary": kind, "head": re.sub(rb'(?<="prompt_id": ").*', b"", head)}


def split_statuses(frames: list[Frame]) -> tuple[list[Frame], list[Frame]]:
    """Separate the queue sizes that requests caused, whose place among the others is a race.

    What the worker itself sends stays: one size before a prompt starts and one after it has ended.
    """
    kept: list[Frame] = []
    free: list[Frame] = []
    ended = False
    for frame in frames:
        if not is_status(frame):
            if frame.get("type") == "execution_start" and free:
                kept.append(free.pop())
            ended = frame.get("type") in {
                "execution_success",
                "execution_error",
                "execution_interrupted",
            }
            kept.append(frame)
        elif ended or "sid" in frame["data"]:
            kept.append(frame)
            ended = False
        else:
            free.append(frame)
    return kept, free


def align(theirs: list[Frame], mine: list[Frame]) -> tuple[list[Frame], list[Frame]]:
    """Leave out the progress that only one side saw: around a gap between two connections."""
    longer, shorter = (theirs, mine) if len(theirs) > len(mine) else (mine, theirs)
    surplus = len(longer) - len(shorter)
    if surplus == 0:
        return theirs, mine
    at = next((i for i, (a, b) in enumerate(zip(longer, shorter, strict=False)) if a != b), None)
    if at is None:  # one side went on listening a little
        at = len(shorter)
    if all(f.get("type") in {"progress", "progress_state"} for f in longer[at : at + surplus]):
        del longer[at : at + surplus]
    return theirs, mine


def shape(value: Any) -> Any:
    """Return the types in a JSON value; lists of strings count as such whatever their length."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        shapes = [shape(item) for item in value]
        return "strings" if all(s == "str" for s in shapes) else shapes
    return type(value).__name__


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_sandbox_answers_as_recorded(file: Path) -> None:
    found = replay_all(file.parent.name)[file.stem]
    assert not found, "\n".join(found)
