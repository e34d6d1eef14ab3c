"""The Jinja environment of the scripts: no value is printed but through a filter that quotes it."""

import json
import re
from typing import Any

import yaml
from jinja2 import BaseLoader, Environment, PackageLoader, StrictUndefined

from comfynb.errors import DeploymentError

__all__ = ["Interpolated", "Quoted", "environment", "shell_quote"]


class Quoted(str):
    """Text that is fit for its place; only filters make it."""

    __slots__ = ()


class Interpolated(str):
    """Text of our own for a compose file, in which ``${NAME}`` is meant."""

    __slots__ = ()


_PLAIN = re.compile(r"[A-Za-z0-9 _@%+=:,./-]*")
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", "'": "\\'"}
# Within $'...' these mean nothing to a shell; they are escaped for those who read it, and linters.
_NOT_RAW = frozenset("$`~")


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if " " <= character <= "~" and character not in _NOT_RAW:
        return character
    # Bytes, not \u: what \u means depends on the locale.
    return "".join(f"\\x{byte:02x}" for byte in character.encode())


def shell_quote(value: str) -> Quoted:
    """Quote one word for bash, in printable ASCII.

    What is not plain is written as ``$'...'``: no character is left that could look like another
    one, turn the direction of the text, or be read differently in another locale.

    Raises:
        DeploymentError: the text holds a NUL, which no shell can hold.
    """
    if "\0" in value:
        raise DeploymentError("A script cannot hold text with a NUL character: remove it.")
    # A tilde at the start of a word is a folder to some readers; a percent sign is not.
    if _PLAIN.fullmatch(value):
        return Quoted(f"'{value}'")
    return Quoted("$'" + "".join(map(_escaped, value)) + "'")


def _comment(value: str) -> Quoted:
    """Text for the rest of a comment line."""
    return Quoted(
        "".join(
            character if " " <= character <= "~" else character.encode("unicode_escape").decode()
            for character in " ".join(value.split())
        )
    )


def _number(value: int) -> Quoted:
    if type(value) is not int:
        raise TypeError(f"{value!r:.40} is no whole number")
    return Quoted(str(value))


def _word(value: str) -> Quoted:
    """A word that needs no quotes anywhere."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", value):
        raise ValueError(f"{value!r:.60} is no plain word")
    return Quoted(value)


def _json(value: Any) -> Quoted:
    return Quoted(json.dumps(value, ensure_ascii=True, indent=2))


_OWN_KEY = re.compile(r"[a-z][a-z_]+")
_YAML_WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "null"})


class _ComposeDumper(yaml.SafeDumper):
    """Every text in double quotes: what is a number or a truth to one parser is text to all."""


def _represent_text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    plain = _OWN_KEY.fullmatch(value) and value not in _YAML_WORDS
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=None if plain else '"')


_ComposeDumper.add_representer(str, _represent_text)


def _literal(value: Any) -> Any:
    """Compose replaces ``$NAME`` in every text; ``$$`` is how it spells a ``$``."""
    if isinstance(value, Interpolated):
        return str(value)
    if isinstance(value, str):
        return value.replace("$", "$$")
    if isinstance(value, dict):
        # Keys are taken as they are, so none of them may come with a $.
        if any("$" in key for key in value):
            raise ValueError("a key with $")
        return {key: _literal(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_literal(item) for item in value]
    return value


def _compose(value: dict[str, Any]) -> Quoted:
    text = yaml.dump(
        _literal(value),
        Dumper=_ComposeDumper,
        sort_keys=False,
        allow_unicode=False,
        default_flow_style=False,
        width=10**9,
    )
    return Quoted(text.rstrip("\n"))


def _refuse_unquoted(value: Any) -> str:
    if not isinstance(value, Quoted):
        raise TypeError(f"a template prints a {type(value).__name__} that no filter has quoted")
    return str(value)


def environment(loader: BaseLoader | None = None) -> Environment:
    """Make the environment. Its tags are ``@{ value|filter }@``, ``@% tag %@`` and ``@# note #@``.

    ``{{``, ``{%`` and ``{#`` are left to bash and to RunPod. A value that no filter has quoted,
    and one that is not there, end the rendering with an error.
    """
    # HTML's escaping would be wrong here; ``finalize`` stands in for it.
    made = Environment(
        loader=loader or PackageLoader("comfynb.deploy.scripts", "templates"),
        undefined=StrictUndefined,
        finalize=_refuse_unquoted,
        autoescape=False,  # noqa: S701
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        variable_start_string="@{",
        variable_end_string="}@",
        block_start_string="@%",
        block_end_string="%@",
        comment_start_string="@#",
        comment_end_string="#@",
    )
    made.filters.update(
        sh=shell_quote,
        comment=_comment,
        number=_number,
        word=_word,
        as_json=_json,
        compose=_compose,
    )
    return made
