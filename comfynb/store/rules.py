"""The contradictions that one query finds, each with what it means and what to do about it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from comfynb.models import JobStatus, PromptStatus
from comfynb.store.transaction import View

__all__ = ["RULES", "Finding", "Severity"]

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One inconsistency: where, what, and what to do."""

    severity: Severity
    table: str
    id: str
    message: str
    cure: str

    def __str__(self) -> str:
        return f"{self.severity}: {self.table} {self.id}: {self.message}; {self.cure}"


def _rule(
    table: str, message: str, cure: str, sql: str, severity: Severity = "error"
) -> Callable[[View], Iterator[Finding]]:
    """Make a check from a query that gives an id and, to fill the message in, other columns."""

    def look(view: View) -> Iterator[Finding]:
        for key, *details in view.execute(sql):
            yield Finding(severity, table, str(key), message.format(*details), cure)

    return look


def _values(values: list[str]) -> str:
    return ", ".join(f"'{value}'" for value in values)


_ALL = _values([status.value for status in JobStatus])
_OVER = _values([status.value for status in JobStatus if status.is_terminal])
_LIVE = _values([status.value for status in PromptStatus if not status.is_terminal])
_ENDED = _values([status.value for status in PromptStatus if status.is_terminal])
_EVERY = _values([status.value for status in PromptStatus])

RULES: list[Callable[[View], Iterator[Finding]]] = [
    _rule(
        "jobs",
        "has the status {0!r:.60}, which comfynb does not know",
        "set it to 'failed', or upgrade comfynb",
        f"select id, status from jobs where status not in ({_ALL})",  # noqa: S608
    ),
    _rule(
        "node_executions",
        "has the status {0!r:.60}, which comfynb does not know",
        "set it to 'failed', or upgrade comfynb",
        f"select id, status from node_executions where status not in ({_ALL})",  # noqa: S608
    ),
    _rule(
        "prompts",
        "has the state {0!r:.60}, which comfynb does not know",
        "set it to 'lost', or upgrade comfynb",
        f"select prompt_id, state from prompts where state not in ({_EVERY})",  # noqa: S608
    ),
    _rule(
        "node_executions",
        "is {0} although its job {1} ended as {2}",
        "set it to 'cancelled' or 'skipped'",
        "select n.id, n.status, j.id, j.status from node_executions as n "  # noqa: S608
        f"join jobs as j on j.id = n.job_id where j.status in ({_OVER}) "
        "and n.status in ('pending', 'running', 'paused')",
    ),
    _rule(
        "jobs",
        "is {0} although all of its {1} node executions have ended",
        "resume it (wb.resume()), or set it to what they say",
        "select j.id, j.status, count(n.id) from jobs as j "  # noqa: S608
        "join node_executions as n on n.job_id = j.id "
        "where j.status in ('pending', 'running', 'paused') group by j.id, j.status "
        f"having count(*) = sum(case when n.status in ({_OVER}) then 1 else 0 end)",
        "warning",
    ),
    _rule(
        "jobs",
        "completed although node execution {0} is {1}",
        "set the job to what became of that node",
        "select j.id, n.id, n.status from jobs as j "
        "join node_executions as n on n.job_id = j.id "
        "where j.status = 'completed' and n.status in ('failed', 'lost', 'cancelled')",
    ),
    _rule(
        "prompts",
        "belongs to job {0}, but its node execution {1} belongs to job {2}",
        "delete the prompt",
        "select p.prompt_id, p.job_id, n.id, n.job_id from prompts as p "
        "join node_executions as n on n.id = p.node_execution_id where n.job_id <> p.job_id",
    ),
    _rule(
        "node_executions",
        "has {0} prompts out at the same time",
        "let one kernel resume the job: it keeps the one that the node names",
        "select node_execution_id, count(*) from prompts "  # noqa: S608
        f"where state in ({_LIVE}) group by node_execution_id having count(*) > 1",
    ),
    _rule(
        "prompts",
        "is {0} although its node execution {1} is {2}",
        "set the prompt to 'lost'",
        "select p.prompt_id, p.state, n.id, n.status from prompts as p "  # noqa: S608
        "join node_executions as n on n.id = p.node_execution_id "
        f"where p.state in ({_LIVE}) and n.status in ({_OVER})",
    ),
    _rule(
        "prompts",
        "is {0}, but its node execution {1} does not name it",
        "set the prompt to 'lost'",
        "select p.prompt_id, p.state, n.id from prompts as p "  # noqa: S608
        "join node_executions as n on n.id = p.node_execution_id "
        f"where p.state in ({_LIVE}) and n.status in ('pending', 'running', 'paused') "
        "and (n.comfy_prompt_id is null or n.comfy_prompt_id <> p.prompt_id)",
    ),
    _rule(
        "node_executions",
        "completed, but its prompt {0} is {1}",
        "set the node execution to 'lost', and run the job again",
        "select n.id, p.prompt_id, p.state from node_executions as n "
        "join prompts as p on p.prompt_id = n.comfy_prompt_id "
        "where n.status = 'completed' and p.state <> 'completed'",
    ),
    _rule(
        "node_executions",
        "is running, but its prompt {0} has ended as {1}",
        "resume the job (wb.resume())",
        "select n.id, p.prompt_id, p.state from node_executions as n "  # noqa: S608
        "join prompts as p on p.prompt_id = n.comfy_prompt_id "
        f"where n.status = 'running' and p.state in ({_ENDED})",
    ),
    _rule(
        "node_executions",
        "names prompt {0}, which is not there",
        "run the job again",
        "select n.id, n.comfy_prompt_id from node_executions as n "
        "left join prompts as p on p.prompt_id = n.comfy_prompt_id "
        "where n.comfy_prompt_id is not null and p.prompt_id is null",
    ),
    _rule(
        "prompts",
        "completed, but it left neither files nor data",
        "look at the backend's history, and run the job again if something is missing",
        "select p.prompt_id from prompts as p "
        "join node_executions as n on n.id = p.node_execution_id "
        "left join output_files as f on f.prompt_id = p.prompt_id "
        "where p.state = 'completed' and f.prompt_id is null and n.output_data is null",
        "warning",
    ),
    _rule(
        "output_files",
        "belongs to a prompt that is {0}",
        "delete the row, or set the prompt to 'completed'",
        "select f.prompt_id || ' ' || f.filename, p.state from output_files as f "
        "join prompts as p on p.prompt_id = f.prompt_id "
        "where p.state in ('sending', 'queued', 'lost')",
    ),
    _rule(
        "prompts",
        "has ended as {0} without a time",
        "set completed_at",
        "select prompt_id, state from prompts "  # noqa: S608
        f"where state in ({_ENDED}) and completed_at is null",
        "warning",
    ),
    _rule(
        "jobs",
        "has ended as {0} without a time",
        "set completed_at",
        "select id, status from jobs "  # noqa: S608
        f"where status in ({_OVER}) and completed_at is null",
        "warning",
    ),
    _rule(
        "jobs",
        "belongs to the owner {0}, which is not recorded",
        "resume it (wb.resume())",
        "select j.id, j.owner_id from jobs as j left join owners as o on o.id = j.owner_id "
        "where j.owner_id is not null and o.id is null",
        "warning",
    ),
]
