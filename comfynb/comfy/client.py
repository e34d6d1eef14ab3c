"""One ComfyUI server over HTTP: what it is, its queue and history, submitting and cancelling."""

import uuid
from types import TracebackType
from typing import Any, Self

from comfynb.comfy.address import parse_address
from comfynb.comfy.answers import Reply
from comfynb.comfy.credentials import Credentials
from comfynb.comfy.protocol import (
    Accepted,
    CancelResult,
    HistoryEntry,
    PromptState,
    Queue,
    is_prompt_id,
)
from comfynb.comfy.transport import Transport
from comfynb.errors import InvalidValue, PromptRefused

__all__ = ["ComfyClient"]


class ComfyClient:
    """A client of one ComfyUI server, used in ``async with``; safe for many tasks at once.

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
        address, found = parse_address(base_url)
        self.name = name or address.netloc
        self.client_id = client_id or uuid.uuid4().hex
        self.address = address
        self._transport = Transport(
            address, name=self.name, credentials=auth or found, timeout=timeout
        )

    @property
    def base_url(self) -> str:
        """The server's address, without secrets."""
        return self.address.base_url

    def __repr__(self) -> str:
        return f"ComfyClient({self.base_url!r}, name={self.name!r})"

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """End the event stream and close every connection."""
        await self._transport.aclose()

    async def object_info(self, node_class: str | None = None) -> dict[str, Any]:
        """Give the node classes' definitions as the server sends them; all, or one."""
        answer = await self._transport.get_dict(
            "/object_info" + (f"/{node_class}" if node_class else ""), wait=60
        )
        return dict(answer)

    async def submit(
        self,
        prompt: dict[str, Any],
        *,
        prompt_id: str,
        extra_data: dict[str, Any] | None = None,
        front: bool = False,
        number: float | None = None,
        partial_execution_targets: list[str] | None = None,
        preview_method: str | None = None,
    ) -> Accepted:
        """POST /prompt, once.

        Raises :class:`PromptRefused` (a part that was accepted all the same is taken back) and
        :class:`BackendUnreachable`: with ``sent`` true, look the prompt up before sending it again.
        """
        if not is_prompt_id(prompt_id):
            raise InvalidValue(f"{prompt_id!r} is no prompt id: take one from new_prompt_id().")
        extra = dict(extra_data or {})
        if preview_method is not None:
            extra["preview_method"] = preview_method
        body: dict[str, Any] = {
            "prompt": prompt,
            "prompt_id": prompt_id,
            # Always: without it some versions keep no outputs of a fully cached prompt.
            "client_id": self.client_id,
        }
        if extra:
            body["extra_data"] = extra
        if front:
            body["front"] = True
        if number is not None:
            body["number"] = number
        if partial_execution_targets is not None:
            body["partial_execution_targets"] = partial_execution_targets
        reply = await self._transport.post_json("/prompt", body)
        return await self._accepted(prompt, prompt_id, reply)

    async def _accepted(self, prompt: dict[str, Any], prompt_id: str, reply: Reply) -> Accepted:
        if reply.status != 400:
            answer = self._transport.judge.dict_of(reply, "/prompt")
            if not answer.get("node_errors"):
                return Accepted(answer["prompt_id"], answer["number"])
            await self.cancel(prompt_id)
        else:
            answer = reply.json()
        from comfynb.comfy.refusal import explain_refusal

        problems = explain_refusal(prompt, answer)
        raise PromptRefused(
            f"{self.name} refused the prompt: " + "; ".join(problems),
            backend=self.name,
            problems=problems,
            node_errors=answer.get("node_errors"),
        )

    async def find(self, prompt_id: str) -> PromptState:
        """Tell where a prompt is."""
        queue = await self.queue()
        if any(item.prompt_id == prompt_id for item in queue.running):
            return PromptState("running")
        if any(item.prompt_id == prompt_id for item in queue.pending):
            return PromptState("pending")
        entry = await self.history(prompt_id)
        return PromptState(entry.status, entry) if entry else PromptState("unknown")

    async def queue(self) -> Queue:
        """GET /queue: whole prompts, so heavy; :meth:`queue_remaining` is the cheap look."""
        return Queue.parse(await self._transport.get_dict("/queue"))

    async def queue_remaining(self) -> int:
        """How many prompts are running or pending."""
        answer = await self._transport.get_dict("/prompt")
        return int(answer["exec_info"]["queue_remaining"])

    async def history(self, prompt_id: str) -> HistoryEntry | None:
        """Give the entry of a prompt that has ended; None where the server has none."""
        answer = await self._transport.get_dict(f"/history/{prompt_id}")
        return HistoryEntry.parse(prompt_id, answer[prompt_id]) if prompt_id in answer else None

    async def recent_history(
        self, max_items: int, offset: int | None = None
    ) -> dict[str, HistoryEntry]:
        """Give up to ``max_items`` entries, the newest ones without ``offset``."""
        params = {"max_items": str(max_items)}
        if offset is not None:
            params["offset"] = str(offset)
        answer = await self._transport.get_dict("/history", params)
        return {key: HistoryEntry.parse(key, entry) for key, entry in answer.items()}

    async def cancel(self, prompt_id: str) -> CancelResult:
        """Stop one prompt, pending or running, and no other."""
        state = await self.find(prompt_id)
        if state.kind == "pending":
            await self._transport.post_json("/queue", {"delete": [prompt_id]})
            return CancelResult.REMOVED
        if state.kind == "running":
            await self._transport.post_json("/interrupt", {"prompt_id": prompt_id})
            return CancelResult.INTERRUPTING
        return CancelResult.FINISHED if state.is_terminal else CancelResult.UNKNOWN
