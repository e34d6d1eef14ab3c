"""What a workflow takes and gives: its loaders' files, its parameters, its output nodes."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from comfynb.comfy.keys import parameter_keys
from comfynb.comfy.object_info import InputSpec, NodeClass, ObjectInfo
from comfynb.models import DataType, ExposedParameter, ParamType, WorkflowDefinition

__all__ = ["TRIGGER", "WorkflowInput", "WorkflowOutput", "WorkflowPorts", "workflow_ports"]

TRIGGER: Final = "trigger"
"""The input port that carries order only; every node that can wait has it."""

# ComfyUI's loaders that read "name [output]" as well as names in the input folder. Any other class
# may look for the words in its input folder and refuse them, so its files are uploaded.
_ANNOTATED: Final = frozenset(
    {"LoadImage", "LoadImageMask", "LoadImageOutput", "LoadVideo", "LoadAudio", "LoadLatent"}
)
_LOADERS: Final[Mapping[tuple[str, str], DataType]] = {
    ("LoadImage", "image"): DataType.IMAGE,
    ("LoadImageMask", "image"): DataType.IMAGE,
    ("LoadImageOutput", "image"): DataType.IMAGE,
    ("LoadVideo", "file"): DataType.VIDEO,
    ("VHS_LoadVideo", "video"): DataType.VIDEO,
    ("LoadLatent", "latent"): DataType.LATENT,
}
_SAVERS: Final[Mapping[str, DataType]] = {
    "SaveImage": DataType.IMAGE,
    "PreviewImage": DataType.IMAGE,
    "SaveAnimatedWEBP": DataType.VIDEO,
    "SaveAnimatedPNG": DataType.VIDEO,
    "SaveWEBM": DataType.VIDEO,
    "SaveVideo": DataType.VIDEO,
    "VHS_VideoCombine": DataType.VIDEO,
    "SaveLatent": DataType.LATENT,
}
_UPLOADS: Final[Mapping[str, DataType]] = {
    "image": DataType.IMAGE,
    "video": DataType.VIDEO,
    "audio": DataType.ANY,
    "file": DataType.ANY,
}
_FLOWING: Final[Mapping[str, DataType]] = {
    "IMAGE": DataType.IMAGE,
    "VIDEO": DataType.VIDEO,
    "LATENT": DataType.LATENT,
}
_FILE_PARAMETERS: Final = {
    ParamType.IMAGE_PATH: DataType.IMAGE,
    ParamType.VIDEO_PATH: DataType.VIDEO,
}


@dataclass(frozen=True, slots=True)
class WorkflowInput:
    """One thing of a workflow that a connection can set: a loader's file, or a parameter."""

    name: str
    """The port's name."""
    label: str
    data_type: DataType
    node_id: str
    """ComfyUI's node id."""
    input_name: str
    param: str = ""
    """The parameter's type ("int", "float", ...); "file" where a file is wanted."""
    annotated: bool = False
    """Whether the loader reads "name [output]"."""
    required: bool = False

    @property
    def takes_files(self) -> bool:
        """Whether it is a loader's file name rather than a value."""
        return self.param == "file"


@dataclass(frozen=True, slots=True)
class WorkflowOutput:
    """One output node of a workflow."""

    name: str
    label: str
    data_type: DataType
    node_id: str


