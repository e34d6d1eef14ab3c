"""The form in a real JupyterLab: filled in by mouse and keyboard, wrong values, files, Run."""

import io
import os
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

# Long, because a page can be slow on a busy machine; each single wait has its own limit.
pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
Open = Callable[[Sequence[str]], Any]

FORM = """
from fakes import *
from comfynb.widgets import *
runs, files = [], []
async def upload(name, data):
    files.append((name, len(data)))
    return name.replace(".", " (1).")
def run(values):
    runs.append(values)
    job = FakeJob(steps=60)
    return JobRow(job, job.cancel)
form = ParameterForm(parameters(), {}, run, check=check, upload=upload, title="portrait")
form
"""


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    noise = os.urandom(3 * width * height)
    Image.frombytes("RGB", (width, height), noise).save(out, "PNG", compress_level=0)
    return out.getvalue()


LONG = """
long = ParameterForm([parameter(f"value_{i:02}", ParamType.INT, i, f"Node {i // 8}", max_value=99)
                      for i in range(60)], {"value_55": 100}, check=check, title="sixty parameters")
long
"""


def test_a_form_is_filled_in_and_run(notebook: Open) -> None:
    book = notebook([FORM, LONG])
    book.run_all()
    form = book.cell(0).locator(".comfynb-form")
    run = form.get_by_role("button", name="Run")
    book.screenshots("form", form)

    # A wrong value is shown wrong while one types, beneath its field, and Run says no.
    steps = form.get_by_label("Steps", exact=True)
    steps.fill("0")
    expect(form.get_by_text("Steps: 0 is below 1.")).to_be_visible()
    expect(run).to_be_disabled()
    steps.fill("2x")
    expect(form.get_by_text('"2x" is not a whole number')).to_be_visible()
    steps.fill("25")
    expect(run).to_be_enabled()

    # 64-bit seeds are exact; the dice draws another.
    seed = form.get_by_label("Seed", exact=True)
    expect(seed).to_have_value("18446744073709551614")
    seed.fill("18446744073709551616")
    expect(run).to_be_disabled()
    form.get_by_role("button", name="Draw another Seed").click()
    expect(run).to_be_enabled()
    expect(seed).not_to_have_value("18446744073709551616")
    seed.fill("18446744073709551615")

    # A list of 300 models, filtered by typing and chosen by keyboard.
    model = form.get_by_role("combobox", name="Checkpoint")
    model.fill("flux v07")
    options = form.get_by_role("listbox").get_by_role("option")
    expect(options).to_have_count(10)
    expect(form.get_by_text("is none of the 300 choices")).to_be_visible()
    book.screenshots("form-filter", form)
    model.press("ArrowDown")
    model.press("ArrowDown")
    model.press("Enter")
    expect(model).to_have_value("flux/flux_v071.safetensors")
    expect(options).to_have_count(0)
    model.press("ArrowDown")  # opens with everything, not only with what is chosen
    expect(options).to_have_count(200)
    expect(form.get_by_text("type more to see the other 100")).to_be_visible()
    model.press("Escape")

    # A long prompt grows its box.
    prompt = form.get_by_label("Positive", exact=True)
    small = prompt.bounding_box()
    prompt.fill("a fisherman\n" * 12)
    large = prompt.bounding_box()
    assert small is not None
    assert large is not None
    assert large["height"] > 1.5 * small["height"]

    # A picture is uploaded in pieces and shows its thumbnail. 12 MB are more than one message of
    # the notebook server carries.
    data = png(2100, 1900)
    assert len(data) > 11_000_000
    form.locator("input[type=file]").set_input_files(
        {"name": "photo.png", "mimeType": "image/png", "buffer": data}
    )
    expect(form.locator(".comfynb-thumb img")).to_be_visible()
    expect(form.get_by_label("Image", exact=True)).to_have_value("photo (1).png")
    assert book.execute("print(files)").strip() == str([("photo.png", len(data))])

    # Slider and box are one value.
    form.get_by_label("Denoise", exact=True).fill("0.65")
    form.get_by_label("Tiling").check()

    # Run, by keyboard; the live row appears beneath.
    run.focus()
    run.press("Enter")
    row = form.locator(".comfynb-job")
    expect(row.get_by_text("running")).to_be_visible()
    book.screenshot("form-running", form)
    run.click()
    expect(row).to_have_count(2)
    values = book.execute(
        "import json; print(json.dumps({k: v for k, v in runs[0].items() if k != 'positive'}))"
    )
    assert '"seed": 18446744073709551615' in values
    assert '"steps": 25' in values
    assert '"denoise": 0.65' in values
    assert '"tiling": true' in values
    assert '"image": "photo (1).png"' in values
    assert '"checkpoint": "flux/flux_v071.safetensors"' in values

    # Reset to default, one and all.
    form.get_by_role("button", name="Back to the default: 20").click()
    expect(steps).to_have_value("20")
    form.get_by_role("button", name="Reset all").click()
    expect(seed).to_have_value("18446744073709551614")
    expect(model).to_have_value("sdxl/sdxl_v007.safetensors")

    # A long form shows its first fields, and opens the section where something is wrong.
    long = book.cell(1).locator(".comfynb-form")
    expect(long.get_by_label("Value 03", exact=True)).to_be_visible()
    expect(long.get_by_text("Value 55: 100 is above 99.")).to_be_visible()
    expect(long.get_by_label("Value 40", exact=True)).to_have_count(0)
    book.screenshot("form-long", long)
    long.get_by_role("button", name="Node 5 (8)").click()
    expect(long.get_by_label("Value 40", exact=True)).to_be_visible()
    long.get_by_label("Find").fill("55")
    long.get_by_label("Value 55", exact=True).fill("99")
    expect(long.get_by_role("button", name="Run")).to_be_enabled()
    assert book.page_errors == []
