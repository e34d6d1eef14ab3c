"""Where a prompt is on one server, and how to send and stop it without a doubt left."""

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from comfynb.comfy.protocol import (
    Accepted,
    CancelResult,
    HistoryEntry,
    PromptState,
    Queue,
    is_prompt_id,
)
from comfynb.comfy.refusal import explain_refusal
from comfynb.comfy.transport import Transport
from comfynb.errors import BackendError, InvalidValue, PromptRefused, ServerError

__all__ = ["Prompts"]

# A prompt in neither queue nor history is looked for once more after this pause (seconds): its POST
# may have been cut off on our side while the server was still validating it.
_SECOND_LOOK = 0.25
_CANCEL_ROUNDS = 5


class Prompts:
    """The prompts of one server. ``has_jobs`` and ``has_job_cancel`` are None until asked."""

    def __init__(self, transport: Transport, client_id: str) -> None:
        self._transport = transport
        self._judge = transport.judge
        self._client_id = client_id
        self.has_jobs: bool | None = None
        self.has_job_cancel: bool | None = None

    # Sending

    async def submit(
        self,
        prompt: Mapping[str, Any],
        prompt_id: str,
        options: Mapping[str, Any],
        object_info: Mapping[str, Any] | None,
    ) -> Accepted:
        """POST /prompt, once; ``options`` are the body's other fields."""
        if not is_prompt_id(prompt_id):
            raise InvalidValue(f"{prompt_id!r} is no prompt id: take one from new_prompt_id().")
        # The client id always: without it, some versions keep no outputs of a fully cached prompt.
        body = {"prompt": prompt, "prompt_id": prompt_id, "client_id": self._client_id, **options}
        # The server validates before it answers, and that may read models and hash input files.
        wait = max(30.0, self._transport.timeout)
        reply = await self._transport.post_json("/prompt", body, wait=wait)
        if reply.status == 413:
            raise ServerError(
                f"{self._judge.label} finds the prompt too large: start it with a larger"
                " --max-upload-size, or upload what the prompt carries as files.",
                backend=self._judge.name,
                status=413,
            )
        if reply.status == 400:
            try:
                answer = reply.json()
            except ValueError:
                answer = None
            if isinstance(answer, dict) and ("error" in answer or "node_errors" in answer):
                raise self._refusal(prompt, answer, object_info)
        answer = self._judge.dict_of(reply, "/prompt")
        accepted_id = answer.get("prompt_id")
        if not isinstance(accepted_id, str):
            raise self._judge.not_comfyui("JSON of another shape than ComfyUI's", "/prompt")
        if answer.get("node_errors"):
            # A part of the prompt was queued and the rest dropped: nobody asked for that.
            refusal = self._refusal(prompt, answer, object_info)
            try:
                await self.cancel(accepted_id)
            except BackendError as error:
                refusal.add_note(f"The part that was accepted may still run: {error}")
            raise refusal
        if accepted_id != prompt_id:
            await self.cancel(accepted_id)
            raise ServerError(
                f"{self._judge.label} gave the prompt an id of its own, so a lost answer could not"
                " be found again: update ComfyUI to 0.3.64 or later.",
                backend=self._judge.name,
                status=reply.status,
            )
        number = answer.get("number")
        return Accepted(accepted_id, number if isinstance(number, int | float) else 0)

    def _refusal(
        self,
        prompt: Mapping[str, Any],
        answer: Mapping[str, Any],
        object_info: Mapping[str, Any] | None,
    ) -> PromptRefused:
        problems = explain_refusal(prompt, answer, object_info)
        said = problems[0] if problems else "it does not say why; its log may."
        more = len(problems) - 1
        if more > 0:
            said = f"{said} (and {more} more {'problem' if more == 1 else 'problems'})"
        node_errors = answer.get("node_errors")
        return PromptRefused(
            f"{self._judge.label} refuses the prompt: {said}",
            backend=self._judge.name,
            problems=problems,
            node_errors=node_errors if isinstance(node_errors, dict) else None,
        )

    # Finding

    async def history(self, prompt_id: str) -> HistoryEntry | None:
        """GET /history/{id}: the entry of a prompt that has ended, else None."""
        answer = await self._transport.get_dict(f"/history/{quote(prompt_id, safe='')}")
        entry = answer.get(prompt_id)
        return HistoryEntry.parse(prompt_id, entry) if isinstance(entry, dict) else None

    async def queue(self) -> Queue:
        """GET /queue."""
        return Queue.parse(await self._transport.get_dict("/queue"))

    async def find(self, prompt_id: str) -> PromptState:
        """Tell where a prompt is; "unknown" only after a second look."""
        state = await self.look(prompt_id)
        if state.kind == "unknown":
            await asyncio.sleep(_SECOND_LOOK)
            state = await self.look(prompt_id)
        return state

    async def look(self, prompt_id: str) -> PromptState:
        """Look once.

        A prompt moves from pending to running to history and never back, and the server makes each
        move under one lock. So it is seen if the queue is read before the history: whatever left
        the queue before we read it is in the history when we read that. The other way round, a
        prompt that ends between the two requests is in neither. History is asked first all the
        same, because for a prompt that has ended this one light request is enough; a prompt that is
        not there yet is looked for in the right order after it.
        """
        entry = await self.history(prompt_id)
        if entry is not None:
            return PromptState(entry.status, entry)
        if await self._jobs_known():
            state = await self._look_at_job(prompt_id)
            if state is not None:
                return state
        queue = await self.queue()
        if any(item.prompt_id == prompt_id for item in queue.running):
            return PromptState("running")
        if any(item.prompt_id == prompt_id for item in queue.pending):
            return PromptState("pending")
        entry = await self.history(prompt_id)
        return PromptState(entry.status, entry) if entry is not None else PromptState("unknown")

    async def _jobs_known(self) -> bool:
        if self.has_jobs is None:
            reply = await self._transport.get("/api/jobs", {"limit": "1"})
            self.has_jobs = isinstance(reply.json_object().get("jobs"), list)
        return self.has_jobs

    async def _look_at_job(self, prompt_id: str) -> PromptState | None:
        """GET /api/jobs/{id}: the one answer that tells them all apart, without the whole queue.

        None where it says something unforeseen.
        """
        path = f"/api/jobs/{quote(prompt_id, safe='')}"
        reply = await self._transport.get(path)
        if reply.status == 404:
            return PromptState("unknown")
        job = self._judge.dict_of(reply, path)
        status = job.get("status")
        if status == "pending":
            return PromptState("pending")
        if status == "in_progress":
            return PromptState("running")
        if status not in {"completed", "failed", "cancelled"}:
            return None
        entry = await self.history(prompt_id)
        if entry is not None:
            return PromptState(entry.status, entry)
        return PromptState("interrupted") if status == "cancelled" else None

    # Stopping

    async def cancel(self, prompt_id: str) -> CancelResult:
        """Stop one prompt and no other; see :meth:`ComfyClient.cancel`."""
        taken_out = False
        for _ in range(_CANCEL_ROUNDS):
            state = await self.look(prompt_id)
            if state.is_terminal:
                stopped = taken_out and state.entry is None
                return CancelResult.REMOVED if stopped else CancelResult.FINISHED
            if state.kind == "unknown":
                if taken_out:
                    return CancelResult.REMOVED
                state = await self.find(prompt_id)
                if state.kind == "unknown":
                    return CancelResult.UNKNOWN
                continue
            if self.has_job_cancel:
                # The server looks and acts under one lock: nothing can slip in between.
                await self._cancel_job(prompt_id)
                if state.kind == "running":
                    return CancelResult.INTERRUPTING
                taken_out = True
            elif state.kind == "running":
                # It ran a moment ago, and the server compares the id with what runs now; a prompt
                # that starts in the instant between its look and its act is beyond our reach.
                path = "/interrupt"
                reply = await self._transport.post_json(path, {"prompt_id": prompt_id})
                self._judge.check(reply, path)
                return CancelResult.INTERRUPTING
            else:
                # Answers 200 whether or not it was still pending: the next round sees which.
                path = "/queue"
                reply = await self._transport.post_json(path, {"delete": [prompt_id]})
                self._judge.check(reply, path)
                taken_out = True
        raise ServerError(
            f"{self._judge.label} keeps prompt {prompt_id} although it was cancelled"
            f" {_CANCEL_ROUNDS} times: look at its queue.",
            backend=self._judge.name,
        )

    async def withdraw(self, prompt_id: str) -> bool:
        """Take a prompt out of the queue; see :meth:`ComfyClient.withdraw`."""
        for _ in range(_CANCEL_ROUNDS):
            # Only what is pending is deleted, and the answer is the same for anything else.
            reply = await self._transport.post_json("/queue", {"delete": [prompt_id]})
            self._judge.check(reply, "/queue")
            state = await self.find(prompt_id)
            if state.kind != "pending":
                return state.kind == "unknown"
        return False

    async def _cancel_job(self, prompt_id: str) -> None:
        path = f"/api/jobs/{quote(prompt_id, safe='')}/cancel"
        self._judge.check(await self._transport.post_json(path, {}), path)
