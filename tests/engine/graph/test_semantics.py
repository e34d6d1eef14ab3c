"""The semantics table of docs/graph.md: one test for each row, on two backends.

The backends are two sandboxes, or the servers that COMFYNB_TEST_URLS names; what needs a fault to
be switched on skips there.
"""

import asyncio
from pathlib import Path

import pytest
from PIL import Image

from comfynb.engine.graph.check import check_graph
from comfynb.engine.graph.ports import ports_of
from comfynb.engine.graph.workflow import TRIGGER, workflow_ports
from comfynb.errors import GraphInvalid, UsageError
from comfynb.models import (
    CanvasNode,
    DataType,
    FallbackStrategy,
    Job,
    JobStatus,
    NodeType,
    WorkflowDefinition,
    new_id,
)

DONE, SKIPPED, FAILED = JobStatus.COMPLETED, JobStatus.SKIPPED, JobStatus.FAILED
CANCELLED, PAUSED = JobStatus.CANCELLED, JobStatus.PAUSED


def statuses(live, look, *nodes):
    return [{row.status for row in look.of(live, node)} for node in nodes]


def content(path):
    return Path(path).read_bytes()


def colour(path):
    with Image.open(path) as picture:
        return picture.convert("RGB").getpixel((0, 0))


def is_inverted(one, other):
    """Whether two pictures' colours are each other's opposites; files keep whole numbers only."""
    pairs = zip(colour(one["path"]), colour(other["path"]), strict=True)
    return all(abs(255 - a - b) <= 1 for a, b in pairs)


def size(path):
    with Image.open(path) as picture:
        return picture.size


async def uploads(server):
    """How many files the sandbox was sent; None where the server does not say."""
    return len((await server.stats())["uploads"]) if hasattr(server, "stats") else None


# Ports ------------------------------------------------------------------------------------------


async def test_ports_come_from_the_workflow(two, kinds):
    prompt, parameters = kinds.paint()
    prompt |= {
        "4": {"class_type": "LoadImage", "inputs": {"image": "none such.png"}},
        "5": {"class_type": "PreviewImage", "inputs": {"images": ["4", 0]}},
    }
    definition = WorkflowDefinition(
        id="w", name="w", workflow_json={}, api_json=prompt, exposed_parameters=parameters
    )
    ports = workflow_ports(definition, two.one.object_info)
    node = CanvasNode(id="n", node_type=NodeType.WORKFLOW, position=(0, 0), workflow_id="w")
    view = ports_of(node, ports)
    assert [(p.name, p.data_type, p.required) for p in view.inputs] == [
        ("loadimage_4", DataType.IMAGE, True),
        ("width", DataType.ANY, False),
        ("color", DataType.ANY, False),
        (TRIGGER, DataType.TRIGGER, False),
    ]
    assert [(p.name, p.data_type) for p in view.outputs] == [
        ("keep_9", DataType.IMAGE),
        ("previewimage_5", DataType.IMAGE),
        ("done", DataType.TRIGGER),
    ]


async def test_what_cannot_run_is_named_before_anything_starts(two, kinds, g):
    g.input("latent", value=1, data_type="latent")
    g.workflow("paint")
    g.workflow("invert")
    g.connect("latent", "invert")
    g.condition("open", "output.count >")
    with pytest.raises(GraphInvalid) as caught:
        await two.job(g, {"paint": kinds.paint(), "invert": kinds.invert()})
    said = "\n".join(caught.value.problems)
    assert 'latent gives latents, but "LoadImage" of invert takes images.' in said
    assert 'open: nothing is connected to its input "input".' in said
    assert "open has an expression that cannot be used" in said
    assert await two.kernel.store.count(Job) == 0
    assert check_graph(g.layout, {})  # the same is said while it is drawn


async def test_order_is_kept_without_data(two, kinds, g, look):
    g.workflow("first")
    g.workflow("second")
    g.connect("first.done", "second.trigger")
    live = await two.run(g, {"first": kinds.paint(), "second": kinds.paint()})
    first, second = look.one(live, "first"), look.one(live, "second")
    assert first.completed_at <= second.started_at
    assert second.input_data["ports"] == {}


