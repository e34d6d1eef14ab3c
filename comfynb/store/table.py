"""The answer to a query: rows and columns that print well, in a notebook and in a terminal."""

import html
import json
from collections.abc import Iterator
from datetime import datetime
from importlib import import_module
from typing import Any

from comfynb.errors import UsageError
from comfynb.store.database import Result, Row

__all__ = ["Table", "optional"]

_SHOWN = 20
_WIDTH = 60

_CSS = (
    "color:var(--jp-ui-font-color1,CanvasText);background:var(--jp-layout-color1,Canvas);"
    "border-collapse:collapse;font-variant-numeric:tabular-nums"
)
_CELL = (
    "padding:2px 10px;text-align:{side};vertical-align:top;white-space:pre-wrap;"
    "overflow-wrap:anywhere;border-bottom:1px solid var(--jp-border-color2,GrayText)"
)
_NUMBERS = ("INT", "DOUBLE", "FLOAT", "DECIMAL", "HUGEINT", "NUMERIC", "REAL")


class Table:
    """Rows of a query.

    ``columns`` are names, ``types`` SQL types, ``rows`` tuples; iterating gives dicts.
    ``truncated`` says that a limit left rows behind.
    """

    def __init__(self, result: Result) -> None:
        self.columns = list(result.columns)
        self.types = list(result.types)
        self.rows: list[Row] = result.rows
        self.truncated = result.more

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (dict(zip(self.columns, row, strict=True)) for row in self.rows)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return dict(zip(self.columns, self.rows[index], strict=True))

    def column(self, name: str) -> list[Any]:
        """Return one column's values; raises UsageError for a name that is not there."""
        if name not in self.columns:
            raise UsageError(f"There is no column {name!r:.80}: there are {self.columns}.")
        place = self.columns.index(name)
        return [row[place] for row in self.rows]

    def to_df(self) -> Any:
        """Return a pandas DataFrame; raises UsageError where pandas is not installed."""
        pd = optional("pandas")
        return pd.DataFrame.from_records(self.rows, columns=self._unique_names())

    def to_arrow(self) -> Any:
        """Return a pyarrow Table; raises UsageError where pyarrow is not installed."""
        pa = optional("pyarrow")
        names = self._unique_names()
        columns = list(zip(*self.rows, strict=True)) if self.rows else [()] * len(names)
        arrays = [
            _arrow(pa, values, kind) for values, kind in zip(columns, self.types, strict=True)
        ]
        return pa.Table.from_arrays(arrays, names=names)

    def to_polars(self) -> Any:
        """Return a polars DataFrame; raises UsageError where polars or pyarrow is missing."""
        return optional("polars").from_arrow(self.to_arrow())

    def _unique_names(self) -> list[str]:
        names: list[str] = []
        for name in self.columns:
            unique, n = name, 1
            while unique in names:
                n += 1
                unique = f"{name}_{n}"
            names.append(unique)
        return names

    def _more(self) -> str:
        hidden = len(self.rows) - _SHOWN
        if hidden > 0:
            return f"{hidden} more rows{' and others past the limit' if self.truncated else ''}"
        return "more rows past the limit" if self.truncated else ""

    def _right(self, place: int) -> bool:
        return any(word in self.types[place].upper() for word in _NUMBERS)

    def __repr__(self) -> str:
        if not self.columns:
            return "(no columns)"
        shown = [[_line(value) for value in row] for row in self.rows[:_SHOWN]]
        widths = [
            max(len(line) for line in column) for column in zip(self.columns, *shown, strict=True)
        ]

        def line(cells: list[str]) -> str:
            padded = [
                cell.rjust(width) if self._right(i) else cell.ljust(width)
                for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
            ]
            return "  ".join(padded).rstrip()

        lines = [line(self.columns), line(["-" * width for width in widths]), *map(line, shown)]
        if more := self._more():
            lines.append(f"({more})")
        elif not self.rows:
            lines.append("(no rows)")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        sides = ["right" if self._right(i) else "left" for i in range(len(self.columns))]

        def cells(tag: str, values: list[str]) -> str:
            return "".join(
                f'<{tag} style="{_CELL.format(side=side)}">{html.escape(value)}</{tag}>'
                for value, side in zip(values, sides, strict=True)
            )

        rows = "".join(
            f"<tr>{cells('td', [_cut(_text(value), 300) for value in row])}</tr>"
            for row in self.rows[:_SHOWN]
        )
        more = self._more() or ("" if self.rows else "no rows")
        foot = f"<caption style='caption-side:bottom'>{more}</caption>" if more else ""
        head = f"<thead><tr>{cells('th', self.columns)}</tr></thead>"
        return f'<table style="{_CSS}">{foot}{head}<tbody>{rows}</tbody></table>'


def optional(module: str) -> Any:
    """Import a module that not everybody has; raises UsageError, saying how to get it."""
    try:
        return import_module(module)
    except ImportError as error:
        extra = "polars" if module == "polars" else "'comfynb[pandas]'"
        raise UsageError(f"{module} is not installed: pip install {extra}.") from error


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="milliseconds")
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | dict | tuple):
        return json.dumps(value, default=str, ensure_ascii=False)
    return str(value)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _line(value: object) -> str:
    # One line for a terminal: what would move its cursor or colour it is made visible.
    text = "".join(c if c.isprintable() else repr(c)[1:-1] for c in _text(value)[: 2 * _WIDTH])
    return _cut(text, _WIDTH)


def _arrow(pa: Any, values: tuple[Any, ...], kind: str) -> Any:
    upper = kind.upper()
    if upper.startswith("TIMESTAMP") and ("WITH TIME ZONE" in upper or upper == "TIMESTAMPTZ"):
        return pa.array(values, type=pa.timestamp("us", tz="UTC"))
    plain = {
        "BIGINT": pa.int64(),
        "INT8": pa.int64(),
        "INTEGER": pa.int32(),
        "INT4": pa.int32(),
        "DOUBLE": pa.float64(),
        "FLOAT": pa.float32(),
        "FLOAT4": pa.float32(),
        "FLOAT8": pa.float64(),
        "BOOLEAN": pa.bool_(),
        "BOOL": pa.bool_(),
        "VARCHAR": pa.string(),
        "TEXT": pa.string(),
        "JSON": pa.string(),
    }
    return pa.array(values, type=plain.get(upper))
