"""How wide text is, about: the kernel cannot ask the browser, and labels must end in time."""

from functools import lru_cache

from comfynb.widgets.markup import clean

__all__ = ["clip_to", "text_width"]

# Advance widths in thousandths of the font size, of common user-interface fonts, the wider ones.
_NARROW = dict.fromkeys("ijl.,:;'|!", 300) | dict.fromkeys('ftrI()[]{}/\\-" ', 400)
_WIDE = dict.fromkeys("mwMW@%—", 960) | dict.fromkeys("ABCDEGHKNOPQRSUVXYZ&#+=<>~_", 720)
_WIDTHS = {**_NARROW, **_WIDE}
_USUAL = 620
_FULL = 1000  # Chinese, Japanese, Korean and everything else from there on


@lru_cache(maxsize=8192)
def _thousandths(text: str) -> int:
    return sum(_WIDTHS.get(char, _USUAL if char < "\u2e80" else _FULL) for char in text)


def text_width(text: str, size: float) -> float:
    """About how wide ``text`` is at a font size; in the same unit as ``size``."""
    return _thousandths(text) * size / 1000.0


@lru_cache(maxsize=8192)
def clip_to(text: str, size: float, width: float) -> str:
    """``text`` on one line, cut with an ellipsis where it would be wider than ``width``."""
    line = " ".join(clean(text[:400]).split())
    if text_width(line, size) <= width:
        return line
    room = (width - text_width("…", size)) * 1000.0 / size
    used = 0
    for place, char in enumerate(line):
        used += _WIDTHS.get(char, _USUAL if char < "\u2e80" else _FULL)
        if used > room:
            return line[:place].rstrip() + "…"
    return line
