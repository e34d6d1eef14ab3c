"""What ``wf.to_api_json``, ``wf.to_ui_json``, ``wf.to_python`` and ``wf.save_as`` write."""

import copy
import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from comfynb.comfy.convert import convert
from comfynb.comfy.graph import is_link
from comfynb.comfy.object_info import ObjectInfo
from comfynb.comfy.python_code import to_python
from comfynb.comfy.to_ui import to_ui_workflow
from comfynb.comfy.ui_values import with_values
from comfynb.errors import UsageError, WorkflowError

__all__ = ["Exporter", "Format", "format_of"]

Format = Literal["api", "ui", "python"]


class Exporter:
    """Writes one workflow with its current values, in each of the three formats."""

    def __init__(
        self,
        name: str,
        prompt: Mapping[str, Any],
        workflow: Mapping[str, Any],
        values: Mapping[tuple[str, str], Any],
        object_info: ObjectInfo,
    ) -> None:
        self._name = name
        self._workflow = workflow
        self._info = object_info
        self._prompt = copy.deepcopy(dict(prompt))
        for (node_id, field), value in values.items():
            self._prompt[node_id]["inputs"][field] = value

    def api(self) -> dict[str, Any]:
        """The prompt in API format."""
        return copy.deepcopy(self._prompt)

    def ui(self) -> dict[str, Any]:
        """The UI workflow that it came from, with the values in it, or a new one laid out.

        Raises:
            WorkflowError: a value cannot be saved in the UI workflow without changing another.
        """
        values = self._values_in_ui()
        if values is not None:
            return with_values(self._workflow, values, self._info)
        export = to_ui_workflow(self._prompt, self._info)
        # What the prompt leaves out gets its default, on the server as in the front-end.
        lost = [
            change for change in export.changes if change.kind != "input" or change.was != "nothing"
        ]
        if lost:
            raise WorkflowError(
                f"{self._name} cannot be written as a UI workflow without a loss: {lost[0]}"
            )
        return export.workflow

    def _values_in_ui(self) -> dict[tuple[str, str], Any] | None:
        """What the prompt has otherwise than the UI workflow; None if that is more than values.

        A picture carries both, and what was queued may differ from what was on the canvas.
        """
        if not self._workflow:
            return None
        before = convert(self._workflow, self._info).prompt
        if before.keys() != self._prompt.keys():
            return None
        values = {}
        for node_id, node in self._prompt.items():
            ours, theirs = node.get("inputs", {}), before[node_id]["inputs"]
            if before[node_id]["class_type"] != node.get("class_type"):
                return None
            for name in {*ours, *theirs}:
                value, former = ours.get(name), theirs.get(name)
                if json.dumps(value) == json.dumps(former) and (name in ours) == (name in theirs):
                    continue
                if name not in ours or name not in theirs or is_link(value) or is_link(former):
                    return None
                values[node_id, name] = value
        return values

    def python(self) -> str:
        """Python code that builds the prompt."""
        return to_python(self._prompt, name=self._name)

    def write(self, path: str | Path, chosen: Format | None) -> Path:
        """Write a file, whole or not at all; its name says the format unless one is chosen."""
        target = Path(path).expanduser()
        match format_of(target, chosen):
            case "python":
                text = self.python()
            case "ui":
                text = json.dumps(self.ui(), indent=2) + "\n"
            case "api":
                text = json.dumps(self.api(), indent=2) + "\n"
        _write(target, text)
        return target


def format_of(path: Path, chosen: Format | None) -> Format:
    """The format that a file name asks for: ``.py``, ``.api.json``, any other ``.json`` is UI."""
    if chosen is not None:
        if chosen not in {"api", "ui", "python"}:
            raise UsageError(f'There is no format {chosen!r}: choose "api", "ui" or "python".')
        return chosen
    if path.suffix == ".py":
        return "python"
    if path.suffix == ".json":
        stem = path.stem.lower()
        return "api" if stem.endswith((".api", "_api", "-api")) else "ui"
    raise UsageError(
        f"{path.name!r} does not say a format: end it in .json (UI), .api.json or .py, or give "
        "format=."
    )


def _write(target: Path, text: str) -> None:
    problem = None
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:40]}.")
    except OSError as error:
        problem = error.strerror
    if problem is not None:
        raise UsageError(f"{target} cannot be written: {problem}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="surrogatepass", newline="\n") as file:
            file.write(text)
        temporary.chmod(0o644)
        temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
