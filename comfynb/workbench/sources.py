"""Where workflows come from besides files: URLs, a backend's saved ones and its history."""

import json
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, overload
from urllib.parse import urlsplit

from comfynb.comfy import ComfyClient, Credentials, HistoryEntry
from comfynb.comfy.load import LoadedWorkflow, load_workflow
from comfynb.comfy.web import fetch_url
from comfynb.engine.host import run_blocking
from comfynb.errors import NotAWorkflow, NotFound
from comfynb.widgets.markup import clip, one_line
from comfynb.widgets.tables import StaticTable

if TYPE_CHECKING:
    from comfynb.engine.backend import LiveBackend
    from comfynb.workbench.core import Workbench
    from comfynb.workbench.workflows import Workflow

__all__ = ["History", "SavedWorkflows", "load_from_url"]

_FOLDER = "workflows"
_SHOWN = 100
T = TypeVar("T")


def load_from_url(workbench: "Workbench", url: str) -> LoadedWorkflow:
    """Fetch a workflow; a URL of one of the backends is asked with that backend's credentials.

    Raises:
        NotAWorkflow: nothing useful came back.
    """
    fetched = run_blocking(fetch_url(url, credentials=_credentials_for(workbench, url)))
    found = load_workflow(fetched.content, name=fetched.name)
    return LoadedWorkflow(found.kind, found.workflow, found.prompt, found.name, fetched.shown)


def _credentials_for(workbench: "Workbench", url: str) -> Credentials | None:
    try:
        parts = urlsplit(url.strip())
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        return None
    if parts.username is not None:
        return None
    for live in workbench.engine.backends.values():
        config = live.config
        if (parts.scheme, (parts.hostname or "").lower(), port) != (
            config.scheme,
            config.host,
            config.port,
        ):
            continue
        # Other paths of the same host may belong to others, who must not see its password.
        if (parts.path + "/").startswith(config.path_prefix + "/"):
            return live.credentials
    return None


def _ask(live: "LiveBackend", question: Callable[[ComfyClient], Coroutine[Any, Any, T]]) -> T:
    """Ask a backend from a cell: on connections and a loop of their own."""

    async def ask() -> T:
        client = ComfyClient(live.config.base_url, name=live.name, auth=live.credentials)
        async with client:
            return await question(client)

    return run_blocking(ask())


