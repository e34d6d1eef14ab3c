"""Reads a workflow from wherever one lives: JSON, pictures, videos, recordings, histories."""

import difflib
import io
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal

from comfynb.comfy.clipboard import as_file, text_in_html
from comfynb.comfy.convert.api import describe, is_api_prompt, is_ui_workflow
from comfynb.comfy.metadata import media_kind, read_texts
from comfynb.comfy.problems import shorten
from comfynb.errors import NotAWorkflow

__all__ = ["LoadedWorkflow", "load_file", "load_text", "load_workflow"]

MOST_JSON = 64 * 1024 * 1024
"""A larger JSON file is refused unread, in bytes."""
_HEAD = 64
_LONGEST_PATH = 4096
_FENCED = re.compile(r"\s*```[\w-]*\s*\n(.*)\n\s*```\s*", re.DOTALL)
_EXTRA_KEYS = {"client_id", "extra", "extra_data", "last_node_id", "number", "version", "workflow"}


@dataclass(frozen=True, slots=True)
class LoadedWorkflow:
    """A workflow, and where it came from.

    ``kind`` says which form is to be used: ``"api"`` if ``prompt`` is there (it is exactly what
    ran), else ``"ui"``. A picture made by ComfyUI gives both.
    """

    kind: Literal["ui", "api"]
    workflow: dict[str, Any] | None
    prompt: dict[str, Any] | None
    name: str = ""
    source: str = ""


def load_workflow(
    source: str | os.PathLike[str] | bytes | Mapping[str, Any] | IO[bytes] | IO[str],
    *,
    name: str = "",
) -> LoadedWorkflow:
    """Load a workflow from a path, JSON text, bytes, a mapping or an open file.

    Understands workflows as the front-end saves them, prompts in API format, bodies of
    ``POST /prompt``, entries of a server's history, and the files in which ComfyUI keeps either:
    PNG, WebP, JPEG, MP4, MOV, WebM, FLAC, Ogg, MP3, SVG, glTF and safetensors. Nothing in it is
    executed. Raises :class:`~comfynb.errors.NotAWorkflow` in one sentence for anything else.
    """
    if isinstance(source, Mapping):
        return _from_value(dict(source), name, "The mapping")
    if isinstance(source, bytes | bytearray | memoryview):
        return _from_stream(io.BytesIO(bytes(source)), name, "The data")
    if isinstance(source, str):
        if _is_json_text(source) or text_in_html(source) is not None:
            return load_text(source, name=name)
        if "\n" in source.strip() or len(source) > _LONGEST_PATH or not source.strip():
            raise NotAWorkflow(
                f"The text is {_looks_like(source)}: give a path, or the JSON of a workflow."
            )
        return _from_path(Path(source), name)
    if isinstance(source, os.PathLike):
        return _from_path(Path(source), name)
    if hasattr(source, "read"):
        return _from_file(source, name)
    raise NotAWorkflow(
        f"A workflow cannot be read from {describe(source)}: give a path, JSON, bytes or a mapping."
    )


def load_text(text: str, *, name: str = "") -> LoadedWorkflow:
    """Load a workflow from a text, never taking it for a path: JSON, or what was copied.

    Understands a workflow's or prompt's JSON, also between Markdown's fences, and the HTML that
    copying nodes on ComfyUI's canvas puts on the clipboard. Raises as :func:`load_workflow` does.
    """
    copied = text_in_html(text)
    if copied is not None:
        return _from_text(copied, name, "What was copied from the canvas")
    fenced = _FENCED.fullmatch(text)
    return _from_text(fenced[1] if fenced is not None else text, name, "The text")


def load_file(path: str | os.PathLike[str], *, name: str = "") -> LoadedWorkflow:
    """Load a workflow from a file, never taking the path for JSON or a URL."""
    return _from_path(Path(path), name)


def _is_json_text(text: str) -> bool:
    return text.lstrip("\ufeff \t\r\n")[:1] in {"{", "["}


def _from_path(path: Path, name: str) -> LoadedWorkflow:
    path = path.expanduser()
    shown = shorten(str(path), 200)
    try:
        with path.open("rb") as stream:
            return _from_stream(stream, name or _stem(path), shown)
    except FileNotFoundError:
        raise NotAWorkflow(f"There is no file {shown}{_nearest(path)}.") from None
    except IsADirectoryError:
        raise NotAWorkflow(f"{shown} is a folder: give a file in it.") from None
    except (OSError, ValueError) as error:
        if isinstance(error, NotAWorkflow):
            raise
        reason = error.strerror if isinstance(error, OSError) else "the name is not valid"
        raise NotAWorkflow(f"{shown} cannot be read: {reason or 'the system refuses'}.") from None


