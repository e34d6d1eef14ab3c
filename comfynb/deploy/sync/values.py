"""Reading single values out of other people's JSON: of the right type, or absent."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from comfynb.deploy.catalogue.text import line
from comfynb.models._checks import check_url

__all__ = ["flag", "license_name", "moment", "number", "objects", "sha256", "text", "url", "whole"]

_HEX = frozenset("0123456789abcdef")
_MOST = 2**53


def text(item: Mapping[str, Any], key: str, longest: int = 300) -> str | None:
    """Return one line of text, or None."""
    return line(item.get(key), longest)


def whole(item: Mapping[str, Any], key: str) -> int | None:
    """Return a whole number from 0, or None."""
    value = item.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < _MOST:
        return None
    return value


def number(item: Mapping[str, Any], key: str) -> int | float | None:
    """Return a finite number, or None."""
    value = item.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return value if abs(value) < _MOST else None


def flag(item: Mapping[str, Any], key: str) -> bool | None:
    """Return true or false, or None."""
    value = item.get(key)
    return value if isinstance(value, bool) else None


def objects(item: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    """Return what is an object in a list."""
    value = item.get(key)
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []


def moment(item: Mapping[str, Any], key: str) -> datetime | None:
    """Return a time in UTC, or None."""
    value = item.get(key)
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.strip())
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def sha256(value: object) -> str | None:
    """Return a SHA-256 in lower case, or None."""
    if not isinstance(value, str):
        return None
    low = value.strip().lower()
    return low if len(low) == 64 and set(low) <= _HEX else None


def url(item: Mapping[str, Any], key: str) -> str | None:
    """Return a URL without secrets, or None."""
    value = item.get(key)
    if not isinstance(value, str) or len(value) > 2000:
        return None
    try:
        return check_url(value.strip())
    except ValueError:
        return None


def license_name(value: object) -> str | None:
    """Return a licence's name; registries give it as text, or as JSON of a file or text in text."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    if isinstance(value, dict):
        value = value.get("text") or value.get("file")
    return line(value, 100)
