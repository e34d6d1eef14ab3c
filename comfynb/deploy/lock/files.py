"""Asks where a model comes from: what to pin it by, its size and hash, whose token is due."""

import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urljoin, urlsplit

from comfynb.deploy.catalogue.urls import civitai_ids, huggingface_file, huggingface_url, model_url
from comfynb.deploy.net import Answer, Fetcher
from comfynb.errors import DeploymentError, FetchError
from comfynb.models import Service

__all__ = ["CIVITAI", "HUGGINGFACE", "FileFacts", "ask_source"]

HUGGINGFACE = "https://huggingface.co"
CIVITAI = "https://civitai.com"
_SHA256 = re.compile(r"[0-9a-f]{64}")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_MOST_MOVES = 3


@dataclass(frozen=True, slots=True)
class FileFacts:
    """What the source says about one file. ``url`` is pinned where the source can pin."""

    url: str
    revision: str | None = None
    size: int | None = None
    """Bytes."""
    sha256: str | None = None
    auth: Service | None = None
    """Whose token it asked for."""
    scan: str | None = None
    """'Success' if all its scans succeeded, else what did not."""
    license: str | None = None
    problem: str | None = None
    """Why it could not be pinned, as the end of a sentence."""


async def ask_source(
    url: str,
    fetcher: Fetcher,
    *,
    filename: str | None = None,
    huggingface: str = HUGGINGFACE,
    civitai: str = CIVITAI,
    download: bool = False,
) -> FileFacts:
    """Ask the service that has a file. ``huggingface`` and ``civitai`` are where those are asked.

    ``download``: where nobody tells a hash, fetch the whole file and take it. Nothing that goes
    wrong is raised: ``problem`` says it, and the caller decides what a file without facts is worth.
    """
    try:
        url = model_url(url)
        place = huggingface_file(url)
        if place is not None:
            facts = await _huggingface(place, fetcher, huggingface)
        elif (version := civitai_ids(url)[1]) is not None:
            facts = await _civitai(url, version, filename, fetcher, civitai)
        else:
            facts = await _plain(url, fetcher)
        if download and facts.sha256 is None and facts.problem is None:
            facts = await _downloaded(facts, fetcher)
    except (FetchError, DeploymentError) as error:
        return FileFacts(url, problem=_end_of(str(error)))
    except ValueError as error:
        return FileFacts(url, problem=f"its address {error}")
    return facts


def _end_of(sentence: str) -> str:
    return sentence.rstrip(".")


# Hugging Face ---------------------------------------------------------------------------------


async def _huggingface(place: tuple[str, str, str], fetcher: Fetcher, base: str) -> FileFacts:
    repo, revision, path = place
    asked = huggingface_url(base, repo, revision, path)
    for _ in range(_MOST_MOVES):
        answer = await fetcher.head(asked, follow=False)
        moved = _moved(asked, answer)
        if moved is None:
            break
        asked = moved
        new = huggingface_file(asked.replace(base, HUGGINGFACE, 1))
        repo = new[0] if new is not None else repo
    plain = huggingface_url(HUGGINGFACE, repo, revision, path)
    if answer.status in {401, 403}:
        code = answer.headers.get("X-Error-Code", "")
        why = (
            "its licence has to be accepted at Hugging Face first"
            if code == "GatedRepo"
            else ("it is private, or not there")
        )
        return FileFacts(plain, auth=Service.HUGGINGFACE, problem=f"{why}; a token is due")
    if answer.status == 404:
        return FileFacts(plain, problem="Hugging Face has no such file")
    if answer.status >= 400:
        answer.check()
    commit = answer.headers.get("X-Repo-Commit", "")
    if not _COMMIT.fullmatch(commit):
        return FileFacts(plain, problem="Hugging Face names no commit for it")
    etag = answer.headers.get("X-Linked-Etag", "").strip('"W/')
    about = await _about(f"{base}/api/models/{quote(repo)}/revision/{commit}", fetcher)
    # This very question may have been answered only because of a token.
    closed = about.get("gated") not in {None, False} or about.get("private") is True
    return FileFacts(
        huggingface_url(HUGGINGFACE, repo, commit, path),
        commit,
        _number(answer.headers.get("X-Linked-Size")) or _length(answer),
        etag if _SHA256.fullmatch(etag) else None,
        Service.HUGGINGFACE if closed else None,
        license=_license(about),
    )


