"""Sweeps through the Workbench, in a plain script, on one sandbox."""

import asyncio
import copy
import itertools
import json
import threading
import time

import pytest

from comfynb import Workbench
from comfynb.engine import slices
from comfynb.engine.sweeps import integers, loguniform, uniform
from comfynb.errors import ExpressionError, InvalidValue, NotFound, UsageError
from comfynb.models import JobStatus, ParamConstraints, SweepStatus
from comfynb.store.sweeps import SweepJournal
from comfynb.workbench.exposed import Exposed
from comfynb.workbench.sweeps.asked import Asked
from comfynb.workbench.sweeps.planning import plan_points

FIRST = itertools.count(1_000_000, 1000)
FAST = {"steps": 1, "seconds_per_step": 0.0, "seconds": 0.0}


@pytest.fixture
def wf(wb, portrait):
    return wb.workflows.load(portrait)


@pytest.fixture
def seeds():
    """Seeds that no other test uses, so that the server has none of them in its cache."""
    first = next(FIRST)
    return lambda count: range(first, first + count)


def executed(sandbox):
    return sum(entry["executions"] for entry in sandbox.stats()["prompts"].values())


def rows(wb, sweep, *columns):
    found = wb.sql(
        f"select {', '.join(columns)} from sweep_points where sweep_id = $1 order by index",
        [sweep.id],
    )
    return found.rows


def test_a_sweep_runs_every_point_and_tells_of_it_in_sql(wb, wf, seeds):
    sweep = wb.sweep(
        wf, {"steps": [1, 2]}, zip={"seed": seeds(3), "sigma": [0.5, 1, 2]}, values={"seconds": 0}
    )
    assert sweep.name == "portrait 1"
    assert len(sweep) == 6
    assert sweep.wait(60) is sweep
    assert sweep.done
    assert sweep.counts == {"completed": 6}
    assert [point.values["steps"] for point in sweep] == [1, 1, 1, 2, 2, 2]
    point = sweep[4]
    assert point.backend == "one"
    assert point.pictures[0].path.is_file()
    assert sweep.job(4).values["sigma"] == point.values["sigma"] == 1
    assert sweep.job(4).values["seconds"] == 0.0
    assert rows(wb, sweep, "state", "linked", "backend", "values->>'steps'")[5] == (
        "completed",
        False,
        "one",
        "2",
    )
    assert "6 completed" in repr(sweep)
    bundle = sweep._repr_mimebundle_()
    assert "portrait 1" in bundle["text/plain"]
    assert bundle["text/html"].count("<figure") == 6


def test_the_same_point_is_computed_once(wb, wf, seeds, sandbox):
    before = executed(sandbox)
    grid = {"seed": seeds(3), "steps": [1, 2]}
    first = wb.sweep(wf, grid, values={"seconds": 0}).wait(60)
    assert executed(sandbox) - before == 6
    again = wb.sweep(wf, {**grid, "seed": [*grid["seed"], 7]}, values={"seconds": 0}).wait(60)
    assert executed(sandbox) - before == 8
    assert [point.linked for point in again] == [True] * 6 + [False] * 2
    assert [point.job_id for point in again[:6]] == [point.job_id for point in first]
    assert again[0].pictures == first[0].pictures
    # Other words for the same prompt: its own default, a number of another type.
    same = wb.sweep(
        wf, {"seed": [float(grid["seed"][0])], "sigma": [0.8]}, values={"steps": "2", "seconds": 0}
    ).wait(60)
    assert same[0].linked
    # Asked for.
    forced = wb.sweep(wf, {"seed": list(grid["seed"])}, values={**FAST}, again=True).wait(60)
    assert not any(point.linked for point in forced)
    assert len({point.job_id for point in forced}) == 3


