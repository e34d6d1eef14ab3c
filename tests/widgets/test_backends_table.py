import asyncio
from typing import Any

import pytest

from comfynb.errors import UsageError
from comfynb.widgets import BackendsTable
from comfynb.widgets.backend_text import backends_table


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from comfynb.widgets import live

    monkeypatch.setattr(live, "pause_after", lambda _: 0.0)
    monkeypatch.setattr(live, "INTERVAL", 0.0)


async def test_lines_follow_the_fleet(box: Any, backend_view: Any) -> None:
    one, two = backend_view("PC1"), backend_view("PC2")
    backends = box(())
    table = BackendsTable(backends)
    assert "no backends yet" in table._rows.children[0].value
    backends.push((one, two))
    assert len(table._rows.children) == 3  # with the head
    first = table._rows.children[1]
    backends.push((backend_view("PC1", running="other 3 %"), two))
    assert table._rows.children[1] is first
    assert "other 3 %" in table._lines[one.id]._cells.value
    backends.push((two,))
    assert first.comm is None
    assert len(table._rows.children) == 2
    table.close()


def test_a_line_says_everything_without_colour(box: Any, backend_view: Any, tags: Any) -> None:
    view = backend_view(online=False, error="PC1 does not answer.\nTraceback")
    found = tags(BackendsTable(box((view,)))._lines[view.id]._cells.value)
    for part in ("PC1", "http://gpu1:8188", "offline", "RTX 4090", "9.6 / 24 GiB", "fast"):
        assert part in found.text
    assert "PC1 does not answer." in found.text
    assert "Traceback" not in found.text


async def test_the_box_asks_and_waits_for_the_answer(box: Any, backend_view: Any) -> None:
    asked: list[tuple[str, bool]] = []
    release = asyncio.Event()

    async def enable(backend_id: str, on: bool) -> None:
        asked.append((backend_id, on))
        await release.wait()

    view = backend_view()
    backends = box((view,))
    table = BackendsTable(backends, on_enable=enable)
    line = table._lines[view.id]
    line._check.value = False
    assert line._check.disabled
    backends.push((backend_view(queue_depth=5),))  # an older snapshot must not tick it again
    assert line._check.value is False
    done = asyncio.Event()
    line._check.observe(lambda _: done.set(), "disabled")
    release.set()
    await done.wait()
    assert asked == [(view.id, False)]
    backends.push((backend_view(enabled=True),))  # somebody else enabled it
    assert line._check.value is True
    assert len(asked) == 1


async def test_a_refusal_puts_the_tick_back(box: Any, backend_view: Any) -> None:
    def enable(backend_id: str, on: bool) -> None:
        raise UsageError("the store is <locked>")

    view = backend_view()
    table = BackendsTable(box((view,)), on_enable=enable)
    table._lines[view.id]._check.value = False
    assert table._lines[view.id]._check.value is True
    assert not table._lines[view.id]._check.disabled
    assert "the store is &lt;locked&gt;" in table._message.value


@pytest.mark.usefixtures("nothing_left")
async def test_close_leaves_nothing(box: Any, backend_view: Any) -> None:
    backends = box((backend_view("PC1"), backend_view("PC2")))
    BackendsTable(backends, on_enable=lambda *_: None).close()
    BackendsTable(box(())).close()
    assert backends.callbacks == []


def test_hostile_text_stays_text(box: Any, backend_view: Any, hostile: str, tags: Any) -> None:
    def table(text: str) -> BackendsTable:
        view = backend_view("id", name=text, gpu=text, running=text, tags=(text,), error=text)
        return BackendsTable(box((view,)), on_enable=lambda *_: None)

    cells = [table(text)._lines["id-id"]._cells.value for text in (hostile, "x")]
    assert tags(cells[0]).tags == tags(cells[1]).tags
    assert tags(table(hostile).body()).tags == tags(table("x").body()).tags
    assert table(hostile)._lines["id-id"]._check.description.encode()


def test_an_address_that_is_no_web_address_is_no_link(box: Any, backend_view: Any) -> None:
    view = backend_view(url="javascript:alert(1)")
    assert "href" not in BackendsTable(box((view,)))._lines[view.id]._cells.value


async def test_alerts_come_and_go_as_badges(box: Any, backend_view: Any, tags: Any) -> None:
    backends = box((backend_view(alerts=("91 °C on GPU 0", "disk full")),))
    table = BackendsTable(backends)
    (line,) = table._lines.values()
    found = tags(line._cells.value)
    assert "91 °C on GPU 0" in found.text
    assert "comfynb-alert" in " ".join(found.attributes["class"])
    assert found.text.count("!") == 2  # a sign, not only a colour
    table._show((backend_view(),))
    assert "comfynb-alert" not in line._cells.value
    table.close()


def test_alerts_in_the_static_table(backend_view: Any) -> None:
    text = backends_table((backend_view(alerts=("91 °C",), running="portrait 40 %"),)).plain()
    assert "91 °C; portrait 40 %" in text
    broken = backend_view(alerts=("gone",), error="PC1 does not answer.\nTraceback")
    text = backends_table((broken,)).plain()
    assert "PC1 does not answer.; gone" in text
    assert "Traceback" not in text


def test_hostile_alerts(hostile: str, backend_view: Any, box: Any, tags: Any) -> None:
    table = BackendsTable(box((backend_view(alerts=(hostile,)),)))
    (line,) = table._lines.values()
    seen = tags(line._cells.value)
    assert {tag.lstrip("/") for tag, _ in seen.tags} <= {"div", "span", "b", "a", "bdi", "i"}
    assert not any(name.startswith("on") for _, names in seen.tags for name in names)
    table.close()
