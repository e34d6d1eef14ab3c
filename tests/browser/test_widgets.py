"""The widgets in a real JupyterLab, with jobs that only pretend (tests/browser/kernel/fakes.py)."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

# Long, because a page can be slow on a busy machine; each single wait has its own limit.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
Open = Callable[[Sequence[str]], Any]

IMPORTS = "from fakes import *\nfrom comfynb.widgets import *\n"

ENABLE = """
view = Box(backends())
def enable(backend, on):
    view.push(tuple(dataclasses.replace(one, enabled=on) if one.id == backend else one
                    for one in view.view))
BackendsTable(view, on_enable=enable)
"""

# Contrast as WCAG 2 defines it, of text against whatever lies under it.
CONTRAST = """(element) => {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = 1;
    const context = canvas.getContext("2d", {willReadFrequently: true});
    const under = [];
    for (let at = element; at; at = at.parentElement) under.unshift(getComputedStyle(at));
    const pixel = () => [...context.getImageData(0, 0, 1, 1).data].slice(0, 3);
    const paint = (colour) => { context.fillStyle = colour; context.fillRect(0, 0, 1, 1); };
    paint("white");
    for (const style of under) paint(style.backgroundColor);
    const background = pixel();
    paint(getComputedStyle(element).color);
    const luminance = (rgb) => rgb.map((value) => value / 255)
        .map((value) => value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4)
        .reduce((sum, value, i) => sum + value * [0.2126, 0.7152, 0.0722][i], 0);
    const [one, two] = [luminance(pixel()), luminance(background)].sort((a, b) => b - a);
    return (one + 0.05) / (two + 0.05);
}"""


def worst_contrast(page: Page, selector: str) -> list[Any]:
    """The least contrast among the texts that ``selector`` finds, and the HTML that has it."""
    # Found and measured in one go: a row that is alive replaces its elements in between.
    found = page.evaluate(
        f"""(selector) => [...document.querySelectorAll(selector)]
            .map((one) => [({CONTRAST})(one), one.outerHTML])""",
        selector,
    )
    return list(min(found))


def percent(row: Locator) -> int:
    return int(row.get_by_role("progressbar").first.get_attribute("aria-valuenow") or -1)


def test_a_job_moves_and_is_cancelled_while_a_cell_waits_for_it(notebook: Open) -> None:
    book = notebook(
        [
            IMPORTS + "job = FakeJob('portrait', steps=2000, pause=0.05)\nJobRow(job, job.cancel)",
            "print('waiting')\nprint(await job)",
        ]
    )
    book.start()
    row = book.cell(0).locator(".comfynb-job")
    expect(row.get_by_text("running")).to_be_visible()
    expect(row.locator("img.comfynb-preview")).to_be_visible()
    before = percent(row)
    book.page.wait_for_function(
        """(before) => document.querySelector(".comfynb-job [role=progressbar]")
            .getAttribute("aria-valuenow") > before""",
        arg=before,
    )
    book.screenshots("job-running", row)
    expect(book.cell(1)).to_contain_text("waiting")
    assert book.execution_counts()[1] is None  # the cell still waits
    row.get_by_role("button", name="Cancel").click()
    book.wait()
    assert "cancelled" in book.text(1)
    expect(row.get_by_text("cancelled")).to_be_visible()
    expect(row.get_by_role("button", name="Cancel")).to_be_disabled()
    assert book.page_errors == []


def test_widgets_live_on_after_the_page_was_reloaded(notebook: Open) -> None:
    book = notebook(
        [
            IMPORTS + "job = FakeJob('portrait', steps=30, pause=0.1)\nJobRow(job, job.cancel)",
            ENABLE,
            "over = FakeJob('still', steps=2)\nrow = JobRow(over)\nprint(await over)\nrow",
        ]
    )
    book.execute("import dataclasses")
    book.run_all()
    expect(book.cell(2).locator(".comfynb-tile img")).to_have_count(3)
    book.reload()
    row = book.cell(0).locator(".comfynb-job")
    expect(row.get_by_text("completed")).to_be_visible()  # it went on without the page
    expect(row.locator(".comfynb-tile img")).to_have_count(3)
    # A picture is enlarged by keyboard, as by mouse.
    first = row.get_by_role("button", name="Enlarge ComfyUI_00000_.png")
    first.focus()
    first.press("Enter")
    large = row.locator(".comfynb-viewer img")
    expect(large).to_be_visible()
    assert large.evaluate("(image) => image.naturalWidth") == 768
    row.get_by_role("button", name="Next").click()
    expect(row.locator(".comfynb-viewer")).to_contain_text("ComfyUI_00001_.png")
    book.screenshots("job-completed", row)
    row.get_by_role("button", name="Close").click()
    expect(row.locator(".comfynb-viewer")).to_have_count(0)
    # Buttons still reach the kernel.
    table = book.cell(1).locator(".comfynb")
    spare = table.locator(".widget-hbox", has_text="spare").last
    expect(spare.get_by_text("disabled")).to_be_visible()
    table.get_by_role("checkbox", name="Use spare").check()
    expect(spare.get_by_text("disabled")).to_have_count(0)
    assert book.page_errors == []
    is_readable_without_a_kernel(book, json.loads(book.path.read_text())["cells"][2])


def is_readable_without_a_kernel(book: Any, cell: dict[str, Any]) -> None:
    data = next(output["data"] for output in cell["outputs"] if "data" in output)
    assert "application/vnd.jupyter.widget-view+json" in data
    assert "✓ still: completed on PC1 - RTX 4090" in "".join(data["text/plain"])
    page = "".join(data["text/html"])
    assert "<script" not in page
    # As a viewer without Jupyter shows it.
    viewer = book.page.context.new_page()
    viewer.set_content(page)
    expect(viewer.get_by_text("completed")).to_be_visible()
    expect(viewer.get_by_text("still", exact=True)).to_be_visible()
    viewer.close()


def test_every_state_reads_on_both_themes_and_hostile_names_stay_names(notebook: Open) -> None:
    attack = "<img src=x onerror='window.hacked=1'></script><script>window.hacked=1</script>"
    book = notebook(
        [
            IMPORTS + f"ATTACK = {attack!r}\nrows = []\n"
            "for status in JobStatus:\n"
            "    error = f'KSampler {ATTACK} ran out of memory.\\nTraceback {ATTACK}'\n"
            "    rows.append(Box(view(f'{status.value} {ATTACK}', status=status, progress=40.0, "
            "backend=ATTACK, step=ATTACK, note=ATTACK, started_at=utcnow(), "
            "error=error if status is JobStatus.FAILED else None)))\n"
            "widgets.VBox([JobRow(one, lambda: None) for one in rows])",
            "from IPython.display import HTML\nHTML(JobsTable(rows).static_html())",
            "JobsTable(rows)",
            "BackendsTable(Box(backends()), on_enable=lambda *_: None)",
            "BackendPicker(Box(backends()))",
            "parameters_table(parameters())",
        ]
    )
    book.execute("import ipywidgets as widgets")
    book.run_all()
    details = book.cell(0).locator("details").first
    details.locator("summary").click()
    expect(details.locator("pre")).to_contain_text("Traceback <img src=x")
    picker = book.cell(4).get_by_role("checkbox", name="PC2 - RTX 3060")
    expect(picker).to_be_visible()
    for theme in ("Dark", "Light"):
        book.theme(theme)
        assert book.page.locator(".comfynb-chip").count() >= 20
        assert worst_contrast(book.page, ".comfynb-chip") >= [4.5]
        assert worst_contrast(book.page, ".comfynb-error, .comfynb-name") >= [4.5]
        # What is said more softly still is text.
        assert worst_contrast(book.page, ".comfynb-soft:not(:empty)") >= [3.5]
        for index, name in [(0, "job-states"), (2, "jobs"), (3, "backends"), (5, "parameters")]:
            output = book.cell(index).locator(".jp-Cell-outputArea")
            book.screenshot(f"{name}-{theme.lower()}", output)
    assert book.page.evaluate("() => window.hacked") is None
    assert book.page.locator(".comfynb img, .comfynb script").count() == 0
    assert book.page_errors == []
