"""Makes a lock of a deployment: everything pinned, and conflicts named before anything is built."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import ValidationError

from comfynb.deploy.catalogue import CORE, Catalogue, KnownNode
from comfynb.deploy.lock.clashes import class_clashes, folder_clashes, merge_models
from comfynb.deploy.lock.comfyui import COMFYUI, PinnedComfyUI, pin_comfyui
from comfynb.deploy.lock.disagreement import disagreements, specifier_conflicts
from comfynb.deploy.lock.git import Git
from comfynb.deploy.lock.models import ModelSources, PinnedModel, pin_model
from comfynb.deploy.lock.packs import PinnedPack, pin_pack
from comfynb.deploy.lock.reach import check_reach
from comfynb.deploy.lock.report import ConflictFound, LockReport, PythonCheck, Risk, Sizes, size_of
from comfynb.deploy.lock.requirements import Wanted, read_requirements
from comfynb.deploy.lock.risks import model_risks, pack_risks, python_risks, requirement_risks
from comfynb.deploy.lock.settings import Wishes, read_packages, read_wishes
from comfynb.deploy.lock.text import lock_sha256, ordered
from comfynb.deploy.lock.uv import Unsolvable, Uv, pinned
from comfynb.deploy.net import Fetcher
from comfynb.deploy.resolve import folder_problem
from comfynb.errors import DeploymentError, NotFound
from comfynb.models import Lock, explain, utcnow
from comfynb.models._checks import runs_other_code
from comfynb.models.lock import LockedPackage, LockedPython, LockedRequirement

if TYPE_CHECKING:
    # A service makes locks through a maker that it is given: neither needs the other to be there.
    from comfynb.deploy.service.contents import ChosenModel, ChosenNode, DeploymentContents

__all__ = ["LockOptions", "lock_maker", "make_lock"]

T = TypeVar("T")

WEAKER = (
    "uv is not here, so requirements were only compared line by line: what packages want of one "
    "another was not looked at, and no releases were chosen."
)


@dataclass(frozen=True)
class LockOptions:
    """How a lock is made; services are where they really are unless said otherwise.

    ``upgrade``: what is brought up to date although a former lock has it: names of packs and
    models, 'ComfyUI', 'python', or True for everything.
    """

    git: Git | None = None
    uv: Uv | None = None
    sources: ModelSources = field(default_factory=ModelSources)
    comfyui: str | None = None
    """A release, 'latest' or a commit; the deployment's setting comfyui_version comes first."""
    comfyui_repository: str = COMFYUI
    upgrade: Collection[str] | bool = False
    parallel: int = 8

    def renews(self, name: str) -> bool:
        """Whether something of that name is brought up to date."""
        return self.upgrade if isinstance(self.upgrade, bool) else name in self.upgrade


async def make_lock(
    contents: "DeploymentContents",
    catalogue: Catalogue,
    fetcher: Fetcher,
    *,
    former: Lock | None = None,
    options: LockOptions | None = None,
) -> LockReport:
    """Pin all that is in a deployment, and say what there is to say about it.

    With a ``former`` lock, what it has stays as it is there, but for ``options.upgrade``. The
    report's ``lock`` raises where conflicts or problems leave nothing to install; nothing that
    concerns a single pack or model is raised here. Raises DeploymentError for settings that cannot
    be understood, and where uv or ComfyUI's repository cannot be asked.
    """
    return await _Making(contents, catalogue, fetcher, former, options or LockOptions()).run()


def lock_maker(
    catalogue: Catalogue,
    open_fetcher: Callable[[], Fetcher],
    options: LockOptions | None = None,
) -> Callable[["DeploymentContents", Lock | None, Collection[str] | bool], Awaitable[LockReport]]:
    """A :data:`~comfynb.deploy.service.parts.LockMaker`: :func:`make_lock` with all but contents.

    ``open_fetcher`` makes a fetcher for each lock, which is closed afterwards. What the maker is
    told to upgrade comes in place of ``options.upgrade``.
    """

    async def make(
        contents: "DeploymentContents",
        former: Lock | None,
        upgrade: Collection[str] | bool = False,
    ) -> LockReport:
        chosen = replace(options or LockOptions(), upgrade=upgrade)
        async with open_fetcher() as fetcher:
            return await make_lock(contents, catalogue, fetcher, former=former, options=chosen)

    return make


