"""``Workbench.demo()``: sandbox backends that start with the Workbench and end with it."""

import os
from pathlib import Path
from typing import TypeVar

from comfynb.sandbox import Sandbox, workflow_names, workflow_text
from comfynb.workbench.core import Workbench

__all__ = ["BACKENDS_VARIABLE", "open_demo"]

BACKENDS_VARIABLE = "COMFYNB_DEMO_BACKENDS"
"""Addresses of sandboxes that run already, separated by blanks; then none is started."""

W = TypeVar("W", bound=Workbench)


def bring_samples(folder: Path) -> None:
    """Put the sample workflows into ``folder``; a file that is there already stays as it is."""
    for name in workflow_names():
        file = folder / f"{name}.json"
        if not file.exists():
            file.write_text(workflow_text(name), encoding="utf-8")


def open_demo(cls: type[W], store: str | Path | None, backends: int) -> W:
    """Open a Workbench with as many sandbox backends; they keep their files beside the store."""
    bring_samples(Path.cwd())
    workbench = cls(store or os.environ.get("COMFYNB_STORE") or "demo.duckdb")
    running = os.environ.get(BACKENDS_VARIABLE, "").split()
    try:
        for number in range(1, backends + 1):
            name = f"Sandbox {number}"
            if number <= len(running):
                url = running[number - 1]
            else:
                sandbox = Sandbox(base_dir=workbench.files / f"sandbox-{number}")
                workbench.on_close(sandbox)
                url = sandbox.url
            for known in workbench.backends:
                if known.name == name and known.url != url:
                    # A sandbox of an earlier session listened on another port.
                    known.move(url)
                    break
            else:
                workbench.backends.add(url, name=name, tags=["sandbox"])
    except BaseException:
        workbench.close()
        raise
    return workbench
