"""Text on its way into HTML: foreign strings escaped; times, sizes and numbers written out."""

import html
import re
from datetime import datetime, timedelta
from urllib.parse import urlsplit

__all__ = [
    "address_link",
    "clean",
    "clip",
    "duration",
    "elapsed",
    "esc",
    "mebibytes",
    "number",
    "one_line",
    "sentence",
    "user",
]

# Everything that has no business in HTML text: C0 controls but tab and newline, DEL and C1, lone
# surrogates (they cannot be sent as UTF-8 at all) and the non-characters.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def clean(text: object) -> str:
    """``text`` as a string that survives the way to a browser; the unprintable becomes U+FFFD."""
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", str(text).replace("\r\n", "\n"))


def esc(text: object) -> str:
    """Escape for HTML text and for quoted attribute values alike."""
    return html.escape(clean(text), quote=True)


def user(text: object, limit: int = 200) -> str:
    """HTML of a foreign string: clipped, escaped, and its writing direction kept to itself.

    ``<bdi>`` keeps right-to-left text and direction overrides from turning their neighbours round.
    """
    return f"<bdi>{esc(clip(text, limit))}</bdi>"


def clip(text: object, limit: int = 200) -> str:
    """``text``, at most ``limit`` characters long; what is left out is marked by an ellipsis."""
    whole = str(text)
    return whole if len(whole) <= limit else whole[: max(limit - 1, 0)] + "…"


def one_line(text: object, limit: int = 200) -> str:
    """``text`` on one line for plain-text reprs: runs of white space become one space."""
    return clip(" ".join(clean(text).split()), limit)


def sentence(error: str) -> tuple[str, str]:
    """Split an error into its first line and the rest (a traceback, say; it may be empty)."""
    first, _, rest = clean(error).strip().partition("\n")
    return first.strip(), rest.strip("\n")


def duration(seconds: float) -> str:
    """``0:07``, ``12:34``, ``1:02:03`` or ``2 d 3:04:05``."""
    whole = max(int(seconds), 0)
    days, rest = divmod(whole, 86_400)
    hours, rest = divmod(rest, 3600)
    minutes, secs = divmod(rest, 60)
    clock = f"{hours}:{minutes:02}:{secs:02}" if hours or days else f"{minutes}:{secs:02}"
    return f"{days} d {clock}" if days else clock


def elapsed(start: datetime | None, end: datetime | None, now: datetime) -> str:
    """How long something has run, or ran (to a tenth of a second if short); empty before it has."""
    if start is None:
        return ""
    span: timedelta = (end or now) - start
    seconds = span.total_seconds()
    if end is not None and 0 <= seconds < 60:
        return f"{seconds:.1f} s"
    return duration(seconds)


def mebibytes(mib: int, beside: int | None = None) -> str:
    """Memory given in MiB, written as people say it: ``512 MiB`` or ``23.6 GiB``.

    ``beside`` is another amount that follows: then only the number is written, in its unit.
    """
    scale, unit = (1, "MiB") if (mib if beside is None else beside) < 1024 else (1024, "GiB")
    text = f"{mib / scale:.1f}".removesuffix(".0")
    return text if beside is not None else f"{text} {unit}"


def number(value: float) -> str:
    """A number as short as it can be without being another one: ``1`` not ``1.0``; ``0.05``."""
    if isinstance(value, int):
        return str(value)
    if value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return repr(value)


def address_link(url: str) -> str:
    """A link that opens ``url`` in a new tab if it is plain http(s); else just its escaped text."""
    shown = user(url.removesuffix("/"), 80)
    try:
        scheme = urlsplit(url).scheme
    except ValueError:
        return shown
    if scheme not in {"http", "https"}:
        return shown
    return f'<a href="{esc(url)}" target="_blank" rel="noopener noreferrer">{shown}</a>'
