"""``wf.check()``: what would keep a workflow from running, on which backend, in one table."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, overload

from comfynb.comfy.check import check_prompt, missing_files
from comfynb.comfy.choices import own_spelling, respell
from comfynb.comfy.convert import ConversionReport
from comfynb.comfy.declared import declared_input
from comfynb.comfy.object_info import ObjectInfo
from comfynb.comfy.problems import Problem, node_label, shorten
from comfynb.errors import InvalidValue
from comfynb.models import ExposedParameter, Job, PromptRecord, PromptStatus, WorkflowDefinition
from comfynb.widgets.tables import StaticTable, check_table

if TYPE_CHECKING:
    from comfynb.engine.backend import LiveBackend
    from comfynb.workbench.core import Workbench

__all__ = ["BackendCheck", "WorkflowCheck", "check_workflow", "refusal"]

_MODEL_FILE = re.compile(
    r"\.(safetensors|sft|ckpt|pt|pt2|pth|bin|gguf|onnx|pkl|engine|patch)$", re.IGNORECASE
)
_NO_MEMORY = "out of memory"
_REMEMBERED = 200
"""Of so many latest prompts that ran out of memory, this workflow's are looked for."""

Prompt = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class BackendCheck:
    """What one backend would say. ``warnings`` do not keep it from running there."""

    backend: str
    problems: list[Problem] = field(default_factory=list)
    warnings: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether it would run there."""
        return not self.problems


class WorkflowCheck(Sequence[Problem]):
    """What would keep a workflow from running; shows itself as a table, a column per backend.

    As a sequence it holds the problems on the backend that fits best, so it is empty, and false,
    when at least one backend would run it: ``if wf.check(): ...`` reads "if there is a problem".
    ``ok`` is the opposite. ``warnings`` are no problems: what the conversion found odd, a backend
    that is offline or that ran out of memory with this workflow before.
    """

    def __init__(
        self, name: str, checks: Sequence[BackendCheck], remarks: Sequence[Problem]
    ) -> None:
        self._name = name
        self._checks = list(checks)
        self._remarks = list(remarks)
        self._best = min(self._checks, key=lambda one: len(one.problems), default=None)

    @property
    def ok(self) -> bool:
        """Whether at least one of the backends would run it."""
        return not self

    @property
    def backends(self) -> list[BackendCheck]:
        """The verdicts one by one."""
        return list(self._checks)

    @property
    def warnings(self) -> list[Problem]:
        """What a person should look at although it would run on the backend that fits best."""
        return [*self._remarks, *(self._best.warnings if self._best is not None else ())]

    def on(self, backend: str) -> BackendCheck | None:
        """The verdict of one backend by its name; None if it was not asked."""
        return next((one for one in self._checks if one.backend == backend), None)

    @overload
    def __getitem__(self, place: int) -> Problem: ...
    @overload
    def __getitem__(self, place: slice) -> list[Problem]: ...
    def __getitem__(self, place: int | slice) -> Problem | list[Problem]:
        return self._problems[place]

    def __len__(self) -> int:
        return len(self._problems)

    def __eq__(self, other: object) -> bool:
        return list(self) == list(other) if isinstance(other, Sequence) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    @property
    def _problems(self) -> list[Problem]:
        return self._best.problems if self._best is not None else []

    def _summary(self) -> str:
        fit = [one.backend for one in self._checks if one.ok]
        if not self._checks:
            return f"{self._name}: no backend was asked."
        if fit:
            return f"{self._name} would run on {', '.join(fit)}."
        where = ", ".join(one.backend for one in self._checks)
        return f"{self._name} would not run on {where}."

    def _table(self) -> StaticTable:
        rows: dict[tuple[str, ...], _Row] = {}
        for one in self._checks:
            for problem in (*one.problems, *one.warnings):
                _row_of(rows, problem).add(one.backend, problem, is_problem=problem in one.problems)
        for remark in self._remarks:
            row = _row_of(rows, remark)
            for one in self._checks:
                row.add(one.backend, remark, is_problem=False)
        names = [one.backend for one in self._checks]
        return check_table(
            names,
            [
                (row.what, row.where, [row.cells.get(name) for name in names], row.text)
                for row in rows.values()
            ],
        )

    def __repr__(self) -> str:
        shown = self._table()
        return f"{self._summary()}\n{shown.plain()}" if len(shown) else self._summary()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        shown = self._table()
        return {
            "text/plain": repr(self),
            "text/html": shown.with_heading(self._summary(), good=self.ok and bool(self._checks)),
        }


_WHAT = {
    "missing_node_type": "node class missing",
    "missing_model": "model missing",
    "value_not_in_list": "not a choice",
    "value_smaller_than_min": "too small",
    "value_bigger_than_max": "too large",
    "invalid_input_type": "wrong type",
    "required_input_missing": "input missing",
    "bad_linked_input": "broken link",
    "return_type_mismatch": "link of another type",
    "dependency_cycle": "circle of links",
    "prompt_no_outputs": "nothing to run",
    "file_missing": "file missing",
    "invalid_value": "value refused",
    "missing_capability": "capability missing",
    "not_enough_vram": "too little VRAM",
    "out_of_memory": "ran out of memory",
    "offline": "offline",
    "disabled": "switched off",
    "unknown_classes": "not asked yet",
    "conversion": "conversion",
}


@dataclass(slots=True)
class _Row:
    """A row of the table: one kind of trouble at one place, on several backends."""

    what: str
    where: str
    text: str = ""
    nodes: list[str] = field(default_factory=list)
    cells: dict[str, bool] = field(default_factory=dict)
    """By backend: True for a problem, False for a warning."""

    def add(self, backend: str, problem: Problem, *, is_problem: bool) -> None:
        label = problem.title or (f"node {problem.node_id}" if problem.node_id else "")
        key = problem.node_id or label
        if problem.kind in _BY_SUBJECT and key not in self.nodes:
            self.nodes.append(key)
            titles = [label] if not self.where else [*self.where.split(", "), label]
            self.where = ", ".join(dict.fromkeys(titles)) if label else self.where
        self.cells[backend] = self.cells.get(backend, False) or is_problem
        if not self.text:
            self.text = problem.message


_BY_SUBJECT = frozenset({"missing_node_type", "missing_model"})
"""Kinds of which one row tells all nodes that need the same thing."""


def _row_of(rows: dict[tuple[str, ...], _Row], problem: Problem) -> _Row:
    key: tuple[str, ...]
    what = _WHAT.get(problem.kind, problem.kind.replace("_", " "))
    if problem.kind == "missing_node_type":
        key = (problem.kind, problem.node_class)
        return rows.setdefault(key, _Row(f"{what}: {problem.node_class}", ""))
    if problem.kind == "missing_model":
        key = (problem.kind, str(problem.value))
        return rows.setdefault(key, _Row(f"{what}: {problem.value}", ""))
    key = (problem.kind, problem.node_id or "", problem.input, str(problem.value))
    where = problem.title or (problem.node_id or "")
    if problem.input:
        where = f"{where} · {problem.input}" if where else problem.input
    return rows.setdefault(key, _Row(what, where))


# Judging --------------------------------------------------------------------------------------


def check_workflow(
    workbench: "Workbench",
    definition: WorkflowDefinition,
    prompt: Prompt,
    *,
    backend: str | None = None,
    report: ConversionReport | None = None,
    refused: Sequence[Problem] = (),
    uploads: Collection[tuple[str, str]] = (),
    vram: float | None = None,
) -> WorkflowCheck:
    """Judge a prompt on one backend, or on every one that is known.

    ``refused`` are values that no backend would be sent; ``uploads`` are the ``(node id, input)``
    whose file will be uploaded before it runs; ``vram`` is what it needs in GiB, where somebody
    knows. A backend that was never asked what its nodes are is asked now if it was named, or if
    there is no other to judge by.

    Raises:
        NotFound: there is no such backend.
        UsageError: there is no backend at all.
        BackendUnreachable: the backend must be asked for its nodes, and does not answer.
    """
    lives = list(workbench.engine.backends.values())
    if backend is not None:
        chosen = workbench.backends[backend].id
        lives = [live for live in lives if live.id == chosen]
        workbench.node_classes.of(lives[0])
    else:
        lives = [live for live in lives if live.config.enabled]
        if not any(live.object_info is not None for live in lives):
            workbench.node_classes.reference(())
    known = {
        live.name: ObjectInfo(live.object_info)
        for live in workbench.engine.backends.values()
        if live.object_info is not None
    }
    exhausted = _exhausted(workbench, definition, [live.id for live in lives])
    checks = []
    for live in lives:
        info = known.get(live.name)
        problems = [*refused, *_capabilities(live, definition, vram)]
        warnings = list(_state(live, exhausted))
        if info is not None:
            # A path may be written with other separators there.
            there = respell(prompt, info)
            judged = check_prompt(there, info, beyond_unknown=True)
            judged += [
                problem
                for problem in missing_files(there, info)
                if (problem.node_id, problem.input) not in uploads
            ]
            problems += [_with_advice(problem, prompt, live, known) for problem in judged]
        elif backend is None:
            # Nothing is known of it: that is no reason to call it unfit, nor fit.
            problems.append(_about(live, "unknown_classes", "has not said yet what its nodes are"))
        checks.append(BackendCheck(live.name, problems, warnings))
    remarks = [
        Problem("conversion", str(remark), remark.node_id, remark.node_class, remark.title,
                remark.input)
        for remark in (report.warnings if report is not None else ())
        if remark.kind != "unknown_class"
    ]  # fmt: skip
    return WorkflowCheck(definition.name, checks, remarks)


def refusal(parameter: ExposedParameter, value: object, error: InvalidValue) -> Problem:
    """A value that its parameter refuses, as a problem among others."""
    return Problem(
        "invalid_value",
        str(error),
        node_id=parameter.node_id,
        title=parameter.node_title,
        input=parameter.field_name,
        value=value,
    )


def _about(live: "LiveBackend", kind: str, what: str) -> Problem:
    return Problem(kind, f"{live.name} {what}.")


def _capabilities(
    live: "LiveBackend", definition: WorkflowDefinition, vram: float | None
) -> Iterable[Problem]:
    lacking = [c for c in definition.required_capabilities if c not in live.config.capabilities]
    for capability in lacking:
        yield Problem(
            "missing_capability",
            f"{live.name} lacks the capability {shorten(capability)}: add it with "
            f"wb.backends[...].change(capabilities=...) if the machine has it.",
            input=capability,
        )
    total = live.status.gpu_memory_total / 1024
    # A card sold with 24 GB reports some 23.5 GiB.
    if vram is not None and total and total < 0.95 * vram:
        yield Problem(
            "not_enough_vram",
            f"{live.name} has {total:.1f} GiB of VRAM, and {vram:g} GiB are needed.",
        )


def _state(live: "LiveBackend", exhausted: Mapping[str, int]) -> Iterable[Problem]:
    if not live.config.enabled:
        yield _about(live, "disabled", "is switched off: wb.backends[...].enable() uses it again")
    elif not live.online and live.seen:
        yield _about(live, "offline", "is offline now; what is known of it is what it said before")
    count = exhausted.get(live.id, 0)
    if count:
        times = "once" if count == 1 else f"{count} times"
        yield _about(
            live,
            "out_of_memory",
            f"ran out of memory with this workflow {times} before: choose a smaller size or batch, "
            "or a backend with more VRAM",
        )


def _exhausted(
    workbench: "Workbench", definition: WorkflowDefinition, backend_ids: list[str]
) -> dict[str, int]:
    """How often this workflow ran out of memory on each backend, as the store remembers."""
    failed = workbench.store.find(
        PromptRecord,
        where={
            "state": PromptStatus.FAILED.value,
            "error_class": _NO_MEMORY,
            "backend_id": backend_ids,
        },
        order_by="-created_at",
        limit=_REMEMBERED,
    ).result()
    if not failed:
        return {}
    jobs = workbench.store.find(Job, where={"id": sorted({p.job_id for p in failed})}).result()
    ours = {
        job.id
        for job in jobs
        if any(node.workflow_id == definition.id for node in job.canvas_snapshot.nodes)
    }
    counts: dict[str, int] = {}
    for record in failed:
        if record.job_id in ours:
            counts[record.backend_id] = counts.get(record.backend_id, 0) + 1
    return counts


def _with_advice(
    problem: Problem, prompt: Prompt, live: "LiveBackend", known: Mapping[str, ObjectInfo]
) -> Problem:
    """Say which other backend has what is missing here; a model gets a kind of its own."""
    if problem.kind == "missing_node_type":
        others = [
            name
            for name, info in known.items()
            if name != live.name and info.node(problem.node_class) is not None
        ]
        return _and_who(problem, others)
    if problem.kind != "value_not_in_list" or not _is_model(problem.value):
        return problem
    others = []
    for name, info in known.items():
        found = _offered(info, problem, prompt)
        if name != live.name and found is not None:
            others.append(name if found == problem.value else f"{name} (as {shorten(found)})")
    label = node_label(prompt, problem.node_id)
    message = f"{label}: {live.name} has no model {shorten(problem.value)} for {problem.input}."
    return _and_who(replace(problem, kind="missing_model", message=message), others)


def _and_who(problem: Problem, others: list[str]) -> Problem:
    if not others:
        return problem
    verb = "has" if len(others) == 1 else "have"
    return replace(problem, message=f"{problem.message} {', '.join(others)} {verb} it.")


def _is_model(value: object) -> bool:
    return isinstance(value, str) and _MODEL_FILE.search(value) is not None


def _offered(info: ObjectInfo, problem: Problem, prompt: Prompt) -> str | None:
    """The model of this name that a backend offers, with whichever separators it writes."""
    node_class = info.node(problem.node_class)
    if node_class is None or problem.node_id is None:
        return None
    spec = declared_input(node_class, prompt[problem.node_id].get("inputs") or {}, problem.input)
    found = own_spelling(problem.value, spec.choices or ()) if spec is not None else None
    return found if isinstance(found, str) else None
