"""What an answer says about a URL: one class for each thing that somebody can do about it."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from urllib.parse import urlsplit

from comfynb.deploy.net.answer import Answer
from comfynb.errors import AddressRefused, FetchError
from comfynb.models import UrlValidation

__all__ = ["CheckTarget", "UrlClass", "Verdict", "class_of", "judge", "judge_error"]


class UrlClass(StrEnum):
    """What became of a URL."""

    OK = "OK"
    AUTH_REQUIRED = "AUTH_REQUIRED"  # a token is wanted, or another one
    GATED = "GATED"  # the terms have to be accepted on its page first
    EARLY_ACCESS = "EARLY_ACCESS"  # its author lets only some download it yet
    ARCHIVED = "ARCHIVED"  # taken away by its author or the service
    GONE = "GONE"
    RATE_LIMITED = "RATE_LIMITED"  # nothing is known: what was known before stays
    HTML_INSTEAD_OF_FILE = "HTML_INSTEAD_OF_FILE"
    SIZE_CHANGED = "SIZE_CHANGED"  # another file lies there now
    REDIRECT_LOGIN = "REDIRECT_LOGIN"
    UNREACHABLE = "UNREACHABLE"  # nobody answers, or only with errors of their own
    REFUSED = "REFUSED"  # never asked: the address is private, or no plain https


PASSING = frozenset({UrlClass.RATE_LIMITED, UrlClass.UNREACHABLE})
"""Classes that say something about now, not about the file."""

# CivitAI tells sizes in KB with fractions, which do not always give the byte.
_SIZE_TOLERANCE = 1024
_LOGIN = re.compile(r"/(log[-_]?in|sign[-_]?in|auth|oauth2?|sso|session/new)(/|$)", re.IGNORECASE)
_EARLY = re.compile(rb"early[ _-]?access", re.IGNORECASE)
_TOTAL = re.compile(r"bytes \d+-\d+/(\d{1,18})")
_HTML = re.compile(rb"\s*<(!doctype html|html|head|body)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class CheckTarget:
    """A URL to look at: ``size`` in bytes, if it is known; a ``page`` is expected to be HTML."""

    url: str
    page: bool = False
    size: int | None = None
    modelId: str | None = None  # noqa: N815 - as in UrlValidation
    customNodeId: str | None = None  # noqa: N815


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one look at a URL gave; ``reason`` is a sentence, ``retry_after`` in seconds."""

    target: CheckTarget
    kind: UrlClass
    reason: str
    status: int | None
    at: datetime
    size: int | None = None
    retry_after: float | None = None

    @property
    def isValid(self) -> bool:  # noqa: N802 - as in UrlValidation
        """Whether who asks as this was asked gets the file."""
        return self.kind is UrlClass.OK

    @property
    def message(self) -> str | None:
        """What goes into ``UrlValidation.errorMessage``; None where there is nothing to say."""
        if self.kind is UrlClass.OK and not self.reason:
            return None
        return f"{self.kind.value}: {self.reason}"


def class_of(validation: UrlValidation) -> UrlClass:
    """Return the class of a stored validation."""
    word = (validation.errorMessage or "").partition(":")[0]
    if word in UrlClass.__members__:
        return UrlClass(word)
    return UrlClass.OK if validation.isValid else UrlClass.UNREACHABLE


def judge(target: CheckTarget, answer: Answer, at: datetime) -> Verdict:
    """Judge an answer to HEAD, or to GET for its beginning."""
    kind, reason, size = _judge(target, answer)
    return Verdict(target, kind, reason, _status(answer.status), at, size, answer.retry_after)


def judge_error(target: CheckTarget, error: FetchError, at: datetime) -> Verdict:
    """Judge what was raised instead of an answer."""
    if isinstance(error, AddressRefused):
        return Verdict(target, UrlClass.REFUSED, str(error), _status(error.status), at)
    return Verdict(target, UrlClass.UNREACHABLE, str(error), _status(error.status), at)


def _status(status: int) -> int | None:
    return status if 100 <= status <= 999 else None


def _judge(target: CheckTarget, answer: Answer) -> tuple[UrlClass, str, int | None]:
    status = answer.status
    if status == 429 or (status == 503 and answer.retry_after is not None):
        return UrlClass.RATE_LIMITED, "the service wants to be asked later.", None
    if _leads_to_login(answer):
        return UrlClass.REDIRECT_LOGIN, "it leads to a page to log in.", None
    if status in {401, 403}:
        return (*_judge_refusal(answer), None)
    if status == 404:
        return UrlClass.GONE, "there is nothing at this address any more.", None
    if status == 410:
        return UrlClass.ARCHIVED, "it has been archived or taken away.", None
    if not 200 <= status < 300:
        return UrlClass.UNREACHABLE, f"the server answered {status}.", None
    if not target.page and _is_html(answer):
        return UrlClass.HTML_INSTEAD_OF_FILE, "a web page lies there, not a file.", None
    size = size_of(answer)
    if (
        target.size is not None
        and size is not None
        and not target.page
        and abs(size - target.size) > _SIZE_TOLERANCE
    ):
        reason = f"it has {size:,} bytes, where {target.size:,} were expected."
        return UrlClass.SIZE_CHANGED, reason, size
    return UrlClass.OK, _moved(target, answer), size


def _judge_refusal(answer: Answer) -> tuple[UrlClass, str]:
    code = answer.headers.get("X-Error-Code", "")
    if code == "GatedRepo":
        return UrlClass.GATED, "its terms have to be accepted on its page, and a token be given."
    if code == "DisabledRepo":
        return UrlClass.ARCHIVED, "the service has disabled it."
    if answer.status == 403:
        if _EARLY.search(answer.body) or _has_deadline(answer.body):
            return UrlClass.EARLY_ACCESS, "it is in early access: only supporters get it for now."
        if answer.headers.get("cf-mitigated") == "challenge":
            # Somebody in between takes us for a robot, rightly; it says nothing about the file.
            return UrlClass.UNREACHABLE, "the server wants to see a browser."
    if code == "RepoNotFound":
        return UrlClass.AUTH_REQUIRED, "it is private, renamed or gone, or wants a token."
    return UrlClass.AUTH_REQUIRED, "it wants a token, or another one."


def _has_deadline(body: bytes) -> bool:
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(said, dict) and "deadline" in said


def _leads_to_login(answer: Answer) -> bool:
    if not answer.history:
        return False
    return bool(_LOGIN.search(urlsplit(answer.url).path))


def _is_html(answer: Answer) -> bool:
    kind = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind in {"text/html", "application/xhtml+xml"}:
        return True
    return _HTML.match(answer.body) is not None


def size_of(answer: Answer) -> int | None:
    """Return the size of the whole file, as an answer to HEAD or to a GET for a part says it."""
    if answer.status == 206:
        match = _TOTAL.fullmatch(answer.headers.get("Content-Range", "").strip())
        return int(match[1]) if match else None
    if answer.headers.get("Content-Encoding", "identity").strip().lower() != "identity":
        return None
    for headers in (answer.headers, *(one.headers for one in reversed(answer.history))):
        # Hugging Face tells it where it redirects.
        text = headers.get("X-Linked-Size", "")
        if text.isascii() and text.isdigit():
            return int(text[:18])
    text = answer.headers.get("Content-Length", "")
    return int(text[:18]) if text.isascii() and text.isdigit() else None


def _moved(target: CheckTarget, answer: Answer) -> str:
    if target.page and answer.history and all(one.status in {301, 308} for one in answer.history):
        return f"it has moved to {answer.url}"
    return ""
