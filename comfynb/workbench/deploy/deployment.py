"""``d``: one deployment, from the workflow over its locks and scripts to the machine."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfynb.comfy.load import LoadedWorkflow
from comfynb.deploy.resolve import Resolution
from comfynb.deploy.service import (
    CloneDeployment,
    ExportBundle,
    GenerateScript,
    ListLocks,
    MakeLock,
    MakeTemplate,
    PreviewScript,
    PublishDeployment,
    ReadLock,
    ReadWorkflow,
    RecordDownloads,
)
from comfynb.engine.host import Doing
from comfynb.errors import NotFound, UsageError
from comfynb.models import Lock, LockRecord
from comfynb.widgets.composite import Composite
from comfynb.workbench.deploy.editing import Editable
from comfynb.workbench.deploy.locks import Changes, Locked, between
from comfynb.workbench.deploy.panels import deployment_panel
from comfynb.workbench.deploy.registered import Registered
from comfynb.workbench.deploy.report import Report
from comfynb.workbench.deploy.resolving import Needed, filling, loaded, made_from, restored
from comfynb.workbench.deploy.scripts import Script
from comfynb.workbench.workflows import Workflow

if TYPE_CHECKING:
    from comfynb.workbench.deploy.session import DeploySession

__all__ = ["Deployment"]


class Deployment(Editable):
    """One deployment: a table of its packs and models where it is shown; see ``wb.deployments``."""

    def __init__(
        self, session: "DeploySession", deployment_id: str, *, workflow: Any = None
    ) -> None:
        super().__init__(session, deployment_id)
        self._workflow = workflow

    @property
    def workflow(self) -> Any:
        """What it was made from: as it was given, or in another kernel as the store has it.

        None where nobody has said, or where the deployment is somebody else's.
        """
        if self._workflow is None:
            row = self._session.run(ReadWorkflow(deploymentId=self.id))
            self._workflow = restored(row) if row is not None else None
        return self._workflow

    @property
    def resolution(self) -> Resolution | None:
        """What its workflow needs, and what of it is ambiguous or unknown; None until resolved."""
        needed = self._session.needed.get(self.id)
        return needed.resolution if needed is not None else None

    @property
    def left_out(self) -> list[str]:
        """Why some of what is known was not put in, a sentence each."""
        needed = self._session.needed.get(self.id)
        return list(needed.left_out) if needed is not None else []

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
        return Deployment(self._session, made.id)

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
        ``choices`` decides, as for ``wb.deployments.from_workflow``; what was decided before holds.

        Raises:
            UsageError: it was not made from a workflow, and none is given.
        """
        if workflow is not None:
            self._workflow = workflow
        if self.workflow is None:
            raise UsageError(f"{self.name} was not made from a workflow: d.resolve(wf).")
        source = loaded(self.workflow)
        row = self._session.run(ReadWorkflow(deploymentId=self.id))
        decided = {**(row.choices if row is not None else {}), **(choices or {})}
        resolution = self._session.resolve(
            source, choices=decided, comfyui=self.settings.get("comfyui_version")
        )
        return self.take(resolution, source=source, choices=decided)

    def take(
        self,
        resolution: Resolution,
        *,
        source: Any = None,
        choices: Mapping[str, Any] | None = None,
        saved_versions: bool = False,
    ) -> Resolution:
        """Put in all that a resolution is certain about; ``left_out`` says what else, and why.

        ``source`` is the workflow that was resolved, with a person's ``choices``: they are kept
        with the deployment, for its owner.
        """
        command, left_out = filling(self.id, resolution, saved_versions=saved_versions)
        if source is not None:
            kept = made_from(source, choices or {})
            command = command.model_copy(update={"workflow": kept})
        self._session.needed[self.id] = Needed(resolution, tuple(left_out))
        self._session.run(command)
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
        record = self._session.run(ReadLock(deploymentId=self.id))
        return Lock.model_validate(record.content)

    def script(self, target: str = "runpod", *, lock: LockRecord | str | None = None) -> Script:
        """The script of its newest lock for a target: runpod, bash, docker, compose, snapshot.

        Raises:
            NotFound: it has no lock yet, or there is no such target.
        """
        lock_id = lock.id if isinstance(lock, LockRecord) else lock
        return self._script(GenerateScript, target, lock_id)

    def preview(self, target: str = "runpod", *, lock: LockRecord | str | None = None) -> Script:
        """The same to look at: it does not count as a script that was made (see ``usage``).

        Raises:
            NotFound: it has no lock yet, or there is no such target.
        """
        lock_id = lock.id if isinstance(lock, LockRecord) else lock
        return self._script(PreviewScript, target, lock_id)

    def _script(
        self, command: type[GenerateScript | PreviewScript], target: str, lock_id: str | None
    ) -> Script:
        made = self._session.run(command(deploymentId=self.id, target=target, lockId=lock_id))
        lock_id = made.record.id
        return Script(
            made.rendered,
            Lock.model_validate(made.record.content),
            preview=lambda other: self._script(PreviewScript, other, lock_id),
            make=lambda other: self._script(GenerateScript, other, lock_id),
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
        if isinstance(wanted, LoadedWorkflow):
            handle = workbench.workflows.open(wanted)
        else:
            handle = wanted if isinstance(wanted, Workflow) else workbench.workflows.load(wanted)
        made = Registered(backend, handle.check(backend.name))
        ids = [one.model.id for one in self.contents.models if one.choice.isEnabled]
        if made.ok and ids:
            self._session.run(RecordDownloads(deploymentId=self.id, modelIds=ids))
        return made

    # Showing ----------------------------------------------------------------------------------

    def _panel(self) -> Composite | None:
        return deployment_panel(self)
