"""``comfynb demo``: the tour notebook, run from beginning to end without a screen."""

import os
from contextlib import ExitStack
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

from comfynb.errors import UsageError
from comfynb.sandbox import Sandbox
from comfynb.workbench.demo import BACKENDS_VARIABLE

__all__ = ["run_tour"]

CELL_TIMEOUT = 120

# The kernel's channels carry code; other users of this machine could listen in.
_PRIVATE = Config({"KernelManager": {"transport_encryption": "auto"}})


def run_tour(folder: Path, notebook: str = "01_run.ipynb", backends: int = 2) -> str:
    """Run ``notebook`` in ``folder`` on sandbox backends; returns what it did, in words.

    The executed copy lies beside it as ``<name>.executed.ipynb``.

    Raises:
        UsageError: a cell failed; the message is its error.
    """
    folder = folder.absolute()
    store = folder / "demo.duckdb"
    with ExitStack() as running:
        sandboxes = [
            running.enter_context(Sandbox(base_dir=folder / f"sandbox-{number}"))
            for number in range(1, backends + 1)
        ]
        environment = {
            **os.environ,
            BACKENDS_VARIABLE: " ".join(sandbox.url for sandbox in sandboxes),
            "COMFYNB_STORE": str(store),
        }
        tour = nbformat.read(folder / notebook, as_version=4)  # type: ignore[no-untyped-call]
        client = NotebookClient(
            tour,
            timeout=CELL_TIMEOUT,
            kernel_name="python3",
            resources={"metadata": {"path": str(folder)}},
            config=_PRIVATE,
        )
        executed = (folder / notebook).with_suffix(".executed.ipynb")
        try:
            client.execute(env=environment)
        except CellExecutionError as error:
            raise UsageError(f"A cell of {notebook} failed: {error.evalue}") from None
        finally:
            nbformat.write(tour, executed)  # type: ignore[no-untyped-call]
        return _report(store, executed, [sandbox.url for sandbox in sandboxes])


def _report(store: Path, executed: Path, urls: list[str]) -> str:
    from comfynb.store import open_store

    opened = open_store(str(store))
    try:
        jobs = opened.sql(
            "select w.name, j.status, b.name as backend, "
            "epoch(j.completed_at - j.started_at) as seconds, "
            "(select count(*) from output_files o join prompts p using (prompt_id) "
            " where p.job_id = j.id) as files "
            "from jobs j join node_executions n on n.job_id = j.id "
            "left join backends b on b.id = n.backend_id "
            "left join workflows w on w.id = "
            "json_extract_string(j.canvas_snapshot, '$.nodes[0].workflow_id') "
            "order by j.created_at"
        ).result()
        pictures = opened.sql(
            "select path, width, height from output_files where path is not null "
            "order by created_at"
        ).result()
    finally:
        opened.close()
    lines = [f"Backends: {', '.join(urls)}", f"Jobs: {len(jobs)}"]
    lines += [
        f"  {row['name']}: {row['status']} on {row['backend']}, {row['files']} files"
        f" in {row['seconds'] or 0:.2f} s"
        for row in jobs
    ]
    lines.append(f"Pictures: {len(pictures)}")
    lines += [f"  {row['path']} ({row['width']} x {row['height']})" for row in pictures]
    lines += [f"Store: {store}", f"Notebook: {executed}"]
    return "\n".join(lines)
