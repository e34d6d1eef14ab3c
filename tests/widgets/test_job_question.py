"""A node asks for a backend: what is said, what is chosen, and what comes of it."""

import asyncio
import dataclasses
from typing import Any

import pytest

from comfynb.engine.views import CandidateView, NodeView, QuestionView
from comfynb.errors import UsageError
from comfynb.models import JobStatus, utcnow
from comfynb.widgets import JobRow, live
from comfynb.widgets.job_question import QuestionBox

QUESTION = QuestionView(
    "job-1",
    "execution-1",
    "node-1",
    "upscale",
    "PC1",
    "it is offline",
    (CandidateView("id-2", "PC2"), CandidateView("id-3", "PC3", "lacks the class LabFail")),
)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live, "pause_after", lambda _: 0.0)
    monkeypatch.setattr(live, "INTERVAL", 0.0)


def test_a_question_says_who_why_and_what_to_choose() -> None:
    box = QuestionBox(QUESTION, lambda *_: None)
    assert "upscale prefers PC1, which cannot run it (it is offline)" in box._words.value
    assert box._choice.options == (("PC2", "id-2"), ("PC3 (lacks the class LabFail)", "id-3"))
    assert box._choice.value == "id-2"
    assert box._choice.description
    assert "upscale" in box._use.tooltip
    assert box._use.description == "Use"


def test_choosing_answers_once() -> None:
    answers: list[Any] = []
    box = QuestionBox(QUESTION, lambda question, chosen: answers.append((question, chosen)))
    box._choice.value = "id-3"
    box._use.click()
    assert answers == [(QUESTION, "id-3")]
    assert box._use.disabled
    assert box._choice.disabled


def test_nobody_may_be_chosen() -> None:
    answers: list[Any] = []
    box = QuestionBox(QUESTION, lambda _, chosen: answers.append(chosen))
    box._drop.click()
    assert answers == [None]


async def test_an_answer_that_is_refused_is_told_and_can_be_given_again() -> None:
    async def answer(_: object, chosen: str | None) -> None:
        await asyncio.sleep(0)
        raise UsageError("faces asks <nothing> about upscale.")

    box = QuestionBox(QUESTION, answer)
    box._use.click()
    for _ in range(3):
        await asyncio.sleep(0)
    assert "faces asks &lt;nothing&gt;" in box._trouble.value
    assert not box._use.disabled


def test_backends_come_and_go_and_the_choice_stays() -> None:
    box = QuestionBox(QUESTION, lambda *_: None)
    box._choice.value = "id-3"
    grown = (*QUESTION.candidates[1:], CandidateView("id-4", "PC4"))
    box.show(dataclasses.replace(QUESTION, candidates=grown))
    assert box._choice.value == "id-3"
    box.show(dataclasses.replace(QUESTION, candidates=()))
    assert box._choice.value is None
    assert box._use.disabled
    box.show(QUESTION)
    assert box._choice.value == "id-2"
    assert not box._use.disabled


def test_hostile_names_are_escaped(hostile: str, tags: Any) -> None:
    bad = dataclasses.replace(
        QUESTION,
        node_title=hostile,
        preferred=hostile,
        reason=hostile,
        candidates=(CandidateView("id-2", hostile, hostile),),
    )
    box = QuestionBox(bad, lambda *_: None)
    assert {tag for tag, _ in tags(box._words.value).tags} <= {"bdi", "/bdi", "div", "/div"}
    assert all("\n" not in label for label, _ in box._choice.options)


def view_of(job_view: Any, status: JobStatus, **more: Any) -> Any:
    nodes = tuple(NodeView(str(i), str(i), status, 0.0, None, None, None) for i in range(2))
    return job_view(status=status, nodes=nodes, started_at=utcnow(), **more)


def buttons(row: JobRow) -> list[str]:
    return [child.description for child in row._top.children[1:]]


def test_a_row_shows_the_question_until_it_is_answered(box: Any, job_view: Any) -> None:
    answers: list[Any] = []
    job = box(view_of(job_view, JobStatus.RUNNING, questions=(QUESTION,)))
    row = JobRow(job, answer=lambda question, chosen: answers.append(chosen))
    (asked,) = row._questions.values()
    assert asked in row.children
    asked._use.click()
    assert answers == ["id-2"]
    job.change(questions=())
    assert asked not in row.children
    assert asked.comm is None
    assert row._questions == {}
    assert "upscale prefers PC1" not in row.plain()
    row.close()


def test_a_row_that_cannot_answer_says_the_question_in_text(box: Any, job_view: Any) -> None:
    row = JobRow(box(view_of(job_view, JobStatus.RUNNING, questions=(QUESTION,))))
    assert row._questions == {}
    assert "upscale prefers PC1" in row.plain()
    assert "upscale prefers PC1" in row.static_html()


def test_the_buttons_are_those_that_can_be_used(box: Any, job_view: Any) -> None:
    called: list[str] = []
    job = box(view_of(job_view, JobStatus.RUNNING))
    row = JobRow(
        job,
        lambda: called.append("cancel"),
        pause=lambda: called.append("pause"),
        resume=lambda: called.append("resume"),
        retry=lambda: called.append("retry"),
    )
    assert buttons(row) == ["Pause", "Cancel"]
    row._top.children[1].click()
    assert row._top.children[1].disabled, "it was clicked and nothing has come of it yet"
    job.push(view_of(job_view, JobStatus.PAUSED))
    assert buttons(row) == ["Resume", "Cancel"]
    row._top.children[1].click()
    job.push(view_of(job_view, JobStatus.RUNNING))
    assert buttons(row) == ["Pause", "Cancel"]
    assert not row._top.children[1].disabled
    job.push(view_of(job_view, JobStatus.FAILED, completed_at=utcnow()))
    assert buttons(row) == ["Retry"]
    row._top.children[1].click()
    job.push(view_of(job_view, JobStatus.COMPLETED, completed_at=utcnow()))
    assert buttons(row) == ["Cancel"]
    assert row._button.disabled
    assert called == ["pause", "resume", "retry"]
    row.close()


def test_what_a_button_could_not_do_is_said_and_it_may_be_tried_again(
    box: Any, job_view: Any
) -> None:
    def refuse() -> None:
        raise UsageError("Another kernel runs <faces>.")

    row = JobRow(box(view_of(job_view, JobStatus.RUNNING)), pause=refuse)
    (button,) = row._top.children[1:]
    button.click()
    assert "Another kernel runs &lt;faces&gt;." in row._detail.value
    assert not button.disabled
    row.close()


def test_a_single_run_is_not_paused(box: Any, job_view: Any) -> None:
    row = JobRow(box(job_view(status=JobStatus.RUNNING)), lambda: None, pause=lambda: None)
    assert buttons(row) == ["Cancel"]


def test_a_nodes_error_is_not_said_twice(box: Any, job_view: Any) -> None:
    nodes = (
        NodeView("1", "a", JobStatus.FAILED, 0.0, None, None, "a: out of memory."),
        NodeView("2", "b", JobStatus.SKIPPED, 0.0, None, None, "Skipped: a failed."),
    )
    job = box(job_view(status=JobStatus.FAILED, nodes=nodes, error="a: out of memory."))
    row = JobRow(job)
    assert row.body().count("out of memory") == 1
    job.change(error="Something else.")
    assert "Something else." in row.body()
