"""Expressions mean what they mean in Python, say what is wrong, and cannot get out or last."""

import runpy
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.engine.graph import bounded
from comfynb.engine.graph.expressions import (
    FUNCTIONS,
    MAX_DEPTH,
    MAX_LENGTH,
    MAX_STEPS,
    ROOTS,
    compile_expression,
    evaluate_condition,
)
from comfynb.errors import ExpressionError

SUITE = runpy.run_path(str(Path(__file__).with_name("attempts.py")))
ATTEMPTS, DATA = SUITE["ATTEMPTS"], SUITE["DATA"]

VALUES = {
    "output": {
        "width": 640,
        "faces_detected": 2,
        "name": "Ada 7.png",
        "tags": ["photo", "night"],
        "faces": [{"score": 0.5, "box": [1, 2]}, {"score": 0.9, "box": [3, 4]}],
        "none": None,
    },
    "params": {"cfg": 7.5, "seed": 2**64 - 1, "style": "Photo", "tiled": True},
    "job": {"name": "faces"},
}


def evaluate(text, values=VALUES):
    return compile_expression(text).evaluate(values)


def refused(text, values=VALUES):
    with pytest.raises(ExpressionError) as error:
        evaluate(text, values)
    return str(error.value)


def said_of(text):
    """What is wrong with an expression; nothing if it has a value."""
    try:
        compile_expression(text).evaluate(VALUES)
    except ExpressionError as error:
        return str(error)
    return ""


class Plain(dict):
    """Lets Python's own eval read data with dots, to compare with."""

    __getattr__ = dict.__getitem__


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("output.faces_detected > 0 and params.cfg < 8", True),
        ("output.faces_detected > 2 or params.cfg >= 8", False),
        ("not output.none", True),
        ("output.none is None and output.width is not None", True),
        ("1 < output.faces_detected < 3", True),
        ("output['width'] / 2 == 320", True),
        ("output.faces[0].score", 0.5),
        ("output.faces[-1]['box'][1]", 4),
        ("output.tags[:1] + ['x']", ["photo", "x"]),
        ("any(face.score > 0.8 for face in output.faces)", True),
        ("all(face.score > 0.8 for face in output.faces)", False),
        ("[b for face in output.faces if face.score > 0.8 for b in face.box]", [3, 4]),
        ("sum(a * b for a, b in [[1, 2], [3, 4]])", 14),
        ("[[x for x in [y, y + 1]] for y in [1, 3]]", [[1, 2], [3, 4]]),
        ("lower(params.style) in output.tags", True),
        ("'Ada' in output.name and not contains(output.name, 'Bob')", True),
        ("startswith(output.name, 'Ada') and endswith(output.name, '.png')", True),
        ("'width' in output and has(output, 'name') and not has(output, 'nsfw')", True),
        ("get(output, 'nsfw', 0.25)", 0.25),
        ("params.seed % 2 == 1", True),
        ("min([], default=3) + max(2, 5, 4)", 8),
        ("max(face.score for face in output.faces)", 0.9),
        ("round(2.675, 1) + round(1.5) + abs(-2)", 6.7),
        ("int('12') + int(3.9) + float('0.5')", 15.5),
        ("upper(strip('  a ')) + str(1.5) + str(None)", "A1.5None"),
        ("'big' if output.width > 512 else 'small'", "big"),
        ("len(output.name) == 9 and bool(output.tags)", True),
        ("output.name < 'B'", True),
        ("(output.width\n > 512)  # a comment", True),
        ("  output.width  ", 640),
        ("1in [1]", True),
        ("'\\d' == '\\\\d'", True),
    ],
)
def test_an_expression_has_pythons_value(text, expected):
    assert evaluate(text) == expected
    assert type(evaluate(text)) is type(expected)


@pytest.mark.parametrize(("name", "text"), ATTEMPTS, ids=[name for name, _ in ATTEMPTS])
def test_an_attempt_to_get_out_or_to_last_ends_in_a_sentence(name, text, monkeypatch):
    used = []
    run = bounded.Evaluator.run

    def counted(self, tree):
        try:
            return run(self, tree)
        finally:
            used.append(self.steps)

    monkeypatch.setattr(bounded.Evaluator, "run", counted)
    message = refused(text, DATA)
    assert message.endswith((".", "=="))
    assert len(message) < 600
    assert "Traceback" not in message
    assert "object at 0x" not in message
    assert all(steps <= MAX_STEPS for steps in used)
    assert DATA["output"]["width"] == 640, "an attempt changed the data"


