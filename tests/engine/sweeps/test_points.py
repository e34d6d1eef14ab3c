"""Axes, ranges, draws and conditions: what points come out of them, and in which order."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.engine.sweeps import (
    MOST_POINTS,
    Space,
    choice,
    condition,
    integers,
    loguniform,
    make_groups,
    make_samples,
    parse_range,
    uniform,
    values_of,
)
from comfynb.errors import ExpressionError, InvalidValue, UsageError


def space(grid=None, zip_=None, *, sample=None, n=None, seed=0, where=None):
    groups = make_groups(grid, zip_, sample)
    made = Space(groups, make_samples(sample), n, seed)
    return Space(groups, made.samples, n, seed, condition(where, made.names))


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1..4", [1, 2, 3, 4]),
        ("4..1", [4, 3, 2, 1]),
        ("0..10:5", [0, 5, 10]),
        ("10..0:-5", [10, 5, 0]),
        ("3..3", [3]),
        ("0.1..0.3:0.1", [0.1, 0.2, 0.3]),
        ("0.2..0.9:0.35", [0.2, 0.55, 0.9]),
        ("1..2:0.5", [1.0, 1.5, 2.0]),
        (" -2 .. 1 ", [-2, -1, 0, 1]),
        ("1..3, 8, 16..17", [1, 2, 3, 8, 16, 17]),
        ("1e1..12", [10.0, 11.0, 12.0]),
    ],
)
def test_ranges_include_both_ends(text, values):
    assert list(parse_range(text)) == values
    assert [type(one) for one in parse_range(text)] == [type(one) for one in values]


@pytest.mark.parametrize(
    "text", ["a cat", "1", "1, 2", "...", "a..b", "1..2 dogs", "1..", "x" * 900]
)
def test_what_is_no_range_is_a_text(text):
    assert parse_range(text) is None
    assert list(values_of("text", text)) == [text]


@pytest.mark.parametrize("text", ["1..4:0", "1..4:-1", "4..1:1", "0..1:0.00000001"])
def test_ranges_without_end_are_refused_by_name(text):
    with pytest.raises(InvalidValue, match="The range"):
        parse_range(text)


@given(st.integers(-50, 50), st.integers(0, 60), st.integers(1, 9))
def test_decimal_ranges_never_drift(start, count, step):
    text = f"{start / 10}..{(start + count * step) / 10}:{step / 10}"
    assert list(parse_range(text)) == [(start + i * step) / 10 for i in range(count + 1)]


def test_groups_are_combined_the_first_slowest_and_zips_go_hand_in_hand():
    points = list(space({"a": [1, 2], "b": "xy"}, {"w": [5, 7], "h": [6, 8]}))
    assert points == [
        {"a": a, "b": "xy", "w": w, "h": h}
        for a, (w, h) in itertools.product([1, 2], [(5, 6), (7, 8)])
    ]


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4))
def test_every_combination_comes_once_in_order(sizes):
    axes = {f"axis{i}": list(range(size)) for i, size in enumerate(sizes)}
    points = list(space(axes))
    assert points == [
        dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())
    ]


@given(st.integers(1, 80), st.integers(0, 2**40))
def test_n_takes_that_many_combinations_each_once(n, seed):
    axes = {"a": range(5), "b": range(8)}
    every = [tuple(point.values()) for point in space(axes)]
    some = [tuple(point.values()) for point in space(axes, n=n, seed=seed)]
    assert len(some) == min(n, 40)
    assert [point for point in every if point in set(some)] == some


def test_with_draws_n_goes_through_the_combinations_evenly():
    points = list(space({"a": [1, 2, 3]}, sample={"d": uniform(0.2, 0.9)}, n=20, seed=5))
    counts = [sum(point["a"] == a for point in points) for a in (1, 2, 3)]
    assert len(points) == 20
    assert max(counts) - min(counts) <= 1
    assert len({point["d"] for point in points}) == 20


def test_the_same_seed_draws_the_same_everywhere():
    sample = {
        "u": uniform(0.2, 0.9),
        "l": loguniform(1e-5, 1e-2),
        "i": integers(20, 40, 4),
        "c": choice(["a", "b"]),
    }
    points = list(space(sample=sample, n=3, seed=7))
    # Written down once: another machine, another Python must give exactly these.
    assert points == [
        {"u": 0.843436, "l": 0.000450571, "i": 40, "c": "b"},
        {"u": 0.410898, "l": 1.87179e-05, "i": 28, "c": "a"},
        {"u": 0.524032, "l": 0.00244259, "i": 40, "c": "a"},
    ]
    # A further axis changes no draw of the others.
    more = list(space(sample={**sample, "z": uniform(0, 1)}, n=3, seed=7))
    assert [{k: v for k, v in point.items() if k != "z"} for point in more] == points
    assert list(space(sample=sample, n=3, seed=8)) != points


@given(st.integers(0, 2**50), st.floats(0.001, 1e6), st.floats(1.0, 1e6))
def test_draws_stay_within_their_bounds(seed, low, factor):
    high = low * factor
    for point in space(
        sample={"u": uniform(low, high), "l": loguniform(low, high), "s": uniform(0, 1, 0.25)},
        n=5,
        seed=seed,
    ):
        assert low <= point["u"] <= high
        assert low <= point["l"] <= high
        assert point["s"] in {0, 0.25, 0.5, 0.75, 1}


def test_conditions_skip_points_and_draws_are_made_up_for():
    points = list(space({"cfg": [3, 7], "steps": [10, 30]}, where="cfg < 6 or steps > 20"))
    assert points == [
        {"cfg": 3, "steps": 10},
        {"cfg": 3, "steps": 30},
        {"cfg": 7, "steps": 30},
    ]
    drawn = list(space(sample={"x": uniform(0, 1)}, n=50, where=lambda point: point["x"] > 0.9))
    assert len(drawn) == 50
    assert min(point["x"] for point in drawn) > 0.9
    with pytest.raises(InvalidValue, match="hardly any point"):
        list(space(sample={"x": uniform(0, 1)}, n=5, where="x > 2"))


@pytest.mark.parametrize("where", ["cfgs < 3", "cfg <", "__import__('os')", "cfg.__class__"])
def test_a_condition_that_cannot_be_read_says_where(where):
    with pytest.raises(ExpressionError, match=r"character|not known|leading"):
        space({"cfg": [1]}, where=where)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({}, UsageError, "something to vary"),
        ({"grid": {"a": []}}, InvalidValue, "a has no values"),
        ({"grid": {"a": {"b": 1}}}, InvalidValue, "a takes a list"),
        ({"grid": [1, 2]}, UsageError, "grid takes a dict"),
        ({"zip_": {"a": [1], "b": [1, 2]}}, InvalidValue, "a has 1, b has 2"),
        ({"grid": {"a": [1]}, "sample": {"a": uniform(0, 1)}}, UsageError, "a is swept twice"),
        ({"sample": {"a": uniform(0, 1)}}, UsageError, "n=100"),
        ({"sample": {"a": "words"}, "n": 1}, InvalidValue, "not from 'words'"),
        ({"grid": {"a": range(10**12)}}, InvalidValue, "100,000"),
        ({"grid": {"a": itertools.count()}}, InvalidValue, "a has no end"),
        ({"grid": {"a": [1]}, "n": 0}, InvalidValue, "not 0"),
    ],
)
def test_what_cannot_be_expanded_is_said_in_one_sentence(arguments, error, words):
    with pytest.raises(error, match=words):
        list(space(**arguments))


def test_a_part_of_a_space_too_large_to_list():
    points = list(space({"a": range(10**9), "b": range(10**9)}, n=100, seed=1))
    assert len({tuple(point.values()) for point in points}) == 100
    assert len(list(space({"a": range(10**9)}, n=10))) == 10 < MOST_POINTS


@pytest.mark.parametrize(
    "make",
    [
        lambda: uniform(2, 1),
        lambda: uniform(0, math.inf),
        lambda: uniform("a", 1),
        lambda: uniform(0, 1, -1),
        lambda: loguniform(0, 1),
        lambda: integers(1.5, 3),
        lambda: integers(1, 3, 0),
        lambda: choice([]),
        lambda: choice("abc"),
    ],
)
def test_samplers_refuse_bounds_that_make_no_sense(make):
    with pytest.raises(InvalidValue):
        make()
