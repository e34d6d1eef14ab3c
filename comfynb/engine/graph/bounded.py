"""Evaluates a checked expression over plain data within a fixed budget of work and memory.

simpleeval walks the syntax tree; this puts walls around it. What simpleeval would let through is
replaced: names never become functions, dots read keys of plain data only, and every operation whose
cost grows with its operands pays for them before it begins. So no clock and no thread is needed:
an evaluation ends within :data:`MAX_STEPS` steps, whatever the expression.
"""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any, Final

import simpleeval

from comfynb.errors import ExpressionError

__all__ = [
    "FUNCTIONS",
    "MAX_BITS",
    "MAX_CHARACTERS",
    "MAX_STEPS",
    "Evaluator",
    "column_of",
    "is_plain",
]

MAX_STEPS: Final = 10_000
"""Steps of one evaluation: a node of the syntax tree, an item of a list or 16 characters cost 1."""
MAX_CHARACTERS: Final = 10_000
"""Characters of a text that an expression makes."""
MAX_BITS: Final = 128
"""Bits of a whole number that an expression makes; ComfyUI's seeds have 64."""
MAX_DIGITS: Final = 20
"""Digits that round() is asked for."""
_CHARACTERS_A_STEP: Final = 16
_LISTED: Final = 12

FUNCTIONS: Final[Mapping[str, str]] = {
    "abs": "abs(number): without its sign",
    "all": "all(list): whether every item is true",
    "any": "any(list): whether at least one item is true",
    "bool": "bool(value): False for 0, None and whatever is empty",
    "contains": "contains(text, part): whether a text has a part, a list an item, data a key",
    "endswith": "endswith(text, end)",
    "float": "float(value): a number, from a number or text",
    "get": "get(data, key, default): what data has by that name, else the default",
    "has": "has(data, key): whether data has something by that name",
    "int": "int(value): a whole number, from a number or text",
    "len": "len(value): how many items, keys or characters",
    "lower": "lower(text): in lower case",
    "max": "max(list) or max(a, b, ...): the largest; max(list, default=0) if there may be none",
    "min": "min(list) or min(a, b, ...): the smallest; min(list, default=0) if there may be none",
    "round": "round(number) or round(number, digits)",
    "startswith": "startswith(text, start)",
    "str": "str(value): a number, True, False or None as text",
    "strip": "strip(text): without spaces around it",
    "sum": "sum(list): of numbers",
    "upper": "upper(text): in upper case",
}
"""What an expression may call, and what it does."""

_ARITY: Final[Mapping[str, tuple[int, int]]] = {
    "contains": (2, 2),
    "endswith": (2, 2),
    "get": (3, 3),
    "has": (2, 2),
    "max": (1, 100),
    "min": (1, 100),
    "round": (1, 2),
    "startswith": (2, 2),
}

_PLAIN: Final = frozenset({str, int, float, bool, type(None), list, tuple, dict})
_NUMBERS: Final = frozenset({int, float, bool})
_WORDS: Final = {
    str: "text",
    int: "a number",
    float: "a number",
    bool: "True or False",
    list: "a list",
    tuple: "a list",
    dict: "data with names",
    type(None): "None",
}
_SIGNS: Final = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.FloorDiv: "//",
    ast.Mod: "%",
    ast.UAdd: "+",
    ast.USub: "-",
}
_HANDLED: Final = (
    ast.BinOp,
    ast.BoolOp,
    ast.Compare,
    ast.Constant,
    ast.GeneratorExp,
    ast.IfExp,
    ast.List,
    ast.ListComp,
    ast.Slice,
    ast.Tuple,
    ast.UnaryOp,
)
"""Kinds of nodes that simpleeval evaluates for us; the others are evaluated here."""


def is_plain(value: object) -> bool:
    """Whether a value is of a kind that an expression may hold; its items are looked at later."""
    return type(value) in _PLAIN


def column_of(text: str, node: ast.AST) -> int:
    """Where a node begins, counted in characters from 1 (the parser counts UTF-8 bytes)."""
    line = text.split("\n")[getattr(node, "lineno", 1) - 1]
    before = text.split("\n")[: getattr(node, "lineno", 1) - 1]
    inside = len(line.encode()[: getattr(node, "col_offset", 0)].decode("utf-8", "ignore"))
    return sum(len(each) + 1 for each in before) + inside + 1


def _word(value: object) -> str:
    return _WORDS.get(type(value), "something else")


def _short(text: str, longest: int = 40) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


