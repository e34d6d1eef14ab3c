"""The command line: ``comfynb lab | demo | run | backends | jobs | deploy | sandbox | store``."""

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from comfynb import __version__
from comfynb.cli.common import sentences, store_option
from comfynb.cli.deploy import deploy
from comfynb.errors import UsageError

__all__ = ["main"]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="comfynb")
def main() -> None:
    """JupyterLab as the workbench for ComfyUI on several GPU machines."""


# A place to work ------------------------------------------------------------------------------


@main.command()
@click.argument("folder", default="comfynb-work", type=click.Path(file_okay=False, path_type=Path))
@click.option("--port", default=8888, show_default=True)
@click.option("--no-browser", is_flag=True, help="Print the address instead of opening it.")
def lab(folder: Path, port: int, no_browser: bool) -> None:
    """Open JupyterLab in FOLDER, with the tour notebooks in it."""
    copy_notebooks(folder)
    # As the default page, the tour opens from the address that --no-browser prints, too.
    tour = "--LabApp.default_url=/lab/tree/01_run.ipynb"
    arguments = [sys.executable, "-m", "jupyterlab", f"--port={port}", tour]
    if no_browser:
        arguments.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        # In a container people are root, and JupyterLab refuses to start without this. It listens
        # on loopback and wants its token all the same.
        arguments.append("--allow-root")
    os.chdir(folder)
    sys.stdout.flush()
    os.execv(sys.executable, arguments)  # noqa: S606 - our own arguments, no shell


@main.command()
@click.argument("folder", default="comfynb-demo", type=click.Path(file_okay=False, path_type=Path))
def demo(folder: Path) -> None:
    """Run the tour notebook on two sandbox backends, without a screen, and say what it did."""
    from comfynb.tour import run_tour

    copy_notebooks(folder)
    with sentences():
        report = run_tour(folder)
    click.echo(report)


def copy_notebooks(folder: Path) -> None:
    """Put the tour into ``folder``; a file that is there already stays as it is."""
    source = Path(__file__).parent.with_name("_notebooks")
    if not source.is_dir():  # an editable install: the checkout's own folder
        source = Path(__file__).parents[2] / "notebooks"
    folder.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.iterdir()):
        if file.suffix in {".ipynb", ".json", ".png"} and not (folder / file.name).exists():
            shutil.copyfile(file, folder / file.name)


# Backends, runs, jobs -------------------------------------------------------------------------


@main.command()
@store_option
@click.option("--add", "url", metavar="URL", help="Add a ComfyUI server.")
@click.option("--name", help="What to call the added one.")
@click.option("--tag", "tags", multiple=True, help="A tag for the added one.")
@click.option(
    "--auth-env", metavar="VARIABLE", help="Environment variable with its password or token."
)
@click.option("--remove", metavar="NAME", help="Forget a backend.")
def backends(  # noqa: PLR0917 - click hands them over by name
    store: str,
    url: str | None,
    name: str | None,
    tags: tuple[str, ...],
    auth_env: str | None,
    remove: str | None,
) -> None:
    """List the backends and how they are; add or remove one."""
    from comfynb.workbench import Workbench

    with sentences(), Workbench(store, resume=False) as workbench:
        if url is not None:
            workbench.backends.add(url, name=name, tags=tags, auth_env=auth_env)
        if remove is not None:
            workbench.backends.remove(remove).wait()
        workbench.check_backends().wait()
        click.echo(repr(workbench.backends))


@main.command()
@store_option
@click.argument("workflow", type=click.Path(path_type=Path))
@click.option("-p", "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A parameter.")
@click.option("--on", "url", metavar="URL", help="Run it on this server, adding it if needed.")
@click.option("--backend", help="Run it on the backend of this name.")
def run(
    store: str, workflow: Path, settings: tuple[str, ...], url: str | None, backend: str | None
) -> None:
    """Run WORKFLOW (a JSON file, or a picture that carries one) and wait for its files."""
    from comfynb.workbench import Workbench

    with sentences(), Workbench(store, resume=False) as workbench:
        if url is not None:
            backend = workbench.backends.add(url).name
        workbench.check_backends().wait()
        job = workbench.workflows.load(workflow).run(
            dict(_setting(each) for each in settings), backend=backend
        )
        try:
            job.wait()
        except KeyboardInterrupt:
            job.cancel()
            job.wait()
        click.echo(repr(job))
        for path in job.files.paths:
            click.echo(path)
        job.raise_for_status()


def _setting(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator:
        raise UsageError(f"{text!r} sets nothing: write it like seed=3.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


@main.command()
@store_option
@click.option("-n", default=20, show_default=True, help="How many.")
@click.option("--status", help="Only those: pending, running, completed, failed, cancelled, lost.")
def jobs(store: str, n: int, status: str | None) -> None:
    """List the newest jobs."""
    from comfynb.workbench import Workbench

    with sentences(), Workbench(store, resume=False) as workbench:
        click.echo(repr(workbench.jobs.last(n, status=status)))


# The store ------------------------------------------------------------------------------------


@main.group("store")
def store_group() -> None:
    """Look after the store."""


@store_group.command()
@store_option
def check(store: str) -> None:
    """Find and explain whatever is inconsistent; exit status 1 if anything is."""
    from comfynb.store import open_store

    if not Path(store).exists():
        raise click.ClickException(f"There is no store at {store}.")
    with sentences():
        opened = open_store(store)
        try:
            findings = opened.check().result()
        finally:
            opened.close()
    for finding in findings:
        click.echo(str(finding))
    click.echo(f"{store}: {len(findings)} findings.")
    if findings:
        raise SystemExit(1)


# The sandbox ----------------------------------------------------------------------------------


@main.command(
    context_settings={"ignore_unknown_options": True, "help_option_names": []},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sandbox(arguments: tuple[str, ...]) -> None:
    """Serve ComfyUI's protocol without a GPU: --port N --version 0.3.64|0.8.0 and more (--help)."""
    from comfynb.sandbox.__main__ import main as serve

    raise SystemExit(serve(list(arguments)))


main.add_command(deploy)
