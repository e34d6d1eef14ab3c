"""``wb.deployments``: make deployments, from a workflow or from scratch, and find them again."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfynb.deploy.service import (
    CreateDeployment,
    DeleteDeployment,
    DeploymentLine,
    ImportBundle,
    ListDeployments,
)
from comfynb.errors import ComfynbError, NotFound, UsageError
from comfynb.widgets.tables import StaticTable
from comfynb.workbench.deploy.deployment import Deployment
from comfynb.workbench.deploy.resolving import loaded
from comfynb.workbench.deploy.showing import Shown, day
from comfynb.workbench.workflows import Workflow

if TYPE_CHECKING:
    from comfynb.workbench.deploy.session import DeploySession

__all__ = ["Deployments"]

MOST = 500


class Deployments(Shown):
    """``wb.deployments``: yours, and those that are public or templates; a table where it is shown.

    From a workflow to a machine that runs it::

        wf = wb.workflows.load("portrait.json")
        d = wb.deployments.from_workflow(wf, name="portrait")
        d                              # node packs and models: resolved, ambiguous, unknown
        await d.lock()                 # every commit, hash and package pinned; conflicts named
        d.script("runpod")             # shows it; d.save("portrait-runpod", "runpod") writes it
        d.register("https://abc-8188.proxy.runpod.net")   # once the machine is up: checks wf there

    ``wb.deployments["portrait"]`` finds it again.
    """

    def __init__(self, session: "DeploySession") -> None:
        self._session = session

    def new(
        self,
        name: str,
        *,
        description: str | None = None,
        replace: bool = False,
        **settings: Any,
    ) -> Deployment:
        """An empty deployment of yours, private; see ``add_node`` and ``add_model`` of it.

        ``settings`` are those of :class:`comfynb.models.CustomSettings`.
        """
        made = self._new(name, replace=replace, description=description, customSettings=settings)
        return Deployment(self._session, made.id)

    def from_workflow(
        self,
        workflow: Workflow | str | Path | Mapping[str, Any],
        *,
        name: str | None = None,
        choices: Mapping[str, Any] | None = None,
        comfyui: str | None = None,
        saved_versions: bool = False,
        replace: bool = False,
    ) -> Deployment:
        """A deployment of all that a workflow needs, as far as that is known.

        ``workflow`` is a handle, a file, or JSON. What is ambiguous or unknown is not put in:
        ``d.resolution`` says what, with the candidates. ``choices`` decides, by node class or file
        name: ``{"UltimateSDUpscale": node, "style.safetensors": "https://..."}``.
        ``comfyui`` is the release of ComfyUI to install, e.g. "0.3.64"; ``saved_versions`` wants
        the releases of packs that it was saved with. ``replace`` deletes one of yours that
        has this name.

        Raises:
            NotAWorkflow: it is none.
            UsageError: one of yours has this name, and ``replace`` was not asked for.
        """
        session = self._session
        source = loaded(workflow)
        resolution = session.resolve(source, choices=choices, comfyui=comfyui)
        title = name or (workflow.name if isinstance(workflow, Workflow) else source.name)
        settings = {} if comfyui is None else {"comfyui_version": comfyui}
        made = self._new(title or "workflow", replace=replace, customSettings=settings)
        deployment = Deployment(session, made.id, workflow=workflow)
        try:
            deployment.take(
                resolution, source=source, choices=choices, saved_versions=saved_versions
            )
        except ComfynbError:
            session.run(DeleteDeployment(deploymentId=made.id))
            raise
        return deployment

    def _new(self, name: str, *, replace: bool = False, **fields: Any) -> Any:
        mine = [one for one in self._lines() if one.mine and one.deployment.name == name]
        if mine and not replace:
            raise UsageError(
                f"You have a deployment called {name!r:.80}: wb.deployments[{name!r:.80}] finds "
                "it, another name= or replace=True makes one."
            )
        for line in mine:
            self._session.run(DeleteDeployment(deploymentId=line.deployment.id))
        return self._session.run(CreateDeployment(name=name, **fields))

    def import_bundle(self, source: str | Path, *, name: str | None = None) -> Deployment:
        """A private deployment of yours, of a file that ``export`` of another one wrote.

        Raises:
            InvalidValue: it is no bundle, or something in it is not allowed.
        """
        path = Path(source)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise UsageError(f"{path} cannot be read: {error.strerror}.") from None
        made = self._session.run(ImportBundle(bundle=data, name=name))
        return Deployment(self._session, made.id)

    def templates(self) -> list[Deployment]:
        """What others, or you, offer to start from; ``clone()`` makes one yours."""
        page = self._session.run(ListDeployments(template=True, limit=MOST))
        return [Deployment(self._session, line.deployment.id) for line in page.items]

    def delete(self, name: str) -> None:
        """Delete one of yours, with its locks; raises NotFound."""
        self._session.run(DeleteDeployment(deploymentId=self[name].id))

    # Listing ----------------------------------------------------------------------------------

    def _lines(self) -> list[DeploymentLine]:
        found: list[DeploymentLine] = []
        while True:
            page = self._session.run(ListDeployments(page=len(found) // MOST + 1, limit=MOST))
            found += page.items
            if len(page.items) < MOST:
                return found

    def __getitem__(self, name: str) -> Deployment:
        """One by name or id; your own comes before others' of the same name."""
        found = [one for one in self._lines() if name in {one.deployment.id, one.deployment.name}]
        if not found:
            names = ", ".join(self._ipython_key_completions_()[:20]) or "none yet"
            raise NotFound(f"There is no deployment called {name!r:.80}; there are: {names}.")
        best = max(found, key=lambda line: line.mine)
        return Deployment(self._session, best.deployment.id)

    def __iter__(self) -> Iterator[Deployment]:
        for line in self._lines():
            yield Deployment(self._session, line.deployment.id)

    def __len__(self) -> int:
        return self._session.run(ListDeployments(limit=1)).total

    def __contains__(self, name: object) -> bool:
        return any(name in {one.deployment.id, one.deployment.name} for one in self._lines())

    def _ipython_key_completions_(self) -> list[str]:
        return [line.deployment.name for line in self._lines()]

    def _heading(self) -> str:
        lines = self._lines()
        if not lines:
            return "no deployments yet: wb.deployments.from_workflow(wf)"
        return f"{len(lines)} deployments, {sum(line.mine for line in lines)} of them yours"

    def _table(self) -> StaticTable:
        rows = [
            (
                *(line.deployment.name, "you" if line.mine else line.owner),
                *(line.nodes, line.models, _seen_by(line)),
                *(line.deployment.scriptType if line.deployment.lastGenerated else "",),
                day(line.deployment.updatedAt),
            )
            for line in self._lines()
        ]
        columns = ["name", "owner", "packs", "models", "seen by", "last script", "changed (UTC)"]
        return StaticTable(columns, rows)


def _seen_by(line: DeploymentLine) -> str:
    if line.deployment.isTemplate:
        return "all, as template"
    return "all" if line.deployment.isPublic else "its owner"
