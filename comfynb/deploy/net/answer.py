"""What a server answered, and what was downloaded: shown without anything that may be secret."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

from comfynb.deploy.net.policy import shown
from comfynb.errors import FetchError

__all__ = ["Answer", "Downloaded", "retry_after"]

_MAX_WAIT = 24 * 3600.0
_MEANINGS = {
    401: "it wants a token, or another one",
    403: "it does not allow this, at least not with this token",
    404: "there is nothing of that name",
    410: "it has been taken away",
    429: "too much was asked of it",
}


@dataclass(frozen=True)
class Answer:
    """One answer: ``headers`` are looked up whatever their case, ``url`` is the last one asked.

    ``history`` holds the redirects that led there, oldest first; their bodies were not read.
    """

    status: int
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)
    url: str
    history: tuple["Answer", ...] = field(default=(), repr=False)

    @property
    def retry_after(self) -> float | None:
        """Seconds that the server asks to wait, or None."""
        return retry_after(self.headers)

    def check(self) -> "Answer":
        """Return this answer; raises FetchError where its status is 400 or more, or a redirect."""
        if self.status < 300:
            return self
        meaning = _MEANINGS.get(self.status, "")
        if self.status >= 500:
            meaning = "it is in trouble itself"
        wait = self.retry_after
        later = f"; it asks to come back in {wait:.0f} s" if wait is not None else ""
        raise FetchError(
            f"{shown(self.url)} answered {self.status}{meaning and f': {meaning}'}{later}.",
            url=shown(self.url),
            status=self.status,
            retry_after=wait,
        )

    def json(self) -> Any:
        """Return the body as JSON; raises FetchError where it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            pass
        raise FetchError(
            f"{shown(self.url)} answered with something that is not JSON: is the address right?",
            url=shown(self.url),
            status=self.status,
        )


@dataclass(frozen=True)
class Downloaded:
    """A file that arrived whole: ``size`` in bytes, ``sha256`` as 64 hexadecimal digits.

    ``resumed_from`` is how many of its bytes were there before this download.
    """

    path: Path
    size: int
    sha256: str
    resumed_from: int = 0
    url: str = ""
    etag: str | None = None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After (seconds or a date): seconds from now, at most a day; None if unreadable."""
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    try:
        wait = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except (ValueError, TypeError):
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        wait = (moment - datetime.now(UTC)).total_seconds()
    return min(max(wait, 0.0), _MAX_WAIT) if math.isfinite(wait) else None
