"""ComfyUI-Manager's list of models, read entry by entry."""

from typing import Any
from urllib.parse import unquote, urlsplit

from comfynb.deploy.catalogue.entries import FileEntry, ModelEntry, Outcome
from comfynb.deploy.catalogue.folders import manager_type, model_folder
from comfynb.deploy.catalogue.models import model_key
from comfynb.deploy.catalogue.text import line, several
from comfynb.deploy.catalogue.urls import civitai_ids, huggingface_file, model_url
from comfynb.models import Source
from comfynb.models._checks import check_file_name

__all__ = ["MODELS", "models_of", "source_of"]

MODELS = "model-list.json"


def models_of(data: dict[str, Any]) -> tuple[list[ModelEntry], list[tuple[str, Outcome]], int]:
    """Return the models of the list, the entries that ended before, and how many there are."""
    found: dict[tuple[str, ...], ModelEntry] = {}
    done: list[tuple[str, Outcome]] = []
    for number, item in enumerate(data["models"]):
        label = f"#{number}"
        try:
            if not isinstance(item, dict):
                raise ValueError(f"it is a {type(item).__name__}, no object")  # noqa: TRY004
            label = line(item.get("name"), 120) or line(item.get("filename"), 120) or label
            entry = _entry(label, item)
        except ValueError as error:
            done.append((MODELS, Outcome("refused", label, reason=str(error))))
            continue
        key = model_key(entry.source.value, entry.sourceId, entry.downloadUrl, entry.filename)
        known = found.setdefault(key, entry)
        if known is not entry:
            _fold(known, entry)
            what = "file" if known.downloadUrl == entry.downloadUrl else "model"
            reason = f"the same {what} as {known.label!r:.80}"
            done.append((MODELS, Outcome("merged", label, reason=reason)))
    return list(found.values()), done, len(data["models"])


def _fold(into: ModelEntry, other: ModelEntry) -> None:
    """Let a second entry of the same model say where it wants it, and which version it means."""
    into.files += tuple(file for file in other.files if file not in into.files)
    if other.directory and other.directory != into.directory:
        wanted = {*into.metadata.get("directories", ()), other.directory}
        into.metadata["directories"] = sorted(wanted)


def _entry(label: str, item: dict[str, Any]) -> ModelEntry:
    url = item.get("url")
    if not isinstance(url, str) or not url.strip():
        raise ValueError("it names no URL")
    filename = item.get("filename")
    if filename == "<huggingface>" or ("://" not in url and url.count("/") == 1):
        raise ValueError(
            "it is a whole repository, not a file: its files come with the sync of Hugging Face"
        )
    try:
        place = model_url(url)
    except ValueError as error:
        raise ValueError(f"its URL {error}") from None
    if not isinstance(filename, str) or not filename.strip():
        filename = unquote(urlsplit(place).path.rpartition("/")[2])
    try:
        filename = check_file_name(filename.strip())
    except ValueError as error:
        raise ValueError(f"its file name {error}") from None
    kind, folder = manager_type(item["type"] if isinstance(item.get("type"), str) else "")
    path = item.get("save_path")
    if isinstance(path, str) and path.strip() and path.strip() != "default":
        try:
            folder = model_folder(path)
        except ValueError as error:
            raise ValueError(f"it {error}") from None
    reference = item.get("reference")
    page = None
    if isinstance(reference, str) and reference.strip():
        try:
            page = model_url(reference)
        except ValueError:
            page = None  # only for people; the file has its own URL
    source, source_id, files = source_of(place, page, filename)
    details: dict[str, Any] = {
        "description": several(item.get("description")),
        "file_size": line(item.get("size"), 40),
        "kind": line(item.get("type"), 60),
    }
    return ModelEntry(
        label=label,
        source=source,
        name=line(item.get("name")) or filename,
        type=kind,
        downloadUrl=place,
        filename=filename,
        sourceId=source_id,
        sourceUrl=page,
        baseModel=line(item.get("base"), 100),
        directory=folder,
        metadata={key: value for key, value in details.items() if value is not None},
        files=files,
    )


def source_of(
    url: str, page: str | None, filename: str
) -> tuple[Source, str | None, tuple[FileEntry, ...]]:
    """Return which service a file's URL belongs to, its id there, and the version it names."""
    if at := huggingface_file(url):
        return Source.HUGGINGFACE, at[0], ()
    host = urlsplit(url).hostname or ""
    if host in {"civitai.com", "civitai.red"}:
        model, version = civitai_ids(url, page)
        if model is not None and version is not None:
            file = FileEntry(filename=filename, url=url, name=f"version {version}")
            file.revision = version
            return Source.CIVITAI, model, (file,)
        return Source.DIRECT, None, ()
    if host == "github.com":
        owner = "/".join(urlsplit(url).path.strip("/").split("/")[:2])
        return Source.GITHUB, owner, ()
    return Source.DIRECT, None, ()
