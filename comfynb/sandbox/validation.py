"""Checking a prompt before it is queued: the same findings, in the same words, as ComfyUI's."""

import sys
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from comfynb.sandbox.catalogue import Catalogue, find_input
from comfynb.sandbox.node import Context
from comfynb.sandbox.versions import server_version

__all__ = ["Verdict", "type_name", "types_fit", "validate_prompt"]

Finding = dict[str, Any]

# Beyond this many options a finding tells only how many there are.
_LISTED_OPTIONS = 20

_COERCE: dict[str, Callable[[Any], Any]] = {
    "INT": int,
    "FLOAT": float,
    "STRING": str,
    "BOOLEAN": bool,
}


@dataclass(slots=True)
class Verdict:
    """What became of a prompt: its valid outputs, or the error that refuses all of it.

    ``node_errors`` may be filled although the prompt is accepted: outputs that failed are dropped.
    """

    error: Finding | None = None
    outputs: list[str] = field(default_factory=list)
    node_errors: dict[str, dict[str, Any]] = field(default_factory=dict)


@dataclass(slots=True)
class _Checked:
    valid: bool
    findings: list[Finding]


def validate_prompt(
    prompt: Any, catalogue: Catalogue, ctx: Context, targets: Iterable[str] | None = None
) -> Verdict:
    """Check an API prompt; literal inputs are coerced in place, as ComfyUI does.

    ``targets`` limits it to these output nodes (``partial_execution_targets``). A prompt that is
    no dictionary of dictionaries raises TypeError: the server answers 500 to it.
    """
    outputs = []
    for node_id in prompt:
        node = prompt[node_id]
        if "class_type" not in node:
            return Verdict(
                _finding(
                    "invalid_prompt",
                    "Cannot execute because a node is missing the class_type property.",
                    f"Node ID '#{node_id}'",
                )
            )
        if node["class_type"] not in catalogue:
            return Verdict(
                _finding(
                    "invalid_prompt",
                    f"Cannot execute because node {node['class_type']} does not exist.",
                    f"Node ID '#{node_id}'",
                )
            )
        if catalogue[node["class_type"]].OUTPUT_NODE and (targets is None or node_id in targets):
            outputs.append(node_id)
    if not outputs:
        return Verdict(_finding("prompt_no_outputs", "Prompt has no outputs", ""))
    return _Validator(prompt, catalogue, ctx).judge(outputs)