def test_the_same_point_twice_in_one_sweep_shares_its_job(wb, wf, seeds):
    seed = seeds(1)[0]
    sweep = wb.sweep(wf, {"seed": [seed, seed, seed]}, values=FAST).wait(60)
    assert len({point.job_id for point in sweep}) == 1
    assert [point.linked for point in sweep] == [False, True, True]
    assert sweep.counts == {"completed": 3}


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"grid": {"sed": [1]}}, NotFound, 'did you mean "seed"'),
        ({"grid": {"steps": [1, 2, -4]}}, InvalidValue, "Axis steps: .*-4.*1 to 10000"),
        ({"zip": {"steps": [1], "crop": ["no"]}}, InvalidValue, "Axis crop: .*disabled"),
        ({"sample": {"steps": uniform(1, 5)}, "n": 2}, InvalidValue, "integers"),
        ({"sample": {"steps": integers(0, 5)}, "n": 2}, InvalidValue, "Axis steps"),
        ({"sample": {"alpha": loguniform(0.1, 99)}, "n": 2}, InvalidValue, "Axis alpha"),
        ({"grid": {"steps": [1]}, "values": {"crop": "no"}}, InvalidValue, "Axis crop"),
        ({"grid": {"steps": [1]}, "values": {"steps": 2}}, UsageError, "name it once"),
        ({"grid": {"seed": [1], "Portrait sampler.seed": [2]}}, UsageError, "twice"),
        ({"grid": {"steps": [1]}, "where": "step > 1"}, ExpressionError, "can read steps"),
        ({"grid": {"steps": [1]}, "where": "steps > 1"}, InvalidValue, "leaves no point"),
        ({"grid": {"backend": ["two"]}}, NotFound, "two"),
        ({"grid": {"steps": [1]}, "backend": "two"}, NotFound, "two"),
        ({"grid": {"steps": [1]}, "seed": -1}, InvalidValue, "seed"),
        ({}, UsageError, "something to vary"),
    ],
)
def test_what_cannot_run_is_said_before_anything_is_stored(wb, wf, arguments, error, words):
    with pytest.raises(error, match=words):
        wb.sweep(wf, **arguments)
    assert len(wb.sweeps) == 0
    assert wb.sql("select (select count(*) from points) + (select count(*) from jobs)").rows == [
        (0,)
    ]


def test_what_runs_where_is_told_while_it_runs(wb, wf, seeds):
    sweep = wb.sweep(
        wf, {"seed": seeds(12)}, values={"steps": 4, "seconds_per_step": 0.02, "seconds": 0}
    )
    told = []
    stop = wb.host.ask(sweep._run.watch, told.append)
    sweep.wait(60)
    stop()
    running = [share.running for view in told for share in view.backends if share.name == "one"]
    # All that the server was given, as the store has it; nothing once all has ended.
    assert 1 <= max(running) <= 12
    assert running[-1] == 0
    seen = {status for view in told for status in view.counts}
    assert seen >= {JobStatus.PENDING, JobStatus.RUNNING, JobStatus.COMPLETED}
    share = sweep._run.view.backends[0]
    assert (share.completed, share.failed, share.running) == (12, 0, 0)


def test_with_no_time_in_a_turn_of_the_loop_all_gets_done(wb, wf, seeds, monkeypatch):
    monkeypatch.setattr(slices, "SLICE", 0.0)
    sweep = wb.sweep(wf, {"seed": seeds(60)}, values=FAST)
    sweep.wait(60)
    assert sweep.counts == {"completed": 60}


def test_what_was_read_before_it_was_resumed_is_not_believed(wb, wf, seeds, monkeypatch):
    sweep = wb.sweep(wf, {"seed": seeds(8)}, values=FAST)
    sweep.pause()
    run, load = sweep._run, sweep._run.journal.load
    read, resumed = threading.Event(), asyncio.Event()

    async def load_slowly(name):
        record = await load(name)
        read.set()
        await resumed.wait()
        return record

    monkeypatch.setattr(run.journal, "load", load_slowly)
    looking = asyncio.run_coroutine_threadsafe(run._look_again(), wb.host.loop)
    assert read.wait(60)
    sweep.resume()
    wb.host.loop.call_soon_threadsafe(resumed.set)
    looking.result(60)
    assert sweep.status is not SweepStatus.PAUSED
    sweep.wait(60)
    assert sweep.counts == {"completed": 8}