# WORKFLOW ---------------------------------------------------------------------------------------


async def test_what_the_same_backend_made_is_not_moved(two, servers, kinds, g, look):
    before = await uploads(servers[0])
    g.workflow("paint", affinity=two.one.id)
    g.workflow("invert", affinity=two.one.id)
    g.connect("paint", "invert")
    live = await two.run(g, {"paint": kinds.paint(), "invert": kinds.invert()})
    assert live.job.status is DONE, live.job.error_message
    (made,), (inverted,) = look.files(live, "paint"), look.files(live, "invert")
    assert is_inverted(inverted, made)
    assert await uploads(servers[0]) == before


async def test_what_another_backend_made_is_uploaded_once(two, servers, kinds, g, look):
    before = await uploads(servers[1])
    consumers = ["a", "b", "c", "d"]
    g.workflow("paint", affinity=two.one.id)
    for name in consumers:
        g.workflow(name, affinity=two.two.id)
        g.connect("paint", name)
    made = {name: kinds.invert() for name in consumers}
    for prompt, _ in made.values():
        prompt["9"]["inputs"]["filename_prefix"] = f"graph{new_id()[:8]}"
    live = await two.run(g, {"paint": kinds.paint(), **made})
    assert live.job.status is DONE, live.job.error_message
    (painted,) = look.files(live, "paint")
    for name in consumers:
        (inverted,) = look.files(live, name)
        assert inverted["backend_id"] == two.two.id
        assert is_inverted(inverted, painted)
    if before is not None:
        assert await uploads(servers[1]) == before + 1


@pytest.mark.faults
async def test_what_its_backend_lost_is_uploaded(two, servers, kinds, g, look):
    g.workflow("paint", affinity=two.one.id)
    g.workflow("slow", affinity=two.two.id)
    g.workflow("invert", affinity=two.one.id)
    g.connect("paint", "invert")
    g.connect("slow.done", "invert.trigger")
    live = await two.start(
        g, {"paint": kinds.paint(), "slow": kinds.slow(20), "invert": kinds.invert()}
    )
    await two.when(live, "paint", DONE)
    (made,) = look.files(live, "paint")
    lost = servers[0].sandbox.base_dir / "output" / made["subfolder"] / made["filename"]
    await asyncio.to_thread(lost.unlink)
    await two.end(live)
    assert live.job.status is DONE, live.job.error_message
    assert "uploaded" in await two.events(live)


async def test_a_workflow_runs_once_for_each_item(two, kinds, g, look):
    widths = [8, 24, 16, 32, 40]
    g.input("widths", values=widths)
    g.workflow("paint")
    g.connect("widths", "paint.width")
    live = await two.run(g, {"paint": kinds.paint()})
    assert [size(f["path"])[0] for f in look.files(live, "paint")] == widths
    rows = look.of(live, "paint")
    assert [(r.input_data["run"], r.input_data["runs"]) for r in rows] == [
        (n, 5) for n in range(1, 6)
    ]
    assert len({f["backend_id"] for f in look.files(live, "paint")}) == 2
    (view,) = [node for node in live.view.nodes if node.canvas_node_id == "paint"]
    assert (view.runs, view.runs_done, len(view.images)) == (5, 5, 5)


async def test_lists_are_paired_and_single_items_go_with_each(two, kinds, g, look):
    g.input("widths", values=[8, 24])
    g.input("colours", values=[0x0000FF, 0x00FF00])
    g.workflow("paint")
    g.workflow("side")
    g.workflow("stitch")
    g.connect("widths", "paint.width")
    g.connect("colours", "paint.color")
    g.connect("side", "stitch.left_1")
    g.connect("paint", "stitch.right_2")
    live = await two.run(
        g, {"paint": kinds.paint(), "side": kinds.paint(16), "stitch": kinds.stitch()}
    )
    assert live.job.status is DONE, live.job.error_message
    painted = [(size(f["path"])[0], colour(f["path"])) for f in look.files(live, "paint")]
    assert painted == [(8, (0, 0, 255)), (24, (0, 255, 0))]
    assert [size(f["path"])[0] for f in look.files(live, "stitch")] == [24, 40]


