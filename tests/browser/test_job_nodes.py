"""A graph's job in a real JupyterLab: its nodes' lines, its questions and its buttons."""

import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
Open = Callable[[Sequence[str]], Any]

ROW = """
import asyncio, dataclasses
from fakes import *
from comfynb.engine.views import CandidateView, NodeView, QuestionView
from comfynb.widgets import JobRow

def node(name, status, **more):
    ended = utcnow() if JobStatus(status).is_terminal else None
    begun = None if status in {"pending", "skipped"} else utcnow()
    given = dict(progress=0.0, step=None, backend=None, error=None, started_at=begun,
                 completed_at=ended)
    return NodeView(name, name, JobStatus(status), **{**given, **more})

asked = QuestionView(
    "job", "execution", "enlarge", "enlarge", "PC2 - RTX 3090", "it is switched off",
    (CandidateView("1", "PC1 - RTX 4090"), CandidateView("3", "PC3", "has no UltimateSDUpscale")),
)
nodes = [
    node("pictures", "completed"),
    node("find faces", "failed", backend="PC1 - RTX 4090", error="Detector failed: out of memory.",
         traceback="Traceback (most recent call last):\\n  File detector.py, line 3\\nOutOfMemory"),
    node("sketch", "running", backend="PC1 - RTX 4090", step="KSampler: 3/30", progress=10.0,
         runs=8, runs_done=3),
    node("enlarge", "pending"),
    node("small", "skipped", error="Skipped: wide? took the side true."),
]
job = Box(view("faces over two machines", status=JobStatus.RUNNING, nodes=tuple(nodes),
               questions=(asked,), started_at=utcnow(), progress=42.0))
def answer(question, chosen):
    job.change(questions=(), name=f"answered {chosen}")

async def go_on():
    for step in range(3, 31):
        nodes[2] = dataclasses.replace(nodes[2], step=f"KSampler: {step}/30", progress=step / 0.3)
        job.change(nodes=tuple(nodes))
        await asyncio.sleep(0.2)
def become(status):
    return lambda: job.change(status=JobStatus(status))
row = JobRow(job, become("cancelled"), pause=become("paused"), resume=become("running"),
             retry=become("running"), answer=answer)
going = asyncio.ensure_future(go_on())
row
"""


def test_nodes_questions_and_buttons_of_a_row(notebook: Open) -> None:
    book = notebook([ROW])
    book.start()
    row = book.cell(0).locator(".comfynb-job")
    expect(row.get_by_text("3 of 8")).to_be_visible()
    row.locator(".comfynb-node details summary").click()
    expect(row.get_by_text("OutOfMemory")).to_be_visible()
    book.screenshots("graph-row", row)
    expect(row.get_by_text("KSampler: 30/30")).to_be_visible()
    expect(row.get_by_text("OutOfMemory")).to_be_visible()  # what was folded out stays so

    expect(row.get_by_text("enlarge prefers PC2 - RTX 3090")).to_be_visible()
    row.get_by_label("Backend").select_option(label="PC3 (has no UltimateSDUpscale)")
    row.get_by_role("button", name=re.compile(r"\bUse$")).press("Enter")
    expect(row.get_by_text("answered 3")).to_be_visible()
    expect(row.get_by_text("enlarge prefers")).to_have_count(0)

    row.get_by_role("button", name="Pause").press("Enter")
    expect(row.get_by_role("button", name="Resume")).to_be_enabled()
    book.screenshots("graph-row-paused", row)
    row.get_by_role("button", name="Resume").press("Enter")
    expect(row.get_by_role("button", name="Pause")).to_be_enabled()
    row.get_by_role("button", name="Cancel").press("Enter")
    expect(row.get_by_role("button", name="Retry")).to_be_enabled()
    expect(row.get_by_role("button", name="Cancel")).to_have_count(0)
