"""What all models share: base classes, ids, UTC time stamps, JSON values, readable refusals.

JSON is written as Python and ComfyUI write it: a float that is not a number or not finite appears
as ``NaN``, ``Infinity`` or ``-Infinity`` (a UI workflow may hold such values), so nothing is lost.
A PostgreSQL column for such a text is TEXT, since its JSON type refuses these three words.
"""

import enum
import hashlib
import json
import numbers
import os
import re
import unicodedata
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, NamedTuple, Self, cast

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

__all__ = [
    "ComfynbModel",
    "Count",
    "ForeignKey",
    "JsonObject",
    "JsonValue",
    "Name",
    "Percent",
    "Sha256",
    "StoredModel",
    "UtcDatetime",
    "column_name",
    "content_sha256",
    "explain",
    "new_id",
    "utcnow",
]

MAX_JSON_DEPTH = 128
"""Levels of lists and objects in one JSON value; the JSON parsers in use end at 200."""


_random: list[bytes] = []
"""What the next ids are made of."""
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_random.clear)  # the parent has the same


def new_id() -> str:
    """Return a new random id (UUID 4)."""
    # The system is asked for many at once: with each question this thread lets go of Python's lock,
    # and gets it back a tenth of a millisecond later where others wait for it.
    while True:
        try:
            return str(uuid.UUID(bytes=_random.pop(), version=4))
        except IndexError:
            many = os.urandom(64 * 16)
            _random.extend(many[at : at + 16] for at in range(0, len(many), 16))


def utcnow() -> datetime:
    """Return the time now, aware, in UTC."""
    return datetime.now(UTC)


def _to_utc(value: datetime) -> datetime:
    if value.utcoffset() is None:
        return value.replace(tzinfo=UTC)
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("this time lies outside the years 1 to 9999 in UTC") from None


UtcDatetime = Annotated[datetime, AfterValidator(_to_utc)]
"""An aware time in UTC: a naive one is taken as UTC, one of another zone is converted."""