async def test_lists_of_different_lengths_fail_the_node(two, kinds, g, look):
    g.input("widths", values=[8, 24])
    g.input("colours", values=[1, 2, 3])
    g.workflow("paint")
    g.connect("widths", "paint.width")
    g.connect("colours", "paint.color")
    live = await two.run(g, {"paint": kinds.paint()})
    assert live.job.status is FAILED
    assert "paint: the lists that arrive have different lengths" in live.job.error_message
    assert look.one(live, "paint").comfy_prompt_id is None


# CONDITION --------------------------------------------------------------------------------------


async def test_only_the_side_that_is_taken_runs(two, kinds, g, look):
    g.workflow("paint")
    g.condition("wide?", "output.width > 10 and params.width == 16 and job.name == 'graph'")
    for side in ("true", "false"):
        g.workflow(side)
        g.connect(f"wide?.{side}", side)
    g.connect("paint", "wide?")
    live = await two.run(
        g, {"paint": kinds.paint(16), "true": kinds.invert(), "false": kinds.invert()}
    )
    assert live.job.status is DONE, live.job.error_message
    assert statuses(live, look, "wide?", "true", "false") == [{DONE}, {DONE}, {SKIPPED}]
    assert look.one(live, "wide?").output_data["result"] is True


async def test_an_expression_that_cannot_be_answered_fails_its_node(two, kinds, g, look):
    g.workflow("paint")
    g.condition("faces?", "output.faces_detected > 0")
    g.workflow("after")
    g.connect("paint", "faces?")
    g.connect("faces?.true", "after")
    live = await two.run(g, {"paint": kinds.paint(), "after": kinds.invert()})
    assert live.job.status is FAILED
    assert live.job.error_message.startswith("faces?: ")
    assert "faces_detected" in live.job.error_message
    assert statuses(live, look, "after") == [{SKIPPED}]


async def test_what_is_behind_the_other_side_is_skipped_to_the_end(two, kinds, g, look, tmp_path):
    g.input("in", value=0)
    g.condition("c", "output.value > 0")
    g.workflow("paint")
    g.fanout("f")
    g.merge("m")
    g.output("o", str(tmp_path / "out"))
    g.connect("in", "c")
    g.connect("c.true", "paint.width")
    g.connect("paint", "f")
    g.connect("f.output_1", "m")
    g.connect("m", "o")
    live = await two.run(g, {"paint": kinds.paint()})
    assert live.job.status is DONE
    assert statuses(live, look, "paint", "f", "m", "o") == [{SKIPPED}] * 4
    assert look.one(live, "paint").error_message == "Skipped: c took the side 'false'."
    assert look.one(live, "o").error_message == "Skipped: m was skipped."
    assert not (tmp_path / "out").exists()


# FANOUT -----------------------------------------------------------------------------------------


async def test_broadcast_gives_everything_to_each(two, kinds, g, look):
    g.workflow("paint")
    g.fanout("f", "broadcast", 2)
    g.connect("paint", "f")
    for name in ("a", "b"):
        g.workflow(name)
    g.connect("f.output_1", "a")
    g.connect("f.output_2", "b")
    live = await two.run(
        g, {"paint": kinds.paint(count=2), "a": kinds.invert(), "b": kinds.invert()}
    )
    assert live.job.status is DONE, live.job.error_message
    assert [len(look.files(live, name)) for name in ("a", "b")] == [2, 2]


async def test_distribute_splits_a_batch_into_neighbours(two, kinds, g, look):
    g.workflow("paint")
    g.fanout("f", "distribute", 2)
    g.connect("paint", "f")
    live = await two.run(g, {"paint": kinds.paint(count=5)})
    painted = look.items(live, "paint", "keep_9")
    assert len(painted) == 5
    assert look.items(live, "f", "output_1") == painted[:3]
    assert look.items(live, "f", "output_2") == painted[3:]


