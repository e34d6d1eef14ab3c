"""The form of a workflow on a canvas: a parameter form whose every edit is told, without Run."""

from collections.abc import Callable, Mapping

from comfynb.models import ExposedParameter
from comfynb.widgets.fields.base import Check, Field
from comfynb.widgets.fields.file import Fetch, Upload
from comfynb.widgets.form import ParameterForm

__all__ = ["NodeForm"]


class NodeForm(ParameterForm):
    """``edited(key, value)`` hears of each value that is right; None means back to the default."""

    def __init__(
        self,
        parameters: Mapping[str, ExposedParameter],
        values: Mapping[str, object],
        edited: Callable[[str, object], None],
        *,
        check: Check,
        upload: Upload | None = None,
        fetch: Fetch | None = None,
    ) -> None:
        self._edited = edited
        super().__init__(parameters, values, check=check, upload=upload, fetch=fetch)
        self._run.layout.display = "none"

    def _changed(self, key: str, edited: Field) -> None:
        super()._changed(key, edited)
        if edited.right:
            default = self._parameters[key].default_value
            same = type(edited.value) is type(default) and edited.value == default
            self._edited(key, None if same else edited.value)
