"""Samples in the store: summed up once, kept for as long as they shall be, and found again."""

import itertools
import math
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfynb.errors import StoreError, UsageError
from comfynb.models import JobStatus
from comfynb.store import Store
from comfynb.store.metrics import (
    FIELDS,
    Keeping,
    MetricsJournal,
    NodeSpan,
    Reading,
    floor_time,
    upkeep,
    windows,
)

START = datetime(2026, 11, 20, 12, tzinfo=UTC)
FOREVER = Keeping(*[timedelta(days=3600)] * 3)
QUICKLY = settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def sample(second: float, began: float | None = None, **values: Any) -> Reading:
    values.setdefault("backend_id", "b1")
    before = None if began is None else after(began)
    return Reading(taken_at=after(second), began=before, **values)


def steady(seconds: int, backend_id: str = "b1", **values: Any) -> list[Reading]:
    return [
        sample(s, s - 1 if s else None, backend_id=backend_id, gpu_utilization=float(s % 101),
               power_watts=100.0, energy_joules=100.0 if s else None, **values)
        for s in range(seconds)
    ]  # fmt: skip


def rows(store: Store, sql: str, *params: Any) -> list[tuple[Any, ...]]:
    return store.sql(sql, params).result(30).rows


@pytest.fixture
def journal(store: Store) -> MetricsJournal:
    journal = MetricsJournal(store)
    journal.claim(["b1"], START).result(30)
    return journal


def test_samples_come_back_and_unknown_is_null(store: Store, journal: MetricsJournal) -> None:
    journal.write(
        [
            sample(0, gpu_name="RTX", source="agent"),
            sample(1, 0, gpu_utilization=33.5, gpu_memory_used=2**40, queue_depth=0),
            sample(1, 0, gpu=1, main=False, gpu_temperature=-5),
        ]
    ).result(30)
    found = rows(store, "select began, gpu_utilization, gpu_memory_used, queue_depth from metrics "
                 "where main order by taken_at")  # fmt: skip
    assert found == [(None, None, None, None), (START, 33.5, 2**40, 0)]
    assert rows(store, "select gpu, gpu_temperature, cpu_utilization from metrics where not main"
                ) == [(1, -5, None)]  # fmt: skip


def test_the_newest_sample_of_each_gpu_is_at_hand(store: Store, journal: MetricsJournal) -> None:
    journal.write([sample(s, gpu_utilization=float(s), note="x") for s in (5, 3)]).result(30)
    journal.write([sample(9, gpu_utilization=9.0, gpu_name="A"), sample(8, gpu=1, main=False)])
    found = rows(store, "select backend, gpu, taken_at, gpu_utilization, gpu_name, note "
                 "from metrics_now order by gpu")  # fmt: skip
    name = "PC1 - RTX 4090"
    assert found == [(name, 0, after(9), 9.0, "A", None), (name, 1, after(8), None, None, None)]


def test_one_store_collects_until_it_lets_go(
    filled: str, opened: Callable[..., Store], journal: MetricsJournal
) -> None:
    other = opened(filled)
    second = MetricsJournal(other)
    assert second.claim(["b1", "b2"], START).result(30) == {"b2"}
    assert journal.claim(["b1", "b2"], START).result(30) == {"b1"}
    journal.release().result(30)
    assert second.claim([], START).result(30) == {"b2"}, "it may not know that backend"
    assert second.claim(["b1"], START).result(30) == {"b1", "b2"}
    third = opened(filled)
    other.close().result(30)  # without letting go, as if killed
    found = MetricsJournal(third).claim(["b1"], START).result(30)
    assert found == {"b1", "b2"}, "also what is left of a backend that was removed"


def summed(store: Store, table: str) -> list[tuple[Any, ...]]:
    return rows(
        store,
        f"select taken_at, samples, breaks, seconds, energy_joules, gpu_utilization, "
        f"gpu_utilization_min, gpu_utilization_max from {table} order by taken_at",
    )


