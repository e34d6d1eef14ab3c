"""The widgets on a real Workbench: what is pressed is in the store."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfynb import Workbench
from comfynb.deploy.tokens import TokenInfo
from comfynb.models import Service
from comfynb.widgets.composite import VIEW
from comfynb.workbench.deploy.panels import catalogue_panel, deployment_panel, token_panel

TOKEN = "hf_" + "SecretSecretSecret" * 2


@pytest.fixture
def wb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Workbench]:
    monkeypatch.setenv("COMFYNB_USER", "ada")
    monkeypatch.setenv("COMFYNB_SECRETS", str(tmp_path / "secrets.json"))
    monkeypatch.setenv("COMFYNB_TOKEN_KEY", base64.urlsafe_b64encode(b"k" * 32).decode())
    monkeypatch.setenv("HF_HOME", "/nowhere")
    for variable in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "CIVITAI_TOKEN", "CIVITAI_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.chdir(tmp_path)
    with Workbench(tmp_path / "lab.duckdb") as workbench:
        yield workbench


def test_what_is_found_is_added_and_chosen(wb: Workbench) -> None:
    for name in ("blur", "better"):
        wb.catalogue.add_node(
            f"https://github.com/ada/{name}", name=name, nodeClasses=["SoftBlur"], tags=["blurs"]
        )
    panel: Any = catalogue_panel(wb.catalogue)
    assert panel is catalogue_panel(wb.catalogue)
    assert VIEW in wb.catalogue._repr_mimebundle_()
    panel._what.value = "nodes"
    panel._tags.value = "blurs"
    assert panel._page.total == 2
    panel._words.value = "better"
    panel._to.value = "mine"
    panel._rows[0]._button.click()
    assert [one.name for one in wb.deployments["mine"].nodes] == ["better"]
    assert panel._to.options == ("mine",)
    panel._words.value = "'; drop table models; --"
    assert panel._page.total == 0

    workflow = {"1": {"class_type": "SoftBlur", "inputs": {}}}
    d = wb.deployments.from_workflow(workflow, name="chosen")
    builder: Any = deployment_panel(d)
    (question,) = builder._needs._asked
    labels = [label for label, _ in question._list.options]
    question._list.value = next(at for at, label in enumerate(labels) if "better" in label)
    question._use.click()
    assert [one.name for one in d.nodes] == ["better"]
    assert builder._needs._asked == []
    builder._items._rows[d.nodes[0].id]._tick.value = False
    assert not d.contents.nodes[0].choice.isEnabled
    builder._environment._text.value = "HF_TOKEN=hf_abcdefghijklmnopqrstuvwxyz"
    builder._environment._keep.click()
    assert "HF_TOKEN" in builder._message.value
    assert "hf_abc" not in builder._message.value
    assert d.environment == {}
    builder._settings.fields["python_version"].value = "3.11"
    assert d.settings["python_version"] == "3.11"
    builder._packages.name.value = "numpy"
    builder._packages.button.click()
    builder._items._rows[d.packages[0].id]._remove.click()
    assert d.packages == []
    # Changed in code, it is brought up to date when it is shown again.
    d.remove_node("better")
    assert VIEW in d._repr_mimebundle_()
    assert builder._items._list.children == (builder._items._none,)


def test_a_token_is_kept_and_is_in_nothing_that_is_shown(wb: Workbench) -> None:
    form: Any = token_panel(wb.tokens)
    form._service.value = Service.HUGGINGFACE
    form._secret._handle_custom_msg({"kind": "secret", "text": TOKEN}, [])
    (kept,) = wb.tokens.list
    assert isinstance(kept, TokenInfo)
    assert (kept.service, kept.last4, kept.source) == (Service.HUGGINGFACE, TOKEN[-4:], "stored")
    assert TOKEN not in json.dumps(wb.tokens._repr_mimebundle_())
    form._list.children[0].children[0].value = False
    assert not wb.tokens.list[0].isActive
    form._list.children[0].children[2].click()
    assert wb.tokens.list == []
