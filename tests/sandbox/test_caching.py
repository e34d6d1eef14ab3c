"""What the cache keeps: results of equal nodes with equal ancestors, of the last prompt only."""

import math
from typing import ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfynb.sandbox.caching import node_keys
from comfynb.sandbox.node import Node, Result


class Plain(Node):
    NAME = "Plain"


class Unique(Node):
    NAME = "Unique"
    INPUTS: ClassVar = {"hidden": {"own": "UNIQUE_ID"}}


class Sole(Node):
    NAME = "Sole"
    NOT_IDEMPOTENT = True


CLASSES = {"A": Plain, "B": Plain, "Unique": Unique, "Sole": Sole}


def keys(prompt, fingerprint=lambda _: None):
    return node_keys(prompt, CLASSES.__getitem__, fingerprint)


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


def test_ids_titles_and_order_do_not_matter():
    one = {"1": node("A", x=1, y="b"), "2": node("B", image=["1", 0])}
    other = {
        "last": node("B", image=["first", 0]) | {"_meta": {"title": "any"}},
        "first": node("A", y="b", x=1),
        "unused": node("A", x=5),
    }
    assert keys(one)["2"] == keys(other)["last"]
    assert keys(one)["1"] == keys(other)["first"]


@pytest.mark.parametrize(
    "changed",
    [
        {"1": node("B", x=1), "2": node("B", image=["1", 0])},
        {"1": node("A", x=2), "2": node("B", image=["1", 0])},
        {"1": node("A", x=1), "2": node("B", image=["1", 1])},
        {"1": node("A", x=1), "2": node("B", picture=["1", 0])},
        {"1": node("A", x=1, z=None), "2": node("B", image=["1", 0])},
    ],
)
def test_anything_upstream_matters(changed):
    prompt = {"1": node("A", x=1), "2": node("B", image=["1", 0])}
    assert keys(prompt)["2"] != keys(changed)["2"]


def test_two_equal_sources_are_not_one_source_twice():
    twice = {"1": node("A"), "2": node("B", a=["1", 0], b=["1", 0])}
    two = {"1": node("A"), "3": node("A"), "2": node("B", a=["1", 0], b=["3", 0])}
    assert keys(twice)["2"] != keys(two)["2"]


@pytest.mark.parametrize("kind", ["Unique", "Sole"])
def test_some_classes_count_their_id(kind):
    assert keys({"1": node(kind)})["1"] != keys({"2": node(kind)})["2"]
    assert keys({"1": node(kind)})["1"] == keys({"1": node(kind)})["1"]


def test_fingerprints_count_also_downstream():
    prompt = {"1": node("A"), "2": node("B", image=["1", 0])}
    assert keys(prompt, lambda _: "x") == keys(prompt, lambda _: "x")
    other = keys(prompt, {"1": "y", "2": "x"}.__getitem__)
    assert keys(prompt, lambda _: "x")["2"] != other["2"]


@pytest.mark.parametrize("fingerprint", [math.nan, object(), [math.nan]])
def test_nan_equals_nothing(fingerprint):
    prompt = {"1": node("A"), "2": node("B", image=["1", 0])}
    first, second = (keys(prompt, lambda _: fingerprint) for _ in range(2))
    assert first["1"] != second["1"]
    assert first["2"] != second["2"]
    assert first["1"] == first["1"]


def test_what_does_not_exist_is_never_equal():
    prompt = {"2": node("B", image=["gone", 0])}
    assert keys(prompt)["2"] != keys(prompt)["2"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    # lists of two may be links
    lambda inner: (
        st.lists(inner, min_size=3, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
    ),
    max_leaves=6,
)


@settings(max_examples=50)
@given(st.dictionaries(st.text(), json_values, max_size=4), st.data())
def test_equal_prompts_have_equal_keys(inputs, data):
    shuffled = dict(data.draw(st.permutations(list(inputs.items()))))
    one = keys({"1": node("A", **inputs)})["1"]
    assert one == keys({"7": node("A", **shuffled)})["7"]
    assert hash(one) == hash(keys({"1": node("A", **inputs)})["1"])


async def cached(client, prompt):
    await client.run(prompt)
    return client.seen("execution_cached")[-1]["nodes"]


async def test_classic_forgets_what_the_last_prompt_did_not_have(client, graphs):
    assert await cached(client, graphs.picture(1)) == []
    assert await cached(client, graphs.picture(1)) == ["1", "2"]
    assert await cached(client, graphs.picture(1, prefix="other")) == ["1"]
    assert await cached(client, graphs.picture(2)) == []
    assert await cached(client, graphs.picture(1)) == []


async def test_lru_remembers_and_none_does_not(serve, connect, graphs):
    client = await connect(await serve(cache=lru(4)))
    for colour, expected in ((1, []), (2, []), (1, ["1", "2"]), (3, []), (1, ["1", "2"]), (2, [])):
        assert await cached(client, graphs.picture(colour)) == expected
    client = await connect(await serve(cache=lru(0)))
    for _ in range(2):
        assert await cached(client, graphs.picture()) == []


def lru(size):
    from comfynb.sandbox import CacheMode

    return CacheMode("lru", size) if size else CacheMode("none")


async def test_cached_outputs_keep_their_old_names_even_when_the_file_is_gone(
    server, client, graphs
):
    first = await client.run(graphs.picture())
    image = first["outputs"]["2"]["images"][0]
    (server.settings.folder("output") / image["filename"]).unlink()
    second = await client.run(graphs.picture())
    assert second["outputs"] == first["outputs"]
    assert client.seen("executed")[-1]["output"]["images"] == [image]
    assert (await client.request("GET", f"/view?filename={image['filename']}"))[0] == 404
    assert server.stats.snapshot()["node_executions"] == {"EmptyImage": 1, "SaveImage": 1}


async def test_a_changed_input_file_is_read_again(server, client):
    path = server.settings.folder("input") / "in.png"

    def write(colour):
        from PIL import Image

        Image.new("RGB", (4, 4), colour).save(path)

    prompt = {
        "1": node("LoadImage", image="in.png"),
        "2": node("SaveImage", images=["1", 0], filename_prefix="read"),
    }
    write("red")
    assert await cached(client, prompt) == []
    assert await cached(client, prompt) == ["1", "2"]
    write("blue")
    assert await cached(client, prompt) == []


async def test_what_was_executed_before_an_error_is_kept(client, graphs):
    prompt = {
        "1": graphs.picture()["1"],
        "2": node("LabFail", image=["1", 0], key="k", times=1, kind="error"),
        "3": node("PreviewImage", images=["2", 0]),
    }
    assert (await client.run(prompt))["status"]["status_str"] == "error"
    assert (await client.run(prompt))["status"]["status_str"] == "success"
    assert client.seen("execution_cached")[-1]["nodes"] == ["1"]


async def test_model_loads_are_counted_by_name(server, client, graphs):
    await client.run(graphs.sampling(seed=1))
    await client.run(graphs.sampling(seed=2))
    await client.run(graphs.picture())
    await client.run(graphs.sampling(seed=2))
    assert server.stats.snapshot()["model_loads"] == {"small.safetensors": 2}


class Never(Node):
    NAME = "Never"
    OUTPUT_NODE = True
    runs = 0

    @classmethod
    def fingerprint(cls, ctx, **inputs):
        raise OSError("cannot tell")

    def execute(self, ctx, **inputs):
        type(self).runs += 1
        return Result()


async def test_a_class_that_cannot_tell_is_never_cached(serve, connect):
    client = await connect(await serve(classes={"Never": Never}))
    for _ in range(2):
        await client.run({"1": node("Never")})
    assert Never.runs == 2
