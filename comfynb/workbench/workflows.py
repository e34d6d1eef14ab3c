"""``wf``: a workflow with its parameters, its form, and Run."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfynb.comfy.check import check_prompt, missing_classes
from comfynb.comfy.convert import ConversionReport, convert
from comfynb.comfy.keys import ParameterKeys, parameter_keys
from comfynb.comfy.load import LoadedWorkflow
from comfynb.comfy.object_info import ObjectInfo
from comfynb.comfy.parameters import parameter_for, propose_parameters
from comfynb.comfy.problems import Problem
from comfynb.comfy.values import check_value
from comfynb.engine.plan import RunPlan, version_of
from comfynb.errors import InvalidValue, NotFound, UnknownNodeClass, UsageError, WorkflowError
from comfynb.models import (
    ExposedParameter,
    FallbackStrategy,
    ParamType,
    WorkflowDefinition,
    WorkflowVersion,
    utcnow,
)
from comfynb.widgets import ParameterForm, mimebundle, parameters_table, shared_view
from comfynb.workbench.jobs import JobHandle, JobList

if TYPE_CHECKING:
    from comfynb.workbench.core import Workbench

__all__ = ["Parameters", "Workflow"]

FILE_TYPES = frozenset({ParamType.IMAGE_PATH, ParamType.VIDEO_PATH})


class Parameters(Mapping[str, ExposedParameter]):
    """What can be set, by the name that ``wf.run`` takes; shows itself as a typed table."""

    def __init__(self, parameters: Mapping[str, ExposedParameter]) -> None:
        self._parameters = dict(parameters)

    def __getitem__(self, key: str) -> ExposedParameter:
        return self._parameters[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._parameters)

    def __len__(self) -> int:
        return len(self._parameters)

    def _ipython_key_completions_(self) -> list[str]:
        return list(self._parameters)

    def __repr__(self) -> str:
        return parameters_table(self._parameters).plain()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        shown = parameters_table(self._parameters)
        return {"text/plain": shown.plain(), "text/html": shown._repr_html_()}


class Workflow:
    """One workflow: what it needs, what can be set, and how it is run."""

    def __init__(
        self, workbench: "Workbench", definition: WorkflowDefinition, source: LoadedWorkflow | None
    ) -> None:
        self._workbench = workbench
        self._definition = definition
        self._source = source
        self._report: ConversionReport | None = None
        self._prepared = source is None
        self._version: WorkflowVersion | None = None
        self._keys: ParameterKeys | None = None

    @property
    def id(self) -> str:
        """Its id, as in the store."""
        return self._definition.id

    @property
    def name(self) -> str:
        """What people call it."""
        return self._definition.name

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

    @property
    def parameters(self) -> Parameters:
        """What can be set: name, type, default, and what is allowed."""
        self._prepare()
        return Parameters(self._parameter_keys())

    # Getting ready ----------------------------------------------------------------------------

    def _object_info(self, wanted: Iterable[str] = ()) -> ObjectInfo:
        return self._workbench.reference_object_info(wanted)

    def _prepare(self) -> None:
        """Convert it and propose parameters: done when first needed, since it asks a backend."""
        if self._prepared or self._source is None:
            return
        source = self._source
        if source.prompt is not None:
            prompt = source.prompt
            object_info = self._object_info(_classes(prompt))
        else:
            object_info = self._object_info()
            conversion = convert(source.workflow or {}, object_info)
            prompt = conversion.prompt
            self._report = conversion.report
        if not prompt:
            raise WorkflowError(f"{self.name} has no node that would run.")
        self._definition.api_json = prompt
        self._definition.workflow_json = source.workflow or {}
        self._definition.exposed_parameters = propose_parameters(
            prompt, object_info, source.workflow
        )
        self._prepared = True

    def _parameter_keys(self) -> ParameterKeys:
        if self._keys is None:
            self._keys = parameter_keys(self._definition.exposed_parameters)
        return self._keys

    def expose(self, place: str, *, name: str | None = None) -> ExposedParameter:
        """Make one more input settable: "KSampler.seed", or "3.seed" by node id.

        Raises:
            NotFound: no node has such a title, class or id, or it has no such input.
            UsageError: several nodes are called so; the message lists their ids.
        """
        self._prepare()
        title, dot, input_name = place.rpartition(".")
        if not dot:
            raise UsageError(f'{place!r} names no node: write it like "KSampler.seed".')
        prompt = self._definition.api_json
        nodes = [
            node_id
            for node_id, node in prompt.items()
            if title in {node_id, (node.get("_meta") or {}).get("title"), node.get("class_type")}
        ]
        if not nodes:
            raise NotFound(f"{self.name} has no node called {title!r}.")
        if len(nodes) > 1:
            raise UsageError(f"Several nodes are called {title!r}: use one of the ids {nodes}.")
        parameter = parameter_for(prompt, self._object_info(_classes(prompt)), nodes[0], input_name)
        parameter.order = len(self._definition.exposed_parameters)
        if name is not None:
            parameter.display_name = name
        kept = [p for p in self._definition.exposed_parameters if p.id != parameter.id]
        self._definition.exposed_parameters = [*kept, parameter]
        self._keys = None
        return parameter

    def hide(self, name: str) -> None:
        """Make a parameter no longer settable."""
        hidden = self._find(name)[1]
        self._definition.exposed_parameters = [
            p for p in self._definition.exposed_parameters if p.id != hidden.id
        ]
        self._keys = None

    def save(self) -> "Workflow":
        """Store it; ``wb.workflows[name]`` finds it again."""
        self._save()
        return self

    def _save(self) -> WorkflowVersion:
        self._prepare()
        definition = self._definition
        store = self._workbench.store
        version = version_of(
            definition.id, self._next_number(), definition.workflow_json, definition.api_json
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

    # Values -----------------------------------------------------------------------------------

    def _find(self, name: str) -> tuple[str, ExposedParameter]:
        keys = self._parameter_keys()
        parameter = keys.find(name)
        return keys.key_of(parameter), parameter

    def _checked(self, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Path]]:
        checked: dict[str, Any] = {}
        files: dict[str, Path] = {}
        for name, value in values.items():
            key, parameter = self._find(name)
            if parameter.param_type in FILE_TYPES:
                checked[key], kept = self._file_value(parameter, value)
                if kept is not None:
                    files[key] = kept
            else:
                checked[key] = check_value(parameter, value)
        return checked, files

    def _file_value(self, parameter: ExposedParameter, value: Any) -> tuple[str, Path | None]:
        """A file on this machine is kept and uploaded later; else it must be on the backend."""
        if not isinstance(value, str | Path):
            raise InvalidValue(
                f"{parameter.display_name} needs a file name, not {type(value).__name__}."
            )
        path = Path(value).expanduser()
        choices = (parameter.constraints.choices if parameter.constraints else None) or []
        if str(value) not in choices and path.is_file():
            kept = self._workbench.inputs.keep(path)
            return str(kept), kept
        annotated = re.search(r" \[(input|output|temp)\]$", str(value))
        if str(value) in choices or annotated or str(value) == parameter.default_value:
            return str(value), None
        raise InvalidValue(
            f"{parameter.display_name}: {str(value)!r} is neither a file here nor one that the "
            "backend has; give the path of an existing file."
        )

    def check(self, **values: Any) -> list[Problem]:
        """What would keep it from running, on the backend that fits best; empty if nothing."""
        self._prepare()
        checked, files = self._checked(values)
        prompt = self._bound(checked, files)
        judged = [
            check_prompt(prompt, ObjectInfo(info))
            for _, info in self._workbench.known_object_infos()
        ]
        if not judged:
            judged = [check_prompt(prompt, self._object_info(_classes(prompt)))]
        return min(judged, key=len)

    def _bound(self, values: Mapping[str, Any], files: Mapping[str, Path]) -> dict[str, Any]:
        prompt = dict(self._definition.api_json)
        keys = self._parameter_keys()
        for key, value in values.items():
            parameter = keys[key]
            node = prompt[parameter.node_id]
            inputs = dict(node["inputs"])
            # A file is uploaded later: what is on the backend now says nothing about it.
            inputs[parameter.field_name] = parameter.default_value if key in files else value
            prompt[parameter.node_id] = {**node, "inputs": inputs}
        return prompt

    # Running ----------------------------------------------------------------------------------

    def run(
        self,
        values: Mapping[str, Any] | None = None,
        *,
        backend: str | None = None,
        fallback: str | FallbackStrategy = FallbackStrategy.NONE,
        **more: Any,
    ) -> JobHandle:
        """Start it and return at once; the job is in the store by then.

        Values are given by parameter name, ``wf.run(seed=3)``, or as a dict where a name is no
        Python word. ``backend`` names the one to use; ``fallback`` says what to do if it cannot:
        "none" fails with the reason, "auto" takes another one, "ask_user" waits for it.

        Raises:
            UsageError: there is no backend, or no such parameter.
            InvalidValue: a value that is not allowed; nothing was stored or sent.
            UnknownNodeClass: no backend has all the node classes that it needs.
        """
        return self.run_many([{**(values or {}), **more}], backend=backend, fallback=fallback)[0]

    def run_many(
        self,
        points: Sequence[Mapping[str, Any]],
        *,
        backend: str | None = None,
        fallback: str | FallbackStrategy = FallbackStrategy.NONE,
    ) -> JobList:
        """Start one job for each dict of values, all in one transaction; see :meth:`run`."""
        self._prepare()
        workbench = self._workbench
        if not len(workbench.backends):
            raise UsageError('There is no backend yet: wb.backends.add("http://gpu1:8188").')
        target = workbench.backends[backend] if backend is not None else None
        checked = [self._checked(point) for point in points]
        self._refuse_hopeless(checked[0] if checked else ({}, {}), target.id if target else None)
        version = self._save()
        bindings = {k: (p.node_id, p.field_name) for k, p in self._parameter_keys().items()}
        choices = self._choices()
        plans = [
            RunPlan(
                version=version,
                name=self.name,
                values=values,
                bindings=bindings,
                choices=choices,
                files=files,
                backend_id=target.id if target else None,
                fallback=FallbackStrategy(fallback),
                capabilities=self._definition.required_capabilities,
            )
            for values, files in checked
        ]
        return JobList(workbench.submit(plans))

    def _choices(self) -> set[str]:
        """Inputs whose value must be in a backend's list, as "node id/input name"."""
        prompt = self._definition.api_json
        object_info = self._object_info(_classes(prompt))
        found = set()
        for node_id, node in prompt.items():
            known = object_info.node(str(node["class_type"]))
            for name, value in node.get("inputs", {}).items():
                spec = known.inputs.get(name) if known is not None else None
                if not isinstance(value, str) or spec is None or spec.choices is None:
                    continue
                if spec.upload is None:
                    found.add(f"{node_id}/{name}")
        return found

    def _refuse_hopeless(
        self, point: tuple[Mapping[str, Any], Mapping[str, Path]], backend_id: str | None
    ) -> None:
        """Say now what every backend that could run it would say later."""
        prompt = self._bound(*point)
        infos = [
            (live, info)
            for live, info in self._workbench.known_object_infos()
            if backend_id in {None, live.id}
        ]
        if not infos:
            return
        problems: list[Problem] = []
        for live, info in infos:
            known = ObjectInfo(info)
            missing = missing_classes(prompt, known)
            found = [] if missing else check_prompt(prompt, known)
            if not missing and not found:
                return
            if missing and len(infos) == 1:
                raise UnknownNodeClass(
                    f"{live.name} has no node class {', '.join(sorted(missing))}, which "
                    f"{self.name} needs: install the node pack there or choose another backend.",
                    classes=sorted(missing),
                )
            problems = found or problems
        if problems:
            where = infos[0][0].name if len(infos) == 1 else "every backend"
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise InvalidValue(f"{where} would refuse {self.name}: {problems[0].message}{more}")
        raise UnknownNodeClass(
            f"No backend has all the node classes that {self.name} needs: "
            f"{', '.join(sorted(_classes(prompt)))}.",
            classes=sorted(_classes(prompt)),
        )

    # Showing ----------------------------------------------------------------------------------

    def form(self) -> ParameterForm:
        """A form of its parameters with a Run button; the jobs it starts appear beneath it."""
        self._prepare()

        def run(values: Mapping[str, Any]) -> Any:
            return self.run(values).row()

        def check(parameter: ExposedParameter, value: Any) -> Any:
            if parameter.param_type in FILE_TYPES:
                return value
            return check_value(parameter, value)

        return ParameterForm(
            self._parameter_keys(),
            title=self.name,
            on_run=run,
            check=check,
            upload=self._workbench.keep_upload,
            fetch=self._workbench.fetch_input,
        )

    def __repr__(self) -> str:
        if not self._prepared:
            return f"<Workflow {self.name}, not read yet>"
        names = ", ".join(self._parameter_keys())
        return f"<Workflow {self.name}: {len(self._definition.api_json)} nodes; {names}>"

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        form = shared_view(self, self.form)
        return mimebundle(form, repr(self), form.static_html())


def _classes(prompt: Mapping[str, Any]) -> set[str]:
    return {str(node.get("class_type")) for node in prompt.values() if isinstance(node, Mapping)}
