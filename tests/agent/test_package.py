"""The agent as a package of its own: what it needs, what it ships, and Python 3.10."""

import ast
import importlib
import re
import subprocess
import sys
import tomllib
import zipfile

import pytest

import comfynb_agent
from comfynb.comfy import agent_snapshot
from comfynb.comfy.agent import AGENT_PORT, LONGEST_INTERVAL, SHORTEST_INTERVAL
from comfynb_agent import SCHEMA_VERSION


@pytest.fixture
def folder(repo):
    return repo / "agent"


@pytest.fixture
def project(folder):
    return tomllib.loads((folder / "pyproject.toml").read_text())["project"]


def test_what_comfyui_installs_is_what_pip_installs(folder, project):
    required = (folder / "requirements.txt").read_text().split()
    assert sorted(required) == sorted(project["dependencies"])


def test_nothing_else_is_imported(folder, project):
    """ComfyUI's own modules are found at run time; all others are its dependencies."""
    names = {re.split(r"[<>=]", one)[0] for one in project["dependencies"]}
    allowed = {*names - {"nvidia-ml-py"}, *sys.stdlib_module_names}
    for path in folder.rglob("*.py"):
        # raises SyntaxError for what came after 3.10
        tree = ast.parse(path.read_text(), feature_version=(3, 10))
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                assert {alias.name.partition(".")[0] for alias in node.names} <= allowed, path
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                assert node.module.partition(".")[0] in allowed, path


def test_every_module_says_what_it_exports(folder):
    for path in (folder / "comfynb_agent").glob("[a-z]*.py"):
        module = importlib.import_module(f"comfynb_agent.{path.stem}")
        assert module.__doc__.count("\n\n") <= 1
        assert all(hasattr(module, name) for name in module.__all__)


def test_it_speaks_what_comfynb_reads():
    from comfynb_agent import settings

    assert agent_snapshot.SCHEMA_VERSION == SCHEMA_VERSION
    assert settings.PORT == AGENT_PORT
    assert (settings.SHORTEST_INTERVAL, settings.LONGEST_INTERVAL) == (
        SHORTEST_INTERVAL,
        LONGEST_INTERVAL,
    )


def test_the_wheel(folder, tmp_path):
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if "No module named hatchling" in built.stderr:
        pytest.skip("hatchling is not installed here: the wheel was NOT built")
    assert built.returncode == 0, built.stderr
    (wheel,) = tmp_path.glob("*.whl")
    assert comfynb_agent.__version__ in wheel.name
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info" not in name}
        points = next(name for name in archive.namelist() if name.endswith("entry_points.txt"))
        assert "comfynb-agent = comfynb_agent.cli:main" in archive.read(points).decode()
    modules = {f"comfynb_agent/{path.name}" for path in (folder / "comfynb_agent").glob("*.py")}
    # what makes the folder a ComfyUI extension would be a stray top-level module
    assert names == {*modules, "comfynb_agent/py.typed"}
