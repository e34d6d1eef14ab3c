"""``wb.workflows.templates``: ComfyUI's official templates, where their package is installed."""

import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from comfynb.comfy.load import load_file
from comfynb.comfy.problems import suggest
from comfynb.errors import NotFound, UsageError
from comfynb.widgets.tables import StaticTable

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench
    from comfynb.workbench.workflows import Workflow

__all__ = ["FoundTemplates", "Template", "Templates"]

_PACKAGES = (
    "comfyui_workflow_templates_json",
    "comfyui_workflow_templates",
    "comfyui_subgraph_blueprints",
)
_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Template:
    """One template, as the package's index describes it."""

    name: str
    title: str
    path: Path
    tags: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    description: str = ""

    def matches(self, words: Sequence[str]) -> bool:
        """Whether every word is somewhere in what is known of it."""
        known = [self.name, self.title, self.description, *self.tags, *self.models]
        text = " ".join(known).casefold()
        return all(word in text for word in words)

    def rank(self, words: Sequence[str]) -> int:
        """Less is better: how many words are missing in its name and title."""
        text = f"{self.name} {self.title}".casefold()
        return sum(word not in text for word in words)


class FoundTemplates(Sequence[Template]):
    """What a search found, the best first; shows itself as a table."""

    def __init__(self, templates: Sequence[Template]) -> None:
        self._templates = list(templates)

    @overload
    def __getitem__(self, place: int) -> Template: ...
    @overload
    def __getitem__(self, place: slice) -> list[Template]: ...
    def __getitem__(self, place: int | slice) -> Template | list[Template]:
        return self._templates[place]

    def __len__(self) -> int:
        return len(self._templates)

    def _table(self) -> StaticTable:
        rows = [(t.name, t.title, t.models, t.tags) for t in self._templates]
        return StaticTable(
            ["Name", "Title", "Models", "Tags"], rows, empty="no template found", limit=_SHOWN
        )

    def __repr__(self) -> str:
        return self._table().plain()

    def _repr_html_(self) -> str:
        return self._table()._repr_html_()


class Templates(Mapping[str, Template]):
    """``wb.workflows.templates``: ``search("flux")`` lists, ``load(name)`` loads.

    They come with a package of their own: ``pip install "comfynb[templates]"``.
    """

    def __init__(self, workbench: "Workbench", packages: Sequence[str] = _PACKAGES) -> None:
        self._workbench = workbench
        self._packages = packages

    def search(self, text: str = "") -> FoundTemplates:
        """The templates in whose name, title, tags, models or description every word occurs."""
        words = text.casefold().split()
        found = [one for one in self._all.values() if one.matches(words)]
        found.sort(key=lambda one: one.rank(words))
        return FoundTemplates(found)

    def load(self, name: str) -> "Workflow":
        """Load one by its name.

        Raises:
            NotFound: there is no such template.
            UsageError: the package with the templates is not installed.
        """
        template = self[name.removesuffix(".json")]
        return self._workbench.workflows.open(
            load_file(template.path, name=template.name), source=f"template {template.name}"
        )

    @cached_property
    def _all(self) -> dict[str, Template]:
        found: dict[str, Template] = {}
        for package in self._packages:
            folder = _folder_of(package)
            if folder is not None:
                for template in _read(folder):
                    found.setdefault(template.name, template)
        if not found:
            raise UsageError(
                "ComfyUI's templates are in a package of their own, which is not installed: "
                'pip install "comfynb[templates]", and restart the kernel.'
            )
        return found

    def __getitem__(self, name: str) -> Template:
        try:
            return self._all[name]
        except KeyError:
            pass
        hint = suggest(name, self._all) or "; templates.search(...) looks for words"
        raise NotFound(f"There is no template {name!r}{hint}.")

    def __contains__(self, name: object) -> bool:
        return name in self._all

    def __iter__(self) -> Iterator[str]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._all)

    def __repr__(self) -> str:
        return f'<Templates: {len(self)}; look for some with templates.search("...")>'


def _folder_of(package: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None
    places = spec.submodule_search_locations if spec is not None else None
    return Path(next(iter(places))) if places else None


def _read(folder: Path) -> Iterator[Template]:
    """Every workflow of a package, with what its index says of it."""
    paths = {path.stem: path for path in sorted(folder.rglob("*.json"))}
    index = next((path for path in paths.values() if path.name == "index.json"), None)
    described = dict(_described(index)) if index is not None else {}
    # The index's order is the one in which the front-end shows them.
    for name in [*(n for n in described if n in paths), *(n for n in paths if n not in described)]:
        # With an index, other files are none of the templates; without one, all are.
        if index is not None and name not in described:
            continue
        entry = described.get(name, {})
        yield Template(
            name,
            _text(entry.get("title")) or name.replace("_", " "),
            paths[name],
            _texts(entry.get("tags")),
            _texts(entry.get("models")),
            _text(entry.get("description")),
        )


def _described(index: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    groups = json.loads(index.read_text("utf-8"))
    for group in groups if isinstance(groups, list) else ():
        entries = group.get("templates") if isinstance(group, dict) else None
        for entry in entries if isinstance(entries, list) else ():
            if isinstance(entry, dict) and isinstance(entry.get("name"), str):
                yield entry["name"], entry


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(one) for one in value) if isinstance(value, list) else ()