async def test_an_output_that_gets_nothing_is_dead(two, kinds, g, look):
    g.workflow("paint")
    g.fanout("f", "distribute", 2)
    g.connect("paint", "f")
    for name in ("a", "b"):
        g.workflow(name)
    g.connect("f.output_1", "a")
    g.connect("f.output_2", "b")
    live = await two.run(g, {"paint": kinds.paint(), "a": kinds.invert(), "b": kinds.invert()})
    assert live.job.status is DONE
    assert statuses(live, look, "a", "b") == [{DONE}, {SKIPPED}]
    assert look.one(live, "b").error_message == 'Skipped: nothing came out of "output_2" of f.'


# MERGE ------------------------------------------------------------------------------------------


def two_lists(g, mode):
    g.workflow("a")
    g.workflow("b")
    g.merge("m", mode, 2)
    g.connect("b", "m.input_2")
    g.connect("a", "m.input_1")


async def test_concatenate_puts_lists_one_after_the_other(two, kinds, g, look):
    two_lists(g, "concatenate")
    live = await two.run(g, {"a": kinds.paint(count=2), "b": kinds.paint(count=2)})
    a, b = (look.items(live, name, "keep_9") for name in "ab")
    assert look.items(live, "m", "output") == [*a, *b]


async def test_collect_makes_one_item_of_all(two, kinds, g, look):
    two_lists(g, "collect")
    live = await two.run(g, {"a": kinds.paint(count=2), "b": kinds.paint()})
    a, b = (look.items(live, name, "keep_9") for name in "ab")
    assert look.items(live, "m", "output") == [{"list": [*a, *b]}]


async def test_zip_pairs_the_lists(two, kinds, g, look):
    two_lists(g, "zip")
    live = await two.run(g, {"a": kinds.paint(count=2), "b": kinds.paint(count=2)})
    a, b = (look.items(live, name, "keep_9") for name in "ab")
    assert look.items(live, "m", "output") == [
        {"list": list(pair)} for pair in zip(a, b, strict=True)
    ]


async def test_a_merge_waits_for_what_lives_only(two, kinds, g, look):
    g.workflow("paint")
    g.condition("c", "output.width > 10")
    g.workflow("left")
    g.workflow("right")
    g.merge("m")
    g.connect("paint", "c")
    g.connect("c.true", "left")
    g.connect("c.false", "right")
    g.connect("left", "m")
    g.connect("right", "m")
    live = await two.run(
        g, {"paint": kinds.paint(), "left": kinds.invert(), "right": kinds.invert()}
    )
    assert statuses(live, look, "left", "right", "m") == [{DONE}, {SKIPPED}, {DONE}]
    assert look.items(live, "m", "output") == look.items(live, "left", "keep_9")


async def test_a_merge_of_nothing_is_skipped(two, kinds, g, look):
    g.workflow("paint")
    g.condition("c", "output.width > 99")
    g.merge("m")
    g.connect("paint", "c")
    g.connect("c.true", "m")
    live = await two.run(g, {"paint": kinds.paint()})
    assert live.job.status is DONE
    assert statuses(live, look, "m") == [{SKIPPED}]


async def test_a_merge_does_not_go_on_without_what_failed(two, kinds, g, look):
    g.workflow("good")
    g.workflow("bad")
    g.merge("m")
    g.connect("good", "m")
    g.connect("bad.keep_2", "m")
    live = await two.run(g, {"good": kinds.paint(), "bad": kinds.failing()})
    assert statuses(live, look, "good", "bad", "m") == [{DONE}, {FAILED}, {SKIPPED}]
    assert look.one(live, "m").error_message == "Skipped: bad failed."


# INPUT and OUTPUT -------------------------------------------------------------------------------