def test_what_is_handed_out_while_a_pause_is_stored_waits_too(wb, wf, seeds, monkeypatch):
    hand_out, steer, launch = SweepJournal.hand_out, SweepJournal.steer, wb.engine.launch
    stored, launched = threading.Event(), threading.Event()
    go_on = asyncio.Event()

    async def hand_out_slowly(self, *args, **kwargs):
        answers = await hand_out(self, *args, **kwargs)
        stored.set()
        await go_on.wait()
        return answers

    def steer_late(self, sweep_id, status, **kwargs):
        if status is SweepStatus.PAUSED:
            wb.host.loop.call_soon_threadsafe(go_on.set)
            assert launched.wait(60)
        return steer(self, sweep_id, status, **kwargs)

    def launch_and_tell(lives):
        launch(lives)
        launched.set()

    monkeypatch.setattr(SweepJournal, "hand_out", hand_out_slowly)
    monkeypatch.setattr(SweepJournal, "steer", steer_late)
    monkeypatch.setattr(wb.engine, "launch", launch_and_tell)
    sweep = wb.sweep(wf, {"seed": seeds(1)}, values={"steps": 40, "seconds_per_step": 0.05})
    assert stored.wait(60)
    sweep.pause()
    (live,) = wb.host.ask(lambda: list(sweep._run._jobs.here.values()))
    assert live.paused
    sweep.resume()
    sweep.wait(60)
    assert sweep.counts == {"completed": 1}


def test_pause_is_exact_and_outlives_its_kernel(tmp_path, sandbox, portrait, seeds):
    store = tmp_path / "paused.duckdb"
    before = executed(sandbox)
    open_prompts = "select count(*) from prompts where state in ('sending', 'queued', 'running')"
    with Workbench(store) as wb:
        wb.backends.add(sandbox.url, name="one")
        wf = wb.workflows.load(portrait)
        sweep = wb.sweep(
            wf, {"seed": seeds(40)}, values={"steps": 4, "seconds_per_step": 0.02, "seconds": 0}
        )
        some = threading.Event()
        stop = wb.host.ask(sweep._run.watch, lambda view: view.ended >= 2 and some.set())
        assert some.wait(60)
        sweep.pause()
        assert sweep.status is SweepStatus.PAUSED
        # What has begun ends; what waited in the server's queue was taken back.
        stop()
        deadline = time.monotonic() + 60
        while wb.sql(open_prompts).rows != [(0,)]:
            assert time.monotonic() < deadline
            time.sleep(0.02)  # nobody is told of that: nobody but a test waits for it
        done = wb.sql("select count(*) from prompts where state = 'completed'").rows[0][0]
        assert 2 <= done < 40
        assert executed(sandbox) - before == done
        taken_back = wb.sql("select count(*) from job_events where kind = 'recalled'").rows[0][0]
        assert taken_back > 0
    with Workbench(store, resume=False) as wb:
        wb.resume().wait()
        sweep = wb.sweeps["portrait 1"]
        assert sweep.status is SweepStatus.PAUSED
        assert wb.sql(open_prompts).rows == [(0,)]
        assert executed(sandbox) - before == done
        sweep.resume()
        sweep.wait(60)
        assert sweep.counts == {"completed": 40}
        # Each was computed once, and what was taken back cost no attempt.
        assert executed(sandbox) - before == 40
        assert wb.sql("select state, count(*) from prompts group by state order by state").rows == [
            ("completed", 40),
            ("lost", taken_back),
        ]
        assert wb.problems == []


def test_cancel_retry_and_add(wb, wf, seeds):
    every = seeds(60)
    slow = {"steps": 50, "seconds_per_step": 0.05, "seconds": 0}
    sweep = wb.sweep(wf, {"seed": every}, values=slow)
    began = threading.Event()
    wb.host.ask(sweep._run.watch, lambda view: view.counts.get(JobStatus.RUNNING) and began.set())
    assert began.wait(60)
    sweep.cancel()
    sweep.wait(60)
    assert sweep.status is SweepStatus.CANCELLED
    assert sweep.counts == {"cancelled": 60}
    assert {row[0] for row in wb.sql("select distinct status from jobs").rows} == {"cancelled"}
    assert wb.sql("select count(*) from node_executions where status <> 'cancelled'").rows == [(0,)]
    with pytest.raises(UsageError, match="retry_failed"):
        sweep.pause()
    quick = wb.sweep(wf, {"seed": every[:3]}, values=FAST).wait(60)
    quick.add({"seed": [every[0], *every[50:52]]}, values=FAST)
    assert not quick.done
    quick.wait(60)
    assert quick.counts == {"completed": 6}
    assert [point.index for point in quick] == list(range(6))
    assert [point.linked for point in quick] == [False, False, False, True, False, False]
    assert quick.status is SweepStatus.COMPLETED
    assert wb.store.check().result() == []


