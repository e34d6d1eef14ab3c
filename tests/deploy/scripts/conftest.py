"""Locks for the tests of scripts."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from comfynb.models.lock import Lock


def make_lock(**values: Any) -> Lock:
    """A small lock; ``values`` replace its fields."""
    base: dict[str, Any] = {
        "name": "portrait",
        "comfyui": {"version": "0.3.64", "commit": "a" * 40},
        "python": {"version": "3.12"},
    }
    return Lock.model_validate({**base, **values})


@pytest.fixture(scope="session")
def lock():
    return make_lock


def program(name: str) -> str:
    """A linter, which its wheel puts beside the interpreter."""
    beside = Path(sys.executable).parent / name
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed: what it checks is NOT CHECKED")
    return found


def lint(*command: object, cwd: Path) -> str:
    """What a linter says, and that it said so with status 0."""
    done = subprocess.run(
        [program(str(command[0])), *map(str, command[1:])],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-4000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def linter():
    return lint