def test_the_suite_is_as_large_as_it_is_said_to_be():
    assert len(ATTEMPTS) >= 60
    assert len({text for _, text in ATTEMPTS}) == len(ATTEMPTS)


def test_every_step_is_paid_for_before_it_is_taken():
    """The budget bounds what was touched, not only what was counted afterwards."""
    touched = 0

    class Counting(bounded.Evaluator):
        def _eval(self, node):
            nonlocal touched
            touched += 1
            return super()._eval(node)

    tree = compile_expression("[x for x in output.numbers for y in output.numbers]").tree
    with pytest.raises(ExpressionError, match="more than 10000 steps"):
        Counting("text", {"output": {"numbers": list(range(10**6))}}).run(tree)
    assert touched <= MAX_STEPS + 1


def test_what_an_expression_makes_stays_small():
    made = []
    pay = bounded.Evaluator._checked

    def watched(self, value):
        if type(value) is str:
            made.append(len(value))
        return pay(self, value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bounded.Evaluator, "_checked", watched)
        refused("[a + a for a in [output.text[:4000]] for b in output.text]", DATA)
    # Whatever is read costs nothing; what is made is paid by its length.
    assert sum(length for length in made if length < 5_000_000) < 40 * bounded.MAX_CHARACTERS * 10


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("output.face > 0", "output has no 'face'; it has width, faces_detected, name, tags"),
        ("params.steps", "params has no 'steps'; it has cfg, seed, style, tiled"),
        ("job.id", "job has no 'id'; it has name, at character 1 of 'job.id'"),
        ("output.faces.score", "output.faces is a list: write output.faces[0].score"),
        ("output.width.x", "output.width is a number and has nothing called 'x'"),
        ("output.tags[7]", "output.tags has no item 7; it has 2"),
        ("output.tags['a']", "output.tags is read by position, not text"),
        ("output[0]", "output is read by names, not a number"),
        ("1 + output.name", "+ cannot add a number and text, at character 1"),
        ("output.width > 'a'", "> cannot compare a number and text"),
        ("output.width = 3", "To compare, write =="),
        ("output.width > 3 && 1", "Write and."),
        ("true", "true is not known: write True"),
        ("width > 3", "'width' is not known; an expression can read output, params, job"),
        ("output.name.lower()", "'lower' is a method, and those are not called: write lower(text)"),
        ("minimum(1, 2)", "did you mean min?"),
        ("output.größe + 1", "output has no 'größe'"),
        ("'äöü' + nothing", "at character 9"),
        ("output.width >", "at character 14"),
        ("max([])", "write max(list, default=0)"),
        ("", "The expression is empty"),
    ],
)
def test_the_sentence_names_the_culprit(text, said):
    assert said in refused(text)


def test_a_root_that_is_not_given_has_no_names():
    assert refused("job.name", {"output": {}}).startswith("job has no 'name'; it has nothing")


def test_data_that_is_not_plain_is_named():
    class Thing:
        secret = 1

    message = refused("output.thing", {"output": {"thing": Thing()}})
    assert "output.thing is a Thing, which expressions cannot use" in message
    assert "cannot use" in refused("[x for x in output.all]", {"output": {"all": [len]}})


def test_what_is_no_text_is_refused_as_such():
    for value in (None, 3, ["output.width"]):
        with pytest.raises(ExpressionError, match="An expression is text, not"):
            compile_expression(value)


def test_the_names_that_an_expression_reads_are_known():
    text = (
        "output.a.b > params.c and any(x.score > job.d for x in output.faces[0].e) or len(params)"
    )
    assert compile_expression(text).names == {
        "output.a.b",
        "params.c",
        "job.d",
        "output.faces",
        "params",
    }


def test_every_function_is_documented_and_there():
    for name, about in FUNCTIONS.items():
        assert about.startswith(f"{name}(")
        assert name in {"min", "max"} or hasattr(bounded.Evaluator, f"_do_{name}")