async def test_an_input_gives_a_value_values_or_files(two, kinds, g, look, tmp_path):
    picture = tmp_path / "given.png"
    Image.new("RGB", (20, 10), (1, 2, 3)).save(picture)
    g.input("files", files=[str(picture)])
    g.input("widths", values=[8, 9])
    g.input("colour", value=255)
    g.workflow("invert")
    g.workflow("paint")
    g.connect("files", "invert")
    g.connect("widths", "paint.width")
    g.connect("colour", "paint.color")
    live = await two.run(
        g,
        {"invert": kinds.invert(), "paint": kinds.paint()},
        given={"widths": [12, 14], "colour": 0xFF0000},
    )
    assert live.job.status is DONE, live.job.error_message
    assert colour(look.files(live, "invert")[0]["path"]) == (254, 253, 252)
    painted = look.files(live, "paint")
    assert [(size(f["path"])[0], colour(f["path"])) for f in painted] == [
        (12, (255, 0, 0)),
        (14, (255, 0, 0)),
    ]
    assert live.job.parameter_values == {"widths": [12, 14], "colour": 0xFF0000}


async def test_an_output_copies_by_its_pattern_and_over_nothing(two, kinds, g, look, tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "out-1-wf-paint.png").write_text("mine")
    g.workflow("paint")
    g.output("out", str(folder), naming_pattern="{node}-{index}-{workflow}")
    g.connect("paint", "out")
    live = await two.run(g, {"paint": kinds.paint(count=2)})
    assert live.job.status is DONE, live.job.error_message
    assert (folder / "out-1-wf-paint.png").read_text() == "mine"
    names = ["out-1-wf-paint (2).png", "out-2-wf-paint.png"]
    copied = live.job.outputs["out"]["files"]
    assert [Path(each["path"]).name for each in copied] == names
    for name, made in zip(names, look.files(live, "paint"), strict=True):
        assert (folder / name).read_bytes() == content(made["path"])
    assert live.job.outputs.keys() == {"out"}


async def test_an_output_that_cannot_write_fails_with_its_folder(two, kinds, g, tmp_path):
    (tmp_path / "file").write_text("in the way")
    g.workflow("paint")
    g.output("out", str(tmp_path / "file" / "below"))
    g.connect("paint", "out")
    live = await two.run(g, {"paint": kinds.paint()})
    assert live.job.status is FAILED
    assert live.job.error_message.startswith("out: ")
    assert str(tmp_path / "file") in live.job.error_message


# Failures ---------------------------------------------------------------------------------------


async def test_what_does_not_depend_on_a_failure_goes_on(two, kinds, g, look):
    g.workflow("bad")
    g.workflow("after")
    g.workflow("later")
    g.workflow("free")
    g.workflow("freer")
    g.connect("bad.keep_2", "after")
    g.connect("after.done", "later.trigger")
    g.connect("free", "freer")
    live = await two.run(
        g,
        {
            "bad": kinds.failing(),
            "after": kinds.invert(),
            "later": kinds.paint(),
            "free": kinds.paint(),
            "freer": kinds.invert(),
        },
    )
    assert live.job.status is FAILED
    assert statuses(live, look, "bad", "after", "later", "free", "freer") == [
        {FAILED},
        {SKIPPED},
        {SKIPPED},
        {DONE},
        {DONE},
    ]
    assert live.job.error_message.startswith("bad: Trouble: ")
    assert look.one(live, "bad").error_traceback
    assert look.one(live, "later").error_message == "Skipped: bad failed."


async def test_one_run_that_fails_fails_its_node_and_no_other_run(two, kinds, g, look):
    g.input("texts", values=[16, -5, 24])
    g.workflow("paint")
    g.workflow("after")
    g.connect("texts", "paint.width")
    g.connect("paint", "after")
    live = await two.run(g, {"paint": kinds.paint(), "after": kinds.invert()})
    assert [row.status for row in look.of(live, "paint")] == [DONE, FAILED, DONE]
    assert statuses(live, look, "after") == [{SKIPPED}]
    (view,) = [node for node in live.view.nodes if node.canvas_node_id == "paint"]
    assert view.status is FAILED
    assert view.error


