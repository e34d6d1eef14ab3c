"""Whatever order the journal's calls come in, its states stay true (a model runs beside it)."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from comfynb.models import (
    BackendConfig,
    CanvasLayout,
    Job,
    JobStatus,
    NodeExecution,
    OutputFile,
    Project,
    PromptRecord,
    PromptStatus,
    new_id,
)
from comfynb.store import Pending, open_store

LIVE = {PromptStatus.SENDING, PromptStatus.QUEUED, PromptStatus.RUNNING}
ENDS = [state for state in PromptStatus if state.is_terminal]


class JournalStates(RuleBasedStateMachine):
    """Calls are submitted without waiting, so that they are grouped; the model is sequential."""

    new_place: Callable[[], str]

    nodes = Bundle("nodes")
    prompts = Bundle("prompts")

    def __init__(self) -> None:
        super().__init__()
        self.store = open_store(self.new_place())
        self.journal = self.store.journal
        self.expected: list[tuple[Pending[Any], Any]] = []
        self.jobs: dict[str, JobStatus] = {}
        self.node_status: dict[str, JobStatus] = {}
        self.node_prompt: dict[str, str | None] = {}
        self.job_of: dict[str, str] = {}
        self.prompt_state: dict[str, PromptStatus] = {}
        self.node_of: dict[str, str] = {}
        self.files: set[str] = set()

    @initialize()
    def begin(self) -> None:
        self.store.put(
            BackendConfig(id="b1", name="b", host="h"), Project(id="p1", name="p")
        ).result(30)

    def teardown(self) -> None:
        try:
            self.settle()
        finally:
            self.store.close().result(30)

    def out(self, node: str) -> bool:
        prompt = self.node_prompt[node]
        return prompt is not None and self.prompt_state[prompt] in LIVE

    @rule(target=nodes, number=st.integers(1, 3))
    def create(self, number: int) -> Any:
        job_id = new_id()
        executions = [
            NodeExecution(id=new_id(), job_id=job_id, canvas_node_id=str(i)) for i in range(number)
        ]
        job = Job(
            id=job_id,
            project_id="p1",
            canvas_snapshot=CanvasLayout(),
            node_executions=executions,
        )
        self.expected.append((self.journal.create_jobs([job]), None))
        self.jobs[job_id] = JobStatus.PENDING
        for execution in executions:
            self.node_status[execution.id] = JobStatus.PENDING
            self.node_prompt[execution.id] = None
            self.job_of[execution.id] = job_id
        return multiple(*(execution.id for execution in executions))

    @rule(target=prompts, node=nodes)
    def begin_prompt(self, node: str) -> Any:
        job = self.job_of[node]
        record = PromptRecord(job_id=job, node_execution_id=node, backend_id="b1")
        may = (
            not self.node_status[node].is_terminal
            and not self.jobs[job].is_terminal
            and not self.out(node)
        )
        self.expected.append((self.journal.begin_prompt(record), may))
        if not may:
            return multiple()
        self.node_status[node] = JobStatus.RUNNING
        self.node_prompt[node] = record.prompt_id
        self.prompt_state[record.prompt_id] = PromptStatus.SENDING
        self.node_of[record.prompt_id] = node
        if self.jobs[job] is JobStatus.PENDING:
            self.jobs[job] = JobStatus.RUNNING
        return record.prompt_id

    @rule(prompt=prompts)
    def sent(self, prompt: str) -> None:
        self.expected.append((self.journal.prompts_sent([prompt]), None))
        if self.prompt_state[prompt] is PromptStatus.SENDING:
            self.prompt_state[prompt] = PromptStatus.QUEUED

    @rule(prompt=prompts)
    def started(self, prompt: str) -> None:
        self.expected.append((self.journal.prompts_started([prompt]), None))
        if self.prompt_state[prompt] in LIVE:
            self.prompt_state[prompt] = PromptStatus.RUNNING

    @rule(prompt=prompts, state=st.sampled_from(ENDS))
    def finish(self, prompt: str, state: PromptStatus) -> None:
        may = self.prompt_state[prompt] in LIVE
        file = OutputFile(prompt_id=prompt, node_id="9", kind="images", index=0, filename="a.png")
        outputs = [file] if state is PromptStatus.COMPLETED else []
        pending = self.journal.finish_prompt(prompt, state, outputs=outputs)
        self.expected.append((pending, may))
        if not may:
            return
        self.prompt_state[prompt] = state
        self.files |= {prompt} if outputs else set()
        node = self.node_of[prompt]
        if state is PromptStatus.LOST:
            self.node_status[node] = JobStatus.PENDING
            self.node_prompt[node] = None
        else:
            self.node_status[node] = JobStatus(state.value)

    @rule(node=nodes, status=st.sampled_from([s for s in JobStatus if s.is_terminal]))
    def finish_node(self, node: str, status: JobStatus) -> None:
        may = not self.node_status[node].is_terminal and not self.out(node)
        self.expected.append((self.journal.finish_node(node, status), may))
        if may:
            self.node_status[node] = status

    @rule(
        node=consumes(nodes),
        status=st.sampled_from([JobStatus.FAILED, JobStatus.CANCELLED, JobStatus.LOST]),
    )
    def finish_job(self, node: str, status: JobStatus) -> None:
        job = self.job_of[node]
        may = not self.jobs[job].is_terminal
        self.expected.append((self.journal.finish_job(job, status), may))
        if not may:
            return
        self.jobs[job] = status
        cancelled = status is JobStatus.CANCELLED
        for other in [n for n, j in self.job_of.items() if j == job]:
            if self.out(other):
                prompt = self.node_prompt[other]
                assert prompt is not None
                self.prompt_state[prompt] = (
                    PromptStatus.CANCELLED if cancelled else PromptStatus.LOST
                )
            if not self.node_status[other].is_terminal:
                self.node_status[other] = JobStatus.CANCELLED if cancelled else JobStatus.SKIPPED

    @rule(node=nodes, status=st.sampled_from([JobStatus.PAUSED, JobStatus.RUNNING]))
    def pause(self, node: str, status: JobStatus) -> None:
        job = self.job_of[node]
        may = not self.jobs[job].is_terminal
        self.expected.append((self.journal.set_job_status(job, status), may))
        if may:
            self.jobs[job] = status

    @rule()
    def look(self) -> None:
        """Wait, and compare everything that is stored with the model."""
        self.settle()
        stored = {job.id: job for job in self.store.find(Job).result(30)}
        assert {id_: job.status for id_, job in stored.items()} == self.jobs
        nodes = [node for job in stored.values() for node in job.node_executions]
        assert {node.id: node.status for node in nodes} == self.node_status
        assert {node.id: node.comfy_prompt_id for node in nodes} == self.node_prompt
        prompts = self.store.find(PromptRecord).result(30)
        assert {prompt.prompt_id: prompt.state for prompt in prompts} == self.prompt_state
        files = self.store.find(OutputFile).result(30)
        assert {file.prompt_id for file in files} == self.files

    @invariant()
    def answers_so_far_are_right(self) -> None:
        if len(self.expected) > 20:
            self.settle()

    def settle(self) -> None:
        expected, self.expected = self.expected, []
        assert [pending.result(30) for pending, _ in expected] == [answer for _, answer in expected]


def test_states(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    number = count()

    class Here(JournalStates):
        @staticmethod
        def new_place() -> str:
            if kind == "duckdb":
                return str(tmp_path / f"{next(number)}.duckdb")
            return str(request.getfixturevalue("postgres_server").new())

    run_state_machine_as_test(
        Here, settings=settings(max_examples=8, stateful_step_count=40, deadline=None)
    )