def _stem(path: Path) -> str:
    stem = path.stem
    return stem.removesuffix(".app")


def _nearest(path: Path) -> str:
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for _, entry in zip(range(5000), entries, strict=False)]
    except OSError:
        return f", nor a folder {shorten(str(path.parent), 200)}"
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    return f"; near to it are {', '.join(map(shorten, near))}" if near else ""


def _from_file(source: IO[bytes] | IO[str], name: str) -> LoadedWorkflow:
    file_name = getattr(source, "name", "")
    label = shorten(file_name, 200) if isinstance(file_name, str) and file_name else "The file"
    if not name and isinstance(file_name, str) and file_name:
        name = _stem(Path(file_name))
    data = source.read(MOST_JSON + 1)
    if isinstance(data, str):
        if len(data) > MOST_JSON:
            raise NotAWorkflow(_too_large(label))
        return _from_text(data, name, label)
    if len(data) > MOST_JSON:
        seekable = getattr(source, "seekable", None)
        if seekable is None or not seekable() or media_kind(data[:_HEAD]) is None:
            raise NotAWorkflow(_too_large(label))
        return _from_stream(source, name, label)  # type: ignore[arg-type]
    return _from_stream(io.BytesIO(data), name, label)


def _too_large(label: str) -> str:
    return (
        f"{label} is larger than {MOST_JSON // 2**20} MiB, which no workflow is: "
        "give the workflow's own file."
    )


def _from_stream(stream: BinaryIO, name: str, label: str) -> LoadedWorkflow:
    size = stream.seek(0, io.SEEK_END)
    stream.seek(0)
    head = stream.read(_HEAD)
    stream.seek(0)
    if not size:
        raise NotAWorkflow(f"{label} is empty: give a file that holds a workflow.")
    kind = media_kind(head)
    if kind is not None:
        return _from_texts(read_texts(stream, kind), kind, name, label)
    if size > MOST_JSON:
        raise NotAWorkflow(_too_large(label))
    return _from_text(_decode(stream.read(), label), name, label)


def _decode(data: bytes, label: str) -> str:
    try:
        return data.decode(json.detect_encoding(data))
    except UnicodeDecodeError:
        if b"\0" in data[:1024]:
            raise NotAWorkflow(
                f"{label} is a binary file of a kind in which ComfyUI keeps no workflow."
            ) from None
        raise NotAWorkflow(f"{label} is no UTF-8 text: save it again as JSON in UTF-8.") from None


def _from_texts(texts: dict[str, str], kind: str, name: str, label: str) -> LoadedWorkflow:
    """Pick prompt and workflow out of a media file's texts."""
    workflow = prompt = None
    candidates = [texts.get(key) for key in ("prompt", "workflow", "comment", "description")]
    for text in candidates:
        if text is None or not _is_json_text(text):
            continue
        try:
            found_workflow, found_prompt = _unwrap(_parse(text, label))
        except NotAWorkflow:
            continue
        workflow, prompt = workflow or found_workflow, prompt or found_prompt
    if workflow is None and prompt is None:
        raise NotAWorkflow(_no_workflow_in(texts, f"{label} is {_article(kind)} {kind}"))
    return _loaded(workflow, prompt, name, label)


def _article(kind: str) -> str:
    return "an" if kind.split(maxsplit=1)[0] in {"MP4", "MP3", "SVG", "Ogg"} else "a"


def _no_workflow_in(texts: dict[str, str], beginning: str) -> str:
    if "parameters" in texts:
        return (
            f"{beginning} with a parameters text as SD-webui writes it, not with a ComfyUI "
            "workflow: only ComfyUI's own files can be loaded."
        )
    if "prompt" in texts or "workflow" in texts:
        return f"{beginning} whose workflow is damaged: use another copy of the file."
    return (
        f"{beginning} without a workflow in it: it was not made by ComfyUI, or another program "
        "removed the workflow when it saved the file."
    )


def _from_text(text: str, name: str, label: str) -> LoadedWorkflow:
    if not text.strip("\ufeff \t\r\n"):
        raise NotAWorkflow(f"{label} is empty: give a file that holds a workflow.")
    return _from_value(_parse(text, label), name, label)


