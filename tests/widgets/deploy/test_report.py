from typing import Any

import pytest

from comfynb.deploy.lock import diff_locks
from comfynb.widgets.deploy import LockReportView, ReportState, report_html
from comfynb.widgets.deploy.report import report_body, report_text


def test_conflicts_come_first_with_who_wants_what(make: Any, tags: Any) -> None:
    body = report_body(ReportState(make.report("numpy", conflict=True)))
    text = tags(body).text
    assert "no lock" in text
    assert text.index("Conflicts (1)") < text.index("Not pinned (1)") < text.index("Risks (2)")
    assert "Old Grainwants numpy<2" in text
    assert "Leave one of them out, or choose another release of it." in text
    assert "Pinned" not in text


def test_risks_are_in_order_of_their_weight(make: Any, tags: Any) -> None:
    text = tags(report_body(ReportState(make.report()))).text
    assert text.index("style.ckpt") < text.index("It names no licence.")
    assert "3.00 GiB" in text
    assert "cccccccccccc" in text
    assert "aaaaaaaaaaaa" in text
    assert "resolved together" in text


def test_what_changed_since_the_lock_before(make: Any, tags: Any) -> None:
    report = make.report()
    older = make.lock(comfyui={"version": "0.3.60", "commit": "d" * 40})
    state = ReportState(report, diff_locks(older, report.lock))
    text = tags(report_body(state)).text
    assert "Since the lock before (1)" in text
    assert "0.3.60 (dddddddddddd)" in text
    assert "Since the lock before:\n~ ComfyUI: 0.3.60" in report_text(state)
    same = ReportState(report, diff_locks(report.lock, report.lock))
    assert "Nothing has changed." in tags(report_body(same)).text


@pytest.mark.parametrize("conflict", [False, True])
def test_hostile_text_stays_text(make: Any, tags: Any, hostile: str, conflict: bool) -> None:
    harmless = report_html(ReportState(make.report("x", conflict=conflict)))
    nasty = report_html(ReportState(make.report(hostile, conflict=conflict)))
    assert tags(nasty).tags == tags(harmless).tags
    nasty.encode()


@pytest.mark.usefixtures("nothing_left")
def test_a_view_shows_another_report_and_closes_whole(make: Any) -> None:
    view = LockReportView()
    assert view.plain() == "not locked yet"
    view.show(ReportState(make.report()))
    assert "locked" in view.body()
    assert "Style" in view.static_html() or "style.safetensors" in view.static_html()
    view.close()
