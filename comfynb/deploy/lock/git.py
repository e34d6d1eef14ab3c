"""Asks git repositories for commits and for single files, and runs nothing that lies in them."""

import asyncio
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

from comfynb.deploy.lock.program import Finished, plain_environment, run_program
from comfynb.deploy.lock.reach import check_reach
from comfynb.deploy.net import Fetcher, NetPolicy
from comfynb.deploy.net.gate import Lookup, look_up
from comfynb.errors import DeploymentError, FetchError
from comfynb.models._checks import check_commit

__all__ = ["Checkout", "Git", "Refs"]

_LONGEST_FILE = 2**20
_HEAD = re.compile(r"ref: (refs/heads/\S+)\tHEAD")


@dataclass(frozen=True, slots=True)
class Refs:
    """What a repository has: commits by branch and by tag (what an annotated tag points to)."""

    url: str
    head: str | None
    """The default branch's commit."""
    branch: str | None
    """The default branch's name."""
    branches: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Git:
    """How git is run: never asking, never with this user's settings, only by these protocols.

    ``protocols`` and ``rewrite`` (``{"file:///srv/": "https://github.com/"}``, git's insteadOf) are
    an operator's or a test's switches, never filled from data. ``fetcher`` follows a repository
    that has moved, to public addresses only.
    """

    fetcher: Fetcher | None = None
    program: str = "git"
    protocols: Sequence[str] = ("https",)
    rewrite: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 120
    lookup: Lookup = look_up
    """How names are resolved; every address must be public, and git is told to use no other."""

    async def refs(self, url: str) -> Refs:
        """List a repository's branches and tags. Raises DeploymentError, naming it."""
        patterns = ("HEAD", "refs/heads/*", "refs/tags/*")
        url, done = await self._ask(url, "ls-remote", "--symref", patterns)
        head = branch = None
        branches: dict[str, str] = {}
        tags: dict[str, str] = {}
        for line in done.out.decode("utf-8", "replace").splitlines():
            if match := _HEAD.fullmatch(line):
                branch = match[1].removeprefix("refs/heads/")
                continue
            commit, _, name = line.partition("\t")
            if not _is_commit(commit):
                continue
            if name == "HEAD":
                head = commit
            elif name.startswith("refs/heads/"):
                branches[name.removeprefix("refs/heads/")] = commit
            elif name.startswith("refs/tags/"):
                tag = name.removeprefix("refs/tags/")
                if tag.endswith("^{}"):
                    tags[tag.removesuffix("^{}")] = commit
                else:
                    tags.setdefault(tag, commit)
        return Refs(url, head, branch, branches, tags)

    def checkout(self, url: str, commit: str) -> "Checkout":
        """Look into one commit; use it in ``async with``."""
        return Checkout(self, url, check_commit(commit))

    async def _ask(
        self, url: str, command: str, option: str, rest: Sequence[str]
    ) -> tuple[str, Finished]:
        with tempfile.TemporaryDirectory(prefix="comfynb-git-") as folder:
            place = Path(folder)
            done = await self.run(place, url, command, option, "--", url, *rest)
            if done.code and (moved := await self._moved(url, done)) is not None:
                url = moved
                done = await self.run(place, url, command, option, "--", url, *rest)
        if done.code:
            raise DeploymentError(f"{_what(url)} cannot be asked: {_why(done.error)}.")
        return url, done

    async def run(self, place: Path, url: str, *arguments: str) -> Finished:
        """Run a git command in a folder, about a repository; raises as ``refs`` does."""
        settings = [
            *await self._pinned(url),
            "credential.helper=",
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "protocol.ext.allow=never",
            "http.followRedirects=false",
            "fetch.fsckObjects=true",
            "transfer.bundleURI=false",
            *(f"url.{new}.insteadOf={old}" for new, old in self.rewrite.items()),
        ]
        given = [part for setting in settings for part in ("-c", setting)]
        environment = plain_environment(
            GIT_TERMINAL_PROMPT="0",
            GIT_ASKPASS="",
            SSH_ASKPASS="",
            GIT_CONFIG_NOSYSTEM="1",
            GIT_CONFIG_GLOBAL="/dev/null",
            GIT_ALLOW_PROTOCOL=":".join(self.protocols),
            GIT_LFS_SKIP_SMUDGE="1",
            HOME=str(place),
            LC_ALL="C",
        )
        return await run_program(
            [self.program, *given, *arguments],
            cwd=place,
            environment=environment,
            seconds=self.timeout,
            what=_what(url),
        )

    def _check(self, url: str) -> None:
        scheme = urlsplit(url).scheme
        if scheme not in self.protocols or not url.isprintable() or " " in url:
            raise DeploymentError(
                f"{_what(url)} is not at an https address: only those are cloned."
            )

    async def _pinned(self, url: str) -> list[str]:
        """Settings that keep git at the addresses that were looked at; raises AddressRefused."""
        self._check(url)
        if urlsplit(url).scheme != "https" or any(map(url.startswith, self.rewrite.values())):
            return []
        policy = self.fetcher.policy if self.fetcher is not None else NetPolicy()
        target, addresses = await check_reach(url, policy, _what(url), lookup=self.lookup)
        return [f"http.curloptResolve={target.host}:{target.port}:{','.join(addresses)}"]

    async def _moved(self, url: str, done: Finished) -> str | None:
        """Where a repository has moved to, as its server says."""
        if self.fetcher is None or not re.search(r"error: 30[1278]|redirect", done.error):
            return None
        tail = "/info/refs?service=git-upload-pack"
        try:
            answer = await self.fetcher.head(url.rstrip("/") + tail)
        except FetchError:
            return None
        moved = answer.url.partition("/info/refs")[0]
        if answer.status != 200 or moved == url or "/info/refs" not in answer.url:
            return None
        self._check(moved)
        return moved


