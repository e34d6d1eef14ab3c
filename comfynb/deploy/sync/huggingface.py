"""Hugging Face as a source: the model files of repositories, with commit, size and hash.

It is asked through the Fetcher, not through huggingface_hub's HfApi: that has a client of its own
for the whole process, which knows nothing of which addresses may be asked and which token goes to
which host, picks up a token by itself, and looks huggingface.co up whatever its endpoint is. The
answers are the same: a test has the library read them and compares.
"""

import re
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from comfynb.deploy.catalogue.entries import HUGGINGFACE, FileEntry, ModelEntry, Outcome
from comfynb.deploy.catalogue.folders import FOLDERS, type_of_folder
from comfynb.deploy.catalogue.models import write_models
from comfynb.deploy.catalogue.text import lines
from comfynb.deploy.catalogue.urls import huggingface_url
from comfynb.deploy.sync import values as get
from comfynb.deploy.sync.batch import Batch, Cursor, SyncSource, Write
from comfynb.deploy.sync.polite import Asker, Reply
from comfynb.errors import FetchError, UsageError
from comfynb.models import ModelType, Source, SyncType
from comfynb.models._checks import check_file_name
from comfynb.store import Transaction

__all__ = ["HuggingFaceModels"]

BASE = "https://huggingface.co"
FILES = "files"

_REPO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}(/[A-Za-z0-9][A-Za-z0-9._-]{0,95})?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_LOADABLE = frozenset({".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf", ".onnx"})
_SHARD = re.compile(r"-\d{5}-of-\d{5}\.")
_NEXT = re.compile(r'<([^>]+)>\s*;[^,]*rel="?next"?')
_FORMATS = {
    ".safetensors": "SafeTensor",
    ".sft": "SafeTensor",
    ".gguf": "GGUF",
    ".onnx": "ONNX",
}
# Words of a folder in a repository that say what lies there, beside ComfyUI's own folders.
_FOLDERS = {
    "unet": "diffusion_models",
    "transformer": "diffusion_models",
    "diffusion_model": "diffusion_models",
    "text_encoder": "text_encoders",
    "text_encoder_2": "text_encoders",
    "text_encoder_3": "text_encoders",
    "lora": "loras",
    "embedding": "embeddings",
    "controlnets": "controlnet",
    "clip": "text_encoders",
    "checkpoint": "checkpoints",
}
_KNOWN = frozenset(
    {
        *(folder for folder in FOLDERS.values() if folder),
        *("vae_approx", "clip_vision", "style_models", "gligen", "photomaker", "model_patches"),
        *("audio_encoders", "latent_upscale_models"),
    }
)


class HuggingFaceModels(SyncSource):
    """Files of repositories: those named, or those that a search finds, up to ``most``.

    ``search``, ``author``, ``filters`` (tags) and ``sort`` are Hugging Face's own.
    """

    name = HUGGINGFACE
    type = SyncType.HUGGINGFACE_MODELS
    spacing = 0.2

    def __init__(
        self,
        base: str = BASE,
        *,
        repos: Iterable[str] = (),
        search: str | None = None,
        author: str | None = None,
        filters: Iterable[str] = (),
        sort: str = "downloads",
        most: int = 100,
        limit: int = 100,
    ) -> None:
        self.base = base.rstrip("/")
        self.repos = list(dict.fromkeys(repos))
        for repo in self.repos:
            if not _REPO.fullmatch(repo):
                raise UsageError(f"{repo!r:.80} is no repository: write owner/name")
        if most < 1 or not 1 <= limit <= 1000:
            raise UsageError("most must be a whole number from 1, limit one from 1 to 1000")
        self.most = most
        self.params: dict[str, str | int | list[str]] = {"limit": limit, "sort": sort}
        for name, value in (("search", search), ("author", author), ("filter", list(filters))):
            if value:
                self.params[name] = value

    def settings(self) -> dict[str, Any]:
        """Address, repositories, filters, and how many."""
        return {
            "base": self.base,
            "repos": self.repos,
            "most": self.most,
            "params": self.params,
        }

    async def batches(self, ask: Asker, cursor: Cursor | None) -> AsyncIterator[Batch]:
        """One repository at a time; its files are its entries."""
        taken = int(cursor["taken"]) if cursor is not None else 0
        if self.repos:
            for number in range(taken, len(self.repos)):
                yield await self._repository(ask, self.repos[number], {"taken": number + 1})
            return
        page: str | None = cursor.get("page") if cursor is not None else None
        at = int(cursor.get("at", 0)) if cursor is not None else 0
        seen = dict.fromkeys(cursor.get("seen") or ()) if cursor is not None else {}
        while taken < self.most:
            if page is None:
                reply = await ask.json(f"{self.base}/api/models", params=self.params)
            else:
                reply = await ask.json(page)
            found = reply.data
            if not isinstance(found, list):
                raise FetchError(
                    f"{self.base} answered with something that is no list of models",
                    url=self.base,
                    status=200,
                )
            following = _next(reply, self.base)
            for number, item in enumerate(found[at:], start=at):
                if taken >= self.most:
                    return
                taken += 1
                repo = item.get("id") or item.get("modelId") if isinstance(item, dict) else None
                place: Cursor = {"taken": taken, "page": page, "at": number + 1}
                if not isinstance(repo, str) or not _REPO.fullmatch(repo):
                    ended = Outcome("refused", f"#{taken}", reason="it has no id of a repository")
                    yield Batch({**place, "seen": list(seen)}, done=[(FILES, ended)])
                elif repo in seen:
                    ended = Outcome("merged", repo, reason="the service gave it a second time")
                    yield Batch({**place, "seen": list(seen)}, done=[(FILES, ended)])
                else:
                    seen[repo] = None
                    yield await self._repository(ask, repo, {**place, "seen": list(seen)})
            if following is None or not found:
                return
            page, at = following, 0

    async def _repository(self, ask: Asker, repo: str, place: Cursor) -> Batch:
        try:
            reply = await ask.json(
                f"{self.base}/api/models/{quote(repo)}/revision/main",
                params={"blobs": "true"},
                key="siblings",
            )
        except FetchError as error:
            # One that has gone, or wants a token, is not the end of all others.
            if error.status not in {401, 403, 404, 410, 451}:
                raise
            ended = Outcome("refused", repo, reason=f"the service answered {error.status}")
            return Batch(place, done=[(FILES, ended)])
        entries, done = _entries(self.base, repo, reply.data)
        return Batch(place, _writer(entries), done)


