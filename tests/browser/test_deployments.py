"""Deployments in a real JupyterLab: browse, choose, lock, read the report, take the script."""

import base64
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
Open = Callable[[Sequence[str]], Any]

TOKEN = "hf_" + "Zq7".join(["secretpart"] * 3)

WORLD = f"""\
import os
os.environ['COMFYNB_USER'] = 'ada'
os.environ['COMFYNB_TOKEN_KEY'] = {base64.urlsafe_b64encode(b"k" * 32).decode()!r}
os.environ['HF_HOME'] = os.path.abspath('no-hf')
import deploy_world
from comfynb import Workbench
wb = Workbench('deployments.duckdb')
world = await deploy_world.build(wb)"""

CELLS = [
    WORLD,
    "wb.catalogue",
    "d = wb.deployments.from_workflow(world.workflow, name='portrait', comfyui='0.3.64')\nd",
    "sync = wb.catalogue.sync('manager', place=world.slow_lists)\nsync",
    "wb.tokens",
]


def test_from_the_catalogue_to_a_script(notebook: Open, tmp_path: Path) -> None:
    book = notebook(CELLS)
    book.start()

    # The catalogue: search, filter, turn a page.
    browser = book.cell(1).locator(".comfynb-browser")
    expect(browser.locator(".comfynb-rows .comfynb-name").first).to_be_visible()
    book.wait(100)
    expect(browser.locator(".comfynb-pages")).to_contain_text("of 25 models")
    browser.get_by_label("Search").fill("style")
    expect(browser.locator(".comfynb-pages")).to_contain_text("of 24 models, page 1 of 3")
    browser.get_by_role("button", name="Next").click()
    expect(browser.locator(".comfynb-pages")).to_contain_text("11–20 of 24 models")
    browser.get_by_label("Type").select_option(label="VAE")
    expect(browser.locator(".comfynb-pages")).to_contain_text("1–1 of 1 model")
    expect(browser.locator(".comfynb-rows .comfynb-name")).to_have_text(["Style <b>VAE</b>"])
    browser.get_by_label("Add to").fill("from scratch")
    browser.get_by_role("button", name="Add").click()
    expect(browser.get_by_role("status")).to_contain_text("is in from scratch now")
    browser.get_by_label("Type").select_option(label="any type")
    expect(browser.locator(".comfynb-pages")).to_contain_text("1–10 of 24 models")
    book.screenshots("deploy-catalogue", browser)

    # The sync runs until its server goes on; cancelled and resumed with the mouse.
    sync = book.cell(3).locator(".comfynb-sync")
    expect(sync.locator(".comfynb-chip")).to_contain_text("running")
    book.screenshots("deploy-sync-running", sync)
    sync.get_by_role("button", name="Cancel").click()
    expect(sync.locator(".comfynb-chip")).to_contain_text("cancelled")
    book.execute("world.go_on()")
    sync.get_by_role("button", name="Resume").click()
    expect(sync.locator(".comfynb-chip")).to_contain_text("completed")
    expect(sync).to_contain_text("3 of 3 entries")
    book.screenshots("deploy-sync-done", sync)

    # What is ambiguous is chosen with the mouse.
    builder = book.cell(2).locator(".comfynb-builder")
    needs = builder.locator(".comfynb-needs")
    expect(needs).to_contain_text("1 to choose")
    book.screenshots("deploy-needs", builder)
    choice = needs.get_by_label("Use", exact=True)
    theirs = choice.locator("option", has_text="Better Blur").get_attribute("value")
    choice.select_option(value=theirs)
    needs.get_by_role("button", name="Choose").click()
    expect(needs.locator(".comfynb-ask")).to_have_count(1)  # what nobody knows stays
    expect(builder.locator(".comfynb-item").get_by_text("Better Blur")).to_be_visible()

    # The lock: a conflict first, and after the culprit is left out, everything pinned.
    lock = builder.get_by_role("button", name=re.compile("Lock$"))  # an icon comes before
    lock.click()
    report = builder.locator(".comfynb-report")
    expect(report.locator(".comfynb-conflict")).to_contain_text("Old Grain")
    expect(report.locator(".comfynb-conflict")).to_contain_text("New Grain")
    expect(builder.get_by_role("button", name="Make script")).to_be_disabled()
    book.screenshots("deploy-conflict", builder)
    builder.get_by_label("Install Old Grain").click()
    expect(builder.locator(".comfynb-item").get_by_text("Old Grain")).to_be_visible()
    expect(builder).to_contain_text("left out")
    lock.click()
    expect(report.locator(".comfynb-chip").first).to_contain_text("locked")
    expect(builder).to_contain_text("1 thing that the workflow needs is not settled")
    book.screenshots("deploy-report", builder)

    # The script: read, copied, downloaded, for another machine as well.
    builder.get_by_role("button", name="Make script").click()
    script = builder.locator(".comfynb-script")
    expect(script.locator("pre")).to_contain_text("#!/usr/bin/env bash")
    with book.page.expect_download() as download:
        script.get_by_role("button", name="Download").click()
    text = Path(download.value.path()).read_text()
    assert download.value.suggested_filename == "runpod-start.sh"
    assert text == book.execute("print(d.script('runpod').text, end='')")
    assert world_commits(book).issubset(set(re.findall(r"\b[0-9a-f]{40}\b", text)))
    script.get_by_role("button", name="Copy").click()
    expect(script.get_by_text("Copied")).to_be_visible()
    book.screenshots("deploy-script", script)
    book.page.evaluate(
        """() => {
            Object.defineProperty(navigator, "clipboard", {value: undefined, configurable: true});
            document.execCommand = () => false;
        }"""
    )
    script.get_by_role("button", name="Copy").click()
    expect(script.get_by_text("The text is selected")).to_be_visible()
    assert book.page.evaluate("() => getSelection().toString()").strip() == text.strip()
    script.get_by_label("For", exact=True).select_option(label="Dockerfile")
    expect(script.locator("pre")).to_contain_text("FROM ")

    # A token is taken and is nowhere afterwards.
    tokens = book.cell(4).locator(".comfynb-tokens")
    tokens.get_by_label("For", exact=True).select_option(label="Hugging Face")
    box = tokens.get_by_label("Token")
    box.press_sequentially(TOKEN)
    assert TOKEN not in everything(book)
    tokens.get_by_role("button", name="Keep").click()
    expect(tokens.locator(".comfynb-rows")).to_contain_text("Hugging Face · kept, encrypted")
    expect(box).to_have_value("")
    assert TOKEN not in everything(book)
    assert book.execute("print(world.kept_token())").strip() == TOKEN
    book.screenshots("deploy-tokens", tokens)

    # After a reload everything is there again, and still nothing of the token.
    book.reload()
    expect(report.locator(".comfynb-chip").first).to_contain_text("locked")
    assert TOKEN not in everything(book)
    assert book.page_errors == []


def world_commits(book: Any) -> set[str]:
    """The commits of the repositories that were locked, as git has them."""
    return set(json.loads(book.execute("import json; print(json.dumps(world.commits))")))


def everything(book: Any) -> str:
    """The page, what its boxes hold, the notebook with the widgets' state, and the file."""
    page = book.page.evaluate(
        """async () => {
            const panel = window.jupyterapp.shell.currentWidget;
            const parts = [document.documentElement.outerHTML];
            for (const box of document.querySelectorAll("textarea, select"))
                parts.push(box.value);
            parts.push(JSON.stringify(panel.context.model.toJSON()));
            return parts.join("\\n");
        }"""
    )
    state = book.execute(
        "import ipywidgets, json\n"
        "print(json.dumps(ipywidgets.Widget.get_manager_state(drop_defaults=False)['state']))"
    )
    book.save()
    return "\n".join([str(page), str(state), book.path.read_text()])