class _Validator:
    def __init__(self, prompt: dict[str, Any], catalogue: Catalogue, ctx: Context) -> None:
        self._prompt = prompt
        self._catalogue = catalogue
        self._ctx = ctx
        self._checks_new_combos = server_version(ctx.version).checks_new_combos
        self._checked: dict[str, _Checked] = {}
        self._visiting: set[str] = set()

    def judge(self, outputs: list[str]) -> Verdict:
        verdict = Verdict()
        failed: list[Finding] = []
        for output in outputs:
            try:
                result = self._check(output)
            except Exception as problem:  # noqa: BLE001 - whatever it is, it becomes a finding
                result = self._checked[output] = _Checked(
                    valid=False,
                    findings=[
                        _finding(
                            "exception_during_validation",
                            "Exception when validating node",
                            str(problem),
                            exception_type=type_name(type(problem)),
                            traceback=_traceback(),
                        )
                    ],
                )
            if result.valid:
                verdict.outputs.append(output)
                continue
            failed += result.findings
            self._attribute(output, verdict.node_errors)
        if not verdict.outputs:
            verdict.error = _finding(
                "prompt_outputs_failed_validation",
                "Prompt outputs failed validation",
                "\n".join(f"{f['message']}: {f['details']}" for f in failed),
            )
        return verdict

    def _attribute(self, output: str, node_errors: dict[str, dict[str, Any]]) -> None:
        # Every node found faulty so far counts against this output, upstream of it or not:
        # that is how ComfyUI reports it.
        for node_id, checked in self._checked.items():
            if checked.valid or not checked.findings:
                continue
            entry = node_errors.setdefault(
                node_id,
                {
                    "errors": checked.findings,
                    "dependent_outputs": [],
                    "class_type": self._prompt[node_id]["class_type"],
                },
            )
            entry["dependent_outputs"].append(output)

    def _check(self, node_id: str) -> _Checked:
        known = self._checked.get(node_id)
        if known is not None:
            return known
        if node_id in self._visiting:
            # A cycle. The versions played here report it without any finding.
            return _Checked(valid=False, findings=[])
        self._visiting.add(node_id)
        try:
            result = self._check_inputs(node_id)
        finally:
            self._visiting.discard(node_id)
        self._checked[node_id] = result
        return result

    def _check_inputs(self, node_id: str) -> _Checked:
        given = self._prompt[node_id]["inputs"]
        name = self._prompt[node_id]["class_type"]
        declared = self._catalogue.inputs(name, self._ctx)
        own_checks = self._catalogue.own_checks(name)
        findings: list[Finding] = []
        valid = True
        for category in ("required", "optional"):
            for key in declared.get(category, {}):
                if key not in given:
                    if category == "required":
                        findings.append(
                            _finding(
                                "required_input_missing",
                                "Required input is missing",
                                key,
                                input_name=key,
                            )
                        )
                    continue
                spec = find_input(declared, key)
                assert spec is not None
                kind, _, options = spec
                if isinstance(given[key], list):
                    finding, upstream_valid = self._check_link(key, given[key], kind, options)
                    valid = valid and upstream_valid
                else:
                    skip_range = own_checks is None or key in own_checks
                    finding = self._check_literal(given, key, kind, options, skip_range=skip_range)
                if finding is not None:
                    findings.append(finding)
        findings += self._ask_class(node_id, declared, own_checks)
        return _Checked(valid=valid and not findings, findings=findings)

    def _check_link(
        self, key: str, link: list[Any], kind: Any, options: dict[str, Any]
    ) -> tuple[Finding | None, bool]:
        config = (kind, options)
        if len(link) != 2:
            return (
                _finding(
                    "bad_linked_input",
                    "Bad linked input, must be a length-2 list of [node_id, slot_index]",
                    key,
                    input_name=key,
                    input_config=config,
                    received_value=link,
                ),
                True,
            )
        source = link[0]
        outputs = self._catalogue[self._prompt[source]["class_type"]].OUTPUTS
        received = outputs[link[1]][0]
        if not types_fit(received, kind):
            return (
                _finding(
                    "return_type_mismatch",
                    "Return type mismatch between linked nodes",
                    f"{key}, received_type({received}) mismatch input_type({kind})",
                    input_name=key,
                    input_config=config,
                    received_type=received,
                    linked_node=link,
                ),
                True,
            )
        try:
            return None, self._check(source).valid
        except Exception as problem:  # noqa: BLE001 - whatever it is, it becomes a finding
            self._checked[source] = _Checked(
                valid=False,
                findings=[
                    _finding(
                        "exception_during_inner_validation",
                        "Exception when validating inner node",
                        str(problem),
                        input_name=key,
                        input_config=config,
                        exception_message=str(problem),
                        exception_type=type_name(type(problem)),
                        traceback=_traceback(),
                        linked_node=link,
                    )
                ],
            )
            return None, False

    def _check_literal(
        self,
        given: dict[str, Any],
        key: str,
        kind: Any,
        options: dict[str, Any],
        *,
        skip_range: bool,
    ) -> Finding | None:
        config = (kind, options)
        value = given[key]
        if isinstance(value, dict) and "__value__" in value:
            value = given[key] = value["__value__"]
        coerce = _COERCE.get(kind) if isinstance(kind, str) else None
        if coerce is not None:
            try:
                value = given[key] = coerce(value)
            except Exception as problem:  # noqa: BLE001 - any failure to convert is the finding
                return _finding(
                    "invalid_input_type",
                    f"Failed to convert an input value to a {kind} value",
                    f"{key}, {value}, {problem}",
                    input_name=key,
                    input_config=config,
                    received_value=value,
                    exception_message=str(problem),
                )
        if skip_range:
            return None
        facts = {"input_name": key, "input_config": config, "received_value": value}
        if "min" in options and value < options["min"]:
            message = f"Value {value} smaller than min of {options['min']}"
            return _finding("value_smaller_than_min", message, key, **facts)
        if "max" in options and value > options["max"]:
            message = f"Value {value} bigger than max of {options['max']}"
            return _finding("value_bigger_than_max", message, key, **facts)
        checked = isinstance(kind, list) or (kind == "COMBO" and self._checks_new_combos)
        choices = kind if isinstance(kind, list) else options.get("options", [])
        if checked and not _chosen(value, choices, options):
            listed = str(choices)
            if len(choices) > _LISTED_OPTIONS:
                listed = f"(list of length {len(choices)})"
                facts["input_config"] = None
            details = f"{key}: '{value}' not in {listed}"
            return _finding("value_not_in_list", "Value not in list", details, **facts)
        return None

    def _ask_class(
        self,
        node_id: str,
        declared: dict[str, dict[str, Any]],
        own_checks: frozenset[str] | None,
    ) -> list[Finding]:
        if own_checks is not None and not own_checks:
            return []
        given = self._prompt[node_id]["inputs"]
        shown = {
            key: None if isinstance(value, list) and len(value) == 2 else value
            for key, value in given.items()
            if find_input(declared, key) is not None and (own_checks is None or key in own_checks)
        }
        node = self._catalogue[self._prompt[node_id]["class_type"]]
        complaint = node.validate(self._ctx, **shown)
        if complaint is None:
            return []
        return [
            _finding(
                "custom_validation_failed",
                "Custom validation failed for node",
                f"{key} - {complaint}",
                input_name=key,
            )
            for key in shown
        ]


def types_fit(received: object, wanted: object) -> bool:
    """Say whether an output of type ``received`` may feed an input of type ``wanted``."""
    if received == wanted or "*" in (received, wanted):
        return True
    if not isinstance(received, str) or not isinstance(wanted, str):
        return False
    return bool(_type_set(received) & _type_set(wanted))


def type_name(kind: type) -> str:
    """Return an exception type's name as it goes over the wire."""
    if kind.__module__ == "builtins":
        return kind.__qualname__
    return f"{kind.__module__}.{kind.__qualname__}"


def _type_set(text: str) -> set[str]:
    return {part.strip() for part in text.split(",")}


def _chosen(value: Any, choices: list[Any], options: dict[str, Any]) -> bool:
    if options.get("multiselect") and isinstance(value, list):
        return all(item in choices for item in value)
    return value in choices


def _finding(kind: str, message: str, details: str, **extra: Any) -> Finding:
    return {"type": kind, "message": message, "details": details, "extra_info": extra}


def _traceback() -> list[str]:
    return traceback.format_tb(sys.exc_info()[2])