def test_what_failed_runs_again_and_only_that(wb, sandbox, seeds):
    key = f"retry {seeds(1)[0]}"
    prompt = {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 16, "height": 16, "batch_size": 1, "color": seeds(1)[0]},
        },
        "2": {
            "class_type": "LabFail",
            "inputs": {"image": ["1", 0], "key": key, "times": 1, "kind": "error"},
        },
        "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0], "filename_prefix": "r"}},
    }
    wf = wb.workflows.load(prompt, name="failing")
    wf.expose("2.times", name="Times")
    sweep = wb.sweep(wf, {"times": [0, 1]}).wait(60)
    assert sweep.counts == {"completed": 1, "failed": 1}
    assert "lab failure" in sweep[1].error
    kept = sweep[0].job_id
    sweep.retry_failed().wait(60)
    assert sweep.counts == {"completed": 2}
    assert sweep[0].job_id == kept
    assert sweep[1].error is None


def test_backends_and_workflows_are_axes(wb, wf, sandbox, portrait, seeds):
    other = wb.workflows.load(json.loads(portrait.read_text()), name="other")
    wb.backends.add(sandbox.url.replace("127.0.0.1", "localhost"), name="two")
    seed = seeds(1)
    sweep = wb.sweep([wf, other], {"backend": ["one", "two"], "seed": seed}, values=FAST).wait(60)
    assert sweep.counts == {"completed": 4}
    assert sweep.axes == ["workflow", "backend", "seed"]
    # Each backend computes it, and the other workflow, whose prompt is the same, is linked.
    assert [point.linked for point in sweep] == [False, False, True, True]
    assert [point.backend for point in sweep] == ["one", "two", "one", "two"]
    other.hide("crop")
    with pytest.raises(NotFound, match="other: There is no parameter"):
        wb.sweep([wf, other], {"crop": ["disabled"]})


def test_a_range_is_a_list_and_a_choice_of_texts_another(wb, wf, seeds):
    texts = wb.sweep(wf, {"text": "1..9", "seed": seeds(1)}, values=FAST, n=2).wait(60)
    assert len(texts) == 2
    assert all(type(point.values["text"]) is str for point in texts)


def test_dynamic_prompts_are_drawn_by_the_sweeps_seed(wb, wf, seeds):
    wb.check_backends().wait()
    (live,) = wb.engine.backends.values()
    info = copy.deepcopy(wb.node_classes.of(live))
    info["LabSampler"]["input"]["required"]["text"][1]["dynamicPrompts"] = True
    live.object_info = info
    every = seeds(8)

    def sweep(seed):
        asked = {"seed": every, "text": ["a {red|green|blue} cat"]}
        return wb.sweep(wf, asked, values=FAST, seed=seed).wait(60)

    def sent(point):
        with wb.load_job(point.job_id).images.open() as picture:
            prompt = json.loads(picture.text["prompt"])
        return prompt["2"]["inputs"]["text"]

    first = sweep(11)
    texts = [sent(point) for point in first]
    assert set(texts) <= {"a red cat", "a green cat", "a blue cat"}
    assert len(set(texts)) > 1
    same, other = sweep(11), sweep(12)
    assert [point.values for point in same] == [point.values for point in first]
    assert all(point.linked for point in same)
    assert [point.values for point in other] != [point.values for point in first]
    # What another seed resolves to the same text is the same point.
    links = [one.job_id for one in first]
    for place, point in enumerate(other):
        assert point.linked == (sent(point) == texts[place])
        assert not point.linked or point.job_id == links[place]
    assert len(wf.dynamic_choices) == 0  # the saved text leaves nothing open


