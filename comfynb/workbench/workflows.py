"""``wf``: a workflow with its parameters, its form, and Run."""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfynb.comfy.convert import ConversionReport, convert
from comfynb.comfy.dynamic_prompts import DynamicTexts
from comfynb.comfy.keys import ParameterKeys
from comfynb.comfy.load import LoadedWorkflow
from comfynb.comfy.object_info import ObjectInfo
from comfynb.comfy.problems import Problem, shorten
from comfynb.comfy.values import check_value
from comfynb.engine.plan import DYNAMIC_SEED, RunPlan, version_of
from comfynb.errors import InvalidValue, UsageError, WorkflowError
from comfynb.models import (
    ExposedParameter,
    FallbackStrategy,
    WorkflowDefinition,
    WorkflowVersion,
    new_id,
    utcnow,
)
from comfynb.widgets import ParameterEditor, ParameterForm, mimebundle, shared_view
from comfynb.workbench.checking import WorkflowCheck, check_workflow, refusal
from comfynb.workbench.demands import (
    classes_of,
    listed_choices,
    refuse_hopeless,
    scarce_files,
)
from comfynb.workbench.exporting import Exporter, Format
from comfynb.workbench.exposed import Exposed
from comfynb.workbench.form_source import FormSource, Shelf
from comfynb.workbench.jobs import JobHandle, JobList
from comfynb.workbench.parameters import Choices, Input, Nodes, Parameters
from comfynb.workbench.presets import Presets
from comfynb.workbench.texts import Texts
from comfynb.workbench.values import FILE_TYPES, ParameterValues, Point
from comfynb.workbench.versions import ShownDiff, Versions

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Parameters", "Workflow"]