def _next(reply: Reply, base: str) -> str | None:
    """Return the address of the next page, if it is the same service's."""
    link = {name.lower(): value for name, value in reply.headers.items()}.get("link", "")
    found = _NEXT.search(link)
    if found is None:
        return None
    address = urljoin(f"{base}/api/models", str(found[1]))
    if urlsplit(address)[:2] != urlsplit(base)[:2]:
        raise FetchError(f"{base} points to another host for its next page", url=base, status=200)
    return address


def _writer(entries: Sequence[ModelEntry]) -> Write:
    def write(tx: Transaction, now: datetime) -> list[tuple[str, Outcome]]:
        return [(FILES, outcome) for outcome in write_models(tx, entries, HUGGINGFACE, now)]

    return write


def _entries(
    base: str, repo: str, data: Mapping[str, Any]
) -> tuple[list[ModelEntry], list[tuple[str, Outcome]]]:
    commit = data.get("sha")
    if not isinstance(commit, str) or not _COMMIT.fullmatch(commit):
        return [], [(FILES, Outcome("refused", repo, reason="the service names no commit of it"))]
    tags = lines(data.get("tags"), 80, 100)
    gated = data.get("gated") not in (False, None, "")
    details = {
        "tags": tags,
        "license": next((t.removeprefix("license:") for t in tags if t.startswith("license:")), ""),
        "pipeline": get.text(data, "pipeline_tag", 60),
        "stats": {
            key: value
            for key, value in (
                ("downloads", get.whole(data, "downloads")),
                ("likes", get.whole(data, "likes")),
            )
            if value is not None
        },
    }
    metadata = {key: value for key, value in details.items() if value}
    base_model = next((t.split(":")[-1] for t in tags if t.startswith("base_model:")), None)
    entries: list[ModelEntry] = []
    done: list[tuple[str, Outcome]] = []
    for file in get.objects(data, "siblings"):
        path = file.get("rfilename")
        if not isinstance(path, str) or PurePosixPath(path).suffix.lower() not in _LOADABLE:
            continue
        label = f"{repo}/{path}"[:200]
        try:
            if _SHARD.search(path):
                raise ValueError("it is one part of a model in several, which ComfyUI cannot load")
            name = PurePosixPath(path).name
            check_file_name(name)
            if any(part in {"", ".", ".."} for part in path.split("/")) or not path.isprintable():
                raise ValueError("its path is none")
        except ValueError as error:
            done.append((FILES, Outcome("refused", label, reason=str(error))))
            continue
        lfs = file.get("lfs") if isinstance(file.get("lfs"), dict) else {}
        kind, folder = _kind(path, tags)
        size = get.whole(lfs or {}, "size")
        size = get.whole(file, "size") if size is None else size
        suffix = PurePosixPath(path).suffix.lower()
        entries.append(
            ModelEntry(
                label=label,
                source=Source.HUGGINGFACE,
                name=f"{repo}: {path}"[:300],
                type=kind,
                downloadUrl=huggingface_url(base, repo, "main", path),
                filename=name,
                sourceId=repo,
                sourceUrl=f"{base}/{repo}",
                baseModel=base_model,
                fileSize=size,
                authRequired=gated,
                directory=folder,
                metadata=metadata,
                files=(
                    FileEntry(
                        filename=name,
                        url=huggingface_url(base, repo, commit, path),
                        revision=commit,
                        size=size,
                        sha256=get.sha256((lfs or {}).get("sha256") or (lfs or {}).get("oid")),
                        format=_FORMATS.get(suffix, "PickleTensor"),
                    ),
                ),
            )
        )
    if not entries and not done:
        done.append((FILES, Outcome("refused", repo, reason="it has no file that can be loaded")))
    return entries, done


def _kind(path: str, tags: Sequence[str]) -> tuple[ModelType, str | None]:
    """Return what a file is: by the folder that it lies in, or else by its repository's tags."""
    for part in reversed(PurePosixPath(path).parts[:-1]):
        folder = _FOLDERS.get(part.lower(), part.lower())
        if folder in _KNOWN:
            return type_of_folder(folder), folder
    low = {tag.lower() for tag in tags}
    for words, kind in (
        ({"lora"}, ModelType.LORA),
        ({"controlnet"}, ModelType.CONTROLNET),
        ({"textual_inversion", "textual-inversion"}, ModelType.EMBEDDING),
        ({"ip-adapter", "ipadapter"}, ModelType.IPADAPTER),
        ({"gguf"}, ModelType.UNET),
    ):
        if words & low:
            return kind, FOLDERS[kind]
    if "text-to-image" in low and "/" not in path:
        return ModelType.CHECKPOINT, FOLDERS[ModelType.CHECKPOINT]
    return ModelType.OTHER, None