class _NotJsonError(Exception):
    """What JSON cannot hold; ``path`` grows on the way out, so that walking in costs nothing."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.path: list[str] = []


def _plain_text(value: str) -> str:
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _NotJsonError("holds half a surrogate pair, which is no text") from None
    return value


def _plain_json(value: Any, depth: int = 0) -> Any:
    kind = type(value)
    if kind is str:
        return _plain_text(value)
    if value is None or kind is bool or kind is int or kind is float:
        return value
    if kind is dict or isinstance(value, Mapping):
        return _plain_dict(value, depth)
    if isinstance(value, list | tuple):
        return _plain_list(value, depth)
    return _plain_scalar(value)


def _plain_dict(value: Mapping[Any, Any], depth: int) -> dict[str, Any]:
    _check_depth(depth)
    plain: dict[str, Any] = {}
    key: Any = None
    try:
        for key, item in value.items():
            if not isinstance(key, str):
                raise _NotJsonError(f'is a key that is no string: write "{key!s:.40}"')
            plain[_plain_text(str(key))] = _plain_json(item, depth + 1)
    except _NotJsonError as error:
        error.path.append(repr(key))
        raise
    return plain


def _plain_list(value: Sequence[Any], depth: int) -> list[Any]:
    _check_depth(depth)
    plain: list[Any] = []
    try:
        for item in value:
            plain.append(_plain_json(item, depth + 1))  # noqa: PERF401 - len(plain) is the culprit
    except _NotJsonError as error:
        error.path.append(str(len(plain)))
        raise
    return plain


def _check_depth(depth: int) -> None:
    if depth >= MAX_JSON_DEPTH:
        raise _NotJsonError(f"is nested deeper than {MAX_JSON_DEPTH} levels")


def _plain_scalar(value: Any) -> str | bool | int | float | None:
    if isinstance(value, enum.Enum):
        return _plain_scalar(value.value)
    if isinstance(value, str | PurePath):
        return _plain_text(str(value))
    # A sweep over np.arange hands in NumPy's scalars.
    if isinstance(value, bool | None):
        return value
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, numbers.Real):
        return float(value)
    if getattr(value, "shape", None) == () and type(value).__module__ == "numpy":
        item: Any = value.item()
        if isinstance(item, bool):
            return item
    raise _NotJsonError(
        f"is a {type(value).__name__}, which JSON cannot hold: "
        "use text, numbers, true or false, None, lists, and dicts with text keys"
    )


def _json_value(value: Any) -> Any:
    try:
        return _plain_json(value)
    except _NotJsonError as error:
        # The place is named by its first keys; further down nobody would find it either.
        place = "".join(f"[{part:.40}]" for part in error.path[:-9:-1])
        raise ValueError(f"the value{place} {error}") from None


JsonValue = Annotated[Any, BeforeValidator(_json_value)]
"""Whatever JSON can hold, copied; tuples become lists, NumPy scalars and paths plain values."""

JsonObject = Annotated[dict[str, Any], BeforeValidator(_json_value)]
"""A JSON object, as :data:`JsonValue`."""


def _check_name(value: str) -> str:
    if not value.strip():
        raise ValueError("must not be empty: give at least one visible character")
    if value.isprintable():  # nearly always, and in one step
        return value
    if any(unicodedata.category(character) == "Cc" for character in value):
        raise ValueError("must be one line without control characters")
    return value


Name = Annotated[str, AfterValidator(_check_name)]
"""One line of text with at least one visible character; ids and names are such."""

Percent = Annotated[float, Field(ge=0, le=100)]
"""0 to 100."""

Count = Annotated[int, Field(ge=0)]
"""A whole number from 0."""


def _check_sha256(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError("must be a SHA-256 in 64 lower-case hexadecimal digits")
    return value


Sha256 = Annotated[str, AfterValidator(_check_sha256)]
"""A SHA-256 in 64 lower-case hexadecimal digits."""


def content_sha256(*values: Any) -> str:
    """Return the SHA-256 of JSON values, the same however the keys of objects are ordered."""
    text = json.dumps(
        [_json_value(value) for value in values], sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(text.encode()).hexdigest()


class ComfynbModel(BaseModel):
    """The base of all models: unknown fields are refused, assignments are checked.

    Errors never quote what was handed in (it may be a secret): :func:`explain` says what is known.
    """

    model_config = ConfigDict(
        extra="forbid",
        validate_assignment=True,
        validate_default=False,
        hide_input_in_errors=True,
        ser_json_inf_nan="constants",
    )

    @classmethod
    def build(cls, **values: Any) -> Self:
        """Make one of values that this program made itself, without checking them.

        The same as pydantic's ``model_construct``, which reads the signature of each default's
        factory anew: for thousands of jobs at a time, that was a quarter of making them.
        """
        made = _Defaults.of(cls)
        fields = {
            name: values[name] if name in values else made.value(name) for name in cls.model_fields
        }
        model = cls.__new__(cls)
        object.__setattr__(model, "__dict__", fields)
        object.__setattr__(model, "__pydantic_fields_set__", set(values))
        object.__setattr__(model, "__pydantic_extra__", None)
        object.__setattr__(model, "__pydantic_private__", None)
        return model

    def assign_unchecked(self, **values: Any) -> None:
        """Assign what this program made itself: for many records a second, checks cost too much.

        What comes from a person, a file or a server is assigned field by field, and checked.
        """
        self.__dict__.update(values)
        self.__pydantic_fields_set__.update(values)

    if not TYPE_CHECKING:  # a type checker would then let any attribute be assigned

        def __setattr__(self, name: str, value: Any) -> None:
            """Assign and check; an assignment that is refused leaves the model as it was."""
            fields, fields_set = self.__dict__, set(self.model_fields_set)
            try:
                super().__setattr__(name, value)
            except ValidationError:
                # pydantic has already written the value when a check over several fields refuses.
                object.__setattr__(self, "__dict__", fields)
                object.__setattr__(self, "__pydantic_fields_set__", fields_set)
                raise


class _Defaults:
    """What the fields of a model are if nobody says."""

    _known: ClassVar[dict[type[BaseModel], "_Defaults"]] = {}

    def __init__(self, model: type[BaseModel]) -> None:
        self._factories: dict[str, Callable[[], Any]] = {}
        self._values: dict[str, Any] = {}
        for name, field in model.model_fields.items():
            if field.default_factory is not None:
                self._factories[name] = cast("Callable[[], Any]", field.default_factory)
            elif not field.is_required():
                self._values[name] = field.default

    @classmethod
    def of(cls, model: type[BaseModel]) -> "_Defaults":
        if model not in cls._known:
            cls._known[model] = cls(model)
        return cls._known[model]

    def value(self, name: str) -> Any:
        """The default of a field; KeyError where it must be given."""
        factory = self._factories.get(name)
        return self._values[name] if factory is None else factory()


class ForeignKey(NamedTuple):
    """Where a field points to: table, column, and what becomes of the row when that row goes."""

    table: str
    column: str = "id"
    on_delete: str | None = None
    """"cascade", "set null", or None: the row stays as it is."""


class StoredModel(ComfynbModel):
    """A model with a table of its own."""

    table_name: ClassVar[str]
    primary_key: ClassVar[tuple[str, ...]] = ("id",)
    """Field names."""
    unique_fields: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """Groups of field names, each unique together."""
    foreign_keys: ClassVar[Mapping[str, ForeignKey]] = {}
    """By field name."""
    is_view: ClassVar[bool] = False
    """Its rows are made by a view from other tables: they can be read, and not be put."""

    @classmethod
    def columns(cls) -> dict[str, str]:
        """Return the SQL column of each field, in the model's order."""
        return {field: column_name(field) for field in cls.model_fields}


def column_name(field: str) -> str:
    """Return the SQL column of a field: ``githubUrl`` is ``github_url``."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", lambda match: f"_{match[1].lower()}", field)


_RANGE_ERRORS = frozenset(
    {"greater_than", "greater_than_equal", "less_than", "less_than_equal", "finite_number"}
)


def explain(error: ValidationError) -> str:
    """Return one sentence for each refused field: its name and what is allowed.

    Only numbers outside a range are quoted; any other input might be a secret.
    """
    sentences = []
    for problem in error.errors(include_url=False, include_context=False):
        place = ".".join([error.title, *map(str, problem["loc"])])
        reason = problem["msg"].removeprefix("Value error, ")
        if problem["type"] in _RANGE_ERRORS:
            reason = f"{reason}, not {problem['input']!r}"
        elif problem["type"] == "extra_forbidden":
            reason = "there is no such field"
        sentences.append(f"{place}: {reason}.")
    return " ".join(sentences)


def unique_ids(what: str) -> Callable[[list[Any]], list[Any]]:
    """Return a validator that refuses a list in which two items have the same id."""

    def check(items: list[Any]) -> list[Any]:
        seen: set[str] = set()
        for item in items:
            if item.id in seen:
                raise ValueError(f"two {what} have the id {item.id!r:.60}: ids are unique")
            seen.add(item.id)
        return items

    return check
