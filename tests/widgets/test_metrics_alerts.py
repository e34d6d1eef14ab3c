"""What is wrong with a machine, as badges in the table of backends."""

from typing import Any

from comfynb.widgets import BackendsTable
from comfynb.widgets.backend_text import backends_table


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