def test_files_are_axes_and_known_by_their_content(wb, sandbox, tmp_path, seeds):
    from PIL import Image

    prompt = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}},
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "f"}},
    }
    for name, colour in (("a", "red"), ("b", "blue"), ("c", "red")):
        Image.new("RGB", (16, 16), (colour, seeds(1)[0])[0]).save(tmp_path / f"{name}.png")
    wf = wb.workflows.load(prompt, name="files")
    sweep = wb.sweep(wf, {"image": [tmp_path / "a.png", str(tmp_path / "b.png")]}).wait(60)
    assert sweep.counts == {"completed": 2}
    (tmp_path / "c.png").replace(tmp_path / "sub.png")
    again = wb.sweep(wf, {"image": [str(tmp_path / "a.png")]}).wait(60)
    assert again[0].linked


def test_stars_scores_frames_and_exports(wb, wf, seeds, tmp_path):
    sweep = wb.sweep(wf, {"steps": [1, 2], "seed": seeds(3)}, values={"seconds": 0}).wait(60)
    sweep.rate(2, 4)
    sweep.rate(3, 5)
    sweep.rate(3, None)
    assert [point.rating for point in sweep] == [None, None, 4, None, None, None]
    assert rows(wb, sweep, "rating")[2] == (4.0,)
    with pytest.raises(InvalidValue, match="0 to 5"):
        sweep.rate(0, 6)
    with pytest.raises(NotFound, match="has 1 pictures"):
        sweep.rate(0, 1, picture=3)
    frame = sweep.to_df()
    assert list(frame.index) == list(range(6))
    assert frame["rating"].tolist()[2] == 4
    assert set(frame["state"]) == {"completed"}
    # A parameter of this workflow is called like a result: it keeps its name.
    assert frame["seconds"].tolist() == [0.0] * 6
    assert (frame["point_seconds"] >= 0).all()
    grid = sweep.grid(rows="steps")
    assert grid.table.row_values == (1, 2)
    png, page = grid.to_png(tmp_path / "x.png", size=64), grid.to_html(tmp_path / "x.html")
    assert png.stat().st_size > 1000
    assert page.read_text().count("<img") == 6
    assert "<script" not in page.read_text()
    plot = sweep.plot("steps", "rating")
    assert "1 points" in plot.plain()
    assert len(sweep.plot("seed", "point_seconds", color="steps").figure.data) == 2
    assert sweep.plot().figure.data[0].type == "parcoords"
    with pytest.raises(NotFound, match="steps, seed"):
        sweep.plot("nothing")


def test_a_later_workbench_finds_it_with_pictures_and_stars(tmp_path, sandbox, portrait, seeds):
    store = tmp_path / "later.duckdb"
    with Workbench(store) as wb:
        wb.backends.add(sandbox.url, name="one")
        wf = wb.workflows.load(portrait)
        sweep = wb.sweep(wf, {"seed": seeds(3)}, values=FAST, name="früher <b>").wait(60)
        sweep.rate(1, 3)
        before = list(sweep)
    with Workbench(store) as wb:
        sweep = wb.sweeps["früher <b>"]
        assert list(sweep) == before
        assert sweep[1].rating == 3
        assert "früher" in repr(wb.sweeps)
        assert "<b>" not in wb.sweeps._repr_html_()
        assert "<b>" not in sweep._repr_mimebundle_()["text/html"].replace('<b class="', "")
        with pytest.raises(NotFound, match="früher"):
            wb.sweeps["later"]
        sweep.add({"seed": seeds(4)}, values=FAST).wait(60)
        assert sweep.counts == {"completed": 7}
        assert [point.linked for point in sweep][3:] == [True, True, True, False]


def test_twenty_thousand_points_are_one_sweep_and_hand_out_a_window(wb, wf):
    sweep = wb.sweep(wf, {"seed": range(10_000), "text": ["a", "b"]}, values={"seconds": 0})
    sweep.pause()
    jobs = wb.sql("select count(*) from jobs").rows[0][0]
    assert len(sweep) == 20_000
    assert jobs < 2000
    assert wb.sql("select count(*) from points").rows == [(20_000,)]
    sweep.cancel()
    sweep.wait(60)
    assert sweep.counts["cancelled"] + sweep.counts.get("completed", 0) == 20_000