class Evaluator(simpleeval.EvalWithCompoundTypes):  # type: ignore[misc]
    """Evaluates one checked syntax tree once; not to be used again."""

    def __init__(self, text: str, roots: Mapping[str, object]) -> None:
        super().__init__(operators=self._operators(), functions={}, names={})
        handlers: dict[type[ast.AST], Callable[[Any], Any]] = self.nodes
        self.nodes: dict[type[ast.AST], Callable[[Any], Any]] = {
            **{kind: handlers[kind] for kind in _HANDLED},
            ast.Attribute: self._attribute,
            ast.Call: self._call,
            ast.Name: self._name,
            ast.Subscript: self._subscript,
        }
        self.functions: dict[str, Any] = {}
        self._text = text
        self._roots = roots
        self._left = MAX_STEPS
        self._places: list[ast.AST] = []

    @property
    def steps(self) -> int:
        """How many steps were used."""
        return MAX_STEPS - self._left

    def run(self, tree: ast.expr) -> Any:
        """The value of the expression.

        Raises:
            ExpressionError: one sentence that says what and where.
        """
        return self._eval(tree)

    # Walls ------------------------------------------------------------------------------------

    def _eval(self, node: ast.AST) -> Any:
        self._places.append(node)
        try:
            self._pay(1)
            result = self.nodes[type(node)](node)
            return result if type(node) is ast.Slice else self._checked(result)
        except ExpressionError:
            raise
        except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
            raise self._wrong(f"{self._source(node)} cannot be worked out ({error})") from None
        except simpleeval.InvalidExpression as error:
            raise self._wrong(f"{self._source(node)} is not available ({error})") from None
        finally:
            self._places.pop()

    def _check_disallowed_items(self, item: Any) -> None:
        """simpleeval walks through all of the data at each step: :meth:`_checked` does not."""

    def _wrong(self, what: str) -> ExpressionError:
        column = column_of(self._text, self._places[-1]) if self._places else 1
        return ExpressionError(f"{what}, at character {column} of {_short(self._text, 80)!r}.")

    def _source(self, node: ast.AST) -> str:
        return _short(ast.get_source_segment(self._text, node) or "it")

    def _pay(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            self._left = 0
            raise self._wrong(f"the expression takes more than {MAX_STEPS} steps")

    def _pay_for(self, *values: Any) -> None:
        """Pay for all of a value, its items and theirs; stops as soon as the budget is spent."""
        waiting = list(values)
        while waiting:
            value = waiting.pop()
            kind = type(value)
            if kind is str:
                self._pay(1 + len(value) // _CHARACTERS_A_STEP)
            elif kind is list or kind is tuple:
                self._pay(1 + len(value))
                waiting.extend(value)
            elif kind is dict:
                self._pay(1 + 2 * len(value))
                waiting.extend(value.values())
            else:
                self._pay(1)

    def _checked(self, value: Any) -> Any:
        kind = type(value)
        if kind not in _PLAIN:
            raise self._wrong(
                f"{self._source(self._places[-1])} is a {kind.__name__}, which expressions cannot "
                "use: only text, numbers, True, False, None, lists and data with names"
            )
        if kind is int and value.bit_length() > MAX_BITS:
            raise self._wrong(f"{self._source(self._places[-1])} is too large a number")
        return value

    # Operators --------------------------------------------------------------------------------

    def _operators(self) -> dict[type[ast.AST], Callable[..., Any]]:
        def checked(
            check: Callable[..., None], operate: Callable[..., Any], *sign: str
        ) -> Callable[..., Any]:
            def apply(*values: Any) -> Any:
                check(*sign, *values)
                return operate(*values)

            return apply

        return {
            ast.Add: self._add,
            ast.Sub: checked(self._numbers, operator.sub, "-"),
            ast.Mult: checked(self._numbers, operator.mul, "*"),
            ast.Div: checked(self._divisible, operator.truediv, "/"),
            ast.FloorDiv: checked(self._divisible, operator.floordiv, "//"),
            ast.Mod: checked(self._divisible, operator.mod, "%"),
            ast.Not: operator.not_,
            ast.USub: checked(self._numbers, operator.neg, "-"),
            ast.UAdd: checked(self._numbers, operator.pos, "+"),
            ast.Eq: checked(self._pay_for, operator.eq),
            ast.NotEq: checked(self._pay_for, operator.ne),
            ast.Lt: checked(self._ordered, operator.lt, "<"),
            ast.LtE: checked(self._ordered, operator.le, "<="),
            ast.Gt: checked(self._ordered, operator.gt, ">"),
            ast.GtE: checked(self._ordered, operator.ge, ">="),
            ast.In: lambda item, container: self._contains(container, item),
            ast.NotIn: lambda item, container: not self._contains(container, item),
            ast.Is: operator.is_,
            ast.IsNot: operator.is_not,
        }

    def _numbers(self, sign: str, *values: Any) -> None:
        for value in values:
            if type(value) not in _NUMBERS:
                raise self._wrong(f"{sign} takes numbers, not {_word(value)}")

    def _divisible(self, sign: str, left: Any, right: Any) -> None:
        self._numbers(sign, left, right)
        if right == 0:
            raise self._wrong(f"{sign} divides by zero")

    def _add(self, left: Any, right: Any) -> Any:
        if type(left) in _NUMBERS and type(right) in _NUMBERS:
            return left + right
        if type(left) is not type(right) or type(left) not in {str, list, tuple}:
            raise self._wrong(f"+ cannot add {_word(left)} and {_word(right)}")
        if type(left) is str:
            if len(left) + len(right) > MAX_CHARACTERS:
                raise self._wrong(f"+ makes a text of more than {MAX_CHARACTERS} characters")
            self._pay_for(left, right)
        else:
            self._pay(len(left) + len(right))
        return left + right

    def _ordered(self, sign: str, left: Any, right: Any) -> None:
        alike = type(left) is type(right) and type(left) in {str, list, tuple}
        if not alike and not (type(left) in _NUMBERS and type(right) in _NUMBERS):
            raise self._wrong(f"{sign} cannot compare {_word(left)} and {_word(right)}")
        self._pay_for(left, right)

    def _contains(self, container: Any, item: Any) -> bool:
        kind = type(container)
        if kind is dict:
            return type(item) is str and item in container
        if kind is str:
            self._pay_for(container, item)
            return str(self._text_of("in", item)) in container
        if kind is list or kind is tuple:
            # Each item may be compared with all of what is looked for.
            self._pay_for(container, item)
            return item in container
        raise self._wrong(f"in looks into lists, text and data with names, not {_word(container)}")

    # Reading ----------------------------------------------------------------------------------

    def _name(self, node: ast.Name) -> Any:
        return self._roots[node.id]

    def _attribute(self, node: ast.Attribute) -> Any:
        return self._key(self._eval(node.value), node.attr, node.value)

    def _key(self, data: Any, key: str, where: ast.AST) -> Any:
        path = self._source(where)
        if type(data) is dict:
            if key in data:
                return data[key]
            raise self._wrong(f"{path} has no {_short(key)!r}; it has {_names_of(data)}")
        if type(data) in {list, tuple}:
            raise self._wrong(
                f"{path} is a list: write {path}[0].{key} for its first item, or "
                f"any(each.{key} for each in {path})"
            )
        raise self._wrong(f"{path} is {_word(data)} and has nothing called {_short(key)!r}")

    def _subscript(self, node: ast.Subscript) -> Any:
        container = self._eval(node.value)
        key = self._eval(node.slice)
        if type(container) is dict:
            if type(key) is not str:
                raise self._wrong(f"{self._source(node.value)} is read by names, not {_word(key)}")
            return self._key(container, key, node.value)
        if type(container) not in {list, tuple, str}:
            raise self._wrong(f"{self._source(node.value)} is {_word(container)}, not a list")
        if type(key) is slice:
            return self._part(container, key)
        if type(key) not in {int, bool}:
            raise self._wrong(f"{self._source(node.value)} is read by position, not {_word(key)}")
        if not -len(container) <= key < len(container):
            raise self._wrong(
                f"{self._source(node.value)} has no item {key}; it has {len(container)}"
            )
        return container[key]

    def _part(self, container: Any, part: slice) -> Any:
        for bound in (part.start, part.stop, part.step):
            if bound is not None and type(bound) is not int:
                raise self._wrong("[:] takes whole numbers")
        if part.step == 0:
            raise self._wrong("[:] cannot go in steps of 0")
        length = len(range(*part.indices(len(container))))
        if type(container) is str:
            if length > MAX_CHARACTERS:
                raise self._wrong(f"[:] makes a text of more than {MAX_CHARACTERS} characters")
            length //= _CHARACTERS_A_STEP
        self._pay(length)
        return container[part]

    # Functions --------------------------------------------------------------------------------

    def _call(self, node: ast.Call) -> Any:
        name = node.func.id  # type: ignore[attr-defined]  # checked when compiled
        values = [self._eval(argument) for argument in node.args]
        fewest, most = _ARITY.get(name, (1, 1))
        if not fewest <= len(values) <= most:
            raise self._wrong(f"{name} is called as {FUNCTIONS[name]}")
        if name in {"min", "max"}:
            default = [self._eval(keyword.value) for keyword in node.keywords]
            return self._extreme(name, values, default)
        return getattr(self, f"_do_{name}")(*values)

    def _text_of(self, name: str, value: Any) -> str:
        if type(value) is not str:
            raise self._wrong(f"{name} takes text, not {_word(value)}")
        self._pay_for(value)
        return value

    def _short_text_of(self, name: str, value: Any) -> str:
        text = self._text_of(name, value)
        if len(text) > MAX_CHARACTERS // 3:  # a letter may become three in another case
            raise self._wrong(f"{name} takes no text of more than {MAX_CHARACTERS // 3} characters")
        return text

    def _items_of(self, name: str, value: Any) -> Any:
        if type(value) not in {list, tuple}:
            raise self._wrong(f"{name} takes a list, not {_word(value)}")
        self._pay(len(value))
        return value

    def _extreme(self, name: str, values: list[Any], default: list[Any]) -> Any:
        items = self._items_of(name, values[0]) if len(values) == 1 else values
        if not items:
            if default:
                return default[0]
            raise self._wrong(f"{name} of an empty list: write {name}(list, default=0)")
        self._pay_for(*items)
        text = all(type(item) is str for item in items)
        if not text and not all(type(item) in _NUMBERS for item in items):
            raise self._wrong(f"{name} takes numbers, or texts, not both and nothing else")
        return max(items) if name == "max" else min(items)

    def _do_abs(self, value: Any) -> Any:
        self._numbers("abs", value)
        return abs(value)

    def _do_all(self, items: Any) -> bool:
        return all(self._items_of("all", items))

    def _do_any(self, items: Any) -> bool:
        return any(self._items_of("any", items))

    def _do_bool(self, value: Any) -> bool:
        return bool(value)

    def _do_contains(self, container: Any, item: Any) -> bool:
        return self._contains(container, item)

    def _do_endswith(self, text: Any, end: Any) -> bool:
        return self._text_of("endswith", text).endswith(self._text_of("endswith", end))

    def _do_startswith(self, text: Any, start: Any) -> bool:
        return self._text_of("startswith", text).startswith(self._text_of("startswith", start))

    def _do_float(self, value: Any) -> float:
        if type(value) is str:
            text = self._short_number("float", value)
            try:
                return float(text)
            except ValueError:
                raise self._wrong(f"{_short(text)!r} is not a number") from None
        self._numbers("float", value)
        return float(value)

    def _do_int(self, value: Any) -> int:
        if type(value) is str:
            text = self._short_number("int", value)
            try:
                return int(text)
            except ValueError:
                raise self._wrong(f"{_short(text)!r} is not a whole number") from None
        self._numbers("int", value)
        if type(value) is float and not abs(value) < 2.0**MAX_BITS:  # NaN too
            raise self._wrong(f"{value} has no whole number of a usable size")
        return int(value)

    def _short_number(self, name: str, text: str) -> str:
        if len(text) > MAX_BITS:
            raise self._wrong(f"{name} takes no text of more than {MAX_BITS} characters")
        return text

    def _do_get(self, data: Any, key: Any, default: Any) -> Any:
        return data[key] if self._do_has(data, key) else default

    def _do_has(self, data: Any, key: Any) -> bool:
        if type(data) is not dict:
            raise self._wrong(f"has and get look into data with names, not into {_word(data)}")
        return self._text_of("has", key) in data

    def _do_len(self, value: Any) -> int:
        if type(value) not in {str, list, tuple, dict}:
            raise self._wrong(f"len takes a list, text or data with names, not {_word(value)}")
        return len(value)

    def _do_lower(self, text: Any) -> str:
        return self._short_text_of("lower", text).lower()

    def _do_upper(self, text: Any) -> str:
        return self._short_text_of("upper", text).upper()

    def _do_strip(self, text: Any) -> str:
        return self._short_text_of("strip", text).strip()

    def _do_round(self, value: Any, digits: Any = None) -> Any:
        self._numbers("round", value)
        if digits is None:
            return round(self._do_int(value) if type(value) is not float else value)
        if type(digits) is not int or abs(digits) > MAX_DIGITS:
            raise self._wrong(f"round takes -{MAX_DIGITS} to {MAX_DIGITS} digits")
        return round(value, digits)

    def _do_str(self, value: Any) -> str:
        if type(value) in {list, tuple, dict}:
            raise self._wrong(f"str takes no {'data' if type(value) is dict else 'list'}")
        return str(value)

    def _do_sum(self, items: Any) -> Any:
        total: Any = 0
        for item in self._items_of("sum", items):
            self._numbers("sum", item)
            total = self._checked(total + item)
        return total


def _names_of(data: Mapping[Any, Any]) -> str:
    names = [_short(str(name), 30) for name in list(data)[:_LISTED]]
    more = f" and {len(data) - _LISTED} more" if len(data) > _LISTED else ""
    return (", ".join(names) + more) if names else "nothing"
