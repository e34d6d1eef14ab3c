"""Jobs as bars: stacked without overlap, nothing lost, and never more than can be drawn."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from comfynb.models import JobStatus
from comfynb.widgets.metrics.jobs import MOST_BARS, MOST_LEVELS, lanes
from comfynb.widgets.metrics.views import JobSpan

START, END = 1000.0, 4600.0


def span(number: int, start: float, length: float | None, backend: str = "PC1") -> JobSpan:
    status = JobStatus.RUNNING if length is None else JobStatus.COMPLETED
    end = None if length is None else start + length
    return JobSpan(f"job-{number}", f"portrait {number}", backend, status, start, end)


SPANS = st.lists(
    st.tuples(
        st.floats(0, 6000),
        st.one_of(st.none(), st.floats(0.01, 3000)),
        st.sampled_from(["PC1", "PC2", "gone"]),
    ),
    max_size=40,
).map(lambda rows: [span(n, *row) for n, row in enumerate(rows)])


@given(SPANS)
@settings(max_examples=150, deadline=None)
def test_bars_of_one_level_never_overlap_and_every_job_has_one(spans: list[JobSpan]) -> None:
    made = lanes(["PC1", "PC2"], spans, START, END)
    assert [lane.backend for lane in made][:2] == ["PC1", "PC2"]
    drawn = [one.id for lane in made for bar in lane.bars for one in bar.spans]
    visible = [s.id for s in spans if s.start < END and (s.end is None or s.end > START)]
    assert sorted(drawn) == sorted(visible)
    for lane in made:
        for level in range(MOST_LEVELS - 1):  # the last one takes all the rest
            row = sorted(
                (bar for bar in lane.bars if bar.level == level), key=lambda b: b.spans[0].start
            )
            for before, after in pairwise(row):
                assert before.end <= after.start
        assert all(START <= bar.start <= bar.end <= END for bar in lane.bars)
        assert max((bar.level for bar in lane.bars), default=0) < lane.levels


@given(st.integers(MOST_BARS + 1, 6000), st.floats(0.01, 3), st.integers(1, 4))
@settings(max_examples=12, deadline=None)
def test_more_than_can_be_drawn_are_joined_not_dropped(
    number: int, length: float, machines: int
) -> None:
    names = [f"PC{n}" for n in range(machines)]
    step = (END - START) / number
    spans = [
        span(n, START + n * step, length * step * machines, names[n % machines])
        for n in range(number)
    ]
    made = lanes(names, spans, START, END)
    bars = [bar for lane in made for bar in lane.bars]
    assert len(bars) <= MOST_BARS + machines * MOST_LEVELS
    assert sum(len(bar.spans) for bar in bars) == number


def test_a_running_job_reaches_to_the_end_of_the_window() -> None:
    (lane,) = lanes(["PC1"], [span(1, 4000, None)], START, END)
    assert [(bar.start, bar.end, bar.status) for bar in lane.bars] == [
        (4000, END, JobStatus.RUNNING)
    ]


def test_different_statuses_are_not_joined() -> None:
    spans = [
        JobSpan(
            f"j{n}",
            "x",
            "PC1",
            JobStatus.FAILED if n % 2 else JobStatus.COMPLETED,
            START + n,
            START + n + 0.5,
        )
        for n in range(3000)
    ]
    (lane,) = lanes(["PC1"], spans, START, END)
    assert {bar.status for bar in lane.bars} == {JobStatus.FAILED, JobStatus.COMPLETED}
    for bar in lane.bars:
        assert {one.status for one in bar.spans} == {bar.status}


def test_one_after_another_stays_on_one_level_although_clocks_differ() -> None:
    spans = [span(n, START + 3 * n, 3.1) for n in range(20)]
    (lane,) = lanes(["PC1"], spans, START, START + 60)
    assert lane.levels == 1
    for before, after in pairwise(lane.bars):
        assert before.end == after.start


def test_what_really_overlaps_lies_on_levels_of_its_own() -> None:
    spans = [span(n, START + 10 * n, 25) for n in range(20)]
    (lane,) = lanes(["PC1"], spans, START, START + 300)
    assert lane.levels == 3
