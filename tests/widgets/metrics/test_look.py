"""How plots of metrics look: colours with contrast, and text that plotly takes for text."""

import html
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.widgets.metrics.look import COLOURS, STATUSES, line_look, plot_text, spoken

# What plotly.js 4 reads in a text: tags by name, and entities.
TAG = re.compile(r"<[^>]*>?|&(#\d+|#x[\da-fA-F]+|[a-z]+);")


def _luminance(colour: str) -> float:
    def linear(channel: float) -> float:
        return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4

    red, green, blue = (linear(int(colour[n : n + 2], 16) / 255) for n in (1, 3, 5))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    high, low = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("colour", [*COLOURS, *(kind.colour for kind in STATUSES)])
@pytest.mark.parametrize("page", ["#ffffff", "#111111"])
def test_every_colour_is_seen_on_light_and_on_dark(colour: str, page: str) -> None:
    assert _contrast(colour, page) >= 3


def test_backends_differ_in_more_than_colour() -> None:
    looks = [line_look(place) for place in range(36)]
    assert len({(one.colour, one.dash) for one in looks}) == 36
    assert len({one.dash for one in looks[:6]}) == len({one.colour for one in looks[:6]}) == 6
    assert len({kind.pattern for kind in STATUSES}) == len(STATUSES)


@given(st.text())
def test_no_text_has_a_tag_or_an_entity_of_its_own(text: str) -> None:
    shown = plot_text(text, 500)
    for match in TAG.finditer(shown):
        assert match[0] in {"&lt;", "&gt;", "&amp;"}
    assert "\n" not in shown
    # Whoever reads the entities as plotly does sees what was there.
    assert "<" in html.unescape(shown) if "<" in text[:400] else True


@pytest.mark.parametrize("mark", ["\u202e", "\u2066", "\u2069", "\u200f"])
def test_marks_of_direction_stay_inside(mark: str) -> None:
    shown = plot_text(f"a{mark}b")
    assert shown == "\u2068a\ufffdb\u2069"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.4, "0.4 s"),
        (12, "12 s"),
        (59.6, "1 min"),
        (200, "3 min 20 s"),
        (3600, "1 h"),
        (3900, "1 h 5 min"),
        (86_399.7, "1 d"),
        (190_000, "2 d 4 h"),
    ],
)
def test_lengths_of_time_in_words(seconds: float, said: str) -> None:
    assert spoken(seconds) == said