# Backends ---------------------------------------------------------------------------------------


async def test_a_node_runs_where_it_belongs(two, kinds, g, look):
    for name, backend in (("a", two.one), ("b", two.two)):
        g.workflow(name, affinity=backend.id, fallback="none")
    live = await two.run(g, {"a": kinds.paint(), "b": kinds.paint()})
    assert look.one(live, "a").backend_id == two.one.id
    assert look.one(live, "b").backend_id == two.two.id


async def test_none_fails_with_the_reason(two, kinds, g, look):
    disable(two.one, two.engine)
    g.workflow("a", affinity=two.one.id, fallback="none")
    g.workflow("free")
    live = await two.run(g, {"a": kinds.paint(), "free": kinds.paint()})
    assert live.job.status is FAILED
    assert live.job.error_message == "a: No backend can run it: one: it is disabled."
    assert statuses(live, look, "free") == [{DONE}]


async def test_auto_takes_one_that_can(two, kinds, g, look):
    disable(two.one, two.engine)
    g.workflow("a", affinity=two.one.id, fallback="auto")
    live = await two.run(g, {"a": kinds.paint()})
    assert look.one(live, "a").backend_id == two.two.id


async def test_ask_user_waits_and_holds_nothing_up(two, kinds, g, look, until):
    two.engine.interactive = True
    disable(two.one, two.engine)
    g.workflow("a", affinity=two.one.id, fallback="ask_user")
    g.workflow("after")
    g.workflow("free")
    g.connect("a", "after")
    live = await two.start(g, {"a": kinds.paint(), "after": kinds.invert(), "free": kinds.paint()})
    await until(live, lambda view: view.questions)
    await two.when(live, "free", DONE)
    (question,) = live.view.questions
    assert live.question == question
    assert (question.node_title, question.preferred) == ("a", "one")
    assert question.reason == "one: it is disabled"
    assert [(c.backend_id, c.problem) for c in question.candidates] == [(two.two.id, None)]
    with pytest.raises(UsageError, match="no backend 'nobody'"):
        await two.engine.answer(live.id, question.execution_id, "nobody")
    await two.engine.answer(live.id, question.execution_id, two.two.id)
    await two.end(live)
    assert live.job.status is DONE, live.job.error_message
    assert look.one(live, "a").backend_id == two.two.id
    assert not live.view.questions


async def test_a_script_answers_by_a_function(two, kinds, g, look):
    asked = []

    def choose(question):
        asked.append(question)
        return question.candidates[0].backend_id

    two.engine.asker = choose
    disable(two.one, two.engine)
    g.input("widths", values=[8, 9, 10])
    g.workflow("a", affinity=two.one.id)
    g.connect("widths", "a.width")
    live = await two.run(g, {"a": kinds.paint()})
    assert live.job.status is DONE, live.job.error_message
    assert {row.backend_id for row in look.of(live, "a")} == {two.two.id}
    assert len(asked) == 1  # not once for each run


async def test_where_nobody_can_be_asked_it_fails_and_says_so(two, kinds, g):
    disable(two.one, two.engine)
    g.workflow("a", affinity=two.one.id)
    live = await two.run(g, {"a": kinds.paint()})
    assert live.job.status is FAILED
    assert live.job.error_message == (
        "a wants one, which cannot run it (one: it is disabled), and there is nobody to ask for "
        'another: pass on_ask, or set its fallback_strategy to "auto".'
    )


async def test_no_answer_fails_the_node(two, kinds, g):
    two.engine.asker = lambda question: None
    disable(two.one, two.engine)
    g.workflow("a", affinity=two.one.id)
    live = await two.run(g, {"a": kinds.paint()})
    assert live.job.error_message == (
        "a did not run: one: it is disabled, and nobody chose a backend for it."
    )


async def test_a_question_goes_away_when_the_backend_is_back(two, kinds, g, look, until):
    two.engine.interactive = True
    disable(two.one, two.engine)
    g.workflow("a", affinity=two.one.id)
    live = await two.start(g, {"a": kinds.paint()})
    await until(live, lambda view: view.questions)
    enable(two.one, two.engine)
    await two.end(live)
    assert look.one(live, "a").backend_id == two.one.id


