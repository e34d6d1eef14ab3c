"""Which file a workflow means: by hash, by address, by name within its folder, and no guess."""

from collections.abc import Iterable, Sequence
from urllib.parse import unquote, urlsplit

from comfynb.deploy.resolve.folders import folder_problem
from comfynb.deploy.resolve.index import ModelFile, ModelIndex, url_key
from comfynb.deploy.resolve.needs import ModelNeed
from comfynb.deploy.resolve.resolution import (
    ModelCandidate,
    ModelRule,
    ResolvedModel,
    Status,
)
from comfynb.models._checks import check_url

__all__ = ["FILE_HOSTS", "resolve_model"]

FILE_HOSTS = frozenset(
    {"civitai.com", "civitai.red", "github.com", "huggingface.co", "hf.co", "modelscope.cn"}
)
"""Services that keep models: an address there, named by a workflow, is taken at its word."""


def resolve_model(
    need: ModelNeed,
    index: ModelIndex,
    *,
    comfyui: str | None = None,
    on: tuple[str, ...] = (),
    chosen: ModelFile | str | None = None,
) -> ResolvedModel:
    """Find the file of one model.

    In order: a file with the hash that the workflow declares; the one at the address that it
    declares; the only one of that name in that folder. ``comfyui`` is the release whose folders
    count. ``chosen`` is a person's word, a file of the catalogue or an address, and comes first.
    """
    return _Question(need, index, comfyui, on).answer(chosen)