class Workflow:
    """One workflow: what it needs, what can be set, and how it is run."""

    def __init__(
        self,
        workbench: "Workbench",
        definition: WorkflowDefinition,
        source: LoadedWorkflow | None,
        exposed: Sequence[ExposedParameter] | None = None,
    ) -> None:
        self._workbench = workbench
        self._definition = definition
        self._source = source
        self._report: ConversionReport | None = None
        self._prepared = source is None
        self._recorded = exposed
        self._version: WorkflowVersion | None = None
        self._texts: Texts | None = None
        self._exposed = Exposed(definition, self._info, self._infos)
        self._values = ParameterValues(self._prompt, self._parameter_keys, workbench.inputs)
        # Plain attributes: IPython's completion evaluates no property.
        self.parameters = Parameters(self._parameter_keys, self._notes)
        """What can be set: name, type, default, and what is allowed."""
        self.nodes = Nodes(self._prompt, self._info)
        """The nodes and their inputs, for :meth:`expose`; completes with Tab."""
        self.presets = Presets(self, workbench.store)
        """Values under a name: ``wf.presets.save("fast", steps=8)``."""
        self.versions = Versions(workbench.store, definition.id, definition.name, self._as_it_was)
        """What it was when it was run or saved: ``wf.versions[1]``, ``wf.versions.diff(1, 2)``."""

    @property
    def id(self) -> str:
        """Its id, as in the store."""
        return self._definition.id

    @property
    def name(self) -> str:
        """What people call it."""
        return self._definition.name

    @property
    def source(self) -> str:
        """Where it was loaded from, without secrets; empty for one that was found in the store."""
        return self._source.source if self._source is not None else ""

    @property
    def definition(self) -> WorkflowDefinition:
        """A copy of its record."""
        self._prepare()
        return self._definition.model_copy(deep=True)

    @property
    def api_json(self) -> dict[str, Any]:
        """The prompt in API format, with the values that were saved in the workflow."""
        self._prepare()
        return dict(self._definition.api_json)

    @property
    def report(self) -> ConversionReport | None:
        """What the conversion from UI format dropped, bypassed or found odd; None for API JSON."""
        self._prepare()
        return self._report

    # Getting ready ----------------------------------------------------------------------------

    def _prompt(self) -> dict[str, Any]:
        self._prepare()
        return self._definition.api_json

    def _info(self) -> ObjectInfo:
        """The node classes of the backend that has most of them."""
        return self._object_info(classes_of(self._definition.api_json))

    def _infos(self) -> list[tuple[str, Mapping[str, Any]]]:
        return [(live.name, info) for live, info in self._workbench.node_classes.known()]

    def _object_info(self, wanted: Iterable[str] = ()) -> ObjectInfo:
        return self._workbench.node_classes.reference(wanted)

    def _prepare(self) -> None:
        """Convert it and propose parameters: done when first needed, since it asks a backend."""
        if self._prepared or self._source is None:
            return
        source = self._source
        if source.prompt is not None:
            prompt = source.prompt
            object_info = self._object_info(classes_of(prompt))
        else:
            object_info = self._object_info()
            conversion = convert(source.workflow or {}, object_info)
            prompt = conversion.prompt
            self._report = conversion.report
        if not prompt:
            raise WorkflowError(f"{self.name} has no node that would run.")
        self._definition.api_json = prompt
        self._definition.workflow_json = source.workflow or {}
        if self._recorded is not None:
            self._exposed.restore(self._recorded)
        else:
            former = self._workbench.store.get(WorkflowDefinition, self.id).result()
            self._exposed.propose(former)
        self._prepared = True

    def _parameter_keys(self) -> ParameterKeys:
        self._prepare()
        return self._exposed.keys

    def _notes(self) -> dict[str, str]:
        """In words, which backends lack some of the choices, by parameter name."""
        notes = {}
        for key, parameter in self._parameter_keys().items():
            missing: dict[str, int] = {}
            for offer in self._exposed.offers_for(parameter):
                for name in offer.lacking:
                    missing[name] = missing.get(name, 0) + 1
            if missing:
                notes[key] = ", ".join(f"{n} not on {name}" for name, n in missing.items())
        return notes

    # Parameters -------------------------------------------------------------------------------

    def expose(
        self,
        place: str | Input,
        *,
        name: str | None = None,
        group: str | None = None,
        order: int | None = None,
    ) -> ExposedParameter:
        """Make one more input settable: "KSampler.seed", "3.seed" by node id, or
        ``wf.nodes["KSampler"].seed``.

        ``name`` is what people call it (one is found that tells it from all others), ``group`` the
        heading under which forms show it, ``order`` its place among the parameters, from 0. What is
        exposed already is changed.

        Raises:
            NotFound: no node has such a title, class or id, or it has no such input.
            UsageError: several nodes are called so; the message lists their ids.
        """
        self._prepare()
        where = place.place if isinstance(place, Input) else place
        return self._exposed.expose(where, name=name, group=group, order=order)

    def rename(self, name: str, new: str) -> None:
        """Call a parameter something else; ``new`` is what forms show, for example "Seed of it".

        Raises:
            NotFound: there is no such parameter.
            UsageError: another one is called so already.
        """
        self._prepare()
        self._exposed.rename(name, new)

    def group(self, group: str, *names: str) -> None:
        """Show parameters under a heading, in this order: ``wf.group("Sampling", "steps", "cfg")``.

        They stand where the first of them stood. An empty heading takes them out of any group.
        """
        self._prepare()
        self._exposed.group(group, names)

    def move(self, name: str, order: int) -> None:
        """Put a parameter at another place among all: 0 is the first, -1 the last."""
        self._prepare()
        self._exposed.move(name, order)

    def reorder(self, *names: str) -> None:
        """Put these parameters first, in this order; the others follow as they were."""
        self._prepare()
        self._exposed.reorder(names)

    def hide(self, *names: str) -> None:
        """Make parameters no longer settable: they keep the value that the workflow has."""
        self._prepare()
        self._exposed.hide(names)

    def show(self, *names: str) -> None:
        """Make hidden ones settable again, under the names that they had."""
        self._prepare()
        self._exposed.show(names)

    def choices(self, name: str) -> Choices:
        """What may be chosen for a parameter on any backend, and which backends lack what."""
        parameter = self._values.find(name)[1]
        return Choices(parameter.display_name, self._exposed.offers_for(parameter))

    @property
    def dynamic_choices(self) -> dict[str, DynamicTexts]:
        """Every text that each dynamic prompt can become, by parameter name: axes for a sweep.

        ``wf.run_many([{"text": text} for text in wf.dynamic_choices["text"]])`` runs them all.
        Only exposed inputs are listed, since only they can be set.
        """
        places = {(p.node_id, p.field_name): key for key, p in self._parameter_keys().items()}
        prompt = self._definition.api_json
        return {
            places[node_id, name]: DynamicTexts(prompt[node_id]["inputs"][name])
            for node_id, name in self._filled_in().open
            if (node_id, name) in places
        }

    def _filled_in(self) -> Texts:
        self._prepare()
        if self._texts is None:
            definition = self._definition
            self._texts = Texts(definition.api_json, self._info(), definition.workflow_json)
        return self._texts

    # Saving -----------------------------------------------------------------------------------

    def save(self) -> "Workflow":
        """Store it; ``wb.workflows[name]`` finds it again."""
        self._save()
        return self

    def _save(self) -> WorkflowVersion:
        self._prepare()
        definition = self._definition
        store = self._workbench.store
        version = version_of(
            definition.id,
            self._next_number(),
            definition.workflow_json,
            definition.api_json,
            definition.exposed_parameters,
        )
        if self._version is not None and self._version.id == version.id:
            version = self._version
        else:
            stored = store.get(WorkflowVersion, version.id).result()
            version = stored or version
        definition.updated_at = utcnow()
        if stored_records := [definition] if self._version is version else [definition, version]:
            store.put(*stored_records).result()
        self._version = version
        return version

    def _next_number(self) -> int:
        store = self._workbench.store
        return 1 + store.count(WorkflowVersion, {"workflow_id": self._definition.id}).result()

    def _as_it_was(
        self, loaded: LoadedWorkflow, exposed: Sequence[ExposedParameter] | None
    ) -> "Workflow":
        definition = self._definition.model_copy(
            update={"workflow_json": {}, "api_json": {}, "exposed_parameters": []}
        )
        return Workflow(self._workbench, definition, loaded, exposed)

    def diff(self, before: int = -2, after: int = -1) -> ShownDiff:
        """What changed from one version to another, by number; by default the latest change."""
        return self.versions.diff(before, after)

    # Export -----------------------------------------------------------------------------------

    def _export(self, values: Mapping[str, Any]) -> Exporter:
        self._prepare()
        keys = self._parameter_keys()
        prompt = self._definition.api_json
        current = {
            key: parameter.default_value
            for key, parameter in keys.items()
            if parameter.field_name in prompt[parameter.node_id].get("inputs", {})
        }
        current |= self.checked_values(values)
        return Exporter(
            self.name,
            prompt,
            self._definition.workflow_json,
            {(keys[k].node_id, keys[k].field_name): value for k, value in current.items()},
            self._info(),
        )

    def to_api_json(self, **values: Any) -> dict[str, Any]:
        """The prompt in API format, with ``values`` in it."""
        return self._export(values).api()

    def to_ui_json(self, **values: Any) -> dict[str, Any]:
        """A workflow that ComfyUI's front-end opens: the one it came from with ``values`` in the
        right places, or one laid out anew where only the API format was known.

        Raises:
            WorkflowError: a value cannot be saved there without changing another.
        """
        return self._export(values).ui()

    def to_python(self, **values: Any) -> str:
        """Python code that builds the prompt with comfynb's own :class:`PromptBuilder`."""
        return self._export(values).python()

    def save_as(self, path: str | Path, *, format: Format | None = None, **values: Any) -> Path:  # noqa: A002
        """Write it to a file: ``.py`` Python, ``.api.json`` API format, other ``.json`` UI format.

        ``format`` ("api", "ui" or "python") decides where the name says otherwise. Gives the path.
        """
        return self._export(values).write(path, format)

    # Values -----------------------------------------------------------------------------------

    def checked_values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Values by parameter name as they would be sent; files are kept and given by path.

        Raises:
            NotFound: there is no such parameter.
            InvalidValue: a value that is not allowed.
        """
        return self._values.check(values).values

    def check(
        self,
        backend: str | None = None,
        values: Mapping[str, Any] | None = None,
        *,
        vram: float | None = None,
        **more: Any,
    ) -> WorkflowCheck:
        """What would keep it from running, on one backend or on each, in one table.

        As a sequence it is empty, and so false, when a backend would run it. Values are given as
        to :meth:`run`; ``vram`` is what it needs in GiB, where you know. What is out of range is a
        row of the table, not an error; only an unknown name is one.
        """
        self._prepare()
        given = {**(values or {}), **more}
        found = {self._values.find(name)[0]: value for name, value in given.items()}
        keys = self._parameter_keys()
        refused: list[Problem] = []
        point = Point()
        for key, value in found.items():
            try:
                one = self._values.check({key: value})
            except InvalidValue as error:
                refused.append(refusal(keys[key], value, error))
            else:
                point.values.update(one.values)
                point.files.update(one.files)
        return check_workflow(
            self._workbench,
            self._definition,
            self._values.bind(point),
            backend=backend,
            report=self._report,
            refused=refused,
            uploads={(keys[key].node_id, keys[key].field_name) for key in point.files},
            vram=vram,
        )

    # Running ----------------------------------------------------------------------------------

    def run(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        backend: str | None = None,
        fallback: str | FallbackStrategy = FallbackStrategy.NONE,
        dynamic_seed: int | None = None,
        **more: Any,
    ) -> JobHandle:
        """Start it and return at once; the job is in the store by then.

        Values are given by parameter name, ``wf.run(seed=3)``, or as a dict where a name is no
        Python word. ``backend`` names the one to use; ``fallback`` says what to do if it cannot:
        "none" fails with the reason, "auto" takes another one, "ask_user" waits for it.

        Where a prompt leaves ``{a|b}`` open, ``dynamic_seed`` makes the choice; without it one is
        drawn. Either way it is in ``job.values``, so that ``wf.run(job.values)`` makes the same.

        Raises:
            UsageError: there is no backend, or no such parameter.
            InvalidValue: a value that is not allowed; nothing was stored or sent.
            UnknownNodeClass: no backend has all the node classes that it needs.
        """
        point = {**(values or {}), **more}
        if dynamic_seed is not None:
            point[DYNAMIC_SEED] = dynamic_seed
        return self.run_many([point], backend=backend, fallback=fallback)[0]

    def run_many(
        self,
        points: Sequence[Mapping[str, Any]],
        *,
        backend: str | None = None,
        fallback: str | FallbackStrategy = FallbackStrategy.NONE,
    ) -> JobList:
        """Start one job for each dict of values, all in one transaction; see :meth:`run`.

        A point may have a ``"dynamic_seed"`` beside its parameters. Several points share the
        backends fairly with other groups and sweeps, in an order that loads few models twice;
        a single run goes first.
        """
        if not len(self._workbench.backends):
            raise UsageError('There is no backend yet: wb.backends.add("http://gpu1:8188").')
        target = self._workbench.backends[backend].id if backend is not None else None
        plans = self.plans(points, backend_id=target, fallback=FallbackStrategy(fallback))
        if len(plans) > 1:
            group = new_id()
            plans = [replace(plan, group=group) for plan in plans]
        return JobList(self._workbench.submit(plans))

    def plans(
        self,
        points: Sequence[Mapping[str, Any]],
        *,
        backend_id: str | None = None,
        fallback: FallbackStrategy = FallbackStrategy.NONE,
        refuse: bool = True,
    ) -> list[RunPlan]:
        """What would be run for each dict of values; the workflow's content is stored by then.

        With ``refuse`` False nobody asks whether the backends could run it as it is: in a graph,
        what is missing comes over connections.
        """
        self._prepare()
        seeds = [_seed_of(point) for point in points]
        checked = [
            self._values.check(
                {name: value for name, value in point.items() if name != DYNAMIC_SEED}
            )
            for point in points
        ]
        if refuse:
            self._refuse_hopeless(checked[0] if checked else Point(), backend_id)
        version = self._save()
        bindings = {k: (p.node_id, p.field_name) for k, p in self._parameter_keys().items()}
        prompt = self._definition.api_json
        choices = listed_choices(prompt, self._info())
        scarce = scarce_files(prompt, self._infos())
        plans = []
        for checked_point, given in zip(checked, seeds, strict=True):
            values, files = checked_point.values, checked_point.files
            placed = {bindings[key]: value for key, value in values.items()}
            dynamic, chance = self._filled_in().dynamic(placed)
            # No more bits than JavaScript's numbers carry, like a seed that a browser draws.
            seed = secrets.randbits(50) if chance and given is None else given
            kept = {bindings[key] for key in files}
            plans.append(
                RunPlan(
                    version=version,
                    name=self.name,
                    values=values,
                    bindings=bindings,
                    choices=choices | scarce(placed, kept),
                    files=files,
                    backend_id=backend_id,
                    fallback=fallback,
                    capabilities=self._definition.required_capabilities,
                    dynamic=dynamic,
                    dynamic_seed=seed,
                    dated=self._filled_in().dated(placed),
                )
            )
        return plans

    def refuse(self, values: Mapping[str, Any], *, backend_id: str | None = None) -> None:
        """Raise what :meth:`run` would say to these values; nothing is stored or sent."""
        self._prepare()
        given = {name: value for name, value in values.items() if name != DYNAMIC_SEED}
        self._refuse_hopeless(self._values.check(given), backend_id)

    def _refuse_hopeless(self, point: Point, backend_id: str | None) -> None:
        asked = [
            (live.name, info)
            for live, info in self._workbench.node_classes.known()
            if backend_id in {None, live.id}
        ]
        if asked:
            refuse_hopeless(self.name, self._values.bind(point), asked)

    @property
    def parameter_keys(self) -> ParameterKeys:
        """The parameters by the short names that people type."""
        return self._parameter_keys()

    # Showing ----------------------------------------------------------------------------------

    def form(self, values: Mapping[str, Any] | None = None) -> ParameterForm:
        """A form of its parameters with a Run button; the jobs it starts appear beneath it.

        ``values`` are what it shows at first, a preset say. It follows when parameters are exposed,
        renamed or hidden, and when backends come and go.
        """
        self._prepare()
        source = FormSource(self._exposed, self._workbench.engine)

        def run(values: Mapping[str, Any]) -> Any:
            return self.run(values).row()

        def check(parameter: ExposedParameter, value: Any) -> Any:
            if parameter.param_type in FILE_TYPES:
                return value
            return check_value(parameter, value)

        return ParameterForm(
            source.view.parameters,
            {self._values.find(name)[0]: value for name, value in (values or {}).items()},
            notes=source.view.notes,
            source=source,
            presets=Shelf(self.presets),
            title=self.name,
            on_run=run,
            check=check,
            upload=self._workbench.keep_upload,
            fetch=self._workbench.fetch_input,
        )

    def edit_parameters(self) -> ParameterEditor:
        """A widget to choose what the form shows: tick, rename, group, reorder, hide."""
        self._prepare()
        return ParameterEditor(
            self._exposed.candidates(),
            [p.id for p in self._definition.exposed_parameters],
            self._exposed.replace,
            title=f"{self.name}: what its form shows",
        )

    def __repr__(self) -> str:
        if not self._prepared:
            return f"<Workflow {self.name}, not read yet>"
        names = ", ".join(self._parameter_keys())
        return f"<Workflow {self.name}: {len(self._definition.api_json)} nodes; {names}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        form = shared_view(self, self.form)
        return mimebundle(form, repr(self), form.static_html())


def _seed_of(point: Mapping[str, Any]) -> int | None:
    seed = point.get(DYNAMIC_SEED)
    if seed is not None and (isinstance(seed, bool) or not isinstance(seed, int)):
        raise InvalidValue(f"{DYNAMIC_SEED} must be a whole number, not {shorten(seed)}.")
    return seed