def test_roll_ups_say_what_the_samples_said(store: Store, journal: MetricsJournal) -> None:
    dice = random.Random(7)
    taken = [s for s in range(300) if dice.random() < 0.7 and not 95 <= s < 130]
    values = {s: float(dice.randrange(101)) for s in taken}
    readings, last = [], None
    for s in taken:
        readings.append(sample(s, last if last is not None and s - last < 4 else None,
                               gpu_utilization=values[s], energy_joules=2.0))  # fmt: skip
        last = s
    journal.write(readings).result(30)
    assert journal.keep(after(300), after(300), FOREVER).result(30).rolled > 0
    found = {row[0]: row[1:] for row in summed(store, "metrics_10s")}
    assert sum(row[0] for row in found.values()) == len(taken)
    for begin in range(0, 300, 10):
        mine = [s for s in taken if begin <= s < begin + 10]
        if not mine:
            assert after(begin) not in found, "an outage is no row"
            continue
        count, breaks, seconds, energy, mean, low, high = found[after(begin)]
        inside = [one for one in readings if one.taken_at in map(after, mine)]
        assert count == len(mine)
        assert breaks == sum(one.began is None for one in inside)
        assert seconds == sum((r.taken_at - r.began).seconds for r in inside if r.began)
        assert energy == 2.0 * len(mine)
        assert mean == pytest.approx(sum(values[s] for s in mine) / len(mine), rel=1e-5)
        assert (low, high) == (min(values[s] for s in mine), max(values[s] for s in mine))
    for moment, count, *_, mean, low, high in summed(store, "metrics_1m"):
        steps = [found[t] for t in found if floor_time(t, 60) == moment]
        assert count == sum(step[0] for step in steps)
        assert mean == pytest.approx(sum(step[4] for step in steps) / len(steps), rel=1e-5)
        assert low == min(step[5] for step in steps)
        assert high == max(step[6] for step in steps)


@settings(QUICKLY, max_examples=4)
@given(cuts=st.lists(st.integers(0, 400), max_size=4))
def test_roll_ups_are_the_same_in_however_many_steps(
    file: str, opened: Callable[..., Store], cuts: list[int]
) -> None:
    store = opened(file)
    journal = MetricsJournal(store)
    backend = f"x{len(rows(store, 'select 1 from metrics_state'))}"
    journal.claim([backend], START).result(30)
    journal.write(steady(400, backend)).result(30)
    for cut in [*sorted(cuts), 400, 400]:
        journal.keep(after(cut), after(cut), FOREVER).result(30)
    count, total = rows(
        store, "select count(*), sum(samples) from metrics_10s where backend_id = $1", backend
    )[0]
    assert (count, total) == (40, 400)
    count, total = rows(
        store, "select count(*), sum(samples) from metrics_1m where backend_id = $1", backend
    )[0]
    assert (count, total) == (6, 360), "the minute that has not ended is not there"


