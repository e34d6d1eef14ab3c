"""Text from the world made storable: one line or several, without control characters, bounded."""

import re
from collections.abc import Iterable
from html.parser import HTMLParser

__all__ = ["from_html", "line", "lines", "several", "words"]

_SPACE = re.compile(r"\s+")
_LINES = re.compile(r"\n{3,}")
_BLOCKS = frozenset({"p", "br", "div", "li", "ul", "ol", "h1", "h2", "h3", "h4", "tr", "hr"})

# What controls a terminal or ends a line; line breaks and tabs are kept in longer texts.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_CONTROLS_BUT_LINES = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
# Marks that turn the direction of what follows: a name could show as another one.
_TURNS = re.compile("[\u202a-\u202e\u2066-\u2069]")


def _clean(text: str, controls: re.Pattern[str] = _CONTROLS) -> str:
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        text = _TURNS.sub("", text)
    return controls.sub(" ", text)


def line(value: object, longest: int = 300) -> str | None:
    """Return text as one line of at most ``longest`` characters; None for anything but text."""
    if not isinstance(value, str):
        return None
    text = _SPACE.sub(" ", _clean(value)).strip()
    if len(text) > longest:
        text = text[: longest - 1].rstrip() + "…"
    return text or None


def several(value: object, longest: int = 10_000) -> str | None:
    """Return text that may have several lines; None for anything but text."""
    if not isinstance(value, str):
        return None
    text = _clean(value.replace("\r\n", "\n"), _CONTROLS_BUT_LINES).strip()
    text = _LINES.sub("\n\n", text)
    if len(text) > longest:
        text = text[: longest - 1].rstrip() + "…"
    return text or None


def lines(values: object, longest: int = 300, most: int = 10_000) -> list[str]:
    """Return what is text in a list, each once, as lines; a single text is a list of one."""
    if isinstance(values, str):
        values = [values]
    if not isinstance(values, Iterable) or isinstance(values, dict):
        return []
    found = dict.fromkeys(line(one, longest) for one in values)
    return [one for one in found if one][:most]


def words(values: object) -> list[str]:
    """Return tags: a list of texts, or one text with commas between them."""
    if isinstance(values, str):
        values = values.split(",")
    return lines(values, longest=80, most=200)


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self.hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        del attrs
        if tag in {"script", "style"}:
            self.hidden += 1
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if tag in {"script", "style"}:
            self.hidden = max(0, self.hidden - 1)

    def handle_data(self, data: str) -> None:
        if not self.hidden:
            self.parts.append(data)


def from_html(value: object, longest: int = 10_000) -> str | None:
    """Return the text of a piece of HTML."""
    if not isinstance(value, str):
        return None
    if "<" not in value and "&" not in value:
        return several(value, longest)
    parser = _Text()
    parser.feed(value)
    parser.close()
    return several("".join(parser.parts), longest)
