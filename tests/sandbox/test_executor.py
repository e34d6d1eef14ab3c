"""The order of execution, previews, texts, blocked branches, interrupts, and error reports."""

import io
import json
import struct
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from comfynb.sandbox.executor import show_value
from comfynb.sandbox.node import Blocked, Node, Result
from comfynb.sandbox.ordering import ExecutionOrder


class Make(Node):
    NAME = "Make"
    INPUTS: ClassVar = {"optional": {"a": ("ANY",), "b": ("ANY",)}}
    OUTPUTS = (("ANY", "ANY"),)

    def execute(self, ctx, **inputs):
        return Result(("made",))


class Show(Node):
    NAME = "Show"
    INPUTS: ClassVar = {"required": {"value": ("ANY",)}}
    OUTPUT_NODE = True

    def execute(self, ctx, value):
        return Result((), {"text": (str(value),)})


class Block(Node):
    NAME = "Block"
    INPUTS: ClassVar = {"required": {"message": ("STRING", {})}}
    OUTPUTS = (("ANY", "ANY"),)

    def execute(self, ctx, message):
        return Result((Blocked(message or None),))


class Painter(Node):
    NAME = "Painter"
    OUTPUT_NODE = True

    def execute(self, ctx):
        if ctx.preview_method != "none":
            ctx.progress(1, 2, Image.new("RGBA", (8, 4)))
        ctx.show_text("grüße")
        return Result((), {"method": [ctx.preview_method]})


class Count(Node):
    """Counts in its instance, which lives as long as its node stays in the prompts."""

    NAME = "Count"
    OUTPUT_NODE = True

    @classmethod
    def fingerprint(cls, ctx, **inputs):
        return float("nan")

    def execute(self, ctx):
        ctx.instance["n"] = ctx.instance.get("n", 0) + 1
        ctx.memory["n"] = ctx.memory.get("n", 0) + 1
        return Result((), {"n": [ctx.instance["n"], ctx.memory["n"]]})


CLASSES = {c.NAME: c for c in (Make, Show, Block, Painter, Count)}


def node(class_type, **inputs):
    return {"class_type": class_type, "inputs": inputs}


@pytest.fixture
async def client(serve, connect):
    return await connect(await serve(classes=CLASSES))


def order(prompt, outputs, cached=()):
    execution = ExecutionOrder(
        prompt,
        outputs,
        is_output=lambda n: prompt[n]["class_type"] == "Show",
        is_cached=lambda n: n in cached,
    )
    taken = []
    while execution:
        taken.append(execution.next())
        execution.done(taken[-1])
    return taken


def test_pictures_appear_early():
    prompt = {
        "late": node("Make"),
        "slow": node("Make", a=["late", 0]),
        "end": node("Show", value=["slow", 0]),
        "quick": node("Make"),
        "early": node("Show", value=["quick", 0]),
    }
    assert order(prompt, ["end", "early"]) == ["quick", "early", "late", "slow", "end"]


def test_every_source_comes_first_and_nothing_else_runs():
    prompt = {
        "1": node("Make"),
        "2": node("Make", a=["1", 0]),
        "3": node("Make", a=["1", 0], b=["2", 0]),
        "4": node("Show", value=["3", 0]),
        "5": node("Make", a=["3", 0]),
    }
    assert order(prompt, ["4"]) == ["1", "2", "3", "4"]
    assert order(prompt, ["4"], cached={"2"}) == ["1", "3", "4"]
    assert order(prompt, ["4"], cached={"3"}) == ["4"]


async def test_a_blocked_branch_reports_an_error_and_the_prompt_succeeds(client):
    entry = await client.run(
        {
            "1": node("Block", message="not now"),
            "2": node("Show", value=["1", 0]),
            "3": node("Make"),
            "4": node("Show", value=["3", 0]),
        }
    )
    [error] = client.seen("execution_error")
    assert error["exception_type"] == "ExecutionBlocked"
    assert error["exception_message"] == "Execution Blocked: not now"
    assert error["node_id"] == "2"
    assert entry["status"]["status_str"] == "success"
    assert entry["outputs"] == {"4": {"text": ["made"]}}
    assert client.seen("execution_success")


async def test_a_silent_block_says_nothing_and_goes_on_down(client):
    prompt = {
        "1": node("Block", message=""),
        "2": node("Make", a=["1", 0]),
        "3": node("Show", value=["2", 0]),
    }
    entry = await client.run(prompt)
    assert entry["outputs"] == {}
    assert not client.seen("execution_error")


