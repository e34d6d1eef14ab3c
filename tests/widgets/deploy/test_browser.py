import asyncio
from typing import Any

import pytest

from comfynb.deploy.catalogue import Page
from comfynb.errors import UsageError
from comfynb.models import ModelType
from comfynb.widgets.deploy import CatalogueBrowser, CatalogueQuery
from comfynb.widgets.live import _tasks
from comfynb.widgets.markup import one_line


class Shelf:
    """Finds by the beginning of a name."""

    def __init__(self, make: Any, count: int = 25) -> None:
        self.models = [make.model(f"style {n}", id=f"m{n}") for n in range(count)]
        self.nodes = [make.node("Grain")]
        self.asked: list[CatalogueQuery] = []
        self.added: list[tuple[str, str]] = []

    def find(self, query: CatalogueQuery) -> Page[Any]:
        self.asked.append(query)
        if query.words == "broken":
            raise UsageError("That is <no> search.")
        rows = self.models if query.what == "models" else self.nodes
        found = [one for one in rows if one.name.startswith(query.words)]
        start = (query.page - 1) * query.limit
        pages = -(-len(found) // query.limit)
        return Page(found[start : start + query.limit], query.page, query.limit, len(found), pages)

    def add(self, item: Any, name: str) -> None:
        if name == "locked":
            raise UsageError("Not yours.")
        self.added.append((item.name, name))


@pytest.fixture
def shelf(make: Any) -> Shelf:
    return Shelf(make)


@pytest.fixture
def browser(shelf: Shelf) -> CatalogueBrowser:
    return CatalogueBrowser(
        shelf.find(CatalogueQuery()), shelf.find, add=shelf.add, deployments=lambda: ["mine"]
    )


async def until(true: Any) -> None:
    """Let answers arrive until something holds."""
    for _ in range(1000):
        if true():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it never came")


def names(browser: Any) -> list[str]:
    return [row._item.name for row in browser._rows[: len(browser._list.children)]]


def test_a_page_says_where_it_is_and_turns(browser: Any, shelf: Shelf) -> None:
    assert "1–10 of 25 models, page 1 of 3" in browser._count.value
    assert browser._back.disabled
    browser._next.click()
    browser._next.click()
    assert names(browser) == [f"style {n}" for n in range(20, 25)]
    assert browser._next.disabled
    assert "21–25 of 25 models, page 3 of 3" in browser._count.value


def test_a_search_begins_at_the_first_page(browser: Any, shelf: Shelf) -> None:
    browser._next.click()
    browser._words.value = "style 2"
    assert shelf.asked[-1].page == 1
    assert browser._page.total == 6
    browser._words.value = "nothing like it"
    assert browser._list.children == (browser._none,)
    assert "0 models" in browser._count.value


def test_filters_are_asked_for(browser: Any, shelf: Shelf) -> None:
    browser._type.value = ModelType.VAE
    browser._tags.value = "a, b ,"
    browser._base.value = " SDXL "
    browser._verified.value = True
    asked = shelf.asked[-1]
    assert (asked.type, asked.tags, asked.base_model) == (ModelType.VAE, ("a", "b"), "SDXL")
    assert asked.verified
    browser._what.value = "nodes"
    assert shelf.asked[-1].type is None
    assert names(browser) == ["Grain"]
    assert "comfynb-hidden" in browser._type._dom_classes


def test_an_error_is_said_and_the_page_stays(browser: Any) -> None:
    browser._words.value = "broken"
    assert "That is &lt;no&gt; search." in browser._message.value
    assert len(names(browser)) == 10


def test_adding_wants_a_name_and_says_what_went_wrong(browser: Any, shelf: Shelf) -> None:
    assert browser._to.value == "mine"  # the only one there is
    browser._rows[3]._button.click()
    assert shelf.added == [("style 3", "mine")]
    assert "style 3 is in mine now." in browser._message.value
    browser._to.value = "locked"
    browser._rows[3]._button.click()
    assert "Not yours." in browser._message.value
    browser._to.value = " "
    browser._rows[3]._button.click()
    assert "Say under" in browser._message.value
    assert len(shelf.added) == 1


async def test_only_the_newest_answer_is_shown(shelf: Shelf) -> None:
    gates = {"slow": asyncio.Event(), "fast": asyncio.Event()}
    asked = asyncio.Event()

    async def find(query: CatalogueQuery) -> Page[Any]:
        asked.set()
        await gates[query.words].wait()
        return Page([], 1, 10, len(query.words) * 1000, 1)

    browser: Any = CatalogueBrowser(shelf.find(CatalogueQuery()), find)
    for words in ("slow", "fast"):
        asked.clear()
        browser._words.value = words
        await asked.wait()
    gates["fast"].set()
    await until(lambda: browser._page.total == 4000)
    shown = browser._count.value
    browser._words.value = "fast"  # nothing changes, so nothing is asked
    gates["slow"].set()
    await asyncio.gather(*_tasks)
    assert browser._count.value == shown
    browser.close()


@pytest.mark.parametrize("what", ["models", "nodes"])
def test_hostile_text_stays_text(make: Any, tags: Any, hostile: str, what: Any) -> None:
    def browser(text: str) -> Any:
        name = one_line(text, 200)  # rows take no other names
        readable = text.encode("utf-8", "replace").decode()  # nor lone surrogates
        if what == "models":
            metadata = {"description": readable, "tags": [name]}
            item = make.model(name, id="m", baseModel=text, metadata=metadata)
        else:
            item = make.node(name, author=readable, description=readable, tags=[name])
        page: Page[Any] = Page([item], 1, 10, 1, 1)
        return CatalogueBrowser(page, lambda _: page, query=CatalogueQuery(what))

    nasty, harmless = browser(hostile), browser("x")
    assert tags(nasty._rows[0]._text.value).tags == tags(harmless._rows[0]._text.value).tags
    assert tags(nasty.static_html()).tags == tags(harmless.static_html()).tags
    nasty.plain().encode()


@pytest.mark.usefixtures("nothing_left")
def test_it_closes_whole(shelf: Shelf) -> None:
    first = shelf.find(CatalogueQuery())
    browser: Any = CatalogueBrowser(first, shelf.find, add=shelf.add)
    browser._words.value = "style 2"
    browser.close()
    CatalogueBrowser(first, shelf.find).close()
