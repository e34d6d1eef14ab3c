"""One ComfyUI server: what it is, its queue and history, prompts, files and events."""

import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from comfynb.comfy import files, probing
from comfynb.comfy.connection import Connection
from comfynb.comfy.credentials import Credentials
from comfynb.comfy.prompts import Prompts
from comfynb.comfy.protocol import (
    Accepted,
    CancelResult,
    DownloadedFile,
    FileRef,
    HistoryEntry,
    PromptState,
    Queue,
    RecentHistory,
    ServerInfo,
    SystemStats,
)
from comfynb.comfy.socket import EventStream, Socket
from comfynb.errors import InvalidValue, NotFound

__all__ = ["ComfyClient"]

# Seconds: a server with many custom nodes takes its time to list them.
_OBJECT_INFO_WAIT = 60.0


class ComfyClient(Connection):
    """A client of one ComfyUI server, used in ``async with``; safe for many tasks of one loop.

    ``base_url`` is whatever :func:`parse_address` reads; credentials in it are used unless ``auth``
    is given. ``name`` is what people call the server. ``timeout`` (seconds) limits connecting and
    each wait for a part of an answer.

    Every method raises :class:`BackendUnreachable` (with ``sent``), :class:`NotComfyUI`,
    :class:`AuthenticationRequired` or :class:`ServerError` where the server gives no proper answer.
    GET requests are sent once more where a kept connection turned out to be closed; nothing else is
    ever sent twice.
    """

    def __init__(
        self,
        base_url: str,
        *,
        name: str = "",
        auth: Credentials | None = None,
        client_id: str | None = None,
        timeout: float = 10.0,
    ) -> None:
        super().__init__(base_url, name=name, auth=auth, timeout=timeout)
        self.client_id = client_id or uuid.uuid4().hex
        self.info: ServerInfo | None = None  #: what the last :meth:`probe` found
        self._prompts = Prompts(self._transport, self.client_id)
        self._shelf = files.Shelf()
        self._events: EventStream | None = None

    async def aclose(self) -> None:
        """End the event stream and close every connection."""
        stream, self._events = self._events, None
        if stream is not None:
            await stream.aclose()
        await super().aclose()

    # What the server is

    async def probe(self) -> ServerInfo:
        """Find out what the server is and can do, in one round of requests."""
        self.info = await probing.probe(self._transport)
        self._prompts.has_jobs = self.info.has_jobs_api
        self._prompts.has_job_cancel = self.info.has_job_cancel
        return self.info

    async def system_stats(self) -> SystemStats:
        """GET /system_stats: the machine, its devices, and the memory that is free now."""
        return await probing.system_stats(self._transport)

    async def features(self) -> dict[str, Any]:
        """GET /features; empty on servers that have no such route."""
        reply = await self._transport.get("/features")
        return {} if reply.status == 404 else self._transport.judge.dict_of(reply, "/features")

    async def object_info(self, node_class: str | None = None) -> dict[str, Any]:
        """Give the node classes as the server describes them: all, or one ({} if it has none)."""
        path = "/object_info" + (f"/{quote(node_class, safe='')}" if node_class else "")
        wait = max(_OBJECT_INFO_WAIT, self._transport.timeout)
        reply = await self._transport.get(path, wait=wait)
        if node_class and reply.status == 404:
            return {}
        return self._transport.judge.dict_of(reply, path)

    async def models(self, folder: str | None = None) -> list[str]:
        """Give the model folders, or the models in one; NotFound where there is no such folder."""
        if folder is None:
            return _strings(await self._transport.get_json("/models"))
        path = f"/models/{quote(folder, safe='')}"
        reply = await self._transport.get(path)
        if reply.status == 404:
            raise NotFound(f"{self.name} has no model folder {folder!r}: see models() for its own.")
        return _strings(self._transport.judge.json_of(reply, path))

    async def embeddings(self) -> list[str]:
        """GET /embeddings."""
        return _strings(await self._transport.get_json("/embeddings"))

    async def userdata_list(self, folder: str = "workflows") -> list[str]:
        """Give the files that users saved in ``folder`` and below; empty where there is none."""
        reply = await self._transport.get("/userdata", {"dir": folder, "recurse": "true"})
        if reply.status == 404:
            return []
        return _strings(self._transport.judge.json_of(reply, "/userdata"))

    async def userdata_get(self, path: str) -> bytes:
        """Give a file that users saved, "workflows/portrait.json" say; NotFound if it is not."""
        if ".." in path.replace("\\", "/").split("/"):
            raise InvalidValue(f"{path!r} leads out of the saved files: see userdata_list().")
        # The server decodes a name that holds a percent sign once more.
        name = quote(path, safe="") if "%" in path else path
        target = f"/userdata/{quote(name, safe='')}"
        reply = await self._transport.get(target)
        if reply.status == 404:
            raise NotFound(f"{self.name} has no saved file {path!r}: see userdata_list().")
        self._transport.judge.check(reply, target)
        return reply.content

    # Prompts

    async def submit(
        self,
        prompt: Mapping[str, Any],
        *,
        prompt_id: str,
        extra_data: Mapping[str, Any] | None = None,
        front: bool = False,
        number: float | None = None,
        partial_execution_targets: Sequence[str] | None = None,
        preview_method: str | None = None,
        object_info: Mapping[str, Any] | None = None,
    ) -> Accepted:
        """POST /prompt, once.

        ``preview_method`` is none, auto, latent2rgb or taesd; servers that do not know it ignore
        it. ``object_info`` makes a refusal's explanation complete.

        Raises :class:`PromptRefused` (a part that was accepted all the same is taken back) and
        :class:`BackendUnreachable`: with ``sent`` true, :meth:`find` the prompt before sending it
        again.
        """
        options: dict[str, Any] = {}
        extra = dict(extra_data or {})
        if preview_method is not None:
            extra["preview_method"] = preview_method
        if extra:
            options["extra_data"] = extra
        if front:
            options["front"] = True
        if number is not None:
            options["number"] = number
        if partial_execution_targets is not None:
            options["partial_execution_targets"] = list(partial_execution_targets)
        return await self._prompts.submit(prompt, prompt_id, options, object_info)

    async def find(self, prompt_id: str) -> PromptState:
        """Tell where a prompt is, also while it moves; "unknown" only after a second look."""
        return await self._prompts.find(prompt_id)

    async def queue(self) -> Queue:
        """GET /queue: whole prompts, so heavy; :meth:`queue_remaining` is the cheap look."""
        return await self._prompts.queue()

    async def queue_remaining(self) -> int:
        """Tell how many prompts are running or pending."""
        answer = await self._transport.get_dict("/prompt")
        info = answer.get("exec_info")
        remaining = info.get("queue_remaining") if isinstance(info, dict) else None
        if not isinstance(remaining, int):
            raise self._transport.judge.not_comfyui("JSON of another shape", "/prompt")
        return remaining

    async def history(self, prompt_id: str) -> HistoryEntry | None:
        """Give the entry of a prompt that has ended; None where the server has none."""
        return await self._prompts.history(prompt_id)

    async def recent_history(self, max_items: int, offset: int | None = None) -> RecentHistory:
        """Give up to ``max_items`` entries by prompt id: the newest, or from ``offset`` on.

        Each is read when it is looked up: a hundred with large outputs take a while.
        """
        params = {"max_items": str(max_items)}
        if offset is not None:
            params["offset"] = str(offset)
        return RecentHistory(await self._transport.get_dict("/history", params))

    async def cancel(self, prompt_id: str) -> CancelResult:
        """Stop one prompt, pending or running, and no other; says what happened to it.

        An interrupted prompt stops at its next node or progress step, not at once. The server sends
        no event for a pending prompt that is removed.
        """
        return await self._prompts.cancel(prompt_id)

    async def withdraw(self, prompt_id: str) -> bool:
        """Take a prompt out of the queue; False, and nothing is done, if it runs or has run.

        Unlike :meth:`cancel` this never interrupts anything.
        """
        return await self._prompts.withdraw(prompt_id)

    async def free(self, *, unload_models: bool = False, free_memory: bool = False) -> None:
        """POST /free: after the current prompt, unload models; ``free_memory`` drops the cache."""
        body = {"unload_models": unload_models, "free_memory": free_memory}
        self._transport.judge.check(await self._transport.post_json("/free", body), "/free")

    # Files

    async def upload(
        self,
        source: Path | str | bytes,
        *,
        filename: str,
        subfolder: str = "",
        type: str = "input",  # noqa: A002
        overwrite: bool = False,
    ) -> FileRef:
        """Send a file of any kind (a path, or its bytes), streamed from disk.

        Use the name that is RETURNED: the server chooses another where the name is taken.
        """
        return await files.upload(
            self._transport,
            source,
            filename=filename,
            subfolder=subfolder,
            type=type,
            overwrite=overwrite,
            limit=self.info.max_upload_size if self.info is not None else None,
        )

    async def download(self, ref: FileRef, destination: Path) -> DownloadedFile:
        """Stream a file to ``destination``, which appears whole or not at all.

        ``ref``'s names are the server's: choose the destination with :func:`safe_name`.
        :class:`ServerError` with status 404 where the server has the file no more.
        """
        return await files.download(self._transport, self._shelf, ref, destination)

    async def view(self, ref: FileRef, *, preview: str | None = None) -> bytes:
        """Give a file's bytes; ``preview`` ("webp;90", "jpeg;80") converts a picture."""
        return await files.view(self._transport, ref, preview=preview)

    # Events

    def events(self) -> EventStream:
        """Give the server's events, reconnecting for as long as you listen; see EventStream.

        A client has one stream: a new one ends the one before, whose socket is closed first, since
        two sockets with one client id make one of them deaf.
        """
        socket = Socket(self._transport, self.client_id)
        self._events = EventStream(socket, after=self._events)
        return self._events

    def reopen_events(self) -> None:
        """Open another socket, because this one seems deaf: HTTP saw what it did not tell."""
        if self._events is not None:
            self._events.reopen()


def _strings(answer: object) -> list[str]:
    return [item for item in answer if isinstance(item, str)] if isinstance(answer, list) else []
