"""Quoting: what bash reads is what was written, and nothing is printed without a filter."""

import subprocess

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.deploy.scripts.quoting import Interpolated, environment, shell_quote
from comfynb.errors import DeploymentError

TEXT = st.text(st.characters(exclude_characters="\0", codec="utf-8"))


@given(st.lists(TEXT, min_size=20, max_size=60))
def test_bash_reads_what_was_written(values):
    words = [shell_quote(value) for value in values]
    assert all(word.isascii() and word.isprintable() for word in words)
    for locale in ("C", "C.UTF-8"):
        printed = subprocess.run(
            ["bash", "-c", f"printf '%s\\0' {' '.join(words)}"],
            env={"LC_ALL": locale},
            capture_output=True,
            check=True,
        ).stdout
        assert printed.decode().split("\0")[:-1] == values


def test_no_shell_holds_a_nul():
    with pytest.raises(DeploymentError, match="NUL"):
        shell_quote("a\0b")


def printed(template, **values):
    return environment(jinja2.DictLoader({"t": template})).get_template("t").render(**values)


@pytest.mark.parametrize("value", ["text", 7, None, True, ["x"], {"a": 1}])
def test_nothing_is_printed_without_a_filter(value):
    with pytest.raises(TypeError, match="no filter has quoted"):
        printed("@{ value }@", value=value)


@pytest.mark.parametrize(
    "template", ["@{ 'constant' }@", "@{ 1 }@", "@{ (a|sh) ~ b }@", "@{ (a|sh)|upper }@"]
)
def test_nor_what_was_quoted_before(template):
    with pytest.raises(TypeError, match="no filter has quoted"):
        printed(template, a="x", b="$(y)")


def test_what_is_not_there():
    with pytest.raises((TypeError, jinja2.UndefinedError)):
        printed("@{ missing }@")
    with pytest.raises((TypeError, jinja2.UndefinedError)):
        printed("@{ missing|sh }@")


def test_shells_and_runpods_own_brackets_stay():
    text = "${#a[@]} {{ RUNPOD_SECRET_x }} {% x %} ${a%\\%}\n"
    assert printed(text) == text


def test_comments_stay_one_line():
    assert (
        printed("# @{ a|comment }@", a="x\ny\u2028z\r\u202e é\x1b") == "# x y z \\u202e \\xe9\\x1b"
    )


def test_numbers_and_words():
    assert printed("@{ 7|number }@ @{ 'a-1.b'|word }@") == "7 a-1.b"
    for template in ("@{ '7'|number }@", "@{ true|number }@"):
        with pytest.raises(TypeError):
            printed(template)
    for word in ("", "a b", "$x", "-x", "é"):
        with pytest.raises(ValueError, match="no plain word"):
            printed("@{ word|word }@", word=word)


def test_compose_texts_are_literal_unless_they_are_ours():
    document = {"aa": "$x ${y} $$", "bb": ["$z", Interpolated("${OURS:-1}")], "yes": "1e3"}
    assert printed("@{ d|compose }@", d=document) == (
        'aa: "$$x $${y} $$$$"\nbb:\n- "$$z"\n- "${OURS:-1}"\n"yes": "1e3"'
    )
    with pytest.raises(ValueError, match="key"):
        printed("@{ d|compose }@", d={"$x": "y"})