async def test_an_answer_outlives_its_kernel(two, kinds, g, look, until):
    two.engine.interactive = True
    disable(two.one, two.engine)
    # The two runs of this node are asked about once; the second waits behind the first.
    g.input("steps", values=[1, 2])
    g.workflow("a", affinity=two.one.id)
    g.connect("steps", "a.trigger")
    g.workflow("b", affinity=two.one.id)
    g.connect("a.done", "b.trigger")
    live = await two.start(g, {"a": kinds.slow(30), "b": kinds.paint()})
    await until(live, lambda view: view.questions)
    await two.engine.answer(live.id, live.question.execution_id, two.two.id)
    await two.when(live, "a", JobStatus.RUNNING)
    again = await two.next_kernel(live)
    assert again.answers == {"a": two.two.id}
    assert look.one(again, "a").backend_id == two.two.id
    await until(again, lambda view: [q.node_title for q in view.questions] == ["b"])
    assert look.one(again, "a").status is DONE


# While it runs ----------------------------------------------------------------------------------


async def test_how_far_each_node_has_come_is_kept(two, kinds, g, look, until):
    g.workflow("slow")
    g.workflow("after")
    g.connect("slow.done", "after.trigger")
    live = await two.start(g, {"slow": kinds.slow(), "after": kinds.paint()})
    await until(live, lambda _: look.one(live, "slow").current_step)
    await two.kernel.store.journal.record_events([])  # behind whatever is to be stored by now
    stored = {e.canvas_node_id: e for e in (await two.kernel.stored(live)).node_executions}
    assert stored["slow"].status is JobStatus.RUNNING
    assert stored["slow"].current_step.startswith("Sampler: ")
    assert 0 < stored["slow"].progress < 100
    assert stored["slow"].started_at is not None
    assert stored["after"].status is JobStatus.PENDING
    views = {node.canvas_node_id: node for node in live.view.nodes}
    assert views["slow"].step.startswith("Sampler: ")
    assert views["slow"].backend in {"one", "two"}
    two.engine.cancel(live)
    await two.end(live)


# Pause, cancel, retry, recovery -----------------------------------------------------------------


async def test_a_paused_job_sends_nothing_and_lets_what_runs_end(two, kinds, g, look):
    g.workflow("slow")
    g.workflow("after")
    g.connect("slow.keep_3", "after")
    prompt, parameters = kinds.slow(20)
    prompt["3"]["_meta"] = {"title": "Keep"}
    live = await two.start(g, {"slow": (prompt, parameters), "after": kinds.invert()})
    await two.when(live, "slow", JobStatus.RUNNING)
    await two.engine.pause(live)
    assert (await two.kernel.stored(live)).status is PAUSED
    await two.when(live, "slow", DONE)
    await two.settled()
    assert look.one(live, "after").status is JobStatus.PENDING
    assert live.view.status is PAUSED
    await two.engine.unpause(live)
    await two.end(live)
    assert live.job.status is DONE, live.job.error_message
    assert statuses(live, look, "after") == [{DONE}]
    assert {"paused", "resumed"} <= set(await two.events(live))


async def test_a_paused_job_stays_paused_in_the_next_kernel(two, kinds, g, look):
    g.workflow("slow")
    g.workflow("after")
    g.connect("slow.done", "after.trigger")
    live = await two.start(g, {"slow": kinds.slow(20), "after": kinds.paint()})
    await two.when(live, "slow", JobStatus.RUNNING)
    await two.engine.pause(live)
    again = await two.next_kernel(live)
    assert again.job.status is PAUSED
    await two.when(again, "slow", DONE)
    assert look.one(again, "after").status is JobStatus.PENDING
    await two.engine.unpause(again)
    await two.end(again)
    assert again.job.status is DONE, again.job.error_message


