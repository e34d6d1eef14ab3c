"""Which points a sweep skips: an expression over its parameters, or a function."""

from collections.abc import Callable, Collection, Mapping
from typing import Any

from comfynb.engine.graph.expressions import compile_expression
from comfynb.errors import UsageError

__all__ = ["Where", "condition"]

Where = str | Callable[[Mapping[str, Any]], object]
"""``"cfg < 6 or steps > 20"``, or a function of a dict of values; true keeps the point."""


def condition(
    where: Where | None, names: Collection[str]
) -> Callable[[Mapping[str, Any]], bool] | None:
    """A test for points with these parameters; None where there is no condition.

    An expression reads each parameter by its name; it is the language of CONDITION nodes, see
    :mod:`comfynb.engine.graph.expressions`.

    Raises:
        ExpressionError: the expression cannot be read, or reads what is no parameter of the sweep.
        UsageError: neither an expression nor a function.
    """
    if where is None:
        return None
    if isinstance(where, str):
        compiled = compile_expression(where, roots=tuple(names))

        def test(point: Mapping[str, Any]) -> bool:
            return compiled.evaluate_condition(point)

        return test
    if callable(where):
        function = where

        def ask(point: Mapping[str, Any]) -> bool:
            return bool(function(dict(point)))

        return ask
    raise UsageError(
        'where takes an expression, "cfg < 6 or steps > 20", or a function of a dict of values, '
        f"not a {type(where).__name__}."
    )
