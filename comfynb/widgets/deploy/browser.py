"""The catalogue on the page: search, filter, turn pages, and put what is found to use."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Protocol

import ipywidgets

from comfynb.deploy.catalogue import Page
from comfynb.models import CustomNode, Model, ModelType, Source
from comfynb.widgets.composite import close_tree, html, set_class
from comfynb.widgets.deploy.look import DeployBox, chip, size, told, wide
from comfynb.widgets.deploy.views import Answer, CatalogueQuery, What
from comfynb.widgets.live import call, current_loop
from comfynb.widgets.markup import esc, one_line, user
from comfynb.widgets.tables import StaticTable

__all__ = ["Add", "CatalogueBrowser", "Find", "found_table"]

PAUSE = 0.25
"""Seconds without a key before what was typed is looked for."""

_SPELT = {
    "LORA": "LoRA",
    "VAE": "VAE",
    "CLIP": "CLIP",
    "UNET": "UNet",
    "CONTROLNET": "ControlNet",
    "T2I_ADAPTER": "T2I-Adapter",
    "IPADAPTER": "IP-Adapter",
    "HUGGINGFACE": "Hugging Face",
    "CIVITAI": "CivitAI",
    "GITHUB": "GitHub",
    "DIRECT": "plain URL",
}


def _spelt(value: ModelType | Source) -> str:
    return _SPELT.get(value.value) or str(value.value).replace("_", " ").capitalize()


# Not None for "any": a list of choices takes that for "none chosen", and shows nothing.
_TYPES = [("any type", ""), *((_spelt(one), one) for one in ModelType)]
_SOURCES = [("any source", ""), *((_spelt(one), one) for one in Source)]
_WHATS: list[tuple[str, What]] = [("Models", "models"), ("Node packs", "nodes")]


class Find(Protocol):
    """Looks something up."""

    def __call__(self, query: CatalogueQuery, /) -> Answer[Page[Any]]:
        """Give one page of it."""


class Add(Protocol):
    """Puts a model or a pack into the deployment of that name, made if there is none."""

    def __call__(self, item: Any, deployment: str, /) -> Answer[object]:
        """Give what is told of it, or nothing."""


class CatalogueBrowser(DeployBox):
    """``find`` looks up what is asked for; ``add`` puts a found thing into a deployment.

    ``first`` is the first page. ``deployments`` names those that things can be added to; without
    ``add`` there is no such thing.
    """

    def __init__(
        self,
        first: Page[Any],
        find: Find,
        *,
        add: Add | None = None,
        deployments: Callable[[], Sequence[str]] = tuple,
        query: CatalogueQuery | None = None,
    ) -> None:
        self._find = find
        self._add = add
        self._deployments = deployments
        self._query = query or CatalogueQuery()
        self._page = first
        self._asked = 0
        self._timer: asyncio.TimerHandle | None = None
        self._make_filters()
        self._count = html("", "comfynb-grow")
        self._back = ipywidgets.Button(description="Previous", icon="chevron-left")
        self._back.on_click(lambda _: self._turn(-1))
        self._next = ipywidgets.Button(description="Next", icon="chevron-right")
        self._next.on_click(lambda _: self._turn(1))
        self._to = ipywidgets.Combobox(
            description="Add to", placeholder="a deployment's name", ensure_option=False
        )
        self._message = html("", "comfynb-note")
        self._rows: list[_Row] = []
        self._list = ipywidgets.VBox()
        self._list.add_class("comfynb-rows")
        self._none = html('<div class="comfynb-soft">Nothing like that.</div>')
        pages = ipywidgets.HBox([self._count, self._back, self._next])
        pages.add_class("comfynb-pages")
        top = ipywidgets.HBox([self._what, self._words])
        top.add_class("comfynb-fill")
        more = ipywidgets.HBox(
            [self._type, self._source, self._base, self._tags, self._verified]
        )  # fmt: skip
        more.add_class("comfynb-fill")
        if add is not None:
            pages.children = (*pages.children, self._to)
            self.offer(deployments())
        super().__init__([top, more, self._list, pages, self._message])
        self.add_class("comfynb-browser")
        self._show(first)

    def _make_filters(self) -> None:
        query = self._query
        self._what = ipywidgets.ToggleButtons(options=_WHATS, value=query.what)
        self._words = ipywidgets.Text(
            value=query.words, placeholder="words of names, files, tags, descriptions"
        )
        self._words.add_class("comfynb-search")
        self._words.description = "Search"
        self._type = ipywidgets.Dropdown(options=_TYPES, value=query.type or "", description="Type")
        self._source = ipywidgets.Dropdown(
            options=_SOURCES, value=query.source or "", description="Source"
        )
        self._base = ipywidgets.Combobox(
            value=query.base_model, description="Base model", placeholder="any", ensure_option=False
        )
        self._tags = ipywidgets.Text(
            value=", ".join(query.tags), description="Tags", placeholder="a, b"
        )
        self._verified = ipywidgets.Checkbox(
            value=query.verified, description="verified only", indent=False
        )
        for one in (self._words, self._base, self._tags):
            one.observe(lambda _: self._soon(), "value")
        for one in (self._what, self._type, self._source, self._verified):
            one.observe(lambda _: self._look(), "value")

    # What somebody does

    def _soon(self) -> None:
        """Look when nobody has typed for a moment; without a loop, at once."""
        loop = current_loop()
        if self._timer is not None:
            self._timer.cancel()
        if loop is None:
            self._look()
        else:
            self._timer = loop.call_later(PAUSE, self._look)

    @property
    def query(self) -> CatalogueQuery:
        """What is asked for."""
        what = self._what.value
        tags = tuple(tag for tag in map(str.strip, self._tags.value.split(",")) if tag)
        asked = CatalogueQuery(
            what=what, words=self._words.value.strip(), tags=tags, verified=self._verified.value
        )
        if what == "models":
            asked = replace(
                asked,
                type=self._type.value or None,
                source=self._source.value or None,
                base_model=self._base.value.strip(),
            )
        return replace(asked, limit=self._query.limit)

    def _look(self) -> None:
        self._ask(self.query)

    def _turn(self, by: int) -> None:
        if self._timer is not None:
            # Pages of what was just typed are not known yet; what is on show is another question's.
            self._look()
        else:
            self._ask(replace(self._query, page=self._page.page + by))

    def _ask(self, query: CatalogueQuery) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        # Only the answer to the newest question is shown, whatever order answers come in.
        self._asked += 1
        number = self._asked
        self._query = query

        def done(page: object) -> None:
            if number == self._asked:
                self._message.value = ""
                self._show(page)  # type: ignore[arg-type]

        def failed(why: str) -> None:
            if number == self._asked:
                self._message.value = told(why, bad=True)

        call(lambda: self._find(query), done, failed)

    def add(self, item: Any) -> None:
        """Put a found thing into the deployment that is named beside the pages."""
        name = self._to.value.strip()
        if self._add is None:
            return
        if not name:
            self._message.value = told('Say under "Add to" which deployment it goes to.', bad=True)
            return
        adding = self._add

        def done(answer: object) -> None:
            text = str(answer) if answer else f"{item.name} is in {name} now."
            self._message.value = told(one_line(text, 300))
            self.offer(self._deployments())

        call(
            lambda: adding(item, name),
            done,
            lambda why: setattr(self._message, "value", told(why, bad=True)),
        )

    def offer(self, names: Sequence[str]) -> None:
        """The deployments that there are."""
        offered = tuple(dict.fromkeys(one_line(name, 120) for name in names))
        if self._to.options != offered:
            self._to.options = offered
        if not self._to.value and len(offered) == 1:
            self._to.value = offered[0]

    # What it shows

    def _show(self, page: Page[Any]) -> None:
        self._page = page
        models = self._query.what == "models"
        for one in (self._type, self._source, self._base):
            set_class(one, "comfynb-hidden", on=not models)
        while len(self._rows) < len(page.items):
            self._rows.append(_Row(self, adds=self._add is not None))
        for row, item in zip(self._rows, page.items, strict=False):
            row.show(item)
        shown = tuple(row.widget for row in self._rows[: len(page.items)]) or (self._none,)
        if self._list.children != shown:
            self._list.children = shown
        self._count.value = f'<span class="comfynb-num">{esc(_counted(page, self._query))}</span>'
        self._back.disabled = page.page <= 1
        self._next.disabled = page.page >= page.pages
        if models:
            bases = {one.baseModel for one in page.items if isinstance(one, Model)} - {None}
            new = sorted(one_line(base, 80) for base in bases if base)
            known = tuple(dict.fromkeys((*self._base.options, *new)))
            if known != self._base.options:
                self._base.options = known[:200]

    def plain(self) -> str:
        """What is on show as text."""
        counted = _counted(self._page, self._query)
        return f"{counted}\n{found_table(self._query.what, self._page.items).plain()}"

    def body(self) -> str:
        """What is on show as static HTML."""
        table = found_table(self._query.what, self._page.items).body()
        return f"<div>{esc(_counted(self._page, self._query))}</div>{table}"

    def close(self) -> None:
        """Close it with everything in it."""
        if getattr(self, "comm", None) is not None:
            if self._timer is not None:
                self._timer.cancel()
            self._asked += 1
            for row in self._rows:
                close_tree(row.widget)
            for one in (self._none, self._to):
                close_tree(one)
        super().close()


class _Row:
    """One found thing, and a button that puts it to use; used again for other things."""

    def __init__(self, browser: CatalogueBrowser, *, adds: bool) -> None:
        self._item: Any = None
        self._text = html("", "comfynb-cells")
        self._button: ipywidgets.Button | None = None
        self.widget = ipywidgets.HBox([self._text])
        if adds:
            self._button = ipywidgets.Button(description="Add", icon="plus")
            self._button.on_click(lambda _: browser.add(self._item))
            self.widget.children = (self._text, self._button)

    def show(self, item: Any) -> None:
        """Another thing."""
        self._item = item
        self._text.value = _line(item)
        if self._button is not None:
            self._button.tooltip = one_line(f"Add {item.name}", 120)


def _line(item: Model | CustomNode) -> str:
    verified = chip("✓", "verified", "comfynb-completed") if item.isVerified else ""
    description, named = _about(item)
    about = f'<div class="comfynb-soft comfynb-about">{user(description, 240)}</div>' if (
        description
    ) else ""  # fmt: skip
    if isinstance(item, Model):
        facts = [
            _spelt(item.type),
            item.baseModel or "",
            size(item.fileSize),
            item.filename or "",
            _spelt(item.source),
        ]
    else:
        classes = wide(len(item.nodeClasses), "node class", "node classes")
        facts = [item.author or "", classes, item.githubUrl]
    told_facts = " · ".join(user(fact, 120) for fact in facts if fact)
    tags = "".join(f'<span class="comfynb-tag">{user(tag, 40)}</span>' for tag in named[:6])
    return (
        f'<div class="comfynb-headline"><span class="comfynb-name">{user(item.name, 120)}</span>'
        f'{verified}</div><div class="comfynb-soft">{told_facts} {tags}</div>{about}'
    )


def _about(item: Model | CustomNode) -> tuple[str, Sequence[str]]:
    """Its description and tags; a model has them in its metadata, where nobody checks types."""
    if isinstance(item, CustomNode):
        return item.description or "", item.tags
    tags = item.metadata.get("tags")
    named = [str(tag) for tag in tags] if isinstance(tags, list) else []
    return str(item.metadata.get("description") or ""), named


def _counted(page: Page[Any], query: CatalogueQuery) -> str:
    noun = ("model", "models") if query.what == "models" else ("node pack", "node packs")
    if not page.items:
        return f"{wide(page.total, *noun)}"
    first = (page.page - 1) * page.limit + 1
    last = first + len(page.items) - 1
    of = f", page {page.page:,} of {page.pages:,}" if page.pages > 1 else ""
    return f"{first:,}–{last:,} of {wide(page.total, *noun)}{of}"


def found_table(what: What, items: Sequence[Any]) -> StaticTable:
    """Found things as a static table."""
    if what == "models":
        rows: list[Sequence[object]]
        columns = ["name", "type", "base model", "size", "file", "verified"]
        rows = [
            (
                *(one.name, one.type.value, one.baseModel or "", size(one.fileSize)),
                *(one.filename or "", "yes" if one.isVerified else ""),
            )
            for one in items
        ]
    else:
        columns = ["name", "author", "node classes", "repository", "verified"]
        rows = [
            (
                *(one.name, one.author or "", len(one.nodeClasses), one.githubUrl),
                "yes" if one.isVerified else "",
            )
            for one in items
        ]
    return StaticTable(columns, rows, limit=len(rows) or 1, wrap=True, empty="nothing like that")
