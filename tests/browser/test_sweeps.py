"""A sweep in a real JupyterLab: the grid fills, pictures enlarge, stars stay, a pause is exact."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from playwright.sync_api import expect

from comfynb.sandbox.workflows import workflow_text

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
Open = Callable[[Sequence[str]], Any]

SWEEP = """\
wf = wb.workflows.load('portrait.json')
sweep = wb.sweep(
    wf,
    grid={'seed': '1..10', 'steps': [4, 12, 24], 'text': ['a garden', 'the sea']},
    values={'seconds': 0.0, 'seconds_per_step': 0.02},
    name='browser',
)
sweep"""


@pytest.fixture
def portrait(lab: Any) -> None:
    """The tour's workflow, beside the notebooks."""
    (lab.root / "portrait.json").write_text(workflow_text("portrait"))


@pytest.mark.usefixtures("portrait")
def test_the_grid_fills_and_can_be_paused_enlarged_and_rated(notebook: Open) -> None:
    book = notebook(
        [
            "from comfynb import Workbench\nwb = Workbench.demo('sweeps.duckdb')",
            SWEEP,
            "sweep.grid(rows='steps', columns='seed', where='text == \"the sea\"')",
        ]
    )
    book.run_all(150)
    grid = book.cell(1).locator(".comfynb-sweep-box")
    pictures = grid.locator(".comfynb-sweep-cell img")
    expect(pictures.nth(7)).to_be_visible()

    # Pause: what is out ends, and nothing more is sent.
    grid.get_by_role("button", name="Pause").click()
    expect(grid.get_by_role("button", name="Resume")).to_be_enabled()
    expect(grid.locator(".comfynb-chip").get_by_text("paused")).to_be_visible()
    expect(grid.locator(".comfynb-sweep-cell.comfynb-running")).to_have_count(0)
    told = "print(sweep.status.value, sweep.counts, wb.sql('select count(*) from prompts').rows)"
    # A server may have begun a point that nobody could take back and no frame told of yet.
    book.execute("import asyncio\nwhile 'running' in sweep.counts: await asyncio.sleep(0.05)")
    paused = book.execute(told)
    assert paused.startswith("paused")
    book.screenshot("sweep-paused", grid)
    assert book.execute(told) == paused

    # Enlarge and rate with the keyboard alone, while it is paused.
    first = grid.get_by_role("button", name="point 0:")
    first.focus()
    first.press("Enter")
    viewer = grid.locator(".comfynb-sweep-viewer")
    expect(viewer.locator("img")).to_be_visible()
    viewer.get_by_role("button", name="Next point").press("4")
    expect(viewer.get_by_role("radio", name="4 of 5 stars")).to_be_checked()
    expect(first).to_contain_text("★★★★")
    book.screenshots("sweep-zoom", grid)
    viewer.get_by_role("button", name="Next point").press("ArrowRight")
    expect(viewer).to_contain_text("point1")
    viewer.get_by_role("button", name="Close").click()
    expect(viewer).to_be_hidden()
    assert "4.0" in book.execute(
        "print(wb.sql(\"select rating from sweep_points where sweep = 'browser' and index = 0\")"
        ".rows)"
    )

    grid.get_by_role("button", name="Resume").click()
    book.screenshots("sweep-filling", grid)
    assert "'completed': 60" in book.execute("await sweep\nprint(sweep.counts)", timeout=100)
    expect(grid.locator(".comfynb-chip").get_by_text("completed")).to_be_visible()
    table = book.cell(2).locator(".comfynb-sweep-box")
    expect(table.locator(".comfynb-sweep-cell img").nth(10)).to_be_visible()
    table.get_by_role("button", name="Smaller pictures").click()
    book.screenshots("sweep-comparison", table)

    # The page is loaded anew: the same widgets, alive, with the stars.
    book.reload()
    expect(pictures.nth(7)).to_be_visible()
    expect(first).to_contain_text("★★★★")
    book.screenshots("sweep-done", grid)
    assert book.page_errors == []