def test_an_expression_is_compiled_once_and_evaluated_often():
    compiled = compile_expression("output.width > 512")
    assert compile_expression(" output.width > 512 ") is compiled
    assert compiled.evaluate_condition({"output": {"width": 600}})
    assert not compiled.evaluate_condition({"output": {"width": 500}})
    assert evaluate_condition("output.width", {"output": {"width": 1}}) is True


@given(st.text(max_size=60))
def test_any_text_gives_a_value_or_a_sentence(text):
    assert said_of(text) == "" or said_of(text).endswith((".", "=="))


PIECES = [
    *ROOTS,
    *FUNCTIONS,
    "(",
    ")",
    "[",
    "]",
    ".",
    ",",
    "+",
    "*",
    "==",
    "'a'",
    "1",
    " for x in ",
]


@given(st.lists(st.sampled_from([*PIECES, "x", "._", "**", " if ", " else ", ":"]), max_size=14))
def test_any_mixture_of_its_words_gives_a_value_or_a_sentence(words):
    said_of("".join(words))  # any other exception would end the test


# Expressions that Python evaluates too ------------------------------------------------------------

numbers = st.sampled_from(["0", "1", "7", "2.5", "output.width", "params.cfg", "output.count"])
texts = st.sampled_from(["'a'", "'night'", "output.name", "output.tags[0]", "str(output.width)"])
lists = st.sampled_from(["output.tags", "['a', 'b']", "[]", "[x for x in output.tags if x > 'a']"])


def operations(inner):
    number, text, items = inner
    truth = st.one_of(
        st.tuples(number, st.sampled_from(["<", "<=", ">", ">=", "==", "!="]), number).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        st.tuples(text, st.sampled_from(["==", "<", "in", "not in"]), text)
        .map(" ".join)
        .map(lambda t: f"({t})"),
        st.tuples(text, items).map(lambda t: f"({t[0]} in {t[1]})"),
        items.map(lambda t: f"(not {t})"),
    )
    joined = st.tuples(truth, st.sampled_from(["and", "or"]), truth).map(
        lambda t: f"({t[0]} {t[1]} {t[2]})"
    )
    return st.one_of(
        st.tuples(number, st.sampled_from(["+", "-", "*", "/", "//", "%"]), number).map(
            lambda t: f"({t[0]} {t[1]} {t[2]})"
        ),
        st.tuples(number, joined, number).map(lambda t: f"({t[0]} if {t[1]} else {t[2]})"),
        number.map(lambda t: f"abs(-{t})"),
        items.map(lambda t: f"len({t})"),
        st.tuples(number, number).map(lambda t: f"max({t[0]}, {t[1]})"),
        st.lists(number, min_size=1, max_size=3).map(lambda t: f"sum([{', '.join(t)}])"),
        joined.map(lambda t: f"int({t})"),
    )


grown = operations((numbers, texts, lists))
twice = operations((st.one_of(numbers, grown), texts, lists))
SAFE = {"abs": abs, "len": len, "max": max, "sum": sum, "int": int, "str": str}


@given(twice, st.integers(-5, 5), st.sampled_from(["b", "night", ""]))
def test_safe_expressions_have_the_value_that_python_gives_them(text, count, name):
    values = {
        "output": {"width": 640, "count": count, "name": name, "tags": ["night", name]},
        "params": {"cfg": 7.5},
    }
    roots = {key: Plain(value) for key, value in values.items()}
    try:
        expected = eval(text, {"__builtins__": {}}, {**SAFE, **roots})
    except ZeroDivisionError:
        assert "divides by zero" in refused(text, values)
        return
    assert evaluate(text, values) == expected


@given(st.integers(1, MAX_DEPTH * 3))
def test_depth_and_length_are_bounded_whatever_is_nested(times):
    for text in ("(" * times + "1" + ")" * times, "[" * times + "1" + "]" * times):
        most = MAX_DEPTH if text[0] == "[" else 199  # brackets around a value leave no node
        assert ("nested" in said_of(text)) == (times > most)
    assert f"more than {MAX_LENGTH}" in refused("1+" * MAX_LENGTH + "1")