@pytest.mark.parametrize(
    "values",
    [list, lambda seeds: seeds, lambda seeds: f"0..{seeds[-1]}"],
    ids=["list", "range", "text"],
)
def test_parameters_are_looked_up_once_for_a_sweep_and_not_for_each_value(
    wb, wf, monkeypatch, values
):
    wb.check_backends().wait()
    looked_up = 0
    keys = Exposed.keys

    def counted(self):
        nonlocal looked_up
        looked_up += 1
        return keys.fget(self)

    monkeypatch.setattr(Exposed, "keys", property(counted))
    found = []
    for count in (2, 400):
        seeds = range(count)
        asked = Asked([wf], grid={"seed": values(seeds), "steps": [1, 2]}, values={"seconds": 0})
        looked_up = 0
        planned = plan_points(wb, asked)
        assert [point.values["seed"] for point in planned.points[::2]] == list(seeds)
        assert [type(point.values["seed"]) for point in planned.points] == [int] * (2 * count)
        found.append(looked_up)
    assert found[0] == found[1], "as often for 800 points as for 4"


def test_axes_may_be_iterators_and_are_told_of_in_full(wb, wf, seeds):
    every = list(seeds(100))
    zipped = ({"steps": (n for n in [1]), "sigma": iter([1])} for _ in range(1))
    asked = {"seed": (seed for seed in every)}
    sweep = wb.sweep(wf, asked, zip=zipped, values={"seconds": 0}, n=2).wait(60)
    assert len(sweep) == 2
    (stored,) = wb.sql("select spec from sweeps where id = $1", [sweep.id]).rows[0]
    axes = json.loads(stored)["axes"] if isinstance(stored, str) else stored["axes"]
    assert axes == [{"seed": every}, {"steps": [1], "sigma": [1]}]


def test_each_workflow_must_allow_every_value(wb, wf, portrait):
    other = wb.workflows.load(json.loads(portrait.read_text()), name="other")
    other.parameters["steps"].constraints = ParamConstraints(min_value=1, max_value=5)
    with pytest.raises(InvalidValue, match="Axis steps of other"):
        wb.sweep(wf, {"steps": range(1, 8), "workflow": [wf, other]})


def test_a_study_finds_what_its_score_likes(wb, wf):
    from comfynb.engine.sweeps import uniform

    def score(job):
        assert job.images[0].path.is_file()
        return -((job.values["sigma"] - 3) ** 2)

    study = wb.optimize(
        wf, {"sigma": uniform(0.5, 6)}, score, n=12, seed=3, values=FAST, name="sigma"
    ).wait(60)
    assert len(study.scored) == 12
    assert study.best.score == max(point.score for point in study)
    assert study.best.score == study.optuna.best_value
    assert rows(wb, study, "score")[0] == (study[0].score,)
    more = wb.optimize(wf, {"sigma": uniform(0.5, 6)}, score, n=14, values=FAST, name="sigma")
    more.wait(60)
    assert len(more) == len(more.scored) == 14
    assert more.id == study.id
    assert len(more.optuna.trials) == 14


def test_a_score_may_be_async_may_fail_and_may_be_a_persons(wb, wf, seeds):
    async def score(job):
        if job.values["seed"] % 2:
            raise ValueError("no faces")
        return 1.0

    study = wb.optimize(wf, {"seed": list(seeds(6))}, score, n=5, values=FAST, seed=1).wait(60)
    assert study.counts == {"completed": 5} == {"completed": len(study)}
    assert {point.score for point in study} <= {None, 1.0}
    failed = sum(point.score is None for point in study)
    assert sum("no faces" in problem for problem in wb.problems) == failed > 0
    wb.problems.clear()
    by_hand = wb.optimize(wf, {"seed": list(seeds(3))}, n=2, values=FAST, seed=2)
    both = threading.Event()
    wb.host.ask(
        by_hand._run.watch, lambda view: view.counts.get(JobStatus.COMPLETED) == 2 and both.set()
    )
    wb.host.ask(by_hand._run.touch)
    assert both.wait(60)
    assert not by_hand.done
    by_hand.rate(0, 2)
    by_hand.rate(1, 5)
    by_hand.wait(60)
    assert {point.score for point in by_hand} == {2.0, 5.0}
    with pytest.raises(InvalidValue, match="Axis steps"):
        wb.optimize(wf, {"steps": "0..4"}, score)