async def _about(url: str, fetcher: Fetcher) -> dict[str, Any]:
    """What is known of a repository; a limit on questions leaves its licence unknown, no more."""
    try:
        return _dict(await fetcher.get_json(url))
    except FetchError:
        return {}


def _license(about: Mapping[str, Any]) -> str | None:
    named = _dict(about.get("cardData")).get("license_name")
    tags = [tag for tag in _list(about.get("tags")) if isinstance(tag, str)]
    found = next((tag.removeprefix("license:") for tag in tags if tag.startswith("license:")), None)
    return named if found in {"other", None} and isinstance(named, str) else found


def _moved(asked: str, answer: Answer) -> str | None:
    """Where a renamed repository's file is; a redirect to where the bytes lie is none."""
    place = answer.headers.get("Location")
    if answer.status not in {301, 302, 307, 308} or not place or "X-Repo-Commit" in answer.headers:
        return None
    target = urljoin(asked, place)
    same = urlsplit(target).netloc == urlsplit(asked).netloc
    return target if same and "/resolve/" in urlsplit(target).path else None


# CivitAI --------------------------------------------------------------------------------------


async def _civitai(
    url: str, version: str, filename: str | None, fetcher: Fetcher, base: str
) -> FileFacts:
    data = await fetcher.get_json(f"{base}/api/v1/model-versions/{version}")
    files = [f for f in _list(_dict(data).get("files")) if isinstance(f, dict)]
    wanted = dict(parse_qsl(urlsplit(url).query)).get("fileId")
    file = _chosen(files, wanted, filename)
    if file is None:
        return FileFacts(url, version, problem="CivitAI has no such file in that version")
    number = file.get("id")
    pinned = f"{CIVITAI}/api/download/models/{version}"
    if isinstance(number, int) and not isinstance(number, bool):
        pinned += f"?fileId={number}"
    told = file.get("sizeKB")
    kilobytes = told if isinstance(told, int | float) and 0 < told < 1e12 else None
    sha256 = str(_dict(file.get("hashes")).get("SHA256") or "").lower()
    early = _dict(data).get("availability") == "EarlyAccess"
    return FileFacts(
        pinned,
        version,
        round(kilobytes * 1024) if kilobytes is not None else None,
        sha256 if _SHA256.fullmatch(sha256) else None,
        Service.CIVITAI if early else None,
        _scans(file),
    )


def _chosen(
    files: list[dict[str, Any]], wanted: str | None, filename: str | None
) -> dict[str, Any] | None:
    if wanted is not None:
        return next((file for file in files if str(file.get("id")) == wanted), None)
    named = [file for file in files if filename is not None and file.get("name") == filename]
    primary = [file for file in files if file.get("primary") is True]
    for some in (named, primary, files):
        if len(some) == 1:
            return some[0]
    return None


def _scans(file: Mapping[str, Any]) -> str | None:
    results = [file.get(key) for key in ("pickleScanResult", "virusScanResult")]
    told = [result for result in results if isinstance(result, str)]
    if not told:
        return None
    return next((result for result in told if result != "Success"), "Success")


# Anywhere else --------------------------------------------------------------------------------


async def _plain(url: str, fetcher: Fetcher) -> FileFacts:
    answer = (await fetcher.head(url)).check()
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind == "text/html":
        return FileFacts(url, problem="there is a web page at its address, not a file")
    return FileFacts(url, None, _length(answer))


async def _downloaded(facts: FileFacts, fetcher: Fetcher) -> FileFacts:
    with tempfile.TemporaryDirectory(prefix="comfynb-model-") as folder:
        done = await fetcher.download(facts.url, Path(folder) / "file")
    return FileFacts(
        facts.url, facts.revision, done.size, done.sha256, facts.auth, facts.scan, facts.license
    )


def _length(answer: Answer) -> int | None:
    """The whole file's size, whichever way it was asked."""
    ranged = re.fullmatch(r"bytes \d+-\d+/(\d+)", answer.headers.get("Content-Range", ""))
    if ranged is not None:
        return int(ranged[1])
    if answer.status != 200 or "Content-Encoding" in answer.headers:
        return None
    return _number(answer.headers.get("Content-Length"))


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and re.fullmatch(r"\d{1,18}", text) else None


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def name_at(url: str) -> str:
    """The last part of an address's path."""
    return unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2])
