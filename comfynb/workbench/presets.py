"""``wf.presets``: values of a workflow's parameters under a name, kept in the store."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from comfynb.comfy.problems import shorten, suggest
from comfynb.errors import NotFound, UsageError
from comfynb.models import ExposedParameter, PresetRecord, explain, utcnow
from comfynb.store import Store
from comfynb.widgets import StaticTable

if TYPE_CHECKING:
    from comfynb.workbench.workflows import Workflow

__all__ = ["Presets"]


class Presets(Mapping[str, dict[str, Any]]):
    """``wf.presets["fast"]`` gives values that ``wf.run`` takes; it is always as the store is now.

    Values are kept by place (node and input), so that a preset survives a renamed parameter; what
    is no longer exposed is left out when it is loaded.
    """

    def __init__(self, workflow: "Workflow", store: Store) -> None:
        self._workflow = workflow
        self._store = store

    def save(self, name: str, values: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Keep values under a name, in place of what it was before.

        Parameters that are not named are left to whatever their default is when it is used.

        Raises:
            NotFound: there is no such parameter.
            InvalidValue: a value that is not allowed.
        """
        checked = self._workflow.checked_values({**(values or {}), **more})
        places = {_place(self._workflow.parameters[key]): value for key, value in checked.items()}
        now = utcnow()
        known = self._store.get(PresetRecord, self._workflow.id, name).result()
        try:
            record = PresetRecord(
                workflow_id=self._workflow.id,
                name=name,
                parameter_values=places,
                created_at=known.created_at if known else now,
                updated_at=now,
            )
        except ValidationError as error:
            raise UsageError(explain(error)) from None
        self._workflow.save()
        self._store.put(record).result()

    def load(self, name: str) -> dict[str, Any]:
        """The values that were saved, by parameter name.

        Raises:
            NotFound: there is no such preset.
        """
        record = self._store.get(PresetRecord, self._workflow.id, name).result()
        if record is None:
            names = ", ".join(self) or "none yet"
            raise NotFound(
                f"{self._workflow.name} has no preset {shorten(name)}{suggest(name, self)}; "
                f"there are: {names}."
            )
        by_place = {_place(p): key for key, p in self._workflow.parameters.items()}
        return {
            by_place[place]: value
            for place, value in record.parameter_values.items()
            if place in by_place
        }

    def delete(self, name: str) -> None:
        """Forget a preset.

        Raises:
            NotFound: there is no such preset.
        """
        self.load(name)
        self._store.delete(PresetRecord, self._workflow.id, name).result()

    def __getitem__(self, name: str) -> dict[str, Any]:
        return self.load(name)

    def __delitem__(self, name: str) -> None:
        self.delete(name)

    def __contains__(self, name: object) -> bool:
        return name in list(self)

    def _records(self) -> list[PresetRecord]:
        where = {"workflow_id": self._workflow.id}
        return list(self._store.find(PresetRecord, where=where, order_by="name").result())

    def __iter__(self) -> Iterator[str]:
        return iter([record.name for record in self._records()])

    def __len__(self) -> int:
        return self._store.count(PresetRecord, {"workflow_id": self._workflow.id}).result()

    def _ipython_key_completions_(self) -> list[str]:
        return list(self)

    def _table(self) -> StaticTable:
        by_place = {_place(p): p.display_name for p in self._workflow.parameters.values()}
        return StaticTable(
            ["Preset", "Values"],
            [
                (
                    record.name,
                    ", ".join(
                        f"{by_place.get(place, place)} = {shorten(value, 40)}"
                        for place, value in record.parameter_values.items()
                    ),
                )
                for record in self._records()
            ],
            empty='no presets yet: wf.presets.save("fast", steps=8)',
        )

    def __repr__(self) -> str:
        return self._table().plain()

    def _repr_mimebundle_(self, **_: Any) -> dict[str, Any]:
        shown = self._table()
        return {"text/plain": shown.plain(), "text/html": shown._repr_html_()}


def _place(parameter: ExposedParameter) -> str:
    return f"{parameter.node_id}.{parameter.field_name}"
