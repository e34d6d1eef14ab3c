from hypothesis import given
from hypothesis import strategies as st

from comfynb.deploy.catalogue.text import from_html, line, lines, several, words
from comfynb.models import CustomNode


def test_a_line_is_one_line() -> None:
    assert line("  a\n b\x00\tc\u202ed  ") == "a b cd"
    assert line("x" * 500, 10) == "x" * 9 + "…"
    assert line("\ud800ok") == "\ufffdok"
    assert [line(value) for value in (None, 3, "", " \n", {"a": 1})] == [None] * 5


@given(st.text(st.characters(), max_size=200))
def test_whatever_becomes_a_line_can_be_stored(text: str) -> None:
    found = line(text)
    if found is not None:
        node = CustomNode(name=found, githubUrl="https://github.com/a/b")
        assert node.name.encode()
        assert line(found) == found


def test_several_lines_stay_several() -> None:
    assert several("a\r\n\r\n\r\n\r\nb\x07") == "a\n\nb"


def test_lists_hold_each_text_once() -> None:
    assert lines(["a", "a", 3, None, " b "]) == ["a", "b"]
    assert lines("a") == ["a"]
    assert lines({"a": 1}) == lines(7) == lines(None) == []
    assert words("a, b,,a") == words(["a", "b"]) == ["a", "b"]


def test_html_becomes_its_text() -> None:
    told = "<p>One &amp; <b>two</b></p><script>alert(1)</script><ul><li>three<li>four</ul>"
    assert from_html(told) == "One & two\n\nthree\nfour"
    assert from_html("plain < text") == "plain < text"
    assert from_html(3) is None