class _Making:
    def __init__(
        self,
        contents: "DeploymentContents",
        catalogue: Catalogue,
        fetcher: Fetcher,
        former: Lock | None,
        options: LockOptions,
    ) -> None:
        self._contents = contents
        self._catalogue = catalogue
        self._fetcher = fetcher
        self._former = former
        self._options = options
        self._git = options.git or Git(fetcher=fetcher)
        self._wishes = read_wishes(contents.deployment)
        self._gate = asyncio.Semaphore(max(1, options.parallel))
        self._problems: list[str] = []
        self._notes: list[str] = list(self._wishes.notes)
        self._conflicts: list[ConflictFound] = []
        self._risks: list[Risk] = []
        self._now: datetime = utcnow()

    async def run(self) -> LockReport:
        """Pin, compare, resolve, and put together."""
        nodes = [chosen for chosen in self._contents.nodes if chosen.choice.isEnabled]
        models = [chosen for chosen in self._contents.models if chosen.choice.isEnabled]
        comfyui, packs, files = await asyncio.gather(
            self._comfyui(),
            self._each(self._pack(chosen) for chosen in nodes),
            self._each(self._model(chosen) for chosen in models),
        )
        packs = [pack for pack in packs if pack.node.installType != CORE]
        files, clashing = merge_models(files)
        self._conflicts += folder_clashes(packs)
        self._conflicts += clashing
        self._conflicts += await self._class_clashes(packs)
        debian, own, notes = read_packages(self._contents.packages)
        self._notes += notes
        wanted = [
            read_requirements("ComfyUI", comfyui.requirements, installs_torch=True),
            *(read_requirements(pack.node.name, pack.requirements) for pack in packs),
            own,
        ]
        requirements, check = await self._python(wanted)
        self._check_variables()
        for model in files:
            self._notes += self._folder_notes(model, packs, comfyui.locked.version)
        self._tell(packs, files, wanted, requirements)
        packages = self._debian(debian, packs)
        draft = None
        if not self._problems and not any(conflict.blocking for conflict in self._conflicts):
            locked = [
                pack.locked.model_copy(update={"requirements": [*one.lines, *one.constraints]})
                for pack, one in zip(packs, wanted[1:], strict=False)
            ]
            draft = self._lock(
                comfyui=comfyui.locked,
                nodes=locked,
                models=[model.locked for model in files],
                packages=packages,
                requirements=requirements,
            )
        return LockReport(
            self._contents.deployment.name,
            draft,
            tuple(self._conflicts),
            tuple(dict.fromkeys(self._risks)),
            size_of(draft) if draft is not None else Sizes(),
            problems=tuple(self._problems),
            notes=tuple(dict.fromkeys(self._notes)),
            python_check=check,
        )

    # Pinning -------------------------------------------------------------------------------------

    async def _each(self, work: Iterable[Awaitable[T | None]]) -> list[T]:
        async def one(item: Awaitable[T | None]) -> T | None:
            async with self._gate:
                try:
                    return await item
                except (DeploymentError, NotFound) as error:
                    self._problems.append(str(error))
                except ValidationError as error:
                    self._problems.append(explain(error))
            return None

        found = await asyncio.gather(*(one(item) for item in work))
        self._problems.sort()
        return [item for item in found if item is not None]

    async def _comfyui(self) -> PinnedComfyUI:
        former = self._former.comfyui if self._former is not None else None
        return await pin_comfyui(
            self._wishes.comfyui or self._options.comfyui,
            self._git,
            repository=self._options.comfyui_repository,
            former=None if self._options.renews("ComfyUI") else former,
        )

    async def _pack(self, chosen: "ChosenNode") -> PinnedPack | None:
        if chosen.node.installType == CORE:
            return None
        known: KnownNode = await self._catalogue.node(chosen.node.id)
        return await pin_pack(
            known,
            chosen.choice.config,
            self._git,
            self._fetcher,
            former=self._former,
            upgrade=self._options.renews(known.node.name),
        )

    async def _model(self, chosen: "ChosenModel") -> PinnedModel:
        known = await self._catalogue.model(chosen.model.id)
        return await pin_model(
            known,
            chosen.choice,
            self._fetcher,
            self._options.sources,
            former=self._former,
            upgrade=self._options.renews(known.model.name),
        )

    # Comparing -----------------------------------------------------------------------------------

    async def _class_clashes(self, packs: Sequence[PinnedPack]) -> list[ConflictFound]:
        classes = sorted({name for pack in packs for name in pack.node.nodeClasses})
        matches = await self._catalogue.nodes_by_class(*classes) if classes else {}
        core = {name for name, some in matches.items() if any(one.how == CORE for one in some)}
        return class_clashes(packs, core)

    async def _python(
        self, wanted: Sequence[Wanted]
    ) -> tuple[list[LockedRequirement], PythonCheck]:
        uv = self._uv()
        if uv.program is None:
            self._conflicts += specifier_conflicts(wanted)
            self._notes.append(WEAKER)
            self._problems.append("Python packages were not pinned: install uv (pip install uv).")
            return [], "specifiers"
        await self._check_index(uv, wanted)
        former = self._former.python if self._former is not None else None
        keeps = {} if former is None or self._options.renews("python") else former.requirements
        answer = await uv.resolve(wanted, former=pinned([*keeps]))
        if isinstance(answer, Unsolvable):
            found = await disagreements(wanted, uv, answer)
            self._conflicts += found
            return [], "uv"
        return answer, "uv"

    async def _check_index(self, uv: Uv, wanted: Sequence[Wanted]) -> None:
        """Look where uv would be sent by the deployment's own settings; it has no gate of ours."""
        places = {"The package index": uv.index} if uv.index and not uv.no_index else {}
        for one in wanted:
            places |= {f"The archive of Python package {n!r:.60}": u for n, u in one.urls.items()}
        for what, url in places.items():
            if url is not None:
                await check_reach(url, self._fetcher.policy, what)

    def _uv(self) -> Uv:
        given, wishes = self._options.uv or Uv(), self._wishes
        return replace(
            given,
            python=wishes.python,
            index=wishes.index or given.index,
            torch_backend=given.torch_backend or wishes.backend,
        )

    def _check_variables(self) -> None:
        """No script takes such a variable unless somebody meant it; then people are told."""
        for name in sorted(self._contents.deployment.environmentVars):
            if not runs_other_code(name):
                continue
            if name in self._wishes.allowed_variables:
                text = "it may make programs on the machine run other code."
                self._risks.append(Risk("high", "variable", f"Variable {name}", text))
            else:
                self._problems.append(
                    f"The variable {name} would make programs on the machine run other code: "
                    "leave it out, or allow it with d.set_environment(..., risky=True)."
                )

    # Telling -------------------------------------------------------------------------------------

    def _tell(
        self,
        packs: Sequence[PinnedPack],
        files: Sequence[PinnedModel],
        wanted: Sequence[Wanted],
        requirements: Sequence[LockedRequirement],
    ) -> None:
        for pack in packs:
            self._risks += pack_risks(pack, self._now)
            self._notes += pack.notes
        for model in files:
            self._risks += model_risks(model)
            self._notes += model.notes
        for one in wanted:
            self._risks += requirement_risks(one)
        self._risks += python_risks(requirements)

    def _folder_notes(
        self, model: PinnedModel, packs: Sequence[PinnedPack], comfyui: str
    ) -> Iterable[str]:
        folder = model.locked.folder
        if folder.startswith("models/"):
            problem = folder_problem(folder.removeprefix("models/"), comfyui)
            if problem is not None:
                yield f"Model {model.locked.path!r:.120}: its folder {problem}."
        gguf = model.locked.filename.lower().endswith(".gguf")
        if gguf and not any("gguf" in pack.locked.folder.lower() for pack in packs):
            yield (
                f"Model {model.locked.path!r:.120}: ComfyUI itself does not list .gguf files: add "
                "a node pack that does."
            )

    def _debian(
        self, own: Sequence[LockedPackage], packs: Sequence[PinnedPack]
    ) -> list[LockedPackage]:
        found = {package.name: package for package in own}
        for pack in packs:
            facts = pack.known.facts
            for name in facts.aptPackages if facts is not None else ():
                try:
                    found.setdefault(name, LockedPackage(name=name))
                except ValidationError:
                    self._notes.append(
                        f"Node pack {pack.node.name!r:.80} wants the Debian package {name!r:.60}, "
                        "which is no name of one: it is left out."
                    )
        if any(package.version is None for package in found.values()):
            self._notes.append(
                "Debian packages without a version are taken as the machine's Debian has them."
            )
        return list(found.values())

    def _lock(self, *, requirements: Sequence[LockedRequirement], **parts: Any) -> Lock | None:
        wishes: Wishes = self._wishes
        deployment = self._contents.deployment
        python = LockedPython(
            version=wishes.python,
            cuda=wishes.cuda,
            index=self._uv().index,
            torch_index=wishes.torch_index,
            requirements=list(requirements),
        )
        try:
            lock = ordered(
                Lock(
                    name=deployment.name,
                    python=python,
                    environment=deployment.environmentVars,
                    allowed_variables=wishes.allowed_variables,
                    workspace=wishes.workspace,
                    environment_name=wishes.environment_name,
                    **parts,
                )
            )
        except ValidationError as error:
            self._problems.append(explain(error))
            return None
        # The same content is the same lock, made when it was made first.
        if self._former is not None and lock_sha256(self._former) == lock_sha256(lock):
            return lock.model_copy(update={"created_at": self._former.created_at})
        return lock
