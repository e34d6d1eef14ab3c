"""How the handles show themselves: sizes, dates and short texts, in HTML and in plain text."""

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any, TypeVar

from comfynb.errors import UsageError
from comfynb.widgets import mimebundle
from comfynb.widgets.composite import Composite
from comfynb.widgets.tables import StaticTable

__all__ = ["Shown", "day", "one_of", "size"]

E = TypeVar("E", bound=Enum)


class Shown:
    """Shows itself as a table under a sentence; a subclass says which."""

    def _heading(self) -> str:
        raise NotImplementedError

    def _table(self) -> StaticTable:
        raise NotImplementedError

    def _good(self) -> bool | None:
        return None

    def _panel(self) -> Composite | None:
        """What is shown where widgets are; None where the table is all."""
        return None

    def __repr__(self) -> str:
        table = self._table()
        return f"{self._heading()}\n{table.plain()}" if len(table) else self._heading()

    def _repr_html_(self) -> str:
        return self._table().with_heading(self._heading(), good=self._good())

    def _repr_mimebundle_(self, **_: Any) -> Mapping[str, str]:
        panel = self._panel()
        if panel is None:
            return {"text/plain": repr(self), "text/html": self._repr_html_()}
        return mimebundle(panel, repr(self), panel.static_html())


def one_of(kind: type[E], word: E | str, what: str) -> E:
    """Read a word, whatever its case; raises UsageError, which tells those that there are."""
    try:
        return kind(word.upper() if isinstance(word, str) else word)
    except ValueError:
        known = ", ".join(str(one.value) for one in kind)
        raise UsageError(f"There is no {what} {word!r:.40}: {known}.") from None


def size(number: int | None) -> str:
    """Bytes for people: "2.3 GiB"; "?" where nobody says."""
    if number is None:
        return "?"
    amount = float(number)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}" if unit == "bytes" else f"{amount:.1f} {unit}"
        amount /= 1024
    return f"{amount:.1f} TiB"


def day(when: datetime | None) -> str:
    """A date for people, or nothing."""
    return f"{when:%Y-%m-%d %H:%M}" if when is not None else ""