async def test_cancel_stops_its_own_prompts_only(two, kinds, g, look):
    g.workflow("a", affinity=two.one.id)
    g.workflow("b", affinity=two.two.id)
    g.workflow("after")
    g.connect("a.done", "after.trigger")
    made = {"a": kinds.slow(), "b": kinds.slow(), "after": kinds.paint()}
    (other,) = await two.kernel.run(kinds.slow(8)[0], backend=two.two)
    live = await two.start(g, made)
    await two.when(live, "a", JobStatus.RUNNING)
    two.engine.cancel(live)
    await two.end(live)
    assert live.job.status is CANCELLED
    assert statuses(live, look, "a", "b", "after") == [{CANCELLED}] * 3
    await other.wait()
    assert other.job.status is DONE


async def test_retry_runs_what_failed_and_keeps_what_was_done(two, kinds, g, look):
    g.input("widths", values=[16, 24])
    g.workflow("good")
    g.workflow("bad", affinity=two.one.id)
    g.merge("m")
    g.workflow("after")
    g.connect("widths", "good.width")
    g.connect("good", "m")
    g.connect("bad.keep_2", "m")
    g.connect("m", "after")
    live = await two.run(
        g, {"good": kinds.paint(), "bad": kinds.failing(times=1), "after": kinds.invert()}
    )
    assert live.job.status is FAILED
    assert statuses(live, look, "m", "after") == [{SKIPPED}, {SKIPPED}]
    done = [row.comfy_prompt_id for row in look.of(live, "good")]
    failed = look.one(live, "bad").comfy_prompt_id
    await two.engine.retry(live)
    await two.end(live)
    assert live.job.status is DONE, live.job.error_message
    assert [row.comfy_prompt_id for row in look.of(live, "good")] == done
    assert look.one(live, "bad").comfy_prompt_id != failed
    assert len(look.files(live, "after")) == 3
    assert "retry" in await two.events(live)
    with pytest.raises(UsageError, match="nothing to retry"):
        await two.engine.retry(live)


async def test_retry_goes_on_with_a_job_that_was_cancelled(two, kinds, g, look):
    g.workflow("a")
    g.workflow("b")
    g.workflow("c")
    g.connect("a.done", "b.trigger")
    g.connect("b.done", "c.trigger")
    live = await two.start(g, {"a": kinds.paint(), "b": kinds.slow(40), "c": kinds.paint()})
    await two.when(live, "b", JobStatus.RUNNING)
    two.engine.cancel(live)
    await two.end(live)
    assert statuses(live, look, "a", "b", "c") == [{DONE}, {CANCELLED}, {CANCELLED}]
    first = look.one(live, "a").comfy_prompt_id
    await two.engine.retry(live)
    await two.end(live)
    assert live.job.status is DONE, live.job.error_message
    assert look.one(live, "a").comfy_prompt_id == first


async def test_the_next_kernel_goes_on_where_the_last_one_stopped(two, servers, kinds, g, look):
    before = [await server.executions() for server in servers]
    for name in "abc":
        g.workflow(name)
    g.connect("a.done", "b.trigger")
    g.connect("b.done", "c.trigger")
    live = await two.start(g, {"a": kinds.paint(), "b": kinds.slow(30), "c": kinds.paint()})
    await two.when(live, "b", JobStatus.RUNNING)
    again = await two.next_kernel(live)
    await two.end(again)
    assert again.job.status is DONE, again.job.error_message
    assert statuses(again, look, "a", "b", "c") == [{DONE}] * 3
    if servers[0] is not servers[1]:
        after = [await server.executions() for server in servers]
        assert sum(after) - sum(before) == 3


def disable(backend, engine):
    engine.reconfigure(backend.config.model_copy(update={"enabled": False}))


def enable(backend, engine):
    engine.reconfigure(backend.config.model_copy(update={"enabled": True}))


def test_the_seed_asks_the_user():
    node = CanvasNode(id="n", node_type=NodeType.WORKFLOW, position=(0, 0))
    assert node.fallback_strategy is FallbackStrategy.ASK_USER
