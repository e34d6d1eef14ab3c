import dataclasses
from typing import Any

import pytest

from comfynb.deploy.sync import Refusal, SyncView
from comfynb.errors import UsageError
from comfynb.models import SyncStatus, SyncType
from comfynb.widgets.deploy import SyncMonitor


def view(status: SyncStatus = SyncStatus.RUNNING, **more: Any) -> SyncView:
    given = {
        "total": 10,
        "processed": 4,
        "succeeded": 3,
        "failed": 1,
        "counts": (("new", 3), ("refused", 1)),
        **more,
    }
    return SyncView("s1", SyncType.COMFYUI_NODES, "manager", status, **given)


class Sync:
    def __init__(self, box: Any) -> None:
        self.box = box
        self.pressed: list[str] = []
        self.trouble: Exception | None = None

    def _press(self, what: str) -> None:
        self.pressed.append(what)
        if self.trouble is not None:
            raise self.trouble

    def cancel(self) -> None:
        self._press("cancel")

    def resume(self) -> Any:
        self._press("resume")
        return self.box

    def monitor(self) -> Any:
        return SyncMonitor("Sync of manager", self.box, cancel=self.cancel, resume=self.resume)


def test_it_follows_a_sync_to_its_end(box: Any, tags: Any) -> None:
    source = box(None)
    sync = Sync(source)
    monitor = sync.monitor()
    assert "begins" in monitor._text.value
    source.push(view())
    assert "4 of 10 entries" in tags(monitor._text.value).text
    assert 'style="width:40.0%"' in monitor._text.value
    assert monitor._bar.children == (monitor._stop,)
    source.push(view(total=None, waiting="the service asks for a minute"))
    assert "comfynb-indeterminate" in monitor._text.value
    assert "asks for a minute" in monitor._text.value
    source.push(view(SyncStatus.COMPLETED, processed=10))
    assert monitor._bar.children == ()
    assert monitor.plain().startswith("Sync of manager: completed, 10 of 10 entries; 3 new")


def test_it_tells_what_was_refused_and_why(box: Any, tags: Any) -> None:
    refusals = tuple(Refusal("models", f"m{at}.bin", "it has no URL") for at in range(2))
    source = box(view(failed=5, refusals=refusals))
    monitor = Sync(source).monitor()
    text = tags(monitor._text.value).text
    assert "Refused (5)" in text
    assert "m1.bin" in text
    assert "it has no URL" in text
    assert "3 more" in text
    assert 'wb.catalogue.errors("s1")' in text
    assert "m0.bin: it has no URL" in monitor.plain()
    source.push(view(failed=2, refusals=refusals))
    assert "more" not in tags(monitor._text.value).text


def test_cancel_and_resume(box: Any) -> None:
    source = box(view())
    sync = Sync(source)
    monitor = sync.monitor()
    monitor._stop.click()
    assert sync.pressed == ["cancel"]
    assert monitor._stop.disabled
    source.push(view(SyncStatus.CANCELLED))
    assert monitor._bar.children == (monitor._go_on,)
    sync.box = box(view(processed=5))
    monitor._go_on.click()
    assert source.callbacks == []
    assert monitor._bar.children == (monitor._stop,)
    assert not monitor._stop.disabled
    sync.box.push(view(SyncStatus.FAILED, error="<b>cut</b>"))
    assert "&lt;b&gt;cut&lt;/b&gt;" in monitor._text.value
    sync.trouble = UsageError("Another one runs.")
    monitor._go_on.click()
    assert "Another one runs." in monitor._message.value
    assert not monitor._go_on.disabled


def test_hostile_text_stays_text(box: Any, tags: Any, hostile: str) -> None:
    def shown(text: str) -> Any:
        told = view(
            counts=((text, 1),), waiting=text, error=text, refusals=(Refusal(text, text, text),)
        )
        return SyncMonitor(text, box(told), cancel=lambda: None, resume=lambda: box(told))

    assert tags(shown(hostile).static_html()).tags == tags(shown("x").static_html()).tags


@pytest.mark.usefixtures("nothing_left")
def test_it_closes_whole_and_watches_no_more(box: Any) -> None:
    source = box(view())
    monitor = Sync(source).monitor()
    source.push(dataclasses.replace(source.view, status=SyncStatus.FAILED))
    monitor.close()
    assert source.callbacks == []
