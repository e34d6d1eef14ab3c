"""The jobs view of ``/api/jobs``: queue and history in one form."""

from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import Any

from comfynb.sandbox.prompt_queue import PromptQueue, QueueItem

__all__ = ["STATUSES", "find_job", "list_jobs"]

STATUSES = ("pending", "in_progress", "completed", "failed")

_PREVIEWABLE = frozenset({"images", "video", "audio"})
_MODELS_3D = frozenset({".obj", ".fbx", ".gltf", ".glb"})


def list_jobs(
    queue: PromptQueue,
    *,
    statuses: frozenset[str],
    workflow_id: str | None,
    by_duration: bool,
    descending: bool,
) -> list[dict[str, Any]]:
    """Return all jobs of these statuses, sorted by creation or by how long they took."""
    jobs = [_queued(item, "in_progress") for item in queue.running()]
    jobs += [_queued(item, "pending") for item in queue.pending()]
    jobs += [_ended(prompt_id, entry) for prompt_id, entry in queue.history().items()]
    jobs = [
        job
        for job in jobs
        if job["status"] in statuses and workflow_id in {None, job.get("workflow_id")}
    ]
    return sorted(jobs, key=_duration if by_duration else _created, reverse=descending)


def find_job(queue: PromptQueue, prompt_id: str) -> dict[str, Any] | None:
    """Return one job, with outputs and prompt when it has ended."""
    # Running and pending first: a prompt only ever moves towards the history, so looking there
    # last cannot miss one that moves in between.
    running = [i for i in queue.running() if i[1] == prompt_id]
    pending = [i for i in queue.pending() if i[1] == prompt_id]
    entry = queue.history(prompt_id).get(prompt_id)
    if entry is not None:
        _, _, prompt, extra_data, _ = entry["prompt"]
        return _ended(prompt_id, entry) | {
            "outputs": entry["outputs"],
            "execution_status": entry["status"],
            "workflow": {"prompt": prompt, "extra_data": extra_data},
        }
    if running:
        return _queued(running[0], "in_progress")
    if pending:
        return _queued(pending[0], "pending")
    return None


def _queued(item: QueueItem, status: str) -> dict[str, Any]:
    number, prompt_id, _, extra_data, _ = item
    return _without_none(
        id=prompt_id,
        status=status,
        priority=number,
        create_time=extra_data.get("create_time"),
        outputs_count=0,
        workflow_id=_workflow_id(extra_data),
    )


def _ended(prompt_id: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    number, _, _, extra_data, _ = entry["prompt"]
    status = entry["status"]
    started = ended = error = None
    for event, data in status["messages"]:
        if event == "execution_start":
            started = data["timestamp"]
        elif event in {"execution_success", "execution_error", "execution_interrupted"}:
            ended = data["timestamp"]
            error = data if event == "execution_error" else None
    files = [
        (node_id, kind, item)
        for node_id, output in entry["outputs"].items()
        for kind, items in output.items()
        if kind != "animated" and isinstance(items, list)
        for item in items
        if isinstance(item, dict)
    ]
    return _without_none(
        id=prompt_id,
        status="failed" if status["status_str"] == "error" else "completed",
        priority=number,
        create_time=extra_data.get("create_time"),
        execution_start_time=started,
        execution_end_time=ended,
        execution_error=error,
        outputs_count=len(files),
        preview_output=_preview(files),
        workflow_id=_workflow_id(extra_data),
    )


def _preview(files: list[tuple[str, str, dict[str, Any]]]) -> dict[str, Any] | None:
    """Return the first file that can be shown, saved ones before temporary ones."""
    shown = [
        {**item, "nodeId": node_id, "mediaType": kind}
        for node_id, kind, item in files
        if _can_be_shown(kind, item)
    ]
    saved = [item for item in shown if item.get("type") == "output"]
    return next(iter(saved or shown), None)


def _can_be_shown(kind: str, item: Mapping[str, Any]) -> bool:
    if kind in _PREVIEWABLE or str(item.get("format", "")).startswith(("video/", "audio/")):
        return True
    return PurePosixPath(str(item.get("filename", "")).lower()).suffix in _MODELS_3D


def _workflow_id(extra_data: Mapping[str, Any]) -> str | None:
    workflow = (extra_data.get("extra_pnginfo") or {}).get("workflow") or {}
    found = workflow.get("id")
    return None if found is None else str(found)


def _created(job: Mapping[str, Any]) -> float:
    return float(job.get("create_time", 0))


def _duration(job: Mapping[str, Any]) -> float:
    started, ended = job.get("execution_start_time", 0), job.get("execution_end_time", 0)
    return float(ended - started) if started and ended else 0.0


def _without_none(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}