class SavedWorkflows(Mapping[str, "Workflow"]):
    """``wb.backends["PC1"].workflows``: what was saved in that server's own front-end.

    Names are paths below the server's folder of workflows, with slashes; ``.json`` may be left out.
    The server is asked anew each time.
    """

    def __init__(self, workbench: "Workbench", live: "LiveBackend") -> None:
        self._workbench = workbench
        self._live = live

    def names(self) -> list[str]:
        """The names of all saved workflows, sorted.

        Raises:
            BackendError: the server does not answer, or not as it should.
        """
        listed = _ask(self._live, lambda client: client.userdata_list(_FOLDER))
        return sorted((n for n in listed if n.lower().endswith(".json")), key=str.casefold)

    def load(self, name: str) -> "Workflow":
        """Load one; it is called like its file.

        Raises:
            NotFound: nothing of that name is saved there.
            NotAWorkflow: the file holds something else.
        """
        listed = self.names()
        wanted = _plain(name)
        found = next((n for n in listed if _plain(n) in {wanted, f"{wanted}.json"}), None)
        if found is None:
            known = clip(", ".join(listed), 400) or "none"
            raise NotFound(f"{self._live.name} has no saved workflow {name!r}; there are: {known}.")
        path = f"{_FOLDER}/{found}"
        content = _ask(self._live, lambda client: client.userdata_get(path))
        stem = _plain(found).rpartition("/")[2].removesuffix(".json").removesuffix(".app")
        return self._workbench.workflows.open(
            load_workflow(content, name=stem), source=f"{found} on {self._live.name}"
        )

    def __getitem__(self, name: str) -> "Workflow":
        return self.load(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __len__(self) -> int:
        return len(self.names())

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _plain(name) in {
            form for known in self.names() for form in (_plain(known), _plain(known)[:-5])
        }

    def _ipython_key_completions_(self) -> list[str]:
        return self.names()

    def _table(self) -> StaticTable:
        rows = [[name] for name in self.names()]
        return StaticTable(
            [f"Saved on {one_line(self._live.name, 60)}"],
            rows,
            empty=f"nothing is saved on {one_line(self._live.name, 60)}",
            limit=_SHOWN,
        )

    def __repr__(self) -> str:
        return self._table().plain()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        shown = self._table()
        return {"text/plain": shown.plain(), "text/html": shown._repr_html_()}


def _plain(name: str) -> str:
    return name.replace("\\", "/").strip("/")


class History(Sequence[HistoryEntry]):
    """``wb.backends["PC1"].history(20)``: the newest prompts that ended there, newest first."""

    def __init__(
        self, workbench: "Workbench", live: "LiveBackend", entries: Sequence[HistoryEntry]
    ) -> None:
        self._workbench = workbench
        self._live = live
        self._entries = list(entries)

    @classmethod
    def ask(cls, workbench: "Workbench", live: "LiveBackend", limit: int) -> "History":
        """Ask the server for the newest ``limit`` entries."""
        found = _ask(live, lambda client: client.recent_history(max(limit, 1)))
        entries = sorted(found.values(), key=lambda entry: entry.number, reverse=True)
        return cls(workbench, live, entries[: max(limit, 0)])

    def load(self, prompt_id: str) -> "Workflow":
        """The workflow of a past prompt, with the values that it ran with.

        Any prompt that the server still remembers, listed here or not; the beginning of an id is
        enough where only one of the list has it.

        Raises:
            NotFound: the server does not remember such a prompt.
        """
        near = [entry for entry in self._entries if entry.prompt_id.startswith(prompt_id)]
        exact = [entry for entry in near if entry.prompt_id == prompt_id]
        entry: HistoryEntry | None = None
        if exact or (len(near) == 1 and prompt_id):
            entry = (exact or near)[0]
        elif prompt_id:
            entry = _ask(self._live, lambda client: client.history(prompt_id))
        if entry is None:
            raise NotFound(
                f"{self._live.name} remembers no prompt {prompt_id!r}: its history is lost when it "
                "restarts; wb.jobs has what was started from here."
            )
        return self._open(entry)

    def _open(self, entry: HistoryEntry) -> "Workflow":
        if not entry.prompt:
            raise NotAWorkflow(
                f"{self._live.name} remembers prompt {entry.prompt_id} without its nodes."
            )
        loaded = load_workflow(
            {"prompt": entry.prompt, "extra_data": entry.extra_data},
            name=_title(entry) or f"prompt {entry.prompt_id[:8]}",
        )
        return self._workbench.workflows.open(
            loaded, source=f"prompt {entry.prompt_id} on {self._live.name}"
        )

    @overload
    def __getitem__(self, place: int) -> HistoryEntry: ...
    @overload
    def __getitem__(self, place: slice) -> list[HistoryEntry]: ...
    def __getitem__(self, place: int | slice) -> HistoryEntry | list[HistoryEntry]:
        return self._entries[place]

    def __len__(self) -> int:
        return len(self._entries)

    def _table(self) -> StaticTable:
        rows = [
            (
                entry.prompt_id,
                entry.status,
                f"{entry.started_at:%Y-%m-%d %H:%M:%S}" if entry.started_at else "",
                _seconds(entry),
                len(entry.prompt),
                len(entry.output_files),
                _title(entry),
            )
            for entry in self._entries
        ]
        return StaticTable(
            ["Prompt", "Status", "Started (UTC)", "Seconds", "Nodes", "Files", "Workflow"],
            rows,
            empty=f"{one_line(self._live.name, 60)} remembers no prompt",
            limit=_SHOWN,
        )

    def __repr__(self) -> str:
        return self._table().plain()

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()


def _seconds(entry: HistoryEntry) -> str:
    if entry.started_at is None or entry.ended_at is None:
        return ""
    return f"{(entry.ended_at - entry.started_at).total_seconds():.1f}"


def _title(entry: HistoryEntry) -> str:
    """What the workflow was called, where the prompt tells."""
    info = entry.extra_data.get("extra_pnginfo")
    workflow = info.get("workflow") if isinstance(info, Mapping) else None
    if isinstance(workflow, str):
        try:
            workflow = json.loads(workflow)
        except (ValueError, RecursionError):
            workflow = None
    for key in ("name", "title"):
        name = workflow.get(key) if isinstance(workflow, Mapping) else None
        if isinstance(name, str) and name.strip():
            return one_line(name, 100)
    return ""