class Checkout:
    """One commit of a repository: its files are listed and read, never written out or run."""

    def __init__(self, git: Git, url: str, commit: str) -> None:
        self._git = git
        self._url = url
        self._commit = commit
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._modes: dict[str, tuple[str, str]] = {}

    async def __aenter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="comfynb-git-")
        try:
            await self._fetch()
        except BaseException:
            self._folder.cleanup()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        if self._folder is not None:
            self._folder.cleanup()

    @property
    def files(self) -> Sequence[str]:
        """Names in the repository's top folder."""
        return sorted(self._modes)

    async def text(self, name: str) -> str | None:
        """Read a text of the top folder; None where there is none. Links are not followed."""
        mode, blob = self._modes.get(name, ("", ""))
        if not mode.startswith("100"):
            return None
        done = await self._run("cat-file", "blob", blob)
        if len(done.out) > _LONGEST_FILE:
            raise DeploymentError(f"{name!r:.60} of {_what(self._url)} is larger than 1 MiB.")
        return done.out.decode("utf-8-sig", "replace")

    async def _fetch(self) -> None:
        assert self._folder is not None
        await asyncio.to_thread(_make_bare, Path(self._folder.name))
        await self._run(
            *("fetch", "--quiet", "--depth", "1", "--no-tags", "--filter=blob:none"),
            *("--no-recurse-submodules", "origin", "--", self._commit),
        )
        done = await self._run("ls-tree", "-z", self._commit)
        for entry in done.out.decode("utf-8", "replace").split("\0"):
            head, _, name = entry.partition("\t")
            if name:
                mode, _, blob = head.split(" ")
                self._modes[name] = (mode, blob)

    async def _run(self, *arguments: str) -> Finished:
        assert self._folder is not None
        what = _what(self._url)
        remote = ("-c", f"remote.origin.url={self._url}")
        done = await self._git.run(Path(self._folder.name), self._url, *remote, *arguments)
        if done.code:
            raise DeploymentError(
                f"Commit {self._commit[:12]} of {what} cannot be read: {_why(done.error)}."
            )
        return done


def _make_bare(place: Path) -> None:
    """Make an empty repository that fetches what it lacks from its one remote."""
    for folder in ("objects", "refs"):
        (place / folder).mkdir()
    (place / "HEAD").write_text("ref: refs/heads/none\n")
    (place / "config").write_text(
        "[core]\n\trepositoryformatversion = 1\n\tbare = true\n"
        "[extensions]\n\tpartialClone = origin\n"
        '[remote "origin"]\n\tpromisor = true\n\tpartialclonefilter = blob:none\n'
    )


def _is_commit(text: str) -> bool:
    return re.fullmatch(r"[0-9a-f]{40}", text) is not None


def _what(url: str) -> str:
    return f"The repository {url!r:.120}"


def _why(error: str) -> str:
    lines = [line.strip() for line in error.splitlines() if line.strip()]
    text = next((line for line in lines if line.startswith(("fatal:", "error:"))), "")
    text = (text or (lines[-1] if lines else "git says nothing")).partition(":")[2] or text
    plain = "".join(c for c in text if c.isprintable()).strip().rstrip(".")
    if "terminal prompts disabled" in plain or "could not read Username" in plain:
        return "it does not exist, or is private"
    return f"git says: {plain[:200]}"
