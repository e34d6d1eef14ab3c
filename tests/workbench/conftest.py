"""A Workbench on a store of its own, with one sandbox process for the whole module."""

import itertools

import pytest

from comfynb import Workbench
from comfynb.sandbox import Sandbox, workflow_text

SEEDS = itertools.count(1)


@pytest.fixture(autouse=True)
def own_settings(tmp_path, monkeypatch):
    """Secrets and files of a test stay in its folder."""
    monkeypatch.setenv("COMFYNB_SECRETS", str(tmp_path / "settings" / "secrets.json"))
    monkeypatch.delenv("COMFYNB_STORE", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def wb(tmp_path, sandbox):
    """A Workbench in a plain script: no loop runs in the test."""
    with Workbench(tmp_path / "lab.duckdb") as workbench:
        workbench.backends.add(sandbox.url, name="one")
        yield workbench
        assert workbench.problems == []


@pytest.fixture
def portrait(tmp_path):
    """The path of a small UI workflow."""
    file = tmp_path / "portrait.json"
    file.write_text(workflow_text("portrait"))
    return file


@pytest.fixture
def quick():
    """Values that make the portrait quick, and another one each time."""

    def values(**more):
        return {"seed": next(SEEDS), "steps": 2, "seconds_per_step": 0.0, "seconds": 0.0, **more}

    return values
