"""What a prompt asks of the backends that may run it: node classes, listed choices, files."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from comfynb.comfy.check import check_prompt, missing_classes
from comfynb.comfy.choices import own_spelling, respell
from comfynb.comfy.object_info import ObjectInfo
from comfynb.comfy.problems import Problem
from comfynb.errors import InvalidValue, UnknownNodeClass
from comfynb.workbench.texts import Place

__all__ = ["classes_of", "listed_choices", "refuse_hopeless", "scarce_files"]

Prompt = Mapping[str, Any]
Infos = Sequence[tuple[str, Mapping[str, Any]]]
"""Names of backends with their node classes."""


def classes_of(prompt: Prompt) -> set[str]:
    """The node classes in a prompt."""
    return {str(node.get("class_type")) for node in prompt.values() if isinstance(node, Mapping)}


def listed_choices(prompt: Prompt, object_info: ObjectInfo) -> set[str]:
    """Inputs whose value must be in a backend's list, as "node id/input name"."""
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


def scarce_files(
    prompt: Prompt, infos: Infos
) -> Callable[[Mapping[Place, Any], set[Place]], frozenset[str]]:
    """Finds input files that lie on some backends only: the job must go to one of those.

    The answer is a function of the values by place, and of the places whose file will be uploaded.
    A file that no backend lists may have been put there meanwhile, and is left to the server.
    """
    parsed = [ObjectInfo(info) for _, info in infos]
    lists: dict[Place, list[tuple[Any, ...]]] = {}
    for node_id, node in prompt.items():
        classes = [info.node(str(node["class_type"])) for info in parsed]
        for name in node.get("inputs", {}):
            specs = [known.inputs.get(name) for known in classes if known is not None]
            found = [s.choices for s in specs if s is not None and s.upload and s.choices]
            if found:
                lists[node_id, name] = found

    @functools.cache
    def is_scarce(place: Place, value: str) -> bool:
        having = sum(own_spelling(value, choices) is not None for choices in lists[place])
        return 0 < having < len(lists[place])

    def scarce(values: Mapping[Place, Any], kept: set[Place]) -> frozenset[str]:
        found = set()
        for place in lists.keys() - kept:
            value = values.get(place, prompt[place[0]]["inputs"][place[1]])
            if isinstance(value, str) and is_scarce(place, value):
                found.add("/".join(place))
        return frozenset(found)

    return scarce


def refuse_hopeless(name: str, prompt: Prompt, infos: Infos) -> None:
    """Say now of the workflow ``name`` what every backend would say later; nothing if one runs it.

    Raises:
        InvalidValue: all refuse it; the message has the first reason.
        UnknownNodeClass: none has all the node classes that it needs.
    """
    if not infos:
        return
    problems: list[Problem] = []
    for backend, info in infos:
        known = ObjectInfo(info)
        missing = missing_classes(prompt, known)
        found = [] if missing else check_prompt(respell(prompt, known), known)
        if not missing and not found:
            return
        if missing and len(infos) == 1:
            raise UnknownNodeClass(
                f"{backend} has no node class {', '.join(sorted(missing))}, which "
                f"{name} needs: install the node pack there or choose another backend.",
                classes=sorted(missing),
            )
        problems = found or problems
    if problems:
        where = infos[0][0] if len(infos) == 1 else "every backend"
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise InvalidValue(f"{where} would refuse {name}: {problems[0].message}{more}")
    raise UnknownNodeClass(
        f"No backend has all the node classes that {name} needs: "
        f"{', '.join(sorted(classes_of(prompt)))}.",
        classes=sorted(classes_of(prompt)),
    )
