"""When two points are the same, in which order they go, how fast they end, where they stand."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfynb.engine.sweeps import (
    Pace,
    PictureView,
    PointView,
    PromptHasher,
    content_key,
    downstream,
    point_table,
    server_signature,
    submission_order,
)
from comfynb.errors import NotFound, UsageError
from comfynb.models import JobStatus

PROMPT = {
    "1": {"class_type": "Loader", "inputs": {"name": "a"}, "_meta": {"title": "x"}},
    "2": {"class_type": "Encode", "inputs": {"clip": ["1", 1], "text": "cat"}},
    "3": {"class_type": "Sampler", "inputs": {"model": ["1", 0], "text": ["2", 0], "seed": 1}},
    "4": {"class_type": "Save", "inputs": {"images": ["3", 0]}},
}
INFO = {
    "Loader": {"input": {"required": {"name": [["a", "b"], {}]}}, "python_module": "nodes"},
    "Sampler": {"input": {"required": {"seed": ["INT", {"default": 0, "max": 9}]}}},
}


def changed(node_id, **inputs):
    node = PROMPT[node_id]
    return {node_id: {**node, "inputs": {**node["inputs"], **inputs}}}


def test_a_key_is_what_would_be_sent_however_it_came_about():
    hasher = PromptHasher(PROMPT)
    plain = hasher.key({})
    assert hasher.key(changed("3", seed=1)) == plain
    assert hasher.key(changed("3", seed=2)) != plain
    other = copy.deepcopy(PROMPT)
    other["1"]["_meta"] = {"title": "another name"}
    other["3"]["inputs"] = dict(reversed(other["3"]["inputs"].items()))
    assert PromptHasher(other).key({}) == plain
    other["3"]["inputs"]["seed"] = 2
    assert PromptHasher(other).key({}) == hasher.key(changed("3", seed=2))


@given(st.integers() | st.floats(allow_nan=False) | st.text() | st.booleans())
def test_values_of_other_kinds_are_other_points(value):
    hasher = PromptHasher(PROMPT)
    assert (hasher.key(changed("3", seed=value)) == hasher.key({})) == (
        type(value) is int and value == 1
    )


def test_a_server_is_its_version_and_what_it_declares_but_not_its_files():
    plain = server_signature("0.8.0", INFO, ["Loader", "Sampler"])
    files = copy.deepcopy(INFO)
    files["Loader"]["input"]["required"]["name"][0] = ["c"]
    files["Unused"] = {"input": {}}
    assert server_signature("0.8.0", files, ["Sampler", "Loader"]) == plain
    assert server_signature("0.9.0", INFO, ["Loader", "Sampler"]) != plain
    limits = copy.deepcopy(INFO)
    limits["Sampler"]["input"]["required"]["seed"][1]["max"] = 10
    assert server_signature("0.8.0", limits, ["Loader", "Sampler"]) != plain
    module = copy.deepcopy(INFO)
    module["Loader"]["python_module"] = "custom_nodes.fork"
    assert server_signature("0.8.0", module, ["Loader", "Sampler"]) != plain
    assert content_key("k", ["a", "b", "a"]) == content_key("k", ["b", "a"])
    assert content_key("k", ["a"]) != content_key("k", ["a", "b"]) != content_key("l", ["a", "b"])


def test_what_is_expensive_upstream_varies_slowest_whatever_the_order_of_axes():
    assert downstream(PROMPT, ["1", "2", "3", "4"]) == {"1": 3, "2": 2, "3": 1, "4": 0}
    points = [
        {"seed": seed, "text": text, "name": name}
        for seed in (1, 2)
        for text in ("x", "y")
        for name in ("a", "b")
    ]
    weights = {"seed": 2, "text": 3, "name": 4}
    ordered = [points[place] for place in submission_order(points, weights)]
    assert ordered == [
        {"seed": seed, "text": text, "name": name}
        for name in ("a", "b")
        for text in ("x", "y")
        for seed in (1, 2)
    ]
    assert list(submission_order(points, {})) == list(range(8))


def test_the_pace_leaves_pauses_out():
    pace = Pace()
    assert pace.per_second(0) is None
    pace.begin(100)
    for second in range(1, 11):
        pace.ended(100 + second)
    assert pace.per_second(110) == pytest.approx(1)
    assert pace.seconds_left(110, 30) == pytest.approx(30)
    pace.pause(110)
    assert pace.per_second(500) == pytest.approx(1)
    pace.begin(510)
    pace.ended(511)
    assert pace.per_second(511) == pytest.approx(1)


def point(index, **values):
    picture = PictureView((f"p{index}", "9", "images", 0), f"{index}.png", None, "image/png")
    return PointView(index, values, JobStatus.COMPLETED, pictures=(picture,))


def test_points_are_laid_out_by_two_axes():
    points = [
        point(number, a=a, b=b, c=c)
        for number, (a, b, c) in enumerate((a, b, c) for a in (1, 2) for b in "xy" for c in (0, 1))
    ]
    table = point_table(points, ["a", "b", "c"], rows="b", columns="a", where={"c": 1})
    assert table.row_values == ("x", "y")
    assert table.column_values == (1, 2)
    assert table.cells == (((1,), (5,)), ((3,), (7,)))
    several = point_table(points, ["a", "b", "c"], rows="b", columns="a")
    assert several.cells[0][0] == (0, 1)
    assert point_table(points, ["a", "b", "c"]).rows == "a"
    holes = point_table(points[:3], ["a", "b", "c"], rows="b", columns="c")
    assert holes.cells == (((0,), (1,)), ((2,), ()))
    with pytest.raises(NotFound, match="a, b, c"):
        point_table(points, ["a", "b", "c"], rows="d")
    with pytest.raises(UsageError, match="two axes"):
        point_table(points, ["a", "b", "c"], rows="a", columns="a")
