"""``d``: one deployment, what is in it, its locks and its scripts."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfynb.deploy.resolve import Resolution
from comfynb.deploy.service import (
    AddModel,
    AddNode,
    AddPackage,
    CloneDeployment,
    DeploymentContents,
    EnableModel,
    EnableNode,
    ExportBundle,
    GenerateScript,
    ListLocks,
    MakeLock,
    MakeTemplate,
    PublishDeployment,
    ReadDeployment,
    ReadUsage,
    RecordDownloads,
    RemoveModel,
    RemoveNode,
    RemovePackage,
    SetEnvironment,
    SetSettings,
    UpdateDeployment,
    Usage,
)
from comfynb.engine.host import Doing
from comfynb.errors import NotFound, UsageError
from comfynb.models import (
    CustomNode,
    Lock,
    LockRecord,
    Model,
    PackageType,
    SystemPackage,
)
from comfynb.widgets.composite import Composite
from comfynb.widgets.tables import StaticTable
from comfynb.workbench.backends import Backend
from comfynb.workbench.checking import WorkflowCheck
from comfynb.workbench.deploy.locks import Changes, Locked, between
from comfynb.workbench.deploy.panels import deployment_panel
from comfynb.workbench.deploy.report import Report
from comfynb.workbench.deploy.resolving import filling, loaded
from comfynb.workbench.deploy.scripts import Script
from comfynb.workbench.deploy.showing import Shown, size
from comfynb.workbench.workflows import Workflow

if TYPE_CHECKING:
    from comfynb.workbench.deploy.catalogue import Catalogue
    from comfynb.workbench.deploy.session import DeploySession

__all__ = ["Deployment"]


class Registered(Shown):
    """A machine that was added as a backend, and whether the workflow would run there."""

    def __init__(self, backend: Backend, check: WorkflowCheck | None) -> None:
        self.backend = backend
        self.check = check
        """As ``wf.check`` gives it; None where no workflow was known."""

    @property
    def ok(self) -> bool:
        """Whether the workflow would run there."""
        return self.check is not None and self.check.ok

    def _good(self) -> bool | None:
        return None if self.check is None else self.ok

    def _heading(self) -> str:
        if self.check is None:
            return f"{self.backend.name} is a backend now; wf.check({self.backend.name!r}) checks"
        missing = len(self.check)
        verdict = "would run there" if self.ok else f"has {missing} problems there"
        return f"{self.backend.name} is a backend now; the workflow {verdict}"

    def _table(self) -> StaticTable:
        rows = [(str(problem),) for problem in self.check or ()]
        return StaticTable(["problem"], rows, wrap=True)


class Deployment(Shown):
    """One deployment: a table of its packs and models where it is shown; see ``wb.deployments``."""

    def __init__(
        self,
        session: "DeploySession",
        deployment_id: str,
        *,
        workflow: Any = None,
    ) -> None:
        self._session = session
        self.id = deployment_id
        """Its id, as in the store."""
        self.workflow = workflow
        """What it was made from, in this kernel; ``d.resolve(wf)`` gives another one."""
        self.resolution: Resolution | None = None
        """What that workflow needs, and what of it is ambiguous or unknown."""
        self.left_out: list[str] = []
        """Why some of what is known was not put in, a sentence each."""

    # What it is -------------------------------------------------------------------------------

    @property
    def contents(self) -> DeploymentContents:
        """All that is in it, as it is now; raises NotFound if it was deleted or made private."""
        return self._session.run(ReadDeployment(deploymentId=self.id))

    @property
    def name(self) -> str:
        """What people call it."""
        return self.contents.deployment.name

    @property
    def owner(self) -> str:
        """Whose it is."""
        return self.contents.owner

    @property
    def nodes(self) -> list[CustomNode]:
        """Its node packs."""
        return [one.node for one in self.contents.nodes]

    @property
    def models(self) -> list[Model]:
        """Its models."""
        return [one.model for one in self.contents.models]

    @property
    def packages(self) -> list[SystemPackage]:
        """Its Debian and Python packages."""
        return list(self.contents.packages)

    @property
    def environment(self) -> dict[str, str]:
        """Its environment variables."""
        return dict(self.contents.deployment.environmentVars)

    @property
    def settings(self) -> dict[str, Any]:
        """Its settings, as :class:`comfynb.models.CustomSettings`."""
        return dict(self.contents.deployment.customSettings)

    @property
    def usage(self) -> Usage:
        """Which scripts were made of it."""
        return self._session.run(ReadUsage(deploymentId=self.id))

    # Changing it ------------------------------------------------------------------------------

    def add_node(self, node: CustomNode | str, **config: Any) -> "Deployment":
        """Put a node pack of the catalogue in: a row, or its id, URL or name."""
        node_id = self._node_id(node)
        self._session.run(AddNode(deploymentId=self.id, customNodeId=node_id, config=config))
        return self

    def remove_node(self, node: CustomNode | str) -> "Deployment":
        """Take a node pack out."""
        self._session.run(RemoveNode(deploymentId=self.id, customNodeId=self._mine(node)))
        return self

    def enable_node(self, node: CustomNode | str, enabled: bool = True) -> "Deployment":
        """Install a pack, or leave it out without forgetting it."""
        self._session.run(
            EnableNode(deploymentId=self.id, customNodeId=self._mine(node), isEnabled=enabled)
        )
        return self

    def add_model(
        self, model: Model | str, *, folder: str | None = None, filename: str | None = None
    ) -> "Deployment":
        """Put a model of the catalogue in: a row, or its id, URL, file name or name.

        ``folder`` is below ComfyUI's, e.g. "models/loras"; without it, where the model belongs.
        """
        self._session.run(
            AddModel(
                deploymentId=self.id,
                modelId=self._model_id(model),
                targetPath=folder,
                customName=filename,
            )
        )
        return self

    def remove_model(self, model: Model | str) -> "Deployment":
        """Take a model out."""
        self._session.run(RemoveModel(deploymentId=self.id, modelId=self._mine(model)))
        return self

    def enable_model(self, model: Model | str, enabled: bool = True) -> "Deployment":
        """Download a model, or leave it out without forgetting it."""
        self._session.run(
            EnableModel(deploymentId=self.id, modelId=self._mine(model), isEnabled=enabled)
        )
        return self

    def add_package(
        self,
        name: str,
        *,
        kind: PackageType | str = PackageType.PIP,
        version: str | None = None,
        url: str | None = None,
    ) -> "Deployment":
        """Put a Python package in, or with ``kind="APT"`` a Debian one."""
        self._session.run(
            AddPackage(
                deploymentId=self.id,
                packageType=PackageType(kind),
                name=name,
                version=version,
                installUrl=url,
            )
        )
        return self

    def remove_package(self, name: str) -> "Deployment":
        """Take a package out."""
        for package in self.packages:
            if name in {package.name, package.id}:
                command = RemovePackage(deploymentId=self.id, packageId=package.id)
                self._session.run(command)
                return self
        raise NotFound(f"{self.name} has no package called {name!r:.80}.")

    def set_environment(self, variables: Mapping[str, str], *, risky: bool = False) -> "Deployment":
        """Set its environment variables, all of them; no secrets (see ``wb.tokens``).

        Raises:
            InvalidValue: one looks like a secret, or (without ``risky``) changes which programs
                the machine runs.
        """
        self._session.run(
            SetEnvironment(deploymentId=self.id, variables=dict(variables), risky=risky)
        )
        return self

    def set_settings(self, **settings: Any) -> "Deployment":
        """Set some settings, e.g. ``python_version="3.12"``; None takes one away."""
        merged = {**self.settings, **settings}
        kept = {name: value for name, value in merged.items() if value is not None}
        self._session.run(SetSettings(deploymentId=self.id, settings=kept))
        return self

    def rename(self, name: str) -> "Deployment":
        """Call it otherwise."""
        self._session.run(UpdateDeployment(deploymentId=self.id, name=name))
        return self

    def describe(self, description: str | None) -> "Deployment":
        """Say what it is for."""
        self._session.run(UpdateDeployment(deploymentId=self.id, description=description))
        return self

    # Sharing it -------------------------------------------------------------------------------

    def publish(self, public: bool = True) -> "Deployment":
        """Let others see it, or no longer."""
        self._session.run(PublishDeployment(deploymentId=self.id, public=public))
        return self

    def make_template(self, category: str | None = None, *, template: bool = True) -> "Deployment":
        """Offer it as something to start from, or no longer."""
        self._session.run(MakeTemplate(deploymentId=self.id, template=template, category=category))
        return self

    def clone(self, name: str | None = None) -> "Deployment":
        """A private copy of your own, with its newest lock."""
        made = self._session.run(CloneDeployment(deploymentId=self.id, name=name))
        return Deployment(self._session, made.id, workflow=self.workflow)

    def export(self, path: str | Path) -> Path:
        """Write it into a file that ``wb.deployments.import_bundle`` reads, without secrets."""
        bundle = self._session.run(ExportBundle(deploymentId=self.id))
        place = Path(path)
        try:
            place.write_text(bundle.model_dump_json(indent=1), encoding="utf-8")
        except OSError as error:
            raise UsageError(f"{place} cannot be written: {error.strerror}.") from None
        return place

    # From the workflow to the machine -----------------------------------------------------------

    def resolve(
        self, workflow: Any = None, *, choices: Mapping[str, Any] | None = None
    ) -> Resolution:
        """Look again at what the workflow needs, with the catalogue as it is now.

        What was found since is put in; ``resolution.ambiguous`` and ``.unknown`` say what was not.

        Raises:
            UsageError: it was not made from a workflow, and none is given.
        """
        if workflow is not None:
            self.workflow = workflow
        if self.workflow is None:
            raise UsageError(f"{self.name} was not made from a workflow here: d.resolve(wf).")
        settings = self.settings
        resolution = self._session.resolve(
            loaded(self.workflow), choices=choices, comfyui=settings.get("comfyui_version")
        )
        return self.take(resolution)

    def take(self, resolution: Resolution, *, saved_versions: bool = False) -> Resolution:
        """Put in all that a resolution is certain about; ``left_out`` says what else, and why."""
        command, self.left_out = filling(self.id, resolution, saved_versions=saved_versions)
        self._session.run(command)
        self.resolution = resolution
        return resolution

    @property
    def report(self) -> Report | None:
        """What the last attempt to lock it found: conflicts, risks, sizes; also if it failed."""
        return self._session.reports.get(self.id)

    def lock(
        self, *, update: bool | Sequence[str] = False, reason: str | None = None
    ) -> Doing[Locked]:
        """Pin every commit, file and package; ``await`` it or ``.wait()``.

        What is locked already stays as it is; ``update`` brings everything up to date, or only the
        packs, models, "ComfyUI" and "python" that it names. ``d.report`` says what was found.

        Raises:
            Conflict: what is in it cannot live together; ``problems`` says what with what.
        """
        names = update if isinstance(update, bool) else list(update)
        command = MakeLock(deploymentId=self.id, update=names, reason=reason)
        making = self._session.do(command, f"lock {self.name}")

        async def show() -> Locked:
            return Locked(await making, names)

        return self._session.workbench.host.do(show(), f"lock {self.name}")

    def changes(self, old: int | str = 1, new: int | str = 0) -> Changes:
        """What is otherwise in one of its locks than in an older one.

        A lock is its place in ``d.locks`` (0 is the newest) or its id.

        Raises:
            NotFound: it has no such lock.
        """
        records = self.locks

        def find(which: int | str) -> LockRecord:
            for place, record in enumerate(records):
                if which in {place, record.id}:
                    return record
            raise NotFound(f"{self.name} has no lock {which!r:.80}: it has {len(records)}.")

        return between(find(old), find(new))

    @property
    def locks(self) -> list[LockRecord]:
        """Its locks, the newest first."""
        return self._session.run(ListLocks(deploymentId=self.id))

    @property
    def locked(self) -> Lock:
        """Its newest lock; raises NotFound if there is none yet."""
        records = self.locks
        if not records:
            raise NotFound(f"{self.name} has no lock yet: await d.lock() makes one.")
        return Lock.model_validate(records[0].content)

    def script(self, target: str = "runpod", *, lock: LockRecord | str | None = None) -> Script:
        """The script of its newest lock for a target: runpod, bash, docker, compose, snapshot.

        Raises:
            NotFound: it has no lock yet, or there is no such target.
        """
        lock_id = lock.id if isinstance(lock, LockRecord) else lock
        made = self._session.run(
            GenerateScript(deploymentId=self.id, target=target, lockId=lock_id)
        )
        lock_id = made.record.id
        return Script(
            made.rendered,
            Lock.model_validate(made.record.content),
            again=lambda other: self.script(other, lock=lock_id),
        )

    def save(self, folder: str | Path, target: str = "runpod") -> Path:
        """Write the script's files into a folder; returns the path of the one to run."""
        return self.script(target).save(folder)

    def register(self, url: str, *, workflow: Any = None, **how: Any) -> Registered:
        """Add the machine that ran the script as a backend, and check the workflow on it.

        ``how`` is as for ``wb.backends.add``: name, tags, auth, auth_env. Where the workflow would
        run, the models are counted as downloaded.

        Raises:
            BackendUnreachable, NotComfyUI, AuthenticationRequired: as ``wb.backends.add``.
        """
        wanted = workflow if workflow is not None else self.workflow
        workbench = self._session.workbench
        backend = workbench.backends.add(url, **how)
        if wanted is None:
            return Registered(backend, None)
        handle = wanted if isinstance(wanted, Workflow) else workbench.workflows.load(wanted)
        made = Registered(backend, handle.check(backend.name))
        ids = [one.model.id for one in self.contents.models if one.choice.isEnabled]
        if made.ok and ids:
            self._session.run(RecordDownloads(deploymentId=self.id, modelIds=ids))
        return made

    # Showing ----------------------------------------------------------------------------------

    def _node_id(self, node: CustomNode | str) -> str:
        return node.id if isinstance(node, CustomNode) else self._catalogue.node(node).id

    def _model_id(self, model: Model | str) -> str:
        return model.id if isinstance(model, Model) else self._catalogue.model(model).id

    @property
    def _catalogue(self) -> "Catalogue":
        return self._session.workbench.catalogue

    def _mine(self, item: CustomNode | Model | str) -> str:
        """The id of something that is in it."""
        if not isinstance(item, str):
            return item.id
        rows: Sequence[Any] = [*self.nodes, *self.models]
        for row in rows:
            names = {row.id, row.name, getattr(row, "githubUrl", ""), getattr(row, "filename", "")}
            if item in names:
                return str(row.id)
        raise NotFound(f"{self.name} has nothing called {item!r:.80}.")

    def _heading(self) -> str:
        contents = self.contents
        made = contents.deployment
        sizes = [one.model.fileSize for one in contents.models if one.choice.isEnabled]
        known = [each for each in sizes if each is not None]
        of = "" if len(known) == len(sizes) else f", {len(sizes) - len(known)} of unknown size"
        models = f"{len(contents.models)} models ({size(sum(known))}{of})"
        return (
            f"{made.name}: {len(contents.nodes)} node packs, {models}, "
            f"{len(contents.packages)} packages"
        )

    def _table(self) -> StaticTable:
        contents = self.contents
        rows: list[tuple[object, ...]] = [
            ("node pack", one.node.name, one.node.githubUrl, "", _state(one.choice.isEnabled))
            for one in contents.nodes
        ]
        rows += [
            (
                "model",
                one.model.name,
                f"{one.choice.targetPath}/{one.choice.customName or one.model.filename or '?'}",
                size(one.model.fileSize),
                _state(one.choice.isEnabled),
            )
            for one in contents.models
        ]
        rows += [
            (f"{one.packageType.value.lower()} package", one.name, one.version or "", "", "")
            for one in contents.packages
        ]
        return StaticTable(["kind", "name", "where", "size", "state"], rows, limit=200, wrap=True)

    def _panel(self) -> Composite | None:
        return deployment_panel(self)


def _state(enabled: bool) -> str:
    return "" if enabled else "left out"
