"""The Workbench from end to end: sandbox backends, a form, jobs, pictures, in a real JupyterLab."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from comfynb.sandbox.workflows import workflow_text

# Long, because a page can be slow on a busy machine; each single wait has its own limit.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
Open = Callable[[Sequence[str]], Any]


@pytest.fixture
def portrait(lab: Any) -> None:
    """The tour's workflow, beside the notebooks."""
    (lab.root / "portrait.json").write_text(workflow_text("portrait"))


@pytest.mark.usefixtures("portrait")
def test_from_a_form_to_pictures_with_cancel_and_reload(notebook: Open) -> None:
    book = notebook(
        [
            "from comfynb import Workbench\nwb = Workbench.demo('end.duckdb')\nwb.backends",
            "wf = wb.workflows.load('portrait.json')\nwf.parameters",
            "wf.form()",
            "job = wf.run(seed=3, steps=2000)\njob",
            "ended = await job\nended.status",
            "wb.jobs.last(20)",
        ]
    )
    book.start()
    backends, form = book.cell(0).locator(".comfynb"), book.cell(2).locator(".comfynb-form")
    expect(backends.get_by_text("online")).to_have_count(2)

    # Cancel while a cell awaits the job.
    long = book.cell(3).locator(".comfynb-job")
    expect(long.get_by_text("running")).to_be_visible()
    expect(long.locator("img.comfynb-preview")).to_be_visible()
    assert book.execution_counts()[4] is None
    book.screenshot("workbench-running", long)
    long.get_by_role("button", name="Cancel").click()
    book.wait()
    assert "CANCELLED" in book.text(4)
    expect(long.get_by_text("cancelled")).to_be_visible()

    # The form: a wrong value is shown wrong; filled in and run by click.
    steps = form.get_by_label("Steps", exact=True)
    run = form.get_by_role("button", name="Run")
    steps.fill("0")
    expect(run).to_be_disabled()
    steps.fill("60")
    form.get_by_label("Seed", exact=True).fill("18446744073709551615")
    run.click()
    row = form.locator(".comfynb-job")
    bar = row.get_by_role("progressbar")
    expect(bar).to_be_visible()
    book.page.wait_for_function(  # it moves, and says what it does
        """() => {
            const row = document.querySelector(".comfynb-form .comfynb-job");
            const at = Number(row?.querySelector("[role=progressbar]")?.ariaValueNow);
            (window.seen ??= new Set()).add(at);
            return window.seen.size > 3;
        }"""
    )
    expect(row.locator(".comfynb-tile img")).to_have_count(1)
    expect(row.get_by_text("completed")).to_be_visible()
    book.screenshot("workbench-form", form)
    seeds = book.execute("print([one.values['seed'] for one in wb.jobs.last(1)])")
    assert "18446744073709551615" in seeds

    # The page is loaded anew: the same widgets, alive.
    book.reload()
    expect(form.get_by_label("Steps", exact=True)).to_have_value("60")
    expect(row.locator(".comfynb-tile img")).to_have_count(1)
    row.get_by_role("button", name="Enlarge").click()
    expect(row.locator(".comfynb-viewer img")).to_be_visible()
    form.get_by_label("Steps", exact=True).fill("5")
    run.click()
    expect(row).to_have_count(2)
    expect(row.first.get_by_text("completed")).to_be_visible()
    expect(backends.get_by_text("online")).to_have_count(2)
    book.screenshots("workbench", book.page.locator(".jp-Notebook"))
    assert book.page_errors == []


@pytest.mark.usefixtures("portrait")
def test_run_all_of_the_tour_finishes_every_cell(notebook: Open, repo: Path) -> None:
    document = json.loads((repo / "notebooks" / "01_run.ipynb").read_text())
    cells = ["".join(c["source"]) for c in document["cells"] if c["cell_type"] == "code"]
    assert any(".wait()" in cell for cell in cells)
    book = notebook(cells)
    book.run_all()
    assert book.execution_counts() == list(range(1, len(cells) + 1))
    waited = next(i for i, cell in enumerate(cells) if ".wait()" in cell)
    assert "completed" in book.text(waited).lower()
    expect(book.page.locator(".comfynb-problem:visible")).to_have_count(0)
    for theme in ("Dark", "Light"):
        book.theme(theme)
        for name in ("wf.form()", "job.images", "wb.jobs.last", "wb.sql"):
            place = next(i for i, cell in enumerate(cells) if cell.strip().startswith(name))
            title = f"tour-{name.strip('()').replace('.', '-')}-{theme.lower()}"
            book.screenshot(title, book.cell(place).locator(".jp-Cell-outputArea"))
