"""What a notebook of the browser tests imports to see an official template: no server is asked."""

import copy
import json
from pathlib import Path
from typing import Any

from comfynb import Workbench
from comfynb.workbench.workflows import Workflow

MODELS = 300


def open_template(template: str, object_info: str) -> tuple[Workbench, Workflow]:
    """The template on two backends that are known and switched off; the second lacks models."""
    info = json.loads(Path(object_info).read_text("utf-8"))
    wb = Workbench("templates.duckdb")
    for port, name in ((1, "PC1"), (2, "PC2")):
        wb.backends.add(f"http://127.0.0.1:{port}", name=name, check=False)
    first, second = wb.engine.backends.values()
    first.object_info = second.object_info = info
    wf = wb.workflows.load(template)
    first.object_info = with_models(info, wf.api_json, range(MODELS))
    second.object_info = with_models(info, wf.api_json, range(0, MODELS, 2))
    return wb, wf


def with_models(info: dict[str, Any], prompt: dict[str, Any], numbers: range) -> dict[str, Any]:
    """The same node classes, with long lists of models wherever the prompt names one."""
    made = copy.deepcopy(info)
    for node in prompt.values():
        declared = made[node["class_type"]]["input"]
        for name, value in node["inputs"].items():
            if not str(value).endswith(".safetensors"):
                continue
            models = [value, *(f"models/model_v{number:03}.safetensors" for number in numbers)]
            for group in declared.values():
                if isinstance(group, dict) and name in group:
                    options = group[name][1] if len(group[name]) > 1 else {}
                    group[name] = [models, {k: v for k, v in options.items() if k != "options"}]
    return made