@pytest.mark.parametrize(
    ("version", "asked", "shown"),
    [
        ("0.8.0", {"preview_method": "latent2rgb"}, "latent2rgb"),
        ("0.8.0", {"preview_method": "default"}, "auto"),
        ("0.8.0", {}, "auto"),
        ("0.8.0", {"preview_method": "none"}, "none"),
        ("0.3.64", {"preview_method": "none"}, "auto"),
    ],
)
async def test_the_preview_method(serve, connect, version, asked, shown):
    server = await serve(classes=CLASSES, version=version, preview_method="auto")
    client = await connect(server)
    entry = await client.run({"1": node("Painter")}, extra_data=asked)
    assert entry["outputs"]["1"]["method"] == [shown]
    types = [message[:4] for message in client.binary]
    assert types == ([] if shown == "none" else [b"\0\0\0\1"]) + [b"\0\0\0\3"]


async def test_previews_carry_metadata_for_who_wants_it(serve, connect):
    client = await connect(await serve(classes=CLASSES, preview_method="auto"))
    flags = {"type": "feature_flags", "data": {"supports_preview_metadata": True}}
    await client.ws.send_json(flags)
    await client.until(lambda frames: frames[-1]["type"] == "feature_flags")
    prompt_id = await client.submit({"1": node("Painter")})
    await client.done(prompt_id)
    preview, text = client.binary
    kind, length = struct.unpack(">II", preview[:8])
    metadata = json.loads(preview[8 : 8 + length])
    assert kind == 4
    assert metadata["image_type"] == "image/jpeg"
    assert (metadata["node_id"], metadata["prompt_id"]) == ("1", prompt_id)
    assert Image.open(io.BytesIO(preview[8 + length :])).size == (8, 4)
    assert text == b"\0\0\0\3\0\0\0\x011" + "grüße".encode()


@pytest.mark.parametrize("length", [0, 100, 125, 126, 60_000, 65_535, 65_536, 300_000])
async def test_messages_of_every_length_arrive_whole(serve, connect, length):
    class Say(Node):
        NAME = "Say"
        OUTPUT_NODE = True

        def execute(self, ctx):
            ctx.show_text("x" * length)
            return Result((), {"text": ["y" * length]})

    client = await connect(await serve(classes={"Say": Say}))
    await client.run({"1": node("Say")})
    assert client.binary == [struct.pack(">II", 3, 1) + b"1" + b"x" * length]
    assert client.seen("executed")[0]["output"] == {"text": ["y" * length]}


async def test_what_cannot_be_sent_fails_its_node(serve, connect):
    class Odd(Node):
        NAME = "Odd"
        OUTPUT_NODE = True

        def execute(self, ctx):
            return Result((), {"odd": [object()]})

    client = await connect(await serve(classes={"Odd": Odd}))
    entry = await client.run({"1": node("Odd")})
    assert entry["outputs"] == {}
    assert client.seen("execution_error")[0]["exception_type"] == "TypeError"


async def test_node_objects_live_as_long_as_their_node(client):
    async def counts(node_id, class_type="Count"):
        entry = await client.run({node_id: node(class_type)})
        return entry["outputs"][node_id].get("n")

    assert await counts("1") == [1, 1]
    assert await counts("1") == [2, 2]
    assert await counts("2") == [1, 3]
    assert await counts("1") == [1, 4]


async def test_an_interrupt_between_prompts_is_lost(client):
    await client.request("POST", "/interrupt", json={})
    entry = await client.run({"1": node("Count")})
    assert entry["status"]["completed"]


async def test_the_last_of_equal_nodes_is_taken_from_the_first(client):
    prompt = {
        "1": node("Make"),
        "2": node("Show", value=["1", 0]),
        "3": node("Show", value=["1", 0]),
    }
    entry = await client.run(prompt)
    assert entry["outputs"]["2"] == entry["outputs"]["3"] == {"text": ["made"]}
    assert {data["node"] for data in client.seen("executing")} >= {"1", "2", None}
    assert "3" not in {data["node"] for data in client.seen("executing")}


async def test_a_prompt_that_breaks_the_executor_fails_alone(client):
    # class and id are fine, but the inputs of a node that nothing needs are no dictionary
    broken = {"1": node("Count"), "2": {"class_type": "Make", "inputs": [1]}}
    entry = await client.run(broken)
    assert entry["status"] == {"status_str": "error", "completed": False, "messages": []}
    assert (await client.run({"1": node("Count")}))["status"]["completed"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, None),
        (3, 3),
        ("x", "x"),
        (np.array([[0.25, 1.0]], np.float32), "tensor([[0.2500, 1.0000]])"),
        (np.array([0.0, 1.0], np.float32), "tensor([0., 1.])"),
        ([1], "[1]"),
    ],
)
def test_inputs_in_error_reports(value, text):
    assert show_value(value) == text
