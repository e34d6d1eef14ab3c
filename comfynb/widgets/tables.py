"""Static tables for reprs: escaped HTML of at most 20 rows, each with a plain-text twin."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from comfynb.models import ExposedParameter, ParamType
from comfynb.widgets.markup import number, one_line, user
from comfynb.widgets.ranges import allowed
from comfynb.widgets.theme import styled

__all__ = ["ROWS", "Cell", "StaticTable", "check_table", "parameters_table", "table"]

ROWS = 20
"""Rows that are shown before "N more"."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A cell whose HTML is ready-made (and trusted), beside its plain text."""

    text: str
    html: str


class StaticTable:
    """Columns and rows that a notebook shows as an HTML table and a console as text.

    Everything but a ready-made ``Cell`` is escaped; numbers are set to the right. ``wrap`` breaks
    long words, so that many columns fit a page.
    """

    def __init__(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[object]],
        *,
        total: int | None = None,
        empty: str = "nothing yet",
        limit: int = ROWS,
        wrap: bool = False,
    ) -> None:
        given = [tuple(row) for row in rows]
        self.columns = list(columns)
        self.rows = given[:limit]
        self.more = max((len(given) if total is None else total) - len(self.rows), 0)
        self.empty = empty
        self._class = "comfynb-table comfynb-wrap" if wrap else "comfynb-table"

    def body(self) -> str:
        """The HTML without its style sheet."""
        if not self.rows:
            return f'<div class="comfynb-soft">{user(self.empty)}</div>'
        numeric = [all(_is_number(row[i]) for row in self.rows) for i in range(len(self.columns))]
        head = "".join(
            f'<th scope="col"{_align(numeric[i])}>{user(name)}</th>'
            for i, name in enumerate(self.columns)
        )
        lines = [
            "<tr>"
            + "".join(f"<td{_align(numeric[i])}>{_html(value)}</td>" for i, value in enumerate(row))
            + "</tr>"
            for row in self.rows
        ]
        more = f'<div class="comfynb-soft">{self.more} more</div>' if self.more else ""
        return (
            f'<table class="{self._class}"><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(lines)}</tbody></table>{more}"
        )

    def plain(self) -> str:
        """The text twin: columns set flush, one line for each row."""
        if not self.rows:
            return self.empty
        texts = [[_text(value) for value in row] for row in self.rows]
        widths = [
            max(len(name), *(len(row[i]) for row in texts)) for i, name in enumerate(self.columns)
        ]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [self.columns, ["-" * width for width in widths], *texts]
        ]
        if self.more:
            lines.append(f"({self.more} more)")
        return "\n".join(lines)

    def with_heading(self, text: str, *, good: bool | None = None) -> str:
        """The HTML under a sentence that says what the table is about, good, bad or neither."""
        sign = ""
        if good is not None:
            sign = _sign("✓", "comfynb-completed") if good else _sign("✕", "comfynb-failed")
        heading = f"<div>{sign} {user(text, 500)}</div>"
        return styled(heading + (self.body() if self.rows else ""))

    def _repr_html_(self) -> str:
        return styled(self.body())

    def __repr__(self) -> str:
        return self.plain()

    def __len__(self) -> int:
        return len(self.rows) + self.more


def table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "nothing yet"
) -> StaticTable:
    """A table of any values; see ``StaticTable``."""
    return StaticTable(columns, rows, empty=empty)


def parameters_table(
    parameters: Mapping[str, ExposedParameter] | Sequence[ExposedParameter],
    values: Mapping[str, object] | None = None,
    *,
    notes: Mapping[str, str] | None = None,
) -> StaticTable:
    """The parameters of a workflow: what each is called, where it goes, and what is allowed.

    ``parameters`` by the key that people type, which is shown then, or a sequence. ``values`` are
    current values by the same key (the parameter's id for a sequence); what is missing has its
    default. ``notes`` by the same key follow what is allowed.
    """
    current = values or {}
    remarks = notes or {}
    keyed = isinstance(parameters, Mapping)
    if not isinstance(parameters, Mapping):
        parameters = {parameter.id: parameter for parameter in parameters}
    ordered = sorted(parameters.items(), key=lambda item: item[1].order)
    grouped = any(parameter.group for parameter in parameters.values())
    return StaticTable(
        [
            *(["Key"] if keyed else []),
            *(["Group"] if grouped else []),
            *("Name", "Type", "Value", "Allowed", "Node", "Input"),
        ],
        [
            (
                *([key] if keyed else []),
                *([parameter.group] if grouped else []),
                parameter.display_name,
                parameter.param_type.value,
                Cell(*_value(parameter, current.get(key, parameter.default_value))),
                "; ".join(part for part in (allowed(parameter), remarks.get(key)) if part),
                parameter.node_title,
                parameter.field_name,
            )
            for key, parameter in ordered
        ],
        empty="no parameters are exposed",
        wrap=True,
    )


def check_table(
    backends: Sequence[str], rows: Iterable[tuple[str, str, Sequence[bool | None], str]]
) -> StaticTable:
    """What keeps a workflow from running: what it is, where, on which backend, and in words.

    Each row has one verdict for each backend: True for a problem, False for something to look at,
    None where all is well.
    """
    return StaticTable(
        ["What", "Where", *backends, "In words"],
        [
            (what, where, *map(_verdict, cells), Cell(one_line(text, 300), user(text, 600)))
            for what, where, cells, text in rows
        ],
        limit=100,
    )


def _verdict(is_problem: bool | None) -> Cell:
    sign, word, css_class = {
        None: ("✓", "fine", "comfynb-completed"),
        True: ("✕", "problem", "comfynb-failed"),
        False: ("!", "look at it", "comfynb-pending"),
    }[is_problem]
    return Cell(sign, f'<span title="{word}">{_sign(sign, css_class, word)}</span>')


def _sign(sign: str, css_class: str, word: str = "") -> str:
    label = f' role="img" aria-label="{word}"' if word else ""
    return f'<b class="{css_class}" style="color:var(--chip)"{label}>{sign}</b>'


def _value(parameter: ExposedParameter, value: object) -> tuple[str, str]:
    if parameter.param_type in {ParamType.MULTILINE_STRING, ParamType.STRING}:
        text = f'"{one_line(value, 60)}"'
    else:
        text = _text(value)
    return text, user(text)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _align(numeric: bool) -> str:
    return ' class="comfynb-num"' if numeric else ""


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case Cell(text=text):
            return text
        case bool():
            return "yes" if value else "no"
        case int() | float():
            return number(value)
        case list() | tuple() | set() | frozenset():
            return one_line(", ".join(str(one) for one in value), 60)
        case _:
            return one_line(value, 60)


def _html(value: object) -> str:
    if isinstance(value, Cell):
        return value.html
    if isinstance(value, str):
        return user(value)
    return user(_text(value))