def _parse(text: str, label: str) -> Any:
    try:
        return json.loads(text.lstrip("\ufeff"))
    except json.JSONDecodeError as error:
        if not _is_json_text(text):
            raise NotAWorkflow(f"{label} is {_looks_like(text)}, not JSON.") from None
        raise NotAWorkflow(
            f"{label} is not valid JSON: {error.msg.lower()} in line {error.lineno}, column "
            f"{error.colno}{_near(text, error.pos)}."
        ) from None
    except RecursionError:
        raise NotAWorkflow(f"{label} is nested too deeply to be a workflow.") from None
    except ValueError:
        raise NotAWorkflow(f"{label} holds a number too long to be read.") from None


def _near(text: str, place: int) -> str:
    if not text[place:].strip():
        return " (the text ends there)"
    return f", near {shorten(text[max(0, place - 20) : place + 20].strip(), 60)}"


def _looks_like(text: str) -> str:
    start = text.strip("\ufeff \t\r\n")[:2000]
    lower = start.lower()
    if not start:
        return "empty"
    if lower.startswith(("<!doctype html", "<html", "<head", "<body")):
        return "a web page (HTML): download the raw file instead"
    if lower.startswith("<"):
        return "XML"
    if "steps:" in lower and ("sampler:" in lower or "cfg scale:" in lower):
        return "a parameters text as SD-webui writes it"
    if start.startswith("version https://git-lfs"):
        return "a Git LFS pointer: fetch the file itself with git lfs pull"
    if lower.startswith(("import ", "from ", "def ", "#!/")):
        return "program code"
    if lower.startswith(("http://", "https://")):
        return "a URL: download it first"
    return "plain text"


def _from_value(value: Any, name: str, label: str) -> LoadedWorkflow:
    workflow, prompt = _unwrap(value)
    if workflow is None and prompt is None:
        raise NotAWorkflow(
            f"{label} holds {describe(value)}, which is no ComfyUI workflow: "
            "save one from ComfyUI's menu (Save, or Export (API))."
        )
    return _loaded(workflow, prompt, name, label)


def _loaded(
    workflow: dict[str, Any] | None, prompt: dict[str, Any] | None, name: str, label: str
) -> LoadedWorkflow:
    kind: Literal["ui", "api"] = "ui" if prompt is None else "api"
    return LoadedWorkflow(kind, workflow, prompt, name, label)


Found = tuple[dict[str, Any] | None, dict[str, Any] | None]


def _unwrap(value: Any, depth: int = 0) -> Found:
    """Find ``(workflow, prompt)`` in a value or in what may be wrapped around them."""
    if depth > 4:
        return None, None
    if isinstance(value, str):
        # Some tools save JSON inside a JSON text.
        return (
            _unwrap(_parse(value, "The inner text"), depth + 1) if _is_json_text(value) else _NONE
        )
    if isinstance(value, list):
        return _from_queue_item(value, depth)
    if not isinstance(value, dict):
        return _NONE
    if is_ui_workflow(value):
        return as_file(value), None
    nodes = {key: node for key, node in value.items() if key not in _EXTRA_KEYS}
    if is_api_prompt(nodes):
        return _workflow_in(value), nodes
    workflow, prompt = _workflow_in(value), None
    for key in ("prompt", "output", "api", "api_prompt", "api_json"):
        if key in value:
            inner_workflow, prompt = _unwrap(value[key], depth + 1)
            workflow = workflow or inner_workflow
            if prompt is not None:
                break
    if workflow is None and prompt is None and len(value) == 1:
        # A history's answer: {prompt id: entry}; or any other single wrapper.
        return _unwrap(next(iter(value.values())), depth + 1)
    return workflow, prompt


_NONE: Found = (None, None)


def _workflow_in(value: Mapping[str, Any]) -> dict[str, Any] | None:
    extra = value.get("extra_data")
    info = extra.get("extra_pnginfo") if isinstance(extra, dict) else None
    places = [value.get("workflow"), value.get("workflow_json"), value.get("graph")]
    places.append(info.get("workflow") if isinstance(info, dict) else None)
    for place in places:
        if isinstance(place, str) and _is_json_text(place):
            try:
                place = json.loads(place)  # noqa: PLW2901 - the same thing, unpacked
            except (ValueError, RecursionError):
                continue
        if isinstance(place, dict) and is_ui_workflow(place):
            return place
    return None


def _from_queue_item(value: list[Any], depth: int) -> Found:
    """``[number, prompt id, prompt, extra data, outputs]``, as queue and history hold it."""
    if len(value) >= 3 and isinstance(value[1], str) and isinstance(value[2], dict):
        _, prompt = _unwrap(value[2], depth + 1)
        extra = value[3] if len(value) > 3 and isinstance(value[3], dict) else {}
        return _workflow_in({"extra_data": extra}), prompt
    return _NONE
