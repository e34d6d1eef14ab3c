"""Pins models: the revision, size and hash of each file, from the catalogue or from its source."""

import re
from dataclasses import dataclass

from comfynb.deploy.catalogue import KnownModel, model_url
from comfynb.deploy.catalogue.urls import huggingface_file
from comfynb.deploy.lock.files import CIVITAI, HUGGINGFACE, FileFacts, ask_source, name_at
from comfynb.deploy.net import Fetcher
from comfynb.errors import DeploymentError
from comfynb.models import DeploymentModel, Lock, Model, ModelVersion, Service, Source
from comfynb.models._checks import check_file_name
from comfynb.models.lock import LockedModel

__all__ = ["ModelSources", "PinnedModel", "pin_model"]

_COMMIT = re.compile(r"[0-9a-f]{40}")
_SERVICES = {Source.HUGGINGFACE: Service.HUGGINGFACE, Source.CIVITAI: Service.CIVITAI}


@dataclass(frozen=True, slots=True)
class ModelSources:
    """Where the services are asked, and whether whole files may be downloaded for their hash."""

    huggingface: str = HUGGINGFACE
    civitai: str = CIVITAI
    download: bool = False


@dataclass(frozen=True, slots=True)
class PinnedModel:
    """A model that is pinned, as well as its source allows."""

    known: KnownModel
    version: ModelVersion | None
    locked: LockedModel
    scan: str | None = None
    problem: str | None = None
    """Why the source said nothing, as the end of a sentence."""
    notes: tuple[str, ...] = ()


def _version_of(known: KnownModel, custom_name: str | None) -> ModelVersion | None:
    """The version whose file is chosen by name, or that the model's address means, or the only."""
    named = [version for version in known.versions if version.filename == custom_name]
    if len(named) == 1:
        return named[0]
    wanted = _key(known.model.downloadUrl)
    for version in known.versions:
        if _key(version.downloadUrl) == wanted:
            return version
    active = [version for version in known.versions if version.isActive]
    return active[0] if len(active) == 1 else None


def _key(url: str) -> str:
    try:
        return model_url(url)
    except ValueError:
        return url


async def pin_model(
    known: KnownModel,
    choice: DeploymentModel,
    fetcher: Fetcher,
    sources: ModelSources,
    *,
    former: Lock | None = None,
    upgrade: bool = False,
) -> PinnedModel:
    """Pin one model: by its former lock, by what the catalogue knows, else by asking the source.

    A source that does not answer leaves what the catalogue knows, and ``problem`` says why.
    Raises DeploymentError where there is no name for the file.
    """
    model, version = known.model, _version_of(known, choice.customName)
    url = version.downloadUrl if version is not None else model.downloadUrl
    filename = _filename(choice, model, version)
    before = None if upgrade else _former(former, choice.targetPath, filename, url, known)
    # What could not be told last time is asked again.
    if before is not None and before.sha256 is not None and before.size is not None:
        scan = version.scan if version is not None else None
        return PinnedModel(known, version, before.model_copy(update={"name": model.name}), scan)
    facts = _known_facts(model, version)
    asked = None
    if not _is_pinned(facts):
        asked = await ask_source(
            url,
            fetcher,
            filename=version.filename if version is not None else model.filename,
            huggingface=sources.huggingface,
            civitai=sources.civitai,
            download=sources.download,
        )
    notes = []
    if asked is not None and asked.sha256 and facts.sha256 and asked.sha256 != facts.sha256:
        notes.append(
            f"Model {model.name!r:.80} has changed at its source since the catalogue was filled: "
            f"its sha256 is {asked.sha256[:12]}... now, not {facts.sha256[:12]}..."
        )
    merged = _merged(facts, asked)
    locked = LockedModel(
        name=model.name,
        filename=filename,
        folder=choice.targetPath,
        url=merged.url,
        revision=merged.revision,
        size=merged.size,
        sha256=merged.sha256,
        auth=merged.auth,
        license=_license(model) or merged.license,
    )
    problem = asked.problem if asked is not None else None
    return PinnedModel(known, version, locked, merged.scan, problem, tuple(notes))


def _filename(choice: DeploymentModel, model: Model, version: ModelVersion | None) -> str:
    name = choice.customName or model.filename or (version.filename if version else None)
    name = name or name_at(model.downloadUrl)
    try:
        return check_file_name(name)
    except ValueError as error:
        raise DeploymentError(
            f"Model {model.name!r:.80}: its file name {name!r:.80} {error}; give it a custom name."
        ) from None


def _former(
    lock: Lock | None, folder: str, filename: str, url: str, known: KnownModel
) -> LockedModel | None:
    """The former entry of the same file, if it comes from the same place."""
    urls = {_key(url), *(_key(version.downloadUrl) for version in known.versions)}
    for model in lock.models if lock is not None else ():
        same = model.folder == folder and model.filename == filename
        if same and (_key(model.url) in urls or _unpinned(model.url) in map(_unpinned, urls)):
            return model
    return None


def _unpinned(url: str) -> str:
    """An address without what pins it: the commit at Hugging Face, the file's id at CivitAI."""
    place = huggingface_file(url)
    if place is not None:
        return f"{place[0]}/{place[2]}"
    return url.partition("?")[0] if "/api/download/models/" in url else url


def _known_facts(model: Model, version: ModelVersion | None) -> FileFacts:
    auth = _SERVICES.get(model.source) if model.authRequired else None
    url = _key(version.downloadUrl if version is not None else model.downloadUrl)
    if version is None:
        return FileFacts(url, size=model.fileSize, auth=auth)
    place = huggingface_file(url)
    revision = version.revision
    if place is not None and not _COMMIT.fullmatch(place[1]):
        if revision is not None and _COMMIT.fullmatch(revision):
            url = url.replace(f"/resolve/{place[1]}/", f"/resolve/{revision}/", 1)
        else:
            revision = None
    size = version.fileSize if version.fileSize is not None else model.fileSize
    return FileFacts(url, revision, size, version.sha256, auth, version.scan)


def _is_pinned(facts: FileFacts) -> bool:
    """Whether the catalogue knows all that the source could say."""
    place = huggingface_file(facts.url)
    if place is not None and not _COMMIT.fullmatch(place[1]):
        return False
    if "/api/download/models/" in facts.url and "fileId=" not in facts.url:
        return False
    return facts.sha256 is not None and facts.size is not None


def _merged(facts: FileFacts, asked: FileFacts | None) -> FileFacts:
    """What the source says now, filled up with what the catalogue knows."""
    if asked is None:
        return facts
    if asked.problem is not None:
        auth = asked.auth or facts.auth
        return FileFacts(facts.url, facts.revision, facts.size, facts.sha256, auth, facts.scan)
    same = facts.sha256 is None or asked.sha256 in {None, facts.sha256}
    return FileFacts(
        asked.url,
        asked.revision or facts.revision,
        asked.size if asked.size is not None else (facts.size if same else None),
        asked.sha256 or facts.sha256,
        asked.auth or facts.auth,
        asked.scan or facts.scan,
        asked.license,
    )


def _license(model: Model) -> str | None:
    found = model.metadata.get("license")
    return found.strip()[:100] or None if isinstance(found, str) else None
