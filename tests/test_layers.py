"""The layers hold, and the contracts that say so really refuse what they should."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

MODULES = (
    "cli",
    "tour",
    "workbench",
    "widgets",
    "engine",
    "deploy",
    "comfy",
    "store",
    "models",
    "errors",
)


def lint_imports(folder: Path, config: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache", "--config", config],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def skeleton(tmp_path, repo):
    """A package of empty modules with our names, and our contracts."""
    (tmp_path / "comfynb").mkdir()
    for name in ("__init__", "sandbox", *MODULES):
        (tmp_path / "comfynb" / f"{name}.py").write_text("")
    (tmp_path / "pyproject.toml").write_text((repo / "pyproject.toml").read_text())
    return tmp_path


def test_our_imports_keep_to_the_layers(repo):
    done = lint_imports(repo, repo / "pyproject.toml")
    assert done.returncode == 0, done.stdout
    assert "0 broken" in done.stdout


def test_an_empty_package_breaks_nothing(skeleton):
    done = lint_imports(skeleton, skeleton / "pyproject.toml")
    assert done.returncode == 0, done.stdout


FORBIDDEN = [
    ("errors", "comfynb.models"),
    ("models", "comfynb.comfy"),
    ("models", "comfynb.store"),
    ("comfy", "comfynb.store"),
    ("store", "comfynb.comfy"),
    ("store", "comfynb.engine"),
    ("engine", "comfynb.widgets"),
    ("engine", "comfynb.deploy"),
    ("deploy", "comfynb.engine"),
    ("deploy", "comfynb.widgets"),
    ("widgets", "comfynb.workbench"),
    ("widgets", "comfynb.comfy"),
    ("widgets", "comfynb.store"),
    ("widgets", "httpx"),
    ("widgets", "duckdb"),
    ("workbench", "comfynb.cli"),
    ("sandbox", "comfynb.models"),
    ("sandbox", "comfynb.comfy"),
    ("sandbox", "comfynb.errors"),
]


def apart(pairs: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    """Pairs that can be judged in one go: a chain of imports would blame one for another."""
    groups: list[list[tuple[str, str]]] = []
    for importer, imported in pairs:
        for group in groups:
            importers = {f"comfynb.{one}" for one, _ in group} | {f"comfynb.{importer}"}
            if not importers & {imported, *(other for _, other in group)}:
                group.append((importer, imported))
                break
        else:
            groups.append([(importer, imported)])
    return groups


@pytest.mark.parametrize("pairs", apart(FORBIDDEN), ids=lambda pairs: pairs[0][0])
def test_forbidden_imports_are_caught(skeleton, pairs):
    for importer, imported in pairs:
        with (skeleton / "comfynb" / f"{importer}.py").open("a") as module:
            module.write(f"import {imported}\n")
    done = lint_imports(skeleton, skeleton / "pyproject.toml")
    assert done.returncode == 1, done.stdout
    for importer, imported in pairs:
        assert f"comfynb.{importer} -> {imported}" in done.stdout


def test_a_module_without_a_layer_is_caught(skeleton):
    (skeleton / "comfynb" / "elsewhere.py").write_text("")
    done = lint_imports(skeleton, skeleton / "pyproject.toml")
    assert done.returncode == 1
    assert "elsewhere" in done.stdout


def test_the_skeleton_has_the_modules_of_the_contract(repo):
    config = tomllib.loads((repo / "pyproject.toml").read_text())
    (layers,) = (c for c in config["tool"]["importlinter"]["contracts"] if c["type"] == "layers")
    names = {name.strip() for layer in layers["layers"] for name in layer.split("|")}
    assert names == set(MODULES)