class _Question:
    def __init__(
        self, need: ModelNeed, index: ModelIndex, comfyui: str | None, on: tuple[str, ...]
    ) -> None:
        self._need = need
        self._index = index
        self._on = on
        self._remarks: list[str] = []
        problem = folder_problem(need.folder, comfyui) if need.folder is not None else None
        if problem is not None:
            self._remarks.append(
                f"Model {need.filename!r:.80}: the folder {need.folder!r:.60} {problem}."
            )

    def answer(self, chosen: ModelFile | str | None) -> ResolvedModel:
        if isinstance(chosen, str):
            return self._by_workflow(chosen, "chosen")
        if chosen is not None:
            return self._known("chosen", chosen)
        return self._by_hash() or self._by_url() or self._by_name()

    # The rules -----------------------------------------------------------------------------------

    def _by_hash(self) -> ResolvedModel | None:
        hashes = self._need.sha256
        if len(hashes) > 1:
            self._remarks.append(
                f"Model {self._need.filename!r:.80}: the workflow declares {len(hashes)} "
                "different hashes for it."
            )
            found = [k for value in hashes for k in self._index.by_sha256.get(value, ())]
            addresses = [ModelCandidate(u, None, "the workflow names it") for u in self._need.urls]
            return self._open(
                Status.AMBIGUOUS, [*_candidates(found, "it has one of the hashes"), *addresses]
            )
        found = [k for value in hashes for k in self._index.by_sha256.get(value, ())]
        found = [known for known in found if known.is_active]
        if not found:
            return None
        keys = {url_key(url) for url in self._need.urls}

        def order(known: ModelFile) -> tuple[bool, bool, bool, str]:
            named = known.filename == self._need.filename
            return url_key(known.url) not in keys, not known.model.isVerified, not named, known.url

        # Whatever the address, these are the same bytes.
        return self._known("hash", min(found, key=order))

    def _by_url(self) -> ResolvedModel | None:
        urls = {url_key(url): url for url in reversed(self._need.urls)}
        if not urls:
            return None
        found = {key: self._index.by_url.get(key, []) for key in urls}
        if len(urls) > 1:
            return self._by_several_urls(urls, found)
        ((key, url),) = urls.items()
        known = [k for k in found[key] if k.is_active]
        if not known:
            return self._by_workflow(url, "workflow")
        declared = self._need.sha256[0] if self._need.sha256 else None
        match = next((k for k in known if k.filename == self._need.filename), known[0])
        if declared is not None and match.sha256 not in {None, declared}:
            self._remarks.append(
                f"Model {self._need.filename!r:.80}: the workflow declares the hash "
                f"{declared[:12]}..., but the catalogue knows {str(match.sha256)[:12]}... at that "
                "address."
            )
            return self._open(Status.AMBIGUOUS, _candidates([match], "it is at that address"))
        return self._known("url", match)

    def _by_several_urls(
        self, urls: dict[str, str], found: dict[str, list[ModelFile]]
    ) -> ResolvedModel:
        known = [next((k for k in found[key] if k.is_active), None) for key in urls]
        hashes = {k.sha256 if k is not None else None for k in known}
        if len(hashes) == 1 and None not in hashes:
            return self._known("url", next(k for k in known if k is not None))
        self._remarks.append(
            f"Model {self._need.filename!r:.80}: the workflow names {len(urls)} addresses for it, "
            "which may be different files."
        )
        reason = "the workflow names it"
        pairs = zip(urls.values(), known, strict=True)
        return self._open(
            Status.AMBIGUOUS, [ModelCandidate(url, match, reason) for url, match in pairs]
        )

    def _by_workflow(self, url: str, rule: ModelRule) -> ResolvedModel:
        """Take an address that the catalogue does not know, if it can be taken at its word."""
        try:
            check_url(url)
            parts = urlsplit(url)
        except ValueError as error:
            self._remarks.append(
                f"Model {self._need.filename!r:.80}: the address {error}, it is not used."
            )
            return self._by_name()
        host = (parts.hostname or "").lower().removeprefix("www.")
        last = unquote(parts.path.rsplit("/", 1)[-1])
        if "." in last and last != self._need.filename and "/api/" not in parts.path:
            self._remarks.append(
                f"Model {self._need.filename!r:.80}: the file at the workflow's address is called "
                f"{last!r:.80}."
            )
        trusted = parts.scheme == "https" and host in FILE_HOSTS and parts.port in {None, 443}
        if rule == "chosen" or trusted:
            need = self._need
            declared = need.sha256[0] if len(need.sha256) == 1 else None
            return ResolvedModel(
                need,
                Status.RESOLVED,
                rule,
                url_key(url),
                None,
                declared,
                None,
                need.path,
                (),
                tuple(self._remarks),
                self._on,
            )
        stranger = ModelCandidate(url, None, "only the workflow names it, at a host nobody knows")
        by_name = self._by_name()
        return self._open(Status.AMBIGUOUS, [stranger, *self._named(by_name)])

    def _named(self, found: ResolvedModel) -> list[ModelCandidate]:
        if found.known is not None:
            return _candidates([found.known], "it has that name")
        return list(found.candidates)

    def _by_name(self) -> ResolvedModel:
        name = self._need.filename
        same = [known for known in self._index.by_name.get(name, ()) if known.is_active]
        fitting = [known for known in same if self._fits(known)]
        if len({known.sha256 or url_key(known.url) for known in fitting}) == 1:
            declared = self._need.sha256
            if not declared or fitting[0].sha256 in {None, declared[0]}:
                return self._known("name", fitting[0])
            self._remarks.append(
                f"Model {name!r:.80}: the only file of that name has another hash than the "
                "workflow declares."
            )
        if fitting:
            return self._open(Status.AMBIGUOUS, _candidates(fitting, "it has that name"))
        elsewhere = _candidates(same, "it has that name, but belongs in another folder")
        status = Status.AMBIGUOUS if elsewhere else Status.UNKNOWN
        return self._open(status, elsewhere)

    def _fits(self, known: ModelFile) -> bool:
        if known.folder is None or self._need.folder is None:
            return True
        if self._need.evidence in {"input", "value"} and self._need.folder != known.folder:
            # What an input's name suggests rules nothing out if there is only one such file.
            return len(self._index.by_name[known.filename]) == 1
        return known.folder.split("/")[0] == self._need.folder.split("/")[0]

    # Answers -------------------------------------------------------------------------------------

    def _known(self, rule: ModelRule, known: ModelFile) -> ResolvedModel:
        need = self._need
        path = need.path
        if path is None and known.folder is not None:
            path = "/".join(part for part in ("models", known.folder, need.subfolder) if part)
        return ResolvedModel(
            need,
            Status.RESOLVED,
            rule,
            known.url,
            known,
            known.sha256 or (need.sha256[0] if len(need.sha256) == 1 else None),
            known.size,
            path,
            (),
            tuple(self._remarks),
            self._on,
        )

    def _open(self, status: Status, candidates: Sequence[ModelCandidate]) -> ResolvedModel:
        once = tuple({url_key(c.url): c for c in reversed(candidates)}.values())[::-1]
        return ResolvedModel(
            self._need,
            status,
            path=self._need.path,
            candidates=once,
            remarks=tuple(self._remarks),
            on=self._on,
        )


def _candidates(found: Iterable[ModelFile], reason: str) -> list[ModelCandidate]:
    return [ModelCandidate(known.url, known, reason) for known in found]
