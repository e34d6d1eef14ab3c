import html
import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.widgets.markup import (
    address_link,
    clean,
    clip,
    duration,
    elapsed,
    esc,
    mebibytes,
    number,
    one_line,
    sentence,
    user,
)

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=300)


@given(ANY_TEXT)
def test_escaped_text_is_only_text_and_says_the_same(text: str) -> None:
    escaped = esc(text)
    assert not set("<>\"'") & set(escaped)
    assert html.unescape(escaped) == clean(text)
    escaped.encode()  # a lone surrogate would end the connection to the browser


@given(ANY_TEXT)
def test_foreign_text_is_clipped_before_it_is_escaped(text: str) -> None:
    shown = user(text, 20).removeprefix("<bdi>").removesuffix("</bdi>")
    assert len(html.unescape(shown)) <= 20


@given(ANY_TEXT)
def test_one_line_has_one_line(text: str) -> None:
    assert len(one_line(text).splitlines()) <= 1


@given(st.floats(allow_nan=False, allow_infinity=False) | st.integers())
def test_numbers_are_written_exactly(value: float) -> None:
    text = number(value)
    assert (int(text) if isinstance(value, int) else float(text)) == value


def test_numbers_are_written_short() -> None:
    assert [number(1.0), number(0.05), number(2**64 - 1)] == ["1", "0.05", "18446744073709551615"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (59.9, "0:59"),
        (61, "1:01"),
        (3_725, "1:02:05"),
        (86_400 * 2 + 61, "2 d 0:01:01"),
        (-5, "0:00"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_elapsed_ends_with_the_end() -> None:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    now = start + timedelta(hours=1)
    assert elapsed(None, None, now) == ""
    assert elapsed(start, None, now) == "1:00:00"
    assert elapsed(start, start + timedelta(seconds=7.25), now) == "7.2 s"
    assert elapsed(start, start + timedelta(seconds=75), now) == "1:15"


@pytest.mark.parametrize(
    ("mib", "text"),
    [(512, "512 MiB"), (1024, "1 GiB"), (24_564, "24 GiB"), (12_000, "11.7 GiB")],
)
def test_memory(mib: int, text: str) -> None:
    assert mebibytes(mib) == text


def test_memory_beside_another_has_its_unit() -> None:
    assert mebibytes(512, 24_564) == "0.5"


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "file:///etc", "[", ""])
def test_only_web_addresses_become_links(url: str) -> None:
    assert "href" not in address_link(url)


def test_a_link_keeps_its_quotes_to_itself() -> None:
    link = address_link('https://host/"onclick="alert(1)')
    assert 'href="https://host/&quot;onclick=&quot;alert(1)"' in link
    assert "noopener" in link


def test_sentence_and_traceback_are_told_apart() -> None:
    assert sentence("It failed.\nTraceback:\n  File x\n") == ("It failed.", "Traceback:\n  File x")
    assert sentence("") == ("", "")


def test_clip() -> None:
    assert clip("abcdef", 4) == "abc…"
    assert clip("abcd", 4) == "abcd"
    assert math.isfinite(len(clip("x", 0)))