def test_a_step_that_fails_is_done_as_if_never_begun(
    store: Store, journal: MetricsJournal, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal.write(steady(120)).result(30)

    def broken(*_: Any) -> int:
        raise StoreError("killed here")

    with monkeypatch.context() as patch:
        patch.setattr(upkeep, "_expire", broken)
        with pytest.raises(StoreError, match="killed here"):
            journal.keep(after(120), after(120), FOREVER).result(30)
    assert summed(store, "metrics_10s") == []
    journal.keep(after(120), after(120), FOREVER).result(30)
    assert len(summed(store, "metrics_10s")) == 12


def test_what_is_old_goes_and_its_sums_stay(store: Store, journal: MetricsJournal) -> None:
    hours = [
        sample(s, s - 60 if s else None, gpu_utilization=50.0, energy_joules=60.0)
        for s in range(0, 6 * 3600, 60)
    ]
    journal.write(hours).result(30)
    now = after(6 * 3600)
    keeping = Keeping(timedelta(hours=2), timedelta(hours=4), timedelta(days=365))
    more = True
    while more:
        more = journal.keep(now, now, keeping).result(30).more
    journal.keep(now, now, keeping).result(30)
    assert rows(store, "select min(taken_at) from metrics") == [(after(4 * 3600),)]
    assert rows(store, "select min(taken_at) from metrics_10s") == [(after(2 * 3600),)]
    levels = rows(store, "select step_seconds, count(*), min(ended) from metrics_history "
                  "group by 1 order by 1")  # fmt: skip
    assert levels == [
        (0, 120, after(4 * 3600)), (10, 120, after(2 * 3600 + 10)), (60, 120, after(60))
    ]  # fmt: skip
    total = rows(store, "select sum(seconds), sum(energy_joules) from metrics_history")
    assert total == [(6 * 3600 - 60, 60.0 * 360)]
    keeping = Keeping(timedelta(hours=2), timedelta(hours=4), timedelta(hours=5))
    later = now + timedelta(hours=1)
    journal.keep(later, later, keeping).result(30)
    assert rows(store, "select min(taken_at) from metrics_1m") == [(after(2 * 3600),)]


def test_gaps_are_told_with_their_reason(store: Store, journal: MetricsJournal) -> None:
    journal.write(
        [sample(0), sample(1, 0), sample(20), sample(21, 20), sample(30, online=False),
         sample(40, online=False), sample(50), sample(51, 50)]
    ).result(30)  # fmt: skip
    found = rows(store, "select began, ended, seconds, reason from metrics_gaps order by began")
    assert found == [
        (after(1), after(20), 19.0, "not collected"),
        (after(21), after(30), 9.0, "no answer"),
        (after(30), after(40), 10.0, "no answer"),
        (after(40), after(50), 10.0, "no answer"),
    ]


@pytest.fixture
def ran(store: Store, make: Any) -> Callable[..., Any]:
    """Stores a job with one prompt that ran from one second to another."""

    def run(began: float, ended: float, state: str = "completed", **more: Any) -> Any:
        job = make.job(created_at=after(began - 2))
        job.status = JobStatus.COMPLETED
        prompt = make.prompt(
            job, state=state, created_at=after(began - 1), started_at=after(began),
            completed_at=after(ended), **more,
        )  # fmt: skip
        store.put(job, prompt).result(30)
        return job, prompt

    return run


def test_a_prompt_costs_what_its_machine_used_meanwhile(
    store: Store, journal: MetricsJournal, ran: Callable[..., Any]
) -> None:
    _job, _prompt = ran(2.5, 6.25, node_count=4, cached_nodes=1)
    journal.write(
        [
            sample(s, s - 1 if s else None, gpu_memory_used=1000 * s, gpu_temperature=50 + s,
                   gpu_utilization=100.0 if 3 <= s <= 6 else 0.0, energy_joules=10.0 * s)
            for s in range(6)
        ]
    ).result(30)  # fmt: skip
    assert journal.measure(after(6.5), FOREVER).result(30).measured == 0, "its end is not covered"
    journal.write([sample(7, 5, gpu_memory_used=6500, energy_joules=100.0)]).result(30)
    assert journal.measure(after(8), FOREVER).result(30).measured == 1
    assert journal.measure(after(8), FOREVER).result(30).measured == 0
    usage = store.sql("select * from job_usage").result(30)[0]
    # Half of the third second, all of the fourth and fifth, and 1.25 of the two seconds after.
    assert usage["energy_joules"] == pytest.approx(0.5 * 30 + 40 + 50 + 1.25 / 2 * 100)
    assert usage["energy_wh"] == pytest.approx(usage["energy_joules"] / 3600)
    assert usage["energy_known"] == pytest.approx(1.0)
    assert usage["gpu_memory_peak"] == 6500
    assert (usage["seconds"], usage["cached_nodes"]) == (3.75, 1)
    attempt = store.sql("select * from prompt_usage").result(30)[0]
    assert (attempt["wait_seconds"], attempt["samples"]) == (2.0, 4)
    # What the last sample did not say is left out of the mean.
    assert attempt["gpu_utilization"] == pytest.approx(100.0)
    assert attempt["gpu_temperature_max"] == 55
    assert attempt["measured_seconds"] == pytest.approx(3.75)


def test_energy_is_unknown_where_no_power_was_told(
    store: Store, journal: MetricsJournal, ran: Callable[..., Any]
) -> None:
    ran(1, 3)
    journal.write([sample(s, s - 1, gpu_memory_used=5) for s in range(1, 5)]).result(30)
    journal.measure(after(5), FOREVER).result(30)
    found = rows(store, "select energy_joules, energy_wh, energy_known, gpu_memory_peak "
                 "from job_usage")  # fmt: skip
    assert found == [(None, None, 0.0, 5)]


def test_a_prompt_that_no_sample_covers_is_done_with_after_a_minute(
    store: Store, journal: MetricsJournal, ran: Callable[..., Any]
) -> None:
    ran(1, 3)
    assert journal.measure(after(30), FOREVER).result(30).measured == 0
    assert journal.measure(after(64), FOREVER).result(30).measured == 1
    assert rows(store, "select samples, measured_seconds, gpu_memory_peak from prompt_metrics") == [
        (0, 0.0, None)
    ]


def test_nodes_of_prompts(store: Store, journal: MetricsJournal, ran: Callable[..., Any]) -> None:
    _, prompt = ran(0, 3)
    spans = [
        NodeSpan(prompt.prompt_id, i, str(i), "C", "T", model, after(i), after(i + 1))
        for i, model in enumerate(["a.safetensors", None])
    ]
    journal.write([], spans).result(30)
    assert rows(store, "select model_loads from prompt_usage") == [(1,)]


# ---- over time


def lines(store: Store, fields: Any, start: float, end: float, points: int = 2000, **how: Any):
    from comfynb.engine.metrics.queries import MetricsQueries

    found = MetricsQueries(store).series(
        fields, after(start), after(end), names={"b1": "one"}, points=points, **how
    )
    return found.result(30)


def test_a_short_window_gives_the_samples_themselves(store: Store, journal: MetricsJournal) -> None:
    journal.write(steady(60)).result(30)
    [line] = lines(store, ("gpu_utilization",), 10, 30)
    assert (line.backend, line.field) == ("one", "gpu_utilization")
    assert line.times.tolist() == [after(s).timestamp() for s in range(10, 30)]
    assert line.values.tolist() == line.means.tolist() == [float(s) for s in range(10, 30)]
    assert not lines(store, ("cpu_utilization",), 10, 30).lines, "nobody measured it"
    assert not lines(store, ("gpu_utilization",), 10, 30, gpu=3).lines
    assert not lines(store, ("gpu_utilization",), 10, 30, backends=["b2"]).lines


@QUICKLY
@given(
    start=st.integers(-4000, 14000), length=st.integers(1, 16000), points=st.integers(10, 400),
    rolled=st.integers(0, 10800),
)  # fmt: skip
def test_extremes_and_gaps_survive_any_window(
    three_hours: tuple[Store, dict[int, float]], start: int, length: int, points: int, rolled: int
) -> None:
    store, values = three_hours
    store.transact(
        lambda tx: tx.execute(
            "update metrics_state set rolled_10s = $1, rolled_1m = $2",
            [floor_time(after(rolled), 10), floor_time(after(rolled), 60)],
        )
    ).result(30)
    found = lines(store, ("gpu_utilization",), start, start + length, points)
    inside = {s: v for s, v in values.items() if start <= s < start + length}
    width = found.width
    for line in found:
        assert len(line) <= points
        assert (line.times[1:] >= line.times[:-1]).all()
        known = line.values[~(line.values != line.values)]
        # What a coarse step at the edge holds may lie a minute outside the window.
        around = {s: v for s, v in values.items() if start - 60 <= s < start + length + 60}
        assert set(known.tolist()) <= set(around.values())
        if inside:
            well = {s: v for s, v in inside.items() if s + 60 < start + length and s - 60 > start}
            if well:
                assert known.max() >= max(well.values())
                assert known.min() <= min(well.values())
    gap_inside = start < 3000 - 60 and start + length > 4500 + 60
    if gap_inside and width < 500 and found.lines:
        line = found.lines[0]
        times = [t - START.timestamp() for t in line.times]
        crossing = [
            (a, b)
            for (a, va), (b, vb) in zip(
                zip(times, line.values, strict=True),
                list(zip(times, line.values, strict=True))[1:],
                strict=False,
            )
            if a < 3000 and b > 4500 and not math.isnan(va) and not math.isnan(vb)
        ]
        assert not crossing, "no line over an outage"


@pytest.fixture(scope="module")
def three_hours(template: Any, tmp_path_factory: pytest.TempPathFactory):
    """Three hours at 1 Hz, an outage of 25 minutes in them, all of it rolled up."""
    from comfynb.store import open_store

    store = open_store(tmp_path_factory.mktemp("hours") / "lab.duckdb")
    journal = MetricsJournal(store)
    journal.claim(["b1"], START).result(30)
    dice = random.Random(3)
    values = {s: float(dice.randrange(1, 100)) for s in range(10800) if not 3000 <= s < 4500}
    values[7777] = 0.0
    values[8888] = 100.0
    journal.write(
        [
            sample(s, s - 1 if s - 1 in values else None, gpu_utilization=value)
            for s, value in values.items()
        ]
    ).result(60)
    more = True
    while more:
        more = journal.keep(after(10800), after(10800), FOREVER).result(60).more
    yield store, values
    store.close().result(30)


@QUICKLY
@given(
    start=st.integers(0, 5000), length=st.integers(1, 5000), width=st.floats(0.1, 300),
    marks=st.lists(st.integers(0, 6000), min_size=4, max_size=4),
)  # fmt: skip
def test_levels_follow_one_another_without_holes(
    three_hours: tuple[Store, Any], start: int, length: int, width: float, marks: list[int]
) -> None:
    store, _ = three_hours
    from_10s, raw_from, rolled_1m, rolled_10s = sorted(marks)
    store.transact(
        lambda tx: tx.execute(
            "update metrics_state set from_10s = $1, raw_from = $2, rolled_1m = $3, "
            "rolled_10s = $4",
            [after(s) for s in (from_10s, raw_from, rolled_1m, rolled_10s)],
        )
    ).result(30)
    begin, end = after(start), after(start + length)
    found = store.read(lambda view: windows(view, begin, end, width)).result(30)
    store.transact(
        lambda tx: tx.execute("update metrics_state set from_10s = null, raw_from = null")
    ).result(30)
    assert found[0].start == begin
    assert found[-1].end == end
    for one, other in itertools.pairwise(found):
        assert one.end == other.start
    for one in found:
        since = {0: raw_from, 10: from_10s, 60: 0}[one.step]
        until = {0: 99999, 10: rolled_10s, 60: rolled_1m}[one.step]
        assert after(since) <= one.start < one.end <= max(after(until), one.start)


def test_fields_that_are_not_there(store: Store, journal: MetricsJournal) -> None:
    with pytest.raises(UsageError, match="no field 'x; drop table metrics'"):
        lines(store, ("x; drop table metrics",), 0, 1)
    for name in FIELDS:
        assert lines(store, (name,), 0, 10).lines == ()
