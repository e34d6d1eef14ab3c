"""What CONDITION nodes ask: expressions over ``output``, ``params`` and ``job``, safely evaluated.

The language is a small part of Python's::

    output.faces_detected > 0 and params.cfg < 8
    any(face.score > 0.9 for face in output.faces) or job.seed % 2 == 0
    get(output, "nsfw", False) is False and lower(params.style) in ["photo", "film"]

Dots read names of plain data and nothing else; there are no methods, no assignments, no powers, no
formatting, and only the functions of :data:`FUNCTIONS`. An expression has at most
:data:`MAX_LENGTH` characters, its evaluation at most ``MAX_STEPS`` steps (see
:mod:`comfynb.engine.graph.bounded`), so that it ends, whatever it says.
"""

import ast
import difflib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

from comfynb.engine.graph.bounded import FUNCTIONS, MAX_BITS, MAX_STEPS, Evaluator, column_of
from comfynb.errors import ExpressionError

__all__ = [
    "FUNCTIONS",
    "MAX_LENGTH",
    "MAX_STEPS",
    "ROOTS",
    "Expression",
    "compile_expression",
    "evaluate_condition",
]

MAX_LENGTH: Final = 1000
"""Characters of an expression."""
MAX_DEPTH: Final = 40
"""Levels of its syntax tree; each takes a few frames of Python's stack."""
ROOTS: Final = ("output", "params", "job")
"""The names that an expression may begin with."""

_ALLOWED: Final = (
    ast.Add,
    ast.And,
    ast.Attribute,
    ast.BinOp,
    ast.BoolOp,
    ast.Call,
    ast.Compare,
    ast.Constant,
    ast.Div,
    ast.Eq,
    ast.FloorDiv,
    ast.GeneratorExp,
    ast.Gt,
    ast.GtE,
    ast.IfExp,
    ast.In,
    ast.Is,
    ast.IsNot,
    ast.List,
    ast.ListComp,
    ast.Load,
    ast.Lt,
    ast.LtE,
    ast.Mod,
    ast.Mult,
    ast.Name,
    ast.Not,
    ast.NotEq,
    ast.NotIn,
    ast.Or,
    ast.Slice,
    ast.Store,
    ast.Sub,
    ast.Subscript,
    ast.Tuple,
    ast.UAdd,
    ast.USub,
    ast.UnaryOp,
    ast.comprehension,
    ast.keyword,
)
_REFUSED: Final[Mapping[type[ast.AST], str]] = {
    ast.Await: "await",
    ast.BitAnd: "& (write and)",
    ast.BitOr: "| (write or)",
    ast.BitXor: "^",
    ast.Dict: "a dict",
    ast.DictComp: "a dict",
    ast.FormattedValue: "an f-string",
    ast.Invert: "~ (write not)",
    ast.JoinedStr: "an f-string",
    ast.LShift: "<<",
    ast.Lambda: "lambda",
    ast.MatMult: "@",
    ast.NamedExpr: ":=",
    ast.Pow: "** (write a multiplication)",
    ast.RShift: ">>",
    ast.Set: "a set (write a list)",
    ast.SetComp: "a set (write a list)",
    ast.Starred: "*",
    ast.Yield: "yield",
    ast.YieldFrom: "yield",
}
_MEANT: Final = {"true": "True", "false": "False", "null": "None", "none": "None"}


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression; evaluate it as often as you like, from any thread."""

    text: str
    names: frozenset[str]
    """What it reads, e.g. ``{"output.faces_detected", "params.cfg"}``."""
    tree: ast.expr = field(repr=False, compare=False)
    roots: tuple[str, ...] = ROOTS
    """The names that it may begin with."""

    def evaluate(self, values: Mapping[str, object]) -> Any:
        """Its value over ``{"output": ..., "params": ..., "job": ...}``, each of plain JSON data.

        A root that is not given has no names. The data is not copied and never changed.

        Raises:
            ExpressionError: one sentence that says what went wrong and where; a missing name lists
                those that there are.
        """
        roots = {name: values.get(name, {}) for name in self.roots}
        return Evaluator(self.text, roots).run(self.tree)

    def evaluate_condition(self, values: Mapping[str, object]) -> bool:
        """As :meth:`evaluate`, as True or False by Python's rules: 0, None and empty are False."""
        return bool(self.evaluate(values))


