"""The form in a real JupyterLab: filled in by mouse and keyboard, wrong values, files, Run."""

import importlib.util
import io
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import expect

from comfynb.comfy.convert import convert
from comfynb.comfy.object_info import ObjectInfo
from comfynb.comfy.parameters import propose_parameters
from comfynb.models import ParamType

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
    expect(long.get_by_label("Value 40", exact=True)).to_have_count(0)  # the filter has come
    long.get_by_label("Value 55", exact=True).fill("99")
    expect(long.get_by_role("button", name="Run")).to_be_enabled()
    assert book.page_errors == []


SHARED = Path(os.environ.get("COMFYNB_SHARED", Path(__file__).resolve().parents[3] / "shared"))


@pytest.fixture(scope="module")
def template() -> tuple[Path, Path]:
    """The official template whose form has most kinds of parameters, and node classes for it."""
    spec = importlib.util.find_spec("comfyui_workflow_templates_json")
    if spec is None or spec.origin is None:
        pytest.skip("comfyui-workflow-templates-json is not installed")
    infos = sorted((SHARED / "comfyui" / "conversion").glob("*/object_info.json"))
    if not infos:
        pytest.skip(f"there is no object_info.json under {SHARED / 'comfyui' / 'conversion'}")
    info = ObjectInfo(json.loads(infos[-1].read_text("utf-8")))
    best: tuple[tuple[int, int], Path] | None = None
    for path in sorted(Path(spec.origin).parent.rglob("*.json")):
        workflow = json.loads(path.read_text("utf-8"))
        if not isinstance(workflow, dict) or "nodes" not in workflow:
            continue
        conversion = convert(workflow, info)
        if conversion.report.unknown_classes or not conversion.prompt:
            continue
        parameters = propose_parameters(conversion.prompt, info, workflow)
        kinds = {one.param_type for one in parameters}
        models = [one for one in parameters if str(one.default_value).endswith(".safetensors")]
        if ParamType.IMAGE_PATH in kinds and models:
            rank = (len(kinds), len(parameters))
            if best is None or rank > best[0]:
                best = rank, path
    if best is None:
        pytest.skip("no official template has pictures and models that these node classes know")
    print(f"{best[1].name}: {best[0][1]} parameters of {best[0][0]} kinds")
    return best[1], infos[-1]


TEMPLATE = """
from templates import *
wb, wf = open_template({path!r}, {info!r})
image = next(k for k, p in wf.parameters.items() if p.param_type == "image_path")
model = next(k for k, p in wf.parameters.items() if str(p.default_value).endswith(".safetensors"))
whole = next(k for k, p in wf.parameters.items()
             if p.param_type == "int" and (p.constraints.min_value or 0) > 0)
wf.reorder(image, model, whole)
wf
"""


def test_the_form_of_an_official_template(notebook: Open, template: tuple[Path, Path]) -> None:
    path, info = map(str, template)
    book = notebook(
        [
            TEMPLATE.format(path=path, info=info),
            "wf.edit_parameters()",
            "wf.parameters",
        ]
    )
    book.run_all(timeout=120)
    form = book.cell(0).locator(".comfynb-form").first
    editor = book.cell(1).locator(".comfynb-editor")
    labels = json.loads(
        book.execute(
            "import json; print(json.dumps("
            "[wf.parameters[key].display_name for key in (image, model, whole)]))"
        )
    )
    image, model, whole = labels
    book.screenshots("template-form", form)
    book.screenshots("template-editor", editor)
    book.screenshots("template-parameters", book.cell(2))

    # A long list, filtered by typing; what one backend lacks says so.
    box = form.get_by_role("combobox", name=model, exact=True)
    box.fill("model_v1")
    options = form.get_by_role("listbox").get_by_role("option")
    expect(options).to_have_count(100)
    expect(form.get_by_text("100 of 301")).to_be_visible()
    expect(form.locator(".comfynb-choose-note").get_by_text("not on PC2").first).to_be_visible()
    book.screenshots("template-filter", form)
    box.fill("v101")
    box.press("ArrowDown")
    box.press("Enter")
    expect(box).to_have_value("models/model_v101.safetensors")
    expect(form.locator(".comfynb-note").get_by_text("not on PC2")).to_be_visible()

    # A picture is uploaded and shows itself.
    field = form.locator(".comfynb-field", has=form.page.get_by_label(image, exact=True)).first
    picture = Image.radial_gradient("L").resize((640, 480))
    out = io.BytesIO()
    Image.merge("RGB", [picture, picture.rotate(90).resize((640, 480)), picture]).save(out, "PNG")
    field.locator("input[type=file]").set_input_files(
        {"name": "reference.png", "mimeType": "image/png", "buffer": out.getvalue()}
    )
    expect(field.locator(".comfynb-thumb img")).to_be_visible()
    expect(field.get_by_text("640 × 480")).to_be_visible()

    # A wrong value is shown wrong before Run.
    number = form.get_by_label(whole, exact=True)
    number.fill("-5")
    expect(form.get_by_text(f"{whole} cannot be -5")).to_be_visible()
    expect(form.get_by_role("button", name="Run")).to_be_disabled()
    book.screenshots("template-wrong", form)
    field = form.locator(".comfynb-field", has=form.page.get_by_label(whole, exact=True)).first
    field.get_by_role("button", name="Back to the default").click()
    expect(form.get_by_role("button", name="Run")).to_be_enabled()

    # A new name in the editor is in the form at once, and what was typed stays.
    name = editor.get_by_label("Name").nth(1)
    name.fill("The model")
    name.press("Enter")
    expect(form.get_by_role("combobox", name="The model", exact=True)).to_have_value(
        "models/model_v101.safetensors"
    )
    group = editor.get_by_label("Group").nth(1)
    group.fill("Files")
    group.press("Enter")
    expect(form.get_by_role("button", name="Files (1)")).to_be_visible()

    # Presets.
    form.get_by_placeholder("a name to save as").fill("mine")
    form.get_by_role("button", name="Save", exact=True).click()
    expect(form.get_by_text("saved", exact=True)).to_be_visible()
    form.get_by_role("button", name="Reset all").click()
    preset = form.get_by_label("Preset", exact=True)
    preset.select_option("choose one")
    preset.select_option("mine")
    expect(form.get_by_role("combobox", name="The model", exact=True)).to_have_value(
        "models/model_v101.safetensors"
    )
    book.screenshots("template-presets", form)
    assert book.page_errors == []