@dataclass(frozen=True, slots=True)
class WorkflowPorts:
    """What one version of a workflow takes and gives; frozen into a job's snapshot as JSON."""

    name: str
    """What people call the workflow."""
    inputs: tuple[WorkflowInput, ...] = ()
    outputs: tuple[WorkflowOutput, ...] = ()

    def input(self, port: str) -> WorkflowInput | None:
        """The input of that name; "input" means the only file input where there is one."""
        for each in self.inputs:
            if each.name == port:
                return each
        files = [each for each in self.inputs if each.takes_files]
        return files[0] if port == "input" and len(files) == 1 else None

    def output(self, port: str) -> WorkflowOutput | None:
        """The output of that name; "output" means the only one where there is one."""
        for each in self.outputs:
            if each.name == port:
                return each
        return self.outputs[0] if port == "output" and len(self.outputs) == 1 else None

    def to_json(self) -> dict[str, Any]:
        """As :meth:`from_json` reads it."""
        return {
            "name": self.name,
            "inputs": [
                {
                    "name": each.name,
                    "label": each.label,
                    "type": each.data_type.value,
                    "node": each.node_id,
                    "input": each.input_name,
                    "param": each.param,
                    "annotated": each.annotated,
                    "required": each.required,
                }
                for each in self.inputs
            ],
            "outputs": [
                {
                    "name": each.name,
                    "label": each.label,
                    "type": each.data_type.value,
                    "node": each.node_id,
                }
                for each in self.outputs
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Read what a snapshot holds."""
        return cls(
            str(data.get("name", "workflow")),
            tuple(
                WorkflowInput(
                    each["name"],
                    each["label"],
                    DataType(each["type"]),
                    each["node"],
                    each["input"],
                    each.get("param", ""),
                    bool(each.get("annotated")),
                    bool(each.get("required")),
                )
                for each in data.get("inputs", ())
            ),
            tuple(
                WorkflowOutput(each["name"], each["label"], DataType(each["type"]), each["node"])
                for each in data.get("outputs", ())
            ),
        )


def workflow_ports(
    definition: WorkflowDefinition, object_info: Mapping[str, Any] | ObjectInfo | None = None
) -> WorkflowPorts:
    """The ports of a workflow: files of its loaders, its exposed parameters, its output nodes.

    Names are stable: a parameter's key (``steps``), else the node's title and id
    (``load_image_12``). Without ``object_info`` only ComfyUI's own loaders and savers are known.
    """
    info = object_info if isinstance(object_info, ObjectInfo) else ObjectInfo(object_info or {})
    prompt = definition.api_json
    inputs: dict[tuple[str, str], WorkflowInput] = {}
    for key, parameter in parameter_keys(definition.exposed_parameters).items():
        place = (parameter.node_id, parameter.field_name)
        inputs[place] = _parameter_port(key, parameter, prompt, info)
    for node_id, node in prompt.items():
        for name, data_type in _loader_inputs(node, info):
            if (node_id, name) not in inputs:
                inputs[node_id, name] = WorkflowInput(
                    f"{_slug(_title(node_id, node))}_{_slug(node_id)}",
                    _title(node_id, node),
                    data_type,
                    node_id,
                    name,
                    "file",
                    str(node.get("class_type")) in _ANNOTATED,
                    _is_open(node, name, info),
                )
    files_first = sorted(inputs.values(), key=lambda each: not each.takes_files)
    return WorkflowPorts(
        definition.name, _unique(files_first), tuple(_workflow_outputs(prompt, info))
    )


def _parameter_port(
    key: str, parameter: ExposedParameter, prompt: Mapping[str, Any], info: ObjectInfo
) -> WorkflowInput:
    node = prompt.get(parameter.node_id, {})
    loads = dict(_loader_inputs(node, info))
    data_type = loads.get(parameter.field_name) or _FILE_PARAMETERS.get(parameter.param_type)
    return WorkflowInput(
        key,
        parameter.display_name,
        data_type or DataType.ANY,
        parameter.node_id,
        parameter.field_name,
        "file" if data_type is not None else parameter.param_type.value,
        str(node.get("class_type")) in _ANNOTATED,
        data_type is not None and _is_open(node, parameter.field_name, info),
    )


def _loader_inputs(node: Mapping[str, Any], info: ObjectInfo) -> Iterator[tuple[str, DataType]]:
    name = str(node.get("class_type"))
    known = info.node(name)
    for field, value in node.get("inputs", {}).items():
        if isinstance(value, list):
            continue
        spec = known.inputs.get(field) if known is not None else None
        data_type = _LOADERS.get((name, field))
        if data_type is None and spec is not None and spec.upload is not None:
            data_type = _UPLOADS.get(spec.upload)
        if data_type is not None:
            yield field, data_type


def _is_open(node: Mapping[str, Any], field: str, info: ObjectInfo) -> bool:
    """Whether the workflow itself names no file that could be loaded."""
    value = node.get("inputs", {}).get(field)
    if not isinstance(value, str) or not value:
        return True
    known = info.node(str(node.get("class_type")))
    spec: InputSpec | None = known.inputs.get(field) if known is not None else None
    if spec is None or spec.choices is None or re.search(r" \[(input|output|temp)\]$", value):
        return False
    return value not in spec.choices


def _workflow_outputs(prompt: Mapping[str, Any], info: ObjectInfo) -> Iterator[WorkflowOutput]:
    for node_id, node in prompt.items():
        name = str(node.get("class_type"))
        known = info.node(name)
        if name in _SAVERS or (known is not None and known.is_output):
            title = _title(node_id, node)
            data_type = _SAVERS.get(name) or _saved_type(known)
            yield WorkflowOutput(f"{_slug(title)}_{_slug(node_id)}", title, data_type, node_id)


def _saved_type(known: NodeClass | None) -> DataType:
    """What an output node of a foreign class is likely to leave: what it takes."""
    types = [_FLOWING[s.type] for s in known.inputs.values() if s.type in _FLOWING] if known else []
    return types[0] if len(set(types)) == 1 else DataType.ANY


def _title(node_id: str, node: Mapping[str, Any]) -> str:
    return str((node.get("_meta") or {}).get("title") or node.get("class_type") or node_id)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_") or "node"


def _unique(inputs: list[WorkflowInput]) -> tuple[WorkflowInput, ...]:
    """Loaders of one node with two file inputs, or a title that reads as another's key."""
    taken: set[str] = {TRIGGER}
    result = []
    for each in inputs:
        name, number = each.name, 1
        while name in taken:
            number += 1
            name = f"{each.name}_{number}"
        taken.add(name)
        result.append(replace(each, name=name))
    return tuple(result)