def compile_expression(text: str, *, roots: tuple[str, ...] = ROOTS) -> Expression:
    """Check an expression, all of it, before anything runs; ``roots`` are the names that it reads.

    Raises:
        ExpressionError: one sentence that names the culprit and where it is.
    """
    if not isinstance(text, str):  # it may come from a hand-written project
        raise ExpressionError(f"An expression is text, not {type(text).__name__}.")
    return _compile(text.strip(), roots)


@lru_cache(maxsize=256)
def _compile(text: str, roots: tuple[str, ...]) -> Expression:
    tree = _parse(text)
    checker = _Checker(text, roots)
    checker.check(tree, roots, 0)
    return Expression(text, frozenset(checker.names), tree, roots)


def evaluate_condition(text: str, values: Mapping[str, object]) -> bool:
    """Compile and evaluate in one call; see :class:`Expression`."""
    return compile_expression(text).evaluate_condition(values)


def _parse(text: str) -> ast.expr:
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"The expression has {len(text)} characters; more than {MAX_LENGTH} are not evaluated."
        )
    if not text:
        raise ExpressionError("The expression is empty: write, say, output.width > 512.")
    for position, character in enumerate(text, 1):
        if character == "\0" or "\ud800" <= character <= "\udfff":
            raise ExpressionError(f"Character {position} of the expression is no text.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about "1in x" and "\\d", which mean what they say
            return ast.parse(text, mode="eval").body
    except SyntaxError as error:
        # The parser names the end of the text as place 0.
        lines = text.split("\n")[: (error.lineno or 1) - 1]
        before = sum(len(line) + 1 for line in lines)
        column = before + error.offset if error.offset else len(text)
        hint = _hint(text[max(column, 1) - 1 :])
        raise ExpressionError(
            f"The expression {_short(text)!r} is not complete or none at all "
            f"({error.msg}, at character {column}).{hint}"
        ) from None
    except (MemoryError, RecursionError, ValueError) as error:
        reason = str(error) or "it is nested too deeply"
        raise ExpressionError(
            f"The expression {_short(text)!r} cannot be read: {reason}."
        ) from None


def _hint(rest: str) -> str:
    if rest.startswith("=") and not rest.startswith("=="):
        return " To compare, write ==."
    if rest.startswith(("&&", "&")):
        return " Write and."
    if rest.startswith(("||", "|")):
        return " Write or."
    if rest.startswith("!") and not rest.startswith("!="):
        return " Write not."
    return ""


def _short(text: str, longest: int = 80) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


class _Checker:
    """Walks a syntax tree once and refuses whatever is not on the list."""

    def __init__(self, text: str, roots: tuple[str, ...]) -> None:
        self._text = text
        self._roots = roots
        self.names: set[str] = set()

    def _wrong(self, node: ast.AST, what: str) -> ExpressionError:
        column = column_of(self._text, node)
        return ExpressionError(f"{what}, at character {column} of {_short(self._text)!r}.")

    def check(self, node: ast.AST, scope: tuple[str, ...], depth: int) -> None:
        """Refuse what is not allowed in ``node``; ``scope`` holds the names that are known."""
        if depth > MAX_DEPTH:
            raise self._wrong(node, f"The expression is nested deeper than {MAX_DEPTH} levels")
        if not isinstance(node, _ALLOWED):
            what = _REFUSED.get(type(node), type(node).__name__)
            raise self._wrong(node, f"{what} is not available in expressions")
        match node:
            case ast.Constant():
                self._constant(node)
            case ast.Name():
                self._name(node, scope)
            case ast.Attribute():
                self._attribute(node, scope, depth)
                return
            case ast.Call():
                self._call(node, scope, depth)
                return
            case ast.ListComp() | ast.GeneratorExp():
                self._comprehension(node, scope, depth)
                return
            case ast.Compare():
                self._compare(node)
            case ast.BinOp() | ast.UnaryOp():
                self._operator(node)
        for child in ast.iter_child_nodes(node):
            self.check(child, scope, depth + 1)

    def _constant(self, node: ast.Constant) -> None:
        if type(node.value) not in {str, int, float, bool, type(None)}:
            raise self._wrong(node, f"{node.value!r:.40} is neither text nor a number")
        if type(node.value) is int and node.value.bit_length() > MAX_BITS:
            raise self._wrong(node, "The number is too large")

    def _name(self, node: ast.Name, scope: tuple[str, ...]) -> None:
        name = node.id
        if name in scope:
            if name in self._roots:
                self.names.add(name)
            return
        if name in FUNCTIONS:
            raise self._wrong(node, f"{name} is a function: write {FUNCTIONS[name].split(':')[0]}")
        if name in _MEANT:
            raise self._wrong(node, f"{name} is not known: write {_MEANT[name]}")
        known = ", ".join(scope)
        raise self._wrong(
            node, f"{_short(name, 40)!r} is not known; an expression can read {known}"
        )

    def _attribute(self, node: ast.Attribute, scope: tuple[str, ...], depth: int) -> None:
        if node.attr.startswith("_"):
            raise self._wrong(node, f"{node.attr[:40]!r}: names with a leading _ are not read")
        parts = [node.attr]
        inner: ast.expr = node.value
        while isinstance(inner, ast.Attribute):
            if inner.attr.startswith("_"):
                raise self._wrong(
                    inner, f"{inner.attr[:40]!r}: names with a leading _ are not read"
                )
            parts.append(inner.attr)
            inner = inner.value
            depth += 1
        if depth > MAX_DEPTH:
            raise self._wrong(node, f"The expression is nested deeper than {MAX_DEPTH} levels")
        if isinstance(inner, ast.Name) and inner.id in self._roots and inner.id in scope:
            self.names.add(".".join([inner.id, *reversed(parts)]))
            return
        self.check(inner, scope, depth + 1)

    def _call(self, node: ast.Call, scope: tuple[str, ...], depth: int) -> None:
        if isinstance(node.func, ast.Attribute):
            method = node.func.attr
            hint = f": write {FUNCTIONS[method].split(':')[0]}" if method in FUNCTIONS else ""
            raise self._wrong(node, f"{method[:40]!r} is a method, and those are not called{hint}")
        if not isinstance(node.func, ast.Name):
            raise self._wrong(node, "Only functions can be called, by their names")
        name = node.func.id
        if name not in FUNCTIONS:
            near = difflib.get_close_matches(name, FUNCTIONS, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            there = ", ".join(FUNCTIONS)
            raise self._wrong(
                node, f"There is no function {_short(name, 40)!r}{hint}; there are {there}"
            )
        for keyword in node.keywords:
            if keyword.arg != "default" or name not in {"min", "max"} or len(node.keywords) > 1:
                raise self._wrong(node, f"{name} is called as {FUNCTIONS[name]}")
        for child in (*node.args, *(keyword.value for keyword in node.keywords)):
            self.check(child, scope, depth + 1)

    def _comprehension(
        self, node: ast.ListComp | ast.GeneratorExp, scope: tuple[str, ...], depth: int
    ) -> None:
        for generator in node.generators:
            if generator.is_async:
                raise self._wrong(node, "async is not available in expressions")
            self.check(generator.iter, scope, depth + 1)
            scope = (*scope, *self._targets(generator.target))
            for condition in generator.ifs:
                self.check(condition, scope, depth + 1)
        self.check(node.elt, scope, depth + 1)

    def _targets(self, target: ast.expr) -> list[str]:
        targets = target.elts if isinstance(target, ast.Tuple | ast.List) else [target]
        names = []
        for each in targets:
            if not isinstance(each, ast.Name):
                raise self._wrong(each, "for takes one name, or several between commas")
            if each.id in self._roots or each.id in FUNCTIONS or each.id.startswith("_"):
                raise self._wrong(each, f"{each.id[:40]!r} cannot be the name after for")
            names.append(each.id)
        return names

    def _compare(self, node: ast.Compare) -> None:
        for operator, right in zip(node.ops, node.comparators, strict=True):
            single = isinstance(right, ast.Constant) and type(right.value) in {bool, type(None)}
            if isinstance(operator, ast.Is | ast.IsNot) and not single:
                raise self._wrong(right, "is compares with None, True and False only: write ==")

    def _operator(self, node: ast.BinOp | ast.UnaryOp) -> None:
        if not isinstance(node.op, _ALLOWED):
            what = _REFUSED.get(type(node.op), type(node.op).__name__)
            raise self._wrong(node, f"{what} is not available in expressions")
