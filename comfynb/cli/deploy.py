"""``comfynb deploy``: from a workflow to a lock and a script, at the command line."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from comfynb.cli.common import sentences, store_option
from comfynb.errors import Conflict, UsageError

if TYPE_CHECKING:
    from comfynb.workbench import Workbench

__all__ = ["deploy"]

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


@contextmanager
def _opened(store: str, user: str | None) -> "Iterator[Workbench]":
    from comfynb.workbench import Workbench

    with sentences(), Workbench(store, resume=False, user=user) as workbench:
        yield workbench


user_option = click.option("--user", envvar="COMFYNB_USER", help="Who you are.")


@click.group()
def deploy() -> None:
    """Make a machine that can run a workflow: lock it, write its script."""


@deploy.command("from-workflow")
@store_option
@user_option
@click.argument("workflow", type=click.Path(path_type=Path))
@click.option("--name", help="What to call the deployment; the file's name without.")
@click.option("--comfyui", metavar="VERSION", help="The release of ComfyUI to install.")
@click.option(
    "--choose", "choices", multiple=True, metavar="NAME=URL", help="Decide what is ambiguous."
)
@click.option("--replace", is_flag=True, help="Delete one of yours that has this name.")
def from_workflow(
    store: str,
    user: str | None,
    *,
    workflow: Path,
    name: str | None,
    comfyui: str | None,
    choices: tuple[str, ...],
    replace: bool,
) -> None:
    """Make a deployment of all that WORKFLOW needs; exit status 3 if something is not known."""
    with _opened(store, user) as workbench:
        made = workbench.deployments.from_workflow(
            workflow,
            name=name or workflow.stem,
            comfyui=comfyui,
            choices=dict(map(_choice, choices)),
            replace=replace,
        )
        click.echo(repr(made))
        resolution = made.resolution
        assert resolution is not None
        click.echo(str(resolution))
        for sentence in made.left_out:
            click.echo(sentence)
        if not resolution.complete or made.left_out:
            raise SystemExit(3)


def _choice(text: str) -> tuple[str, str]:
    name, separator, value = text.partition("=")
    if not separator or not value:
        raise UsageError(
            f"{text!r:.80} chooses nothing: write it like style.safetensors=https://..."
        )
    return name, value


@deploy.command("list")
@store_option
@user_option
def list_(store: str, user: str | None) -> None:
    """List the deployments that you can see."""
    with _opened(store, user) as workbench:
        click.echo(repr(workbench.deployments))


@deploy.command()
@store_option
@user_option
@click.argument("name")
def show(store: str, user: str | None, name: str) -> None:
    """Show what is in a deployment."""
    with _opened(store, user) as workbench:
        click.echo(repr(workbench.deployments[name]))


@deploy.command()
@store_option
@user_option
@click.argument("name")
@click.option("--update", is_flag=True, help="Bring everything up to date.")
@click.option("--only", multiple=True, metavar="NAME", help="Bring only this up to date.")
@click.option("--reason", help="Why, for people.")
def lock(  # noqa: PLR0917 - click hands them over by name
    store: str,
    user: str | None,
    name: str,
    update: bool,
    only: tuple[str, ...],
    reason: str | None,
) -> None:
    """Pin every commit, file and package of a deployment; exit status 1 if that cannot be."""
    with _opened(store, user) as workbench:
        deployment = workbench.deployments[name]
        try:
            made = deployment.lock(update=list(only) or update, reason=reason).wait()
        except Conflict as conflict:
            for problem in conflict.problems:
                click.echo(problem, err=True)
            raise
        click.echo(str(made.report))
        for change in made.changes.changes:
            click.echo(str(change))


@deploy.command()
@store_option
@user_option
@click.argument("name")
@click.option("--target", default="runpod", show_default=True, help="What kind of machine.")
@click.option("--to", "folder", type=FOLDER, help="Write all files there instead of showing one.")
def script(store: str, user: str | None, name: str, target: str, folder: Path | None) -> None:
    """Show the script of a deployment's newest lock, or write its files into a folder."""
    with _opened(store, user) as workbench:
        made = workbench.deployments[name].script(target)
        if folder is None:
            click.echo(made.text, nl=False)
        else:
            click.echo(str(made.save(folder)))
        for note in made.notes:
            click.echo(note, err=True)


@deploy.command()
@store_option
@user_option
@click.argument("query", default="")
@click.option("--nodes", is_flag=True, help="Node packs instead of models.")
@click.option("--type", "kind", help="Only models of this type, e.g. LORA.")
@click.option("--page", default=1, show_default=True)
@click.option("-n", "limit", default=20, show_default=True, help="How many on a page.")
def search(  # noqa: PLR0917 - click hands them over by name
    store: str, user: str | None, query: str, nodes: bool, kind: str | None, page: int, limit: int
) -> None:
    """Find models (or node packs) in the catalogue."""
    with _opened(store, user) as workbench:
        catalogue = workbench.catalogue
        if nodes:
            click.echo(repr(catalogue.nodes(query, page=page, limit=limit)))
        else:
            click.echo(repr(catalogue.models(query, type=kind, page=page, limit=limit)))


@deploy.command()
@store_option
@user_option
@click.argument("source")
@click.option("-o", "--option", "options", multiple=True, metavar="NAME=VALUE")
@click.option("--resume", metavar="ID", help="Go on with a sync that did not complete.")
def sync(
    store: str, user: str | None, source: str, options: tuple[str, ...], resume: str | None
) -> None:
    """Fill the catalogue: manager, registry, civitai, huggingface, templates, backend."""
    with _opened(store, user) as workbench:
        catalogue = workbench.catalogue
        if resume is not None:
            run = catalogue.resume(resume)
        else:
            run = catalogue.sync(source, **dict(map(_option, options)))
        run.wait()
        click.echo(repr(run))
        view = run.view
        assert view is not None, "it has ended"
        if view.status.value != "COMPLETED":
            click.echo(f"comfynb deploy sync {source} --resume {view.id} goes on.", err=True)
            raise SystemExit(1)


def _option(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator:
        raise UsageError(f"{text!r:.80} sets nothing: write it like channel=legacy.")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


@deploy.group()
def bundle() -> None:
    """Hand a deployment on as a file, without tokens and anybody's id."""


@bundle.command("export")
@store_option
@user_option
@click.argument("name")
@click.argument("file", type=FILE)
def export(store: str, user: str | None, name: str, file: Path) -> None:
    """Write a deployment and its newest lock into FILE."""
    with _opened(store, user) as workbench:
        click.echo(str(workbench.deployments[name].export(file)))


@bundle.command("import")
@store_option
@user_option
@click.argument("file", type=FILE)
@click.option("--name", help="What to call it here.")
def import_(store: str, user: str | None, file: Path, name: str | None) -> None:
    """Make a deployment of yours of FILE."""
    with _opened(store, user) as workbench:
        click.echo(repr(workbench.deployments.import_bundle(file, name=name)))
